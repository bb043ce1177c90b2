package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// What goes in line by line comes out in the same order, at every acks level and
// codec.
func TestLinesThereAndBack(t *testing.T) {
	addr := fake(t)
	var lines strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&lines, "line %d %s\n", i, strings.Repeat("x", i%200))
	}
	lines.WriteString("\n\r\nlast, without an end")
	for i, z := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		acks := []string{"0", "1", "all"}[i%3]
		topic := "lines-" + z
		sluice(t, "", "topic", "create", topic, "-p", "1", "-b", addr).want(t, exitOK, "", "")
		r := sluice(t, lines.String(), "produce", topic, "-z", z, "--acks", acks, "-b", addr, "-o", "json")
		p := fromJSON[produceResult](t, r)
		if r.code != exitOK || p.Records != 3003 || p.Acknowledged != (acks != "0") || len(p.Partitions) != 1 {
			t.Fatalf("%s: %+v %s", z, p, r.stderr)
		}
		got := sluice(t, "", "consume", topic, "-n", "3003", "-b", addr)
		if got.code != exitOK || got.stdout != lines.String()+"\n" {
			t.Errorf("%s: code %d, %d bytes, want %d: %s", z, got.code, len(got.stdout), lines.Len()+1, got.stderr)
		}
	}
}

func TestFormatsThereAndBack(t *testing.T) {
	addr := fake(t)
	in := "1|k1|v1|a=1,b=2|1700000000000\n3||a long value|c=|1700000000001"
	sluice(t, in, "produce", "orders", "-f", `%p|%k|%v|%h|%d\n`, "-H", "z=9", "-b", addr).want(t, exitOK, "", "")
	format := `%t/%p@%o %k=%v [%h] %d%%\n`
	sluice(t, "", "consume", "orders/1", "-e", "-f", format, "-b", addr).
		want(t, exitOK, "orders/1@0 k1=v1 [a=1,b=2,z=9] 1700000000000%\n", "")
	sluice(t, "", "consume", "orders/3", "-e", "-f", format, "-b", addr).
		want(t, exitOK, "orders/3@0 =a long value [c=,z=9] 1700000000001%\n", "")
}

func TestProduceRawAndConsumeJSON(t *testing.T) {
	addr := fake(t)
	raw := "two\nlines and \xff\x00 bytes"
	sluice(t, raw, "produce", "orders", "--raw", "-k", "logo", "-p", "0", "-b", addr).want(t, exitOK, "orders", "")
	r := sluice(t, "", "consume", "orders/0", "-e", "-o", "json", "-b", addr)
	j := fromJSON[recordJSON](t, r)
	if j.Value != nil || string(j.ValueBase64) != raw || *j.Key != "logo" || j.Offset != 0 || len(j.Headers) != 0 {
		t.Errorf("%s", r.stdout)
	}
	if !strings.Contains(r.stdout, base64.StdEncoding.EncodeToString([]byte(raw))) {
		t.Errorf("not base64: %s", r.stdout)
	}
}

func TestConsumeRanges(t *testing.T) {
	addr := fake(t)
	sluice(t, "a\nb\nc\nd\n", "produce", "orders", "-p", "1", "-q", "-b", addr).want(t, exitOK, "", "")
	for _, c := range []struct{ args, want string }{
		{"orders -e", "a\nb\nc\nd\n"},
		{"orders/1 -e --from 2", "c\nd\n"},
		{"orders/1 -e --from -1", "d\n"},
		{"orders/1 -e --from -100", "a\nb\nc\nd\n"},
		{"orders/1 -e --from 4", ""},
		{"orders/1 -n 2", "a\nb\n"},
		{"orders -e --from end", ""},
		{"orders/0 -e", ""},
	} {
		r := sluice(t, "", append([]string{"consume", "-b", addr}, strings.Fields(c.args)...)...)
		if r.code != exitOK || r.stdout != c.want {
			t.Errorf("%s: code %d, %q, want %q: %s", c.args, r.code, r.stdout, c.want, r.stderr)
		}
	}
	sluice(t, "", "consume", "orders/1", "--from", "5", "-b", addr).
		want(t, exitKafka, "", "topic orders partition 1: OFFSET_OUT_OF_RANGE (1): --from 5 is not in the offsets 0 to 4")
	sluice(t, "", "consume", "orders/9", "-b", addr).want(t, exitKafka, "", "UNKNOWN_TOPIC_OR_PARTITION (3): there is no such partition")
	sluice(t, "", "consume", "nope", "-b", addr).want(t, exitKafka, "", "topic nope: UNKNOWN_TOPIC_OR_PARTITION (3)")
}

