package loadgen

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/sluice-mq/sluice/results"
	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// RawOptions say whom a Raw talks to and what it sends. Zero fields get the defaults in parentheses.
type RawOptions struct {
	Addr       string
	Topic      string      // exists, with leaders on the broker at Addr
	Partitions int         // 0 to Partitions-1 are used in turn (1)
	Batch      batch.Batch // what every request has for each of its partitions; only read

	Connections int   // (1)
	InFlight    int   // produce requests under way on each connection (1)
	PerRequest  int   // partitions in a produce request (1)
	Acks        int16 // 1 or -1 (1)
	FetchBytes  int32 // largest answer to a fetch (1 MiB)
	// Shared: others write to the topic too, so that offsets need not be dense.
	Shared bool
}

func (o RawOptions) withDefaults() (RawOptions, error) {
	for _, p := range []*int{&o.Partitions, &o.Connections, &o.InFlight, &o.PerRequest} {
		*p = max(*p, 1)
	}
	if o.Acks == 0 {
		o.Acks = 1
	}
	if o.FetchBytes == 0 {
		o.FetchBytes = 1 << 20
	}
	if o.PerRequest > o.Partitions {
		return o, fmt.Errorf("%w: %d partitions in a request, the topic has %d", ErrSpec, o.PerRequest, o.Partitions)
	}
	return o, nil
}

// A Raw drives one broker with requests that are encoded once and differ in a few bytes. It batches, compresses and
// retries nothing and keeps no metadata, so that the broker is what limits: a 64 KiB batch costs the driver little
// besides the kernel's copy. Every answer is checked: its order, error codes, and that offsets go on where they left
// off. Use it for throughput and for latencies of requests; [Run] is for what an application sees.
//
// One call at a time.
type Raw struct {
	o       RawOptions
	produce int16 // versions
	fetch   int16
	conns   []*rawConn
}

// RawResult is what a call moved. Of fetches, requests that found nothing count too.
type RawResult struct {
	Requests, Batches, Bytes int64 // bytes of batches
	Elapsed                  time.Duration
	CPU                      time.Duration // of this process, in steps of 10 ms
	Latency                  *results.Histogram
}

// MBPerS is the throughput in megabytes (10^6) of batches a second.
func (r *RawResult) MBPerS() float64 { return float64(r.Bytes) / 1e6 / r.Elapsed.Seconds() }

// RawBatch makes an uncompressed batch of at most size bytes (one record at least) of records with random values of
// valueSize bytes. With keys > 0 each record has one of so many keys, in turn.
func RawBatch(size, valueSize, keys int) batch.Batch {
	var b batch.Builder
	value, key := make([]byte, valueSize), []byte(nil)
	src := rand.NewChaCha8([32]byte{1})
	now := time.Now().UnixMilli()
	const most = 24 // bytes of a record besides its value
	b.Reset(batch.None)
	for i := 0; i == 0 || b.Size()+valueSize+most <= size; i++ {
		_, _ = src.Read(value) // never fails
		if keys > 0 {
			key = binary.BigEndian.AppendUint64(key[:0], uint64(i%keys))
		}
		b.Append(now, key, value)
	}
	return b.Finish()
}

// Versions of requests that name topics; later ones have ids.
const (
	rawProduceNewest = 11
	rawFetchNewest   = 12
)

// DialRaw connects and asks the broker which versions it speaks. ErrSpec: options that cannot be.
func DialRaw(ctx context.Context, o RawOptions) (_ *Raw, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	r := &Raw{o: o}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	var d net.Dialer
	for i := range o.Connections {
		c, err := d.DialContext(ctx, "tcp", o.Addr)
		if err != nil {
			return nil, fmt.Errorf("loadgen: %w", err)
		}
		r.conns = append(r.conns, &rawConn{raw: r, index: i, c: c, r: bufio.NewReaderSize(c, 256<<10)})
	}
	stop := context.AfterFunc(ctx, r.Close)
	defer stop()
	if err := r.versions(); err != nil {
		return nil, fmt.Errorf("loadgen: versions of %s: %w", o.Addr, err)
	}
	for _, c := range r.conns {
		c.prepare()
	}
	return r, nil
}

// Close ends the connections.
func (r *Raw) Close() {
	for _, c := range r.conns {
		c.c.Close()
	}
}

