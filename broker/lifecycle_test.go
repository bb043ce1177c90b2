package broker

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// TestStartLeavesNothing has Start fail at each of its steps.
func TestStartLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir, second, foreign := t.TempDir(), t.TempDir(), t.TempDir()
	state := func(text string) func(string) error {
		return func(dir string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, catalogStateFile), []byte(text), 0o644),
				os.WriteFile(filepath.Join(second, catalogStateFile), []byte(text), 0o644))
		}
	}
	if err := os.WriteFile(filepath.Join(foreign, "meta.properties"), []byte("version=1\nnode.id=99\ncluster.id=x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, dir)
	dial(t, b).create("t", 2)
	stop(t, b)
	descriptors, goroutines := openFiles(t), runtime.NumGoroutine()
	for what, x := range map[string]struct {
		spoil func(dir string) error
		sets  []string
	}{
		"directories that cannot be made":    {nil, []string{"log.dirs=/proc/x," + filepath.Join(dir, catalogStateFile, "x")}},
		"a second directory of another node": {nil, []string{"log.dirs=" + dir + "," + foreign}},
		"a state file that is cut":           {state(`{"version":1,"top`), nil},
		"settings that do not exist":         {state(`{"version":1,"topics":{"t":{"no.such":"1"}}}`), nil},
		"a port that is taken":               {nil, []string{"listeners=PLAINTEXT://127.0.0.1:0,OTHER://" + taken.Addr().String(), "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT"}},
		"the only port that is taken":        {nil, []string{"listeners=PLAINTEXT://" + taken.Addr().String()}},
	} {
		if err := state(`{"version":1,"topics":{},"next_producer_id":0}`)(dir); err != nil {
			t.Fatal(err)
		}
		if x.spoil != nil {
			if err := x.spoil(dir); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := tryBroker(dir+","+second, x.sets...); err == nil {
			t.Errorf("%s: started", what)
			b.Close()
		}
		until(t, "the end of goroutines after "+what, func() bool { return runtime.NumGoroutine() <= goroutines })
		if n := openFiles(t); n > descriptors {
			t.Errorf("%s: %d descriptors are open, there were %d", what, n, descriptors)
		}
	}
	if err := state(`{"version":1,"topics":{},"next_producer_id":0}`)(dir); err != nil {
		t.Fatal(err)
	}
	if got := dial(t, startBroker(t, dir+","+second)).describe("t", false); len(got.Partitions) != 2 {
		t.Errorf("%+v", got)
	}
}

// TestStopTwice also stops at once from several goroutines, and starts again in between.
func TestStopTwice(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		b := startBroker(t, dir)
		dial(t, b).ask(newMetadata())
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				stop := b.Close
				if i%2 == 0 {
					stop = func() error { return b.Drain(t.Context()) }
				}
				for range 2 {
					if err := stop(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if _, err := net.Dial("tcp", b.Addrs()[0]); err == nil {
			t.Error("still listening")
		}
	}
}

// TestDrainAnswers has fetches parked and requests with the workers when the broker is told to stop.
func TestDrainAnswers(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, "num.network.threads=2")
	c, worker := dial(t, b), dial(t, b)
	c.create("t", 2)
	at := c.append("t", 1, records(1, 10))
	for range 3 {
		c.sendFetch(fetchOf("t", want(0, 0), want(1, at+1)))
	}
	untilParked(t, b, 3)
	id := kmsg.NewPtrInitProducerIDRequest()
	id.Version, id.ProducerID, id.ProducerEpoch = 4, -1, -1
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 5
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "new", NumPartitions: 3, ReplicationFactor: 1}}
	unlock := lock(b) // the workers are busy until it is given up
	worker.frame(wire.KeyCreateTopics, 5, create.AppendTo(nil))
	worker.frame(wire.KeyInitProducerId, 4, id.AppendTo(nil))
	worker.flush()
	until(t, "the requests", func() bool { return b.Stats().Net.Frames >= 7 })
	ended := make(chan error)
	go func() { ended <- b.Drain(t.Context()) }()
	for range 3 {
		for _, p := range c.fetchAnswer(fetchVersion).Topics[0].Partitions {
			if p.Error != wire.None || len(p.Records) != 0 {
				t.Errorf("%+v", p)
			}
		}
	}
	if b.Ready() == nil {
		t.Error("ready while stopping")
	}
	unlock()
	made, got := create.ResponseKind().(*kmsg.CreateTopicsResponse), id.ResponseKind().(*kmsg.InitProducerIDResponse)
	made.Version, got.Version = 5, 4
	if err := made.ReadFrom(worker.receive(wire.KeyCreateTopics, 5)); err != nil || made.Topics[0].ErrorCode != 0 {
		t.Errorf("%+v %v", made, err)
	}
	if err := got.ReadFrom(worker.receive(wire.KeyInitProducerId, 4)); err != nil || got.ProducerID < 0 {
		t.Errorf("%+v %v", got, err)
	}
	for _, c := range []*client{c, worker} {
		if n, err := c.c.Read(c.in); err != io.EOF {
			t.Errorf("read %d bytes and %v, want the end", n, err)
		}
		c.c.Close()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(dial(t, startBroker(t, dir)).describe("new", false).Partitions) != 3 {
		t.Error("a topic whose creation was answered is not there")
	}
}

// TestCloseEndsParked stops at once: connections are cut, nothing runs on.
func TestCloseEndsParked(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	b := startBroker(t, t.TempDir(), "num.network.threads=2")
	writer := dial(t, b)
	writer.create("t", 1)
	for range 10 {
		c := dial(t, b)
		for range 3 {
			c.sendFetch(fetchOf("t", want(0, 0)))
		}
	}
	untilParked(t, b, 30)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := b.parked.Load(); n != 0 {
		t.Errorf("%d fetches are parked", n)
	}
	if _, err := io.ReadAll(writer.c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	until(t, "the end of goroutines", func() bool { return runtime.NumGoroutine() <= goroutines })
}

// TestStopDuringCreation does not wait for thousands of partitions, and leaves nothing of them.
func TestStopDuringCreation(t *testing.T) {
	t.Run("undone", func(t *testing.T) { stopDuringCreation(t, 1, 2, withoutCoordinator) })
	t.Run("finished", func(t *testing.T) { stopDuringCreation(t, 2, 2+maxPartitions) })
}

// stopDuringCreation wants that many topics and partitions after the next start.
func stopDuringCreation(t *testing.T, topics, partitions int, sets ...string) {
	dir := t.TempDir()
	b := startBroker(t, dir, sets...)
	c := dial(t, b)
	c.create("t", 2)
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 5
	create.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "large", NumPartitions: maxPartitions, ReplicationFactor: 1}}
	c.frame(wire.KeyCreateTopics, 5, create.AppendTo(nil))
	c.flush()
	until(t, "some partitions", func() bool {
		made, _ := filepath.Glob(filepath.Join(dir, "large-*"))
		return len(made) > 5
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if made, _ := filepath.Glob(filepath.Join(dir, "large-*")); len(made) >= maxPartitions {
		t.Error("the whole topic was made first")
	}
	b = startBroker(t, dir, sets...)
	if s := b.Stats(); s.Topics != topics || s.Partitions != partitions {
		t.Errorf("%d topics with %d partitions are there after the next start", s.Topics, s.Partitions)
	}
}

// TestWorkersClose: what is queued is forgotten, what is being done is waited for.
func TestWorkersClose(t *testing.T) {
	w := startWorkers(1)
	began, end, ran := make(chan bool), make(chan bool), 0
	w.do(func() { close(began); <-end; ran++ })
	<-began
	for range 10 {
		w.do(func() { ran += 100 })
	}
	closed := make(chan bool)
	go func() { w.close(); close(closed) }()
	until(t, "close", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.closed })
	close(end)
	<-closed
	w.do(func() { ran += 100 })
	if ran != 1 {
		t.Errorf("ran is %d, want 1", ran)
	}
}

// TestWorkerPanics: the panic that ends the process is the one that happened.
func TestWorkerPanics(t *testing.T) {
	w := &workers{}
	w.cond.L = &w.mu
	w.do(func() { panic("BUG: mine") })
	defer func() {
		if r := recover(); r != "BUG: mine" {
			t.Errorf("%v", r)
		}
	}()
	w.run()
}

// TestAutoCreationPanics costs nothing but the topic.
func TestAutoCreationPanics(t *testing.T) {
	b := startBroker(t, t.TempDir())
	real := b.catalog
	b.catalog = panicking{real}
	b.autoCreate("t")
	until(t, "the end of the work", func() bool { return b.waiting.Load() == 0 })
	until(t, "the worker", func() bool { _, busy := b.creating.Load("t"); return !busy })
	b.catalog = real
	if id := dial(t, b).producerID(); id < 0 {
		t.Errorf("producer id %d", id)
	}
}

type panicking struct{ Catalog }

func (panicking) Create(TopicSpec, bool) (*Topic, error) { panic("client's fault, say") }