// A consumer without an end goes on with what is written later, and ends well when
// it is interrupted.
func TestConsumeFollows(t *testing.T) {
	addr := fake(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, w := io.Pipe()
	code := make(chan int)
	go func() {
		code <- run(ctx, program{args: []string{"consume", "orders", "-b", addr}, stdout: w, stderr: io.Discard})
	}()
	in := bufio.NewReader(out)
	for _, line := range []string{"first\n", "second\n"} {
		sluice(t, line, "produce", "orders", "-b", addr).want(t, exitOK, "", "")
		if got, err := in.ReadString('\n'); got != line || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	}
	cancel()
	if c := <-code; c != exitOK {
		t.Errorf("exit code %d", c)
	}
}

// What was read before an interruption is written, and the exit code says that it
// was interrupted.
func TestProduceInterrupted(t *testing.T) {
	addr := fake(t)
	ctx, cancel := context.WithCancel(t.Context())
	in, w := io.Pipe()
	done := make(chan result)
	go func() { done <- sluiceWith(ctx, in, nil, "produce", "orders", "-p", "0", "-b", addr, "-o", "json") }()
	if _, err := io.WriteString(w, "kept\n"); err != nil {
		t.Fatal(err)
	}
	sluice(t, "", "consume", "orders/0", "-n", "1", "-b", addr).want(t, exitOK, "kept\n", "")
	cancel()
	r := <-done
	r.want(t, exitInterrupted, `"records": 1`, "interrupted")
	w.Close()
}

func TestProduceReportsRefusedRecords(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	addr := c.ListenAddrs()[0]
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.(*kmsg.ProduceRequest).Topics {
			rt := kmsg.ProduceResponseTopic{Topic: t.Topic, TopicID: t.TopicID}
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.MessageTooLarge.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	r := sluice(t, "a\nb\n", "produce", "orders", "-b", addr)
	r.want(t, exitKafka, "", "records were not acknowledged: MESSAGE_TOO_LARGE (10)")
}

func TestProduceWhenTheClusterGoesAway(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	addr := c.ListenAddrs()[0]
	in, w := io.Pipe()
	done := make(chan result)
	go func() {
		done <- sluiceWith(t.Context(), in, nil, "produce", "orders", "-b", addr, "-X", "delivery.timeout.ms=1000", "-X", "request.timeout.ms=1000")
	}()
	if _, err := io.WriteString(w, "kept\n"); err != nil {
		t.Fatal(err)
	}
	sluice(t, "", "consume", "orders", "-n", "1", "-b", addr).want(t, exitOK, "kept\n", "")
	c.Close()
	if _, err := io.WriteString(w, "lost\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	(<-done).want(t, exitUnreachable, "orders", "1 of 2 records were not acknowledged: no broker answers at "+addr)
}

func TestProduceBadInput(t *testing.T) {
	addr := fake(t)
	r := sluice(t, "k1\tv1\nno tab\n", "produce", "orders", "-f", `%k\t%v\n`, "-b", addr)
	r.want(t, exitFailed, "orders", `record 2 of the input: %k: the input ends before "\t"`)
	sluice(t, "x:v\n", "produce", "orders", "-f", `%p:%v\n`, "-b", addr).want(t, exitFailed, "", `"x" is no partition`)
	sluice(t, "9:v\n", "produce", "orders", "-f", `%p:%v\n`, "-b", addr).want(t, exitFailed, "", "1 of 1 records were not acknowledged")
}

func TestRecordJSONOfNulls(t *testing.T) {
	addr := fake(t)
	sluice(t, "v\n", "produce", "orders", "-p", "0", "-b", addr).want(t, exitOK, "", "")
	r := sluice(t, "", "consume", "orders/0", "-n", "1", "-o", "json", "-b", addr)
	var m map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &m); err != nil {
		t.Fatal(err)
	}
	if k, ok := m["key"]; !ok || k != nil || m["value"] != "v" || m["topic"] != "orders" {
		t.Errorf("%s", r.stdout)
	}
}
