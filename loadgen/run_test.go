package loadgen

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// watcher counts the observer's calls.
type watcher struct {
	started, ended int
	ticks          []Progress
}

func (w *watcher) SeriesStarted(int, int, results.Axes)  { w.started++ }
func (w *watcher) SeriesEnded(int, int, *results.Series) { w.ended++ }
func (w *watcher) Tick(p Progress)                       { w.ticks = append(w.ticks, p) }
func topicsOf(t *testing.T, bootstrap []string) kadm.TopicDetails {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(bootstrap...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	d, err := kadm.NewClient(cl).ListTopics(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A topic that was there is used from its end, what lies in it is not ours, and stays.
func TestExistingTopic(t *testing.T) {
	boot := fakeCluster(t, kfake.SeedTopics(2, "mine"))
	spec := Spec{Bootstrap: boot, Topic: "mine", Rate: 500, Duration: 200 * time.Millisecond, Acks: []Acks{AcksAll}}
	for range 2 { // the second finds records of the first
		w := &watcher{}
		run, err := Run(context.Background(), spec, w)
		if err != nil {
			t.Fatal(err)
		}
		s := run.Series[0]
		if s.Partitions != 2 || !s.Verification.OK || s.Verification.Foreign != 0 || run.Topic != "mine" {
			t.Errorf("partitions %d, %+v", s.Partitions, s.Verification)
		}
		last := w.ticks[len(w.ticks)-1]
		if w.started != 1 || w.ended != 1 || last.Completed != 100 || last.Received != 100 || last.InFlight != 0 {
			t.Errorf("started %d, ended %d, last tick %+v", w.started, w.ended, last)
		}
	}
	if _, there := topicsOf(t, boot)["mine"]; !there {
		t.Error("the topic is gone")
	}
	spec.Partitions = 3
	if _, err := Run(context.Background(), spec, nil); !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), "with 2 partitions, not 3") {
		t.Error(err)
	}
}

func TestOwnTopicIsDeleted(t *testing.T) {
	boot := fakeCluster(t)
	spec := Spec{Bootstrap: boot, Rate: 500, Duration: 100 * time.Millisecond, Acks: []Acks{AcksLeader}, Arrival: Poisson}
	run, err := Run(context.Background(), spec, nil)
	if err != nil || !strings.HasPrefix(run.Topic, "sluice-bench-") {
		t.Fatal(run, err)
	}
	if n := len(topicsOf(t, boot)); n != 0 {
		t.Errorf("%d topics left", n)
	}
	spec.Topic, spec.KeepTopic = "kept", true
	if _, err := Run(context.Background(), spec, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(topicsOf(t, boot)); n != 1 {
		t.Errorf("%d topics left", n)
	}
}

func TestCancelledRunIsReturned(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &canceller{cancel: cancel}
	run, err := Run(ctx, Spec{Bootstrap: fakeCluster(t), Rate: 500, Duration: time.Hour}, w)
	if !errors.Is(err, context.Canceled) || run == nil || !run.Aborted || run.Valid || len(run.Series) != 1 {
		t.Errorf("%+v, %v", run, err)
	}
}

type canceller struct {
	watcher
	cancel func()
}

func (c *canceller) Tick(Progress) { c.cancel() }

func TestNobodyThere(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = Run(ctx, Spec{Bootstrap: []string{addr}, Rate: 1, Duration: time.Second}, nil)
	if err == nil || !strings.Contains(err.Error(), addr) {
		t.Error(err)
	}
}

// A broker that takes records and never answers: the client gives them up when it is
// closed, and the run ends.
func TestUnansweredProduce(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.ControlKey(0, func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return nil, nil, true
	})
	run, err := Run(context.Background(), Spec{
		Bootstrap: c.ListenAddrs(), Rate: 500, Duration: 200 * time.Millisecond, Acks: []Acks{AcksLeader, AcksAll},
		DrainTimeout: 100 * time.Millisecond, IdleTimeout: 50 * time.Millisecond,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range run.Series {
		if s.Errors != 100 || s.Records != 0 || s.FirstError == "" {
			t.Errorf("acks=%s: %d errors, %d records, first %q", s.Acks, s.Errors, s.Records, s.FirstError)
		}
	}
	if run.Valid || !strings.Contains(strings.Join(run.Reasons, "\n"), "acks=all: 100 records failed") {
		t.Errorf("reasons %q", run.Reasons)
	}
}
