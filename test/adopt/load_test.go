//go:build peers

package adopt

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

// limit bounds a test. It takes half a minute on a machine with nothing else to do.
const limit = 8 * time.Minute

// The topics, all of one partition but plain.
const (
	plain     = "plain"     // all codecs
	txns      = "txns"      // transactions, and records outside of them
	compacted = "compacted" // few keys, over and over, and tombstones
	short     = "short"     // retention has taken its first segments
	quiet     = "quiet"     // never written to
)

var topics = map[string]map[string]*string{
	plain: {"segment.bytes": kadm.StringPtr("1048576")},
	txns:  {"segment.bytes": kadm.StringPtr("1048576")},
	compacted: {"segment.bytes": kadm.StringPtr("1048576"), "cleanup.policy": kadm.StringPtr("compact"),
		"min.cleanable.dirty.ratio": kadm.StringPtr("0.01")},
	short: {"segment.bytes": kadm.StringPtr("1048576"), "retention.bytes": kadm.StringPtr("1048576")},
	quiet: {},
}

var codecs = map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}

func connect(t *testing.T, address string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.MaxVersions(kversion.V2_8_0()),
		kgo.ProducerLinger(time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// filler is text that codecs find something in.
func filler(n int) []byte { return bytes.Repeat([]byte("a text as any other, "), n/21+1)[:n] }

func record(topic string, partition int32, i, size int) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Appendf(nil, "key %d", i), Value: append(fmt.Appendf(nil, "%d ", i), filler(size)...),
		Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}
}

func send(ctx context.Context, t *testing.T, cl *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// fill is the load. The transactional client is given back with a transaction open, and a timestamp in the middle of the
// transactions. It is later than all of the compacted topic: Kafka takes the time of the file for the newest timestamp of a
// segment that compaction has emptied, and then finds nothing in those behind it.
func fill(ctx context.Context, t *testing.T, address string) (open *kgo.Client, middle int64) {
	t.Helper()
	adm := kadm.NewClient(connect(t, address))
	for topic, settings := range topics {
		n := int32(1)
		if topic == plain {
			n = 3
		}
		if resp, err := adm.CreateTopic(ctx, n, 1, settings, topic); err != nil || resp.Err != nil {
			t.Fatal(err, resp.Err)
		}
	}
	for name, codec := range codecs {
		cl := connect(t, address, kgo.ProducerBatchCompression(codec))
		unnumbered := connect(t, address, kgo.ProducerBatchCompression(codec), kgo.DisableIdempotentWrite())
		for i := range 60 {
			send(ctx, t, cl, record(plain, 0, i, 30_000), record(plain, 1, i, 30_000), record(plain, 1, i, 100), record(plain, 2, i, 100))
			if i%10 == 0 {
				send(ctx, t, unnumbered, record(plain, 0, i, 500), record(plain, 1, i, 500))
			}
		}
		t.Logf("filled with %s", name)
	}
	fillCompacted(ctx, t, address)
	raw := connect(t, address, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for i := range 10 {
		send(ctx, t, raw, record(short, 0, i, 400_000))
	}
	commit := kadm.Offsets{}
	commit.AddOffset(plain, 1, 17, -1)
	if err := adm.CommitAllOffsets(ctx, "a group", commit); err != nil {
		t.Fatal(err)
	}
	return fillTxns(ctx, t, address)
}

func fillCompacted(ctx context.Context, t *testing.T, address string) {
	cl := connect(t, address, kgo.ProducerBatchCompression(kgo.NoCompression()))
	zipped := connect(t, address, kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	var batch []*kgo.Record
	for i := range 3000 {
		r := record(compacted, 0, i, 1000)
		r.Key = fmt.Appendf(nil, "key %d", i%97)
		if i%53 == 0 {
			r.Value = nil
		}
		batch = append(batch, r)
		if len(batch) == 50 {
			send(ctx, t, cl, batch...)
			batch = nil
			send(ctx, t, zipped, &kgo.Record{Topic: compacted, Key: []byte("zipped"), Value: filler(100)})
		}
	}
}

func fillTxns(ctx context.Context, t *testing.T, address string) (open *kgo.Client, middle int64) {
	var clients []*kgo.Client
	for i := range 3 {
		clients = append(clients, connect(t, address, kgo.TransactionalID(fmt.Sprint("txn ", i)), kgo.TransactionTimeout(limit),
			kgo.ProducerBatchCompression(kgo.NoCompression())))
	}
	outside := connect(t, address, kgo.ProducerBatchCompression(kgo.NoCompression()))
	for round := range 12 {
		if round == 6 {
			middle = time.Now().UnixMilli()
		}
		for i, cl := range clients {
			if err := cl.BeginTransaction(); err != nil {
				t.Fatal(err)
			}
			send(ctx, t, cl, record(txns, 0, 100*round+i, 20_000), record(plain, int32(i), 100*round+i, 200))
		}
		send(ctx, t, outside, record(txns, 0, 100*round+50, 30_000))
		for i, cl := range clients { // some stay open over what others do
			send(ctx, t, cl, record(txns, 0, 100*round+10+i, 10_000))
			if err := cl.EndTransaction(ctx, kgo.TransactionEndTry((round+i)%3 != 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := clients[0]
	if err := last.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	send(ctx, t, last, record(txns, 0, 9999, 100))
	send(ctx, t, outside, record(txns, 0, 10000, 100))
	return last, middle
}

// appendMore adds to the topics by all codecs.
func appendMore(ctx context.Context, t *testing.T, address string) {
	t.Helper()
	for _, codec := range codecs {
		cl := connect(t, address, kgo.ProducerBatchCompression(codec))
		for i := range 30 {
			send(ctx, t, cl, record(plain, int32(i%3), i, 3000), record(txns, 0, i, 2000), record(quiet, 0, i, 10),
				&kgo.Record{Topic: compacted, Key: fmt.Appendf(nil, "key %d", i), Value: []byte("newer")})
		}
	}
}

// settled waits until compaction and retention have done something.
func settled(ctx context.Context, t *testing.T, adm *kadm.Client, cleaned func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		starts, err := adm.ListStartOffsets(ctx, short)
		if err == nil && starts[short][0].Offset > 0 && cleaned() {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("neither compaction nor retention: %v, start of %s is %+v", err, short, starts[short][0])
		case <-tick.C:
		}
	}
}

// hasLine tells whether a checkpoint has a line of the topic with an offset above 0.
func hasLine(checkpoint []byte, topic string) bool {
	for line := range strings.Lines(string(checkpoint)) {
		var name string
		var partition, offset int
		if n, _ := fmt.Sscan(line, &name, &partition, &offset); n == 3 && name == topic && offset > 0 {
			return true
		}
	}
	return false
}
