package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// measureOne runs one system through all figures, in the order of measures.
func measureOne(ctx context.Context, s system, dir string, o options) (f []float64, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	begin := time.Now()
	addr, pid, err := s.start(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := s.stop(); err == nil {
			err = e
		}
	}()
	if err := answers(ctx, addr); err != nil {
		return nil, err
	}
	f = append(f, float64(time.Since(begin).Microseconds())/1e3)
	time.Sleep(3 * time.Second) // idle: start-up work ends, memory settles
	f = append(f, residentMB(pid))
	var produced, fetched []float64
	for _, size := range []int{1024, 100} {
		topic := fmt.Sprintf("records-%d", size)
		if err := createTopic(ctx, addr, topic, o.partitions); err != nil {
			return nil, err
		}
		d := driver{addr: addr, topic: topic, o: o, body: makeBatch(size, o.batch)}
		if err := d.each(d.produce, o.warmup); err != nil {
			return nil, err
		}
		p, err := timed(pid, o.bytes, func() error { return d.each(d.produce, o.bytes) })
		if err != nil {
			return nil, err
		}
		if err := d.each(d.fetch, o.warmup); err != nil {
			return nil, err
		}
		g, err := timed(pid, o.bytes, func() error { return d.each(d.fetch, o.bytes) })
		if err != nil {
			return nil, err
		}
		produced, fetched = append(produced, p...), append(fetched, g...)
	}
	f = append(f, produced...)
	f = append(f, fetched...)
	return append(f, residentMB(pid)), nil
}

// timed returns MB/s and the broker's CPU seconds per GB of work that moves n bytes.
func timed(pid int, n int64, work func() error) ([]float64, error) {
	cpu, begin := cpuSeconds(pid), time.Now()
	err := work()
	took := time.Since(begin).Seconds()
	return []float64{float64(n) / 1e6 / took, (cpuSeconds(pid) - cpu) / float64(n) * 1e9}, err
}

