package loadgen

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-mq/sluice/results"
)

func fakeCluster(t *testing.T, opts ...kfake.Opt) []string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

// The whole way against a fake broker: all acks levels, several partitions and
// producers, everything verified.
func TestRunVerifiesEverything(t *testing.T) {
	run, err := Run(context.Background(), Spec{
		Bootstrap: fakeCluster(t), Rate: 2000, Duration: 800 * time.Millisecond, Warmup: 200 * time.Millisecond,
		Size: 200, Partitions: 3, Producers: 2, Seed: 7, BrokerPID: os.Getpid(), Command: []string{"sluice", "bench", "run"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Series) != 3 {
		t.Fatalf("%d series", len(run.Series))
	}
	var b strings.Builder
	if err := results.WriteTable(&b, run); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	for _, s := range run.Series {
		v := s.Verification
		if !v.OK || v.Sent != 2000 || v.Received != 2000 || v.Acked != 2000 {
			t.Errorf("acks=%s: %+v", s.Acks, v)
		}
		if s.Records != 1600 || s.OfferedPerS != 2000 || s.Errors != 0 {
			t.Errorf("acks=%s: measured %d of 1600 records, offered %v/s, %d errors", s.Acks, s.Records, s.OfferedPerS, s.Errors)
		}
		none := s.Acks == "0"
		if (s.Response == nil) != none || (s.Service == nil) != none || (s.ToSocket == nil) == none {
			t.Errorf("acks=%s: wrong kinds of latency", s.Acks)
		}
		for _, k := range []results.Kind{s.LatencyKind, results.SendDelay, results.EndToEnd} {
			if n := s.Latency(k).Count; n != 1600 {
				t.Errorf("acks=%s: %s has %d samples", s.Acks, k, n)
			}
		}
		if s.Batches == nil || s.Batches.Count == 0 || s.Broker == nil || !s.Broker.GeneratorInside || s.Generator == nil {
			t.Errorf("acks=%s: batches %+v, usage %v %v", s.Acks, s.Batches, s.Broker, s.Generator)
		}
		var sent int64
		for _, p := range s.OverTime {
			sent += p.Sent
		}
		if sent != 2000 {
			t.Errorf("acks=%s: %d records in the time series", s.Acks, sent)
		}
	}
}
