package broker

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// startBroker runs a broker in this process on a free port until the test ends.
func startBroker(t testing.TB, dir string, sets ...string) *Broker {
	t.Helper()
	b, err := tryBroker(dir, sets...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func tryBroker(dir string, sets ...string) (*Broker, error) {
	values, err := config.Load(config.Input{Sets: append([]string{
		"log.dirs=" + dir, "listeners=PLAINTEXT://127.0.0.1:0", "admin.listener=", "num.network.threads=1",
		"zookeeper.connect=" + coordinatorOf(dir),
	}, sets...)})
	if err != nil {
		return nil, err
	}
	cfg, err := values.Broker()
	if err != nil {
		return nil, err
	}
	return Start(cfg, values, slog.New(slog.DiscardHandler))
}

// client is one connection that speaks the protocol by hand. It allocates nothing in steady state, so that
// allocations of the process are the broker's.
type client struct {
	t    testing.TB
	c    net.Conn
	out  []byte
	in   []byte
	next int32
}

func dial(t testing.TB, b *Broker) *client {
	t.Helper()
	c, err := net.Dial("tcp", b.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, c: c, in: make([]byte, 1<<20)}
}

// frame appends one request to what flush sends.
func (c *client) frame(key wire.Key, version int16, body []byte) {
	at := len(c.out)
	c.out = append(c.out, 0, 0, 0, 0)
	h := wire.RequestHeader{Key: key, Version: version, CorrelationID: c.next, HasClientID: true}
	c.next++
	c.out = append(wire.AppendRequestHeader(c.out, &h), body...)
	binary.BigEndian.PutUint32(c.out[at:], uint32(len(c.out)-at-4))
}

func (c *client) flush() {
	if _, err := c.c.Write(c.out); err != nil {
		c.t.Fatal(err)
	}
	c.out = c.out[:0]
}

// receive returns the body of the next answer, valid until the next call.
func (c *client) receive(key wire.Key, version int16) []byte {
	c.t.Helper()
	if _, err := io.ReadFull(c.c, c.in[:4]); err != nil {
		c.t.Fatalf("reading an answer: %v", err)
	}
	n := int(binary.BigEndian.Uint32(c.in))
	if n > len(c.in) {
		c.in = make([]byte, n)
	}
	if _, err := io.ReadFull(c.c, c.in[:n]); err != nil {
		c.t.Fatalf("reading an answer of %d bytes: %v", n, err)
	}
	_, body, err := wire.ParseResponseHeader(c.in[:n], key, version)
	if err != nil {
		c.t.Fatal(err)
	}
	return body
}

// ask sends a message and decodes its answer.
func (c *client) ask(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.frame(wire.Key(req.Key()), req.GetVersion(), req.AppendTo(nil))
	c.flush()
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if err := resp.ReadFrom(c.receive(wire.Key(req.Key()), req.GetVersion())); err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *client) create(topic string, partitions int32) {
	c.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 5
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	req.Topics = append(req.Topics, rt)
	if got := c.ask(req).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 0 {
		c.t.Fatalf("create %s: %v", topic, wire.ErrorCode(got.ErrorCode))
	}
}

// records is one batch of n records of size bytes each.
func records(n, size int) []byte {
	var b batch.Builder
	b.Reset(batch.None)
	value := make([]byte, size)
	for range n {
		b.Append(time.Now().UnixMilli(), nil, value)
	}
	return b.Finish()
}

func produceBody(topic string, partition int32, acks int16, batches []byte) []byte {
	req := wire.ProduceRequest{Version: 9, Acks: acks, TimeoutMillis: 1000, Topics: []wire.ProduceTopic{{
		Name: []byte(topic), Partitions: []wire.ProducePartition{{Index: partition, Records: batches}},
	}}}
	return req.Append(nil)
}

func fetchBody(topic string, offset int64, minBytes int32, wait time.Duration) []byte {
	p := wire.DefaultFetchPartition(0, offset, 1<<20)
	req := wire.FetchRequest{Version: 11, ReplicaID: -1, MaxWaitMillis: int32(wait.Milliseconds()), MinBytes: minBytes,
		MaxBytes: 1 << 20, SessionEpoch: -1, Topics: []wire.FetchTopic{{Name: []byte(topic), Partitions: []wire.FetchPartition{p}}}}
	return req.Append(nil)
}

// produce appends a batch and returns its base offset.
func (c *client) produce(topic string, batches []byte) int64 {
	c.t.Helper()
	c.frame(wire.KeyProduce, 9, produceBody(topic, 0, 1, batches))
	c.flush()
	var resp wire.ProduceResponse
	if err := resp.Decode(9, c.receive(wire.KeyProduce, 9)); err != nil {
		c.t.Fatal(err)
	}
	p := resp.Topics[0].Partitions[0]
	if p.Error != wire.None {
		c.t.Fatalf("produce: %v %s", p.Error, p.ErrorMessage)
	}
	return p.BaseOffset
}

// fetched decodes a Fetch answer of one partition.
func (c *client) fetched() wire.FetchPartitionResponse {
	c.t.Helper()
	var resp wire.FetchResponse
	if err := resp.Decode(11, c.receive(wire.KeyFetch, 11)); err != nil {
		c.t.Fatal(err)
	}
	return resp.Topics[0].Partitions[0]
}