func createTopic(ctx context.Context, addr, topic string, partitions int32) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, partitions, 1, nil, topic); err != nil {
		return err
	}
	// A leader may be named a moment before it takes requests.
	for {
		if l, err := adm.ListEndOffsets(ctx, topic); err == nil && l.Error() == nil && len(l[topic]) == int(partitions) {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// makeBatch is one uncompressed batch of about target bytes, of records with size random bytes.
func makeBatch(size, target int) []byte {
	var b batch.Builder
	value := make([]byte, size)
	src := rand.NewChaCha8([32]byte{1})
	now := time.Now().UnixMilli()
	b.Reset(batch.None)
	for b.Size()+size+12 < target {
		_, _ = src.Read(value) // never fails
		b.Append(now, nil, value)
	}
	return b.Finish()
}

// driver moves batches over plain connections: requests are encoded once and only their offsets change.
type driver struct {
	addr, topic string
	o           options
	body        []byte // one batch
}

// each runs work on every connection, each with its share of n bytes.
func (d *driver) each(work func(conn *conversation, index int, n int64) error, n int64) error {
	var wg sync.WaitGroup
	errs := make(chan error, d.o.connections)
	for i := range d.o.connections {
		wg.Go(func() {
			c, err := net.Dial("tcp", d.addr)
			if err == nil {
				err = work(&conversation{c, bufio.NewReaderSize(c, 1<<20)}, i, n/int64(d.o.connections))
				c.Close()
			}
			errs <- err
		})
	}
	wg.Wait()
	for range d.o.connections {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

type conversation struct {
	net.Conn
	r *bufio.Reader
}

func (c *conversation) send(h wire.RequestHeader, body []byte, more ...[]byte) error {
	head := wire.AppendRequestHeader(make([]byte, 4, 64), &h)
	n := len(head) - 4 + len(body)
	bufs := net.Buffers{head, body}
	for _, m := range more {
		n += len(m)
		bufs = append(bufs, m)
	}
	binary.BigEndian.PutUint32(head, uint32(n))
	_, err := bufs.WriteTo(c.Conn)
	return err
}

// receive reads one answer into buf, which grows as needed.
func (c *conversation) receive(buf []byte) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := io.ReadFull(c.r, buf[:n])
	return buf[:n], err
}

// produce appends n bytes of batches, in flight as the options say, and checks every answer.
func (d *driver) produce(c *conversation, index int, n int64) error {
	total := int(n / int64(len(d.body)))
	slots := make(chan struct{}, d.o.inFlight)
	sendErr := make(chan error, 1)
	go func() {
		for i := range total {
			slots <- struct{}{}
			if err := d.produceOne(c, int32((i+index)%int(d.o.partitions)), int32(i)); err != nil {
				sendErr <- err
				c.Close()
				return
			}
		}
		sendErr <- nil
	}()
	var resp wire.ProduceResponse
	var buf []byte
	var err error
	for range total {
		if buf, err = c.receive(buf); err != nil {
			break
		}
		var body []byte
		if _, body, err = wire.ParseResponseHeader(buf, wire.KeyProduce, 9); err != nil {
			break
		}
		if err = resp.Decode(9, body); err != nil {
			break
		}
		if code := resp.Topics[0].Partitions[0].Error; code != wire.None {
			err = fmt.Errorf("produce: %v", code)
			break
		}
		<-slots
	}
	if err != nil {
		c.Close()
		close(slots)
		return err
	}
	return <-sendErr
}

func (d *driver) produceOne(c *conversation, partition, id int32) error {
	req := wire.ProduceRequest{Version: 9, Acks: 1, TimeoutMillis: 30000, Topics: []wire.ProduceTopic{{
		Name: []byte(d.topic), Partitions: []wire.ProducePartition{{Index: partition, Records: d.body}},
	}}}
	return c.send(wire.RequestHeader{Key: wire.KeyProduce, Version: 9, CorrelationID: id, HasClientID: true}, req.Append(nil))
}

// fetch reads n bytes from the partitions whose number is the connection's modulo their count, from offset 0 and
// round again; it asks for no more than there is, so that no answer waits.
func (d *driver) fetch(c *conversation, index int, n int64) error {
	next := make([]int64, d.o.partitions)
	var resp wire.FetchResponse
	var buf []byte
	partition := int32(index)
	for id := int32(0); n > 0; id++ {
		p := wire.DefaultFetchPartition(partition, next[partition], 1<<20)
		req := wire.FetchRequest{Version: 11, ReplicaID: -1, MaxWaitMillis: 0, MinBytes: 1, MaxBytes: 1 << 20, SessionEpoch: -1,
			Topics: []wire.FetchTopic{{Name: []byte(d.topic), Partitions: []wire.FetchPartition{p}}}}
		err := c.send(wire.RequestHeader{Key: wire.KeyFetch, Version: 11, CorrelationID: id, HasClientID: true}, req.Append(nil))
		if err != nil {
			return err
		}
		if buf, err = c.receive(buf); err != nil {
			return err
		}
		_, body, err := wire.ParseResponseHeader(buf, wire.KeyFetch, 11)
		if err == nil {
			err = resp.Decode(11, body)
		}
		if err != nil {
			return err
		}
		got := &resp.Topics[0].Partitions[0]
		if got.Error != wire.None {
			return fmt.Errorf("fetch: %v", got.Error)
		}
		n -= int64(len(got.Records))
		last := int64(-1)
		for rest := got.Records; ; {
			var b batch.Batch
			if b, rest, err = batch.First(rest); err != nil {
				break
			}
			last = b.LastOffset()
		}
		if next[partition] = last + 1; last < 0 || last+1 >= got.HighWatermark {
			next[partition] = 0
			partition = (partition + int32(d.o.connections)) % d.o.partitions
		}
	}
	return nil
}
