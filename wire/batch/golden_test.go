package batch

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// goldenRecords is what every batch in testdata holds, from producer 9000, epoch 3, sequence 41 on.
var goldenRecords = []testRecord{
	{ts: 1760000000000, key: []byte("k0"), value: []byte("first")},
	{ts: 1760000000005, value: []byte("second"), headers: []Header{{Key: "h", Value: []byte("x")}, {Key: "n"}}},
	{ts: 1759999999999, key: []byte("k2")},
}

func goldens(t *testing.T) map[string]Batch {
	t.Helper()
	text, err := os.ReadFile("testdata/kafka-4.3.0-batches.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Batch{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		b, rest, err := First(raw)
		if err != nil || len(rest) > 0 {
			t.Fatalf("%s: %v, %d bytes left", name, err, len(rest))
		}
		all[name] = b
	}
	return all
}

// Kafka's batches are read as Kafka meant them, and found to be in order.
func TestReadKafkasBatches(t *testing.T) {
	all := goldens(t)
	for _, c := range codecs {
		b := all[c.String()]
		if b == nil {
			t.Fatalf("no batch for %v", c)
		}
		if b.Codec() != c || !b.CRCOK() || b.Count() != 3 || b.ProducerID() != 9000 || b.ProducerEpoch() != 3 ||
			b.BaseSequence() != 41 || b.LastSequence() != 43 || b.MaxTimestamp() != 1760000000005 {
			t.Errorf("%v: header %x", c, []byte(b[:HeaderSize]))
		}
		checkRecords(t, new(Walker), b, goldenRecords)
		r := lenient()
		r.WalkCompressed = true
		res, err := Validate(b, &r)
		if want := (Result{MaxTimestamp: 1760000000005, Walked: true}); err != nil || res != want {
			t.Errorf("%v: %+v, %v", c, res, err)
		}
	}
}

// Our builder writes the same bytes, but for the compressed block of codecs whose matches are a matter of
// taste: there only the way it is framed is the same.
func TestWriteKafkasBatches(t *testing.T) {
	framing := map[Codec]int{None: 1 << 10, Gzip: 3, Snappy: 16, LZ4: 7, Zstd: 4}
	all := goldens(t)
	for _, c := range codecs {
		var bd Builder
		bd.Reset(c)
		bd.SetProducer(9000, 3, 41, false)
		for _, r := range goldenRecords {
			bd.Append(r.ts, r.key, r.value, r.headers...)
		}
		got, want := bd.Finish(), all[c.String()]
		if c == None && !bytes.Equal(got, want) {
			t.Fatalf("we write\n%x, Kafka\n%x", []byte(got), []byte(want))
		}
		if !bytes.Equal(got[OffsetAttributes:HeaderSize], want[OffsetAttributes:HeaderSize]) {
			t.Errorf("%v: header %x, want %x", c, []byte(got[:HeaderSize]), []byte(want[:HeaderSize]))
		}
		n := min(framing[c], len(want.Payload()))
		if !bytes.Equal(got.Payload()[:n], want.Payload()[:n]) {
			t.Errorf("%v: block %x, Kafka's %x", c, got.Payload(), want.Payload())
		}
	}
}