// versions asks ApiVersions 0 on the first connection.
func (r *Raw) versions() error {
	c := r.conns[0]
	h := wire.RequestHeader{Key: wire.KeyApiVersions, HasClientID: true}
	request := wire.AppendRequestHeader(make([]byte, 4), &h)
	binary.BigEndian.PutUint32(request, uint32(len(request)-4))
	if _, err := c.c.Write(request); err != nil {
		return err
	}
	answer, err := c.receive()
	if err != nil {
		return err
	}
	_, body, err := wire.ParseResponseHeader(answer, wire.KeyApiVersions, 0)
	if err != nil || len(body) < 6 {
		return errors.Join(errors.New("the answer cannot be read"), err)
	}
	if code := wire.ErrorCode(binary.BigEndian.Uint16(body)); code != wire.None {
		return fmt.Errorf("%v", code)
	}
	ranges := body[6:] // key, lowest and highest version, two bytes each
	if r.produce, err = versionIn(ranges, wire.KeyProduce, rawProduceNewest); err != nil {
		return err
	}
	r.fetch, err = versionIn(ranges, wire.KeyFetch, rawFetchNewest)
	return err
}

func versionIn(ranges []byte, k wire.Key, newest int16) (int16, error) {
	be := binary.BigEndian
	for ; len(ranges) >= 6; ranges = ranges[6:] {
		if wire.Key(be.Uint16(ranges)) == k {
			low, high := int16(be.Uint16(ranges[2:])), int16(be.Uint16(ranges[4:]))
			if v := min(high, newest); v >= low {
				return v, nil
			}
			return 0, fmt.Errorf("%v: versions %d to %d, the driver has %d at most", k, low, high, newest)
		}
	}
	return 0, fmt.Errorf("%v is not served", k)
}

// rawConn is one connection. Fields that change belong to the goroutine that runs the call, or as said there.
type rawConn struct {
	raw   *Raw
	index int
	c     net.Conn
	r     *bufio.Reader
	frame []byte // the answer at hand

	id       int32           // correlation id of the next request
	template produceTemplate // see raw_produce.go
	expect   []int64         // by partition: offset of the next batch; -1: unknown
	apart    bool            // the connection has partitions of its own
	turn     int             // which of them is next

	fetchAt []int64 // by partition
	reading int     // partition
}

// prepare gives the connection its partitions: those whose number is its own modulo the number of connections, or
// where there are fewer than connections, all.
func (c *rawConn) prepare() {
	n := c.raw.o.Partitions
	c.expect, c.fetchAt = make([]int64, n), make([]int64, n)
	for i := range c.expect {
		c.expect[i] = -1
	}
	c.apart = n >= c.raw.o.Connections && c.raw.o.PerRequest <= n/c.raw.o.Connections
	c.turn = c.index % n
	c.reading = c.index % n
	c.template.build(&c.raw.o, c.raw.produce)
}

// following is the connection's partition after p.
func (c *rawConn) following(p int) int {
	step := 1
	if c.apart {
		step = c.raw.o.Connections
	}
	if p += step; p >= len(c.expect) {
		p = 0
		if c.apart {
			p = c.index
		}
	}
	return p
}

// receive returns the next answer without its length, good until the next call.
func (c *rawConn) receive() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n > math.MaxInt32 {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	if cap(c.frame) < n {
		c.frame = make([]byte, n)
	}
	_, err := io.ReadFull(c.r, c.frame[:n])
	return c.frame[:n], err
}

// each runs work on every connection and adds up what it reports. When one fails, or ctx ends, all connections are
// closed, and the Raw with them.
func (r *Raw) each(ctx context.Context, work func(c *rawConn, sum *RawResult) error) (*RawResult, error) {
	stop := context.AfterFunc(ctx, r.Close)
	defer stop()
	before, _ := ReadProcess(os.Getpid())
	begin := time.Now()
	type outcome struct {
		sum RawResult
		err error
	}
	done := make(chan outcome, len(r.conns))
	for _, c := range r.conns {
		go func() {
			o := outcome{sum: RawResult{Latency: results.NewHistogram()}}
			o.err = work(c, &o.sum)
			done <- o
		}()
	}
	total := &RawResult{Latency: results.NewHistogram()}
	var err error
	for range r.conns {
		o := <-done
		if o.err != nil && err == nil {
			err = o.err
			r.Close()
		}
		total.Requests += o.sum.Requests
		total.Batches += o.sum.Batches
		total.Bytes += o.sum.Bytes
		total.Latency.Merge(o.sum.Latency)
	}
	total.Elapsed = time.Since(begin)
	after, _ := ReadProcess(os.Getpid())
	total.CPU = after.User + after.System - before.User - before.System
	if cause := context.Cause(ctx); cause != nil {
		return total, cause
	}
	return total, err
}
