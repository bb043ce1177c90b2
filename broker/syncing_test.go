package broker

import (
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
)

// device is a disk whose syncs a test holds up and lets fail.
type device struct {
	hold    chan struct{} // closed: syncs go through
	entered chan struct{} // one token for the first sync that is held
	fail    atomic.Bool
	calls   atomic.Int64
	takes   time.Duration
}

func newDevice() *device { return &device{hold: make(chan struct{}), entered: make(chan struct{}, 1)} }

func (d *device) sync(int) error {
	d.calls.Add(1)
	select {
	case d.entered <- struct{}{}:
	default:
	}
	<-d.hold
	for began := time.Now(); time.Since(began) < d.takes; {
		runtime.Gosched()
	}
	if d.fail.Load() {
		return syscall.EIO
	}
	return nil
}

func startOn(t *testing.T, d *device, sets ...string) *Broker {
	t.Helper()
	return startWith(t, t.TempDir(), func(o *logstore.Options) { o.Sync = d.sync }, sets...)
}

// startWith is startBroker with options of the logs changed, and may end with directories that are offline.
func startWith(t *testing.T, dirs string, adjust func(*logstore.Options), sets ...string) *Broker {
	t.Helper()
	values, err := config.Load(config.Input{Sets: append([]string{
		"log.dirs=" + dirs, "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=", "num.network.threads=1",
		"zookeeper.connect=" + coordinatorOf(dirs),
	}, sets...)})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := values.Broker()
	if err != nil {
		t.Fatal(err)
	}
	b, err := start(cfg, values, slog.New(slog.DiscardHandler), adjust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func (c *client) send(topic string, acks int16, batches []byte) {
	c.frame(wire.KeyProduce, 9, produceBody(topic, 0, acks, batches))
	c.flush()
}

func (c *client) produced() wire.ProducePartitionResponse {
	c.t.Helper()
	var resp wire.ProduceResponse
	if err := resp.Decode(9, c.receive(wire.KeyProduce, 9)); err != nil {
		c.t.Fatal(err)
	}
	return resp.Topics[0].Partitions[0]
}

// TestAnswersWaitForTheDisk: with flush.policy=fsync nothing is answered or shown before it is synced, a parked fetch
// is woken then, one sync serves all that came meanwhile, and other topics and acks=0 do not wait.
func TestAnswersWaitForTheDisk(t *testing.T) {
	d := newDevice()
	b := startOn(t, d)
	writer, reader, other := dial(t, b), dial(t, b), dial(t, b)
	writer.createWith("t", 1, map[string]string{"flush.policy": "fsync"})
	other.create("u", 1)
	reader.frame(wire.KeyFetch, 11, fetchBody("t", 0, 1, time.Minute))
	reader.flush()

	writer.send("t", 1, records(1, 100))
	<-d.entered // an acknowledgement can only come after this sync, and it is held
	const inFlight = 64
	for range inFlight {
		writer.frame(wire.KeyProduce, 9, produceBody("t", 0, -1, records(1, 100)))
	}
	writer.flush()
	if at := other.produce("u", records(1, 100)); at != 0 {
		t.Errorf("offset %d", at)
	}
	other.send("t", 0, records(1, 100)) // not answered: the next answer is that of the fetch
	other.frame(wire.KeyFetch, 11, fetchBody("t", 0, 0, 0))
	other.flush()
	if p := other.fetched(); p.HighWatermark != 0 || p.Error != wire.None {
		t.Errorf("before the sync: high watermark %d, %v", p.HighWatermark, p.Error)
	}
	for b.Stats().MessagesIn < inFlight+3 { // all are appended and none is answered
		<-time.After(time.Millisecond)
	}
	close(d.hold)
	for i := range int64(inFlight + 1) {
		if p := writer.produced(); p.Error != wire.None || p.BaseOffset > i+1 {
			t.Errorf("request %d: offset %d, %v", i, p.BaseOffset, p.Error)
		}
	}
	if p := reader.fetched(); p.HighWatermark < 1 {
		t.Errorf("the fetch was woken at high watermark %d", p.HighWatermark)
	}
	if n := d.calls.Load(); n > inFlight/4 {
		t.Errorf("%d syncs for %d requests", n, inFlight+2)
	}
}

// TestFailedSyncIsAnswered: a failed sync is KAFKA_STORAGE_ERROR for all that waited, and from then on.
func TestFailedSyncIsAnswered(t *testing.T) {
	d := newDevice()
	d.fail.Store(true)
	b := startOn(t, d, "log.flush.policy=fsync")
	c, again := dial(t, b), dial(t, b)
	c.create("t", 1)
	c.create("u", 1)
	c.send("t", 1, records(1, 100))
	<-d.entered
	body := wire.ProduceRequest{Version: 9, Acks: -1, TimeoutMillis: 1000}
	for _, name := range []string{"missing", "t", "u"} {
		body.Topics = append(body.Topics, wire.ProduceTopic{Name: []byte(name),
			Partitions: []wire.ProducePartition{{Records: records(2, 10)}}})
	}
	again.frame(wire.KeyProduce, 9, body.Append(nil))
	again.flush()
	for b.Stats().MessagesIn < 5 {
		<-time.After(time.Millisecond)
	}
	close(d.hold)
	if p := c.produced(); p.Error != wire.KafkaStorageError || p.BaseOffset != -1 {
		t.Errorf("%v, offset %d", p.Error, p.BaseOffset)
	}
	var resp wire.ProduceResponse
	if err := resp.Decode(9, again.receive(wire.KeyProduce, 9)); err != nil {
		t.Fatal(err)
	}
	for i, want := range []wire.ErrorCode{wire.UnknownTopicOrPartition, wire.KafkaStorageError, wire.KafkaStorageError} {
		if p := resp.Topics[i].Partitions[0]; p.Error != want || p.BaseOffset != -1 {
			t.Errorf("topic %s: %v, offset %d", resp.Topics[i].Name, p.Error, p.BaseOffset)
		}
	}
	d.fail.Store(false) // the device seems well again, but nothing is known of what it lost
	c.send("t", 1, records(1, 100))
	if p := c.produced(); p.Error != wire.KafkaStorageError {
		t.Errorf("after the failure: %v", p.Error)
	}
	c.frame(wire.KeyFetch, 11, fetchBody("t", 0, 0, 0))
	c.flush()
	if p := c.fetched(); p.Error != wire.KafkaStorageError || p.HighWatermark != -1 {
		t.Errorf("%v, high watermark %d", p.Error, p.HighWatermark)
	}
}

// TestConnectionEndsWhileWaiting: nothing is left of a request whose connection has gone.
func TestConnectionEndsWhileWaiting(t *testing.T) {
	d := newDevice()
	b := startOn(t, d, "log.flush.policy=fsync")
	c := dial(t, b)
	c.create("t", 1)
	c.send("t", 1, records(1, 100))
	<-d.entered
	if err := c.c.(*net.TCPConn).SetLinger(0); err != nil { // a reset: after a plain end the answer may still be wanted
		t.Fatal(err)
	}
	c.c.Close()
	for b.Stats().Net.Open > 0 {
		<-time.After(time.Millisecond)
	}
	close(d.hold)
	c = dial(t, b)
	if at := c.produce("t", records(1, 100)); at != 1 {
		t.Errorf("offset %d", at)
	}
	if err := b.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFlushPolicies says what the settings of a topic mean for its log.
func TestFlushPolicies(t *testing.T) {
	const mib64 = 64 << 20
	for _, c := range []struct {
		sets []string
		want logstore.Flush
	}{
		{nil, logstore.Flush{}},
		{[]string{"flush.messages", "1"}, logstore.Flush{Records: 1, Wait: true}},
		{[]string{"flush.messages", "100", "flush.ms", "0"}, logstore.Flush{Records: 100, Wait: true, Every: time.Millisecond}},
		{[]string{"flush.policy", "interval"}, logstore.Flush{Bytes: mib64, Every: 10 * time.Second}},
		{[]string{"flush.policy", "interval", "flush.messages", "9", "flush.ms", "50"},
			logstore.Flush{Records: 9, Bytes: mib64, Every: 50 * time.Millisecond}},
		{[]string{"flush.policy", "fsync"}, logstore.Flush{Records: 1, Wait: true}},
		{[]string{"flush.policy", "fsync", "flush.messages", "9"}, logstore.Flush{Records: 1, Wait: true}},
	} {
		overrides := map[string]string{}
		for i := 0; i < len(c.sets); i += 2 {
			overrides[c.sets[i]] = c.sets[i+1]
		}
		topic, err := config.Topic(overrides, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := logFlush(&topic); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.sets, got, c.want)
		}
	}
}
