package broker

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// outcome sends raw bytes on a connection of its own, closes the sending side and reads what comes until the
// broker closes: the number of bytes answered.
func outcome(t *testing.T, b *Broker, raw []byte) int64 {
	t.Helper()
	c, err := net.Dial("tcp", b.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(raw); err == nil {
		_ = c.(*net.TCPConn).CloseWrite() // an error shows in the read
	}
	n, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("neither answered nor closed after %.60q", raw)
	}
	return n
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// healthy checks that the broker still serves others, that no handler panicked and that nothing is left over.
func healthy(t *testing.T, b *Broker, goroutines int) {
	t.Helper()
	c := dial(t, b)
	if c.ask(newMetadata()).(*kmsg.MetadataResponse).ClusterID == nil {
		t.Error("no cluster id")
	}
	c.c.Close()
	for b.Stats().Net.Open > 0 || runtime.NumGoroutine() > goroutines {
		runtime.Gosched()
		if t.Context().Err() != nil {
			t.Fatalf("%d connections and %d goroutines are left, there were %d", b.Stats().Net.Open, runtime.NumGoroutine(), goroutines)
		}
	}
	if n := b.Stats().Net.HandlerPanics; n != 0 {
		t.Errorf("%d panics", n)
	}
	if n := b.Stats().Net.FrameBytes; n != 0 {
		t.Errorf("%d bytes of frames are still in use", n)
	}
}

func newMetadata() *kmsg.MetadataRequest {
	r := kmsg.NewPtrMetadataRequest()
	r.Version = 9
	return r
}

func TestGarbage(t *testing.T) {
	b := startBroker(t, t.TempDir(), "auto.create.topics.enable=false")
	before := runtime.NumGoroutine()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		raw := make([]byte, rnd.IntN(200))
		for i := range raw {
			raw[i] = byte(rnd.Uint32())
		}
		outcome(t, b, raw)
		outcome(t, b, framed(raw))
	}
	for _, length := range []uint32{0, 1, 7, 1 << 31, 1<<32 - 1, 1<<31 - 1, 101 << 20} {
		raw := binary.BigEndian.AppendUint32(nil, length)
		if n := outcome(t, b, append(raw, 1, 2, 3)); n != 0 {
			t.Errorf("a frame of announced length %d got %d bytes of answer", int32(length), n)
		}
	}
	for _, line := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", strings.Repeat("\x00", 4096)} {
		outcome(t, b, []byte(line))
	}
	healthy(t, b, before)
}

func TestUnknownKeysAndVersions(t *testing.T) {
	b := startBroker(t, t.TempDir())
	before := runtime.NumGoroutine()
	for key := int16(-2); key < 100; key++ {
		for _, version := range []int16{-1, 0, 13, 99} {
			a := b.apiFor(wire.Key(key))
			if a != nil && (version >= a.lowest() && version <= a.max || key == int16(wire.KeyApiVersions)) {
				continue
			}
			h := wire.RequestHeader{Key: wire.Key(key), Version: version, HasClientID: true}
			if n := outcome(t, b, framed(wire.AppendRequestHeader(nil, &h))); n != 0 {
				t.Errorf("key %d version %d got %d bytes of answer", key, version, n)
			}
		}
	}
	healthy(t, b, before)
}

// samples is a request of every API at every version that is served, with something in every list.
func samples(b *Broker) (raw [][]byte) {
	topic := "no-such-topic"
	for i := range b.apis {
		a := &b.apis[i]
		for v := a.lowest(); v <= a.max; v++ {
			h := wire.RequestHeader{Key: a.key, Version: v, ClientID: []byte("x"), HasClientID: true}
			raw = append(raw, append(wire.AppendRequestHeader(nil, &h), sampleBody(a.key, v, topic)...))
		}
	}
	return raw
}

func sampleBody(key wire.Key, version int16, topic string) []byte {
	switch key {
	case wire.KeyProduce:
		r := wire.ProduceRequest{Version: version, Acks: 1, Topics: []wire.ProduceTopic{{Name: []byte(topic),
			Partitions: []wire.ProducePartition{{Records: records(1, 10)}}}}}
		return r.Append(nil)
	case wire.KeyFetch:
		r := wire.FetchRequest{Version: version, ReplicaID: -1, MaxBytes: 1 << 20, SessionEpoch: -1, Topics: []wire.FetchTopic{{
			Name: []byte(topic), Partitions: []wire.FetchPartition{wire.DefaultFetchPartition(0, 0, 1<<20)}}}}
		return r.Append(nil)
	}
	req := kmsg.RequestForKey(int16(key))
	req.SetVersion(version)
	switch r := req.(type) {
	case *kmsg.MetadataRequest:
		r.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	case *kmsg.ListOffsetsRequest:
		r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: make([]kmsg.ListOffsetsRequestTopicPartition, 2)}}
	case *kmsg.CreateTopicsRequest:
		t := kmsg.NewCreateTopicsRequestTopic() // no partitions: refused
		t.Topic, t.ReplicaAssignment = "/", []kmsg.CreateTopicsRequestTopicReplicaAssignment{{Replicas: []int32{1}}}
		t.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: "a", Value: &topic}}
		r.Topics = append(r.Topics, t)
	case *kmsg.DeleteTopicsRequest:
		r.TopicNames, r.Topics = []string{topic}, []kmsg.DeleteTopicsRequestTopic{{Topic: &topic}}
	case *kmsg.FindCoordinatorRequest:
		r.CoordinatorKey, r.CoordinatorKeys = "g", []string{"g"}
	case *kmsg.ApiVersionsRequest:
		r.ClientSoftwareName, r.ClientSoftwareVersion = "test", "1"
	}
	return req.AppendTo(nil)
}

func TestBodiesCutAtEveryByte(t *testing.T) {
	b := startBroker(t, t.TempDir(), "auto.create.topics.enable=false")
	before := runtime.NumGoroutine()
	for _, whole := range samples(b) {
		c := dial(t, b)
		c.out = framed(whole)
		c.flush()
		if _, err := io.ReadFull(c.c, c.in[:8]); err != nil {
			t.Errorf("a whole request of key %d version %d: %v", whole[1], whole[3], err)
		}
		c.c.Close()
		for n := range whole {
			outcome(t, b, framed(whole[:n]))
		}
	}
	healthy(t, b, before)
}

// TestLyingCounts raises every byte of every request: lengths and counts promise what is not there, up to 4 GiB.
func TestLyingCounts(t *testing.T) {
	b := startBroker(t, t.TempDir(), "auto.create.topics.enable=false", "delete.topic.enable=false")
	before := runtime.NumGoroutine()
	var m0, m1 runtime.MemStats
	runtime.ReadMemStats(&m0)
	requests := 0
	for _, whole := range samples(b) {
		for i := 8; i < len(whole); i++ {
			changed := append([]byte(nil), whole...)
			for j := i; j < min(i+4, len(changed)); j++ {
				changed[j] = 0x7f
			}
			outcome(t, b, framed(changed))
			requests++
		}
	}
	runtime.ReadMemStats(&m1)
	if per := (m1.TotalAlloc - m0.TotalAlloc) / uint64(requests); per > 64<<10 {
		t.Errorf("%d bytes allocated for each request of about 100 bytes", per)
	}
	healthy(t, b, before)
}

func TestBadBatches(t *testing.T) {
	b := startBroker(t, t.TempDir(), "message.max.bytes=1000")
	c := dial(t, b)
	c.create("t", 1)
	whole := records(2, 10)
	change := func(f func(x batch.Batch)) []byte {
		x := append([]byte(nil), whole...)
		f(x)
		return x
	}
	for name, bad := range map[string]struct {
		records []byte
		code    wire.ErrorCode
	}{
		"none":         {nil, wire.InvalidRecord},
		"cut":          {whole[:len(whole)-1], wire.InvalidRecord},
		"two":          {append(append([]byte(nil), whole...), whole...), wire.InvalidRecord},
		"checksum":     {change(func(x batch.Batch) { x[len(x)-1]++ }), wire.CorruptMessage},
		"format 0":     {change(func(x batch.Batch) { x[batch.OffsetMagic] = 0 }), wire.InvalidRecord},
		"format 1":     {change(func(x batch.Batch) { x[batch.OffsetMagic] = 1 }), wire.InvalidRecord},
		"format 3":     {change(func(x batch.Batch) { x[batch.OffsetMagic] = 3 }), wire.CorruptMessage},
		"base offset":  {change(func(x batch.Batch) { x.SetBaseOffset(5) }), wire.InvalidRecord},
		"large":        {records(1, 2000), wire.MessageTooLarge},
		"length short": {change(func(x batch.Batch) { x[batch.OffsetLength+3] = 3 }), wire.CorruptMessage},
	} {
		c.frame(wire.KeyProduce, 9, produceBody("t", 0, -1, bad.records))
		c.flush()
		var resp wire.ProduceResponse
		if err := resp.Decode(9, c.receive(wire.KeyProduce, 9)); err != nil {
			t.Fatal(err)
		}
		if got := resp.Topics[0].Partitions[0].Error; got != bad.code {
			t.Errorf("%s: %v, want %v", name, got, bad.code)
		}
	}
	if at := c.produce("t", whole); at != 0 {
		t.Errorf("after bad batches the first good one is at offset %d", at)
	}
}

func TestAcksZeroTellsByClosing(t *testing.T) {
	b := startBroker(t, t.TempDir(), "auto.create.topics.enable=false")
	c := dial(t, b)
	c.frame(wire.KeyProduce, 9, produceBody("nowhere", 0, 0, records(1, 1)))
	c.flush()
	if n, err := c.c.Read(c.in); err != io.EOF {
		t.Errorf("read %d bytes and %v, want the connection closed", n, err)
	}
}

func TestSlowSender(t *testing.T) {
	b := startBroker(t, t.TempDir(), "socket.frame.timeout.ms=1000")
	c := dial(t, b)
	if _, err := c.c.Write([]byte{0, 0, 0, 100, 0, 3}); err != nil {
		t.Fatal(err)
	}
	if n, err := c.c.Read(c.in); err != io.EOF {
		t.Errorf("read %d bytes and %v, want the connection closed", n, err)
	}
	for b.Stats().Net.FrameTimeouts != 1 { // counted at the end of the turn that closes
		runtime.Gosched()
	}
}

func TestTenThousandConnections(t *testing.T) {
	b := startBroker(t, t.TempDir())
	before := runtime.NumGoroutine()
	descriptors := openFiles(t)
	steady := dial(t, b)
	for i := range 10000 {
		c, err := net.Dial("tcp", b.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 {
			_, _ = c.Write([]byte{0, 0, 0, 50, 0}) // a frame that will never be whole
		}
		c.Close()
		if i%1000 == 0 {
			steady.ask(newMetadata())
		}
	}
	steady.c.Close()
	healthy(t, b, before)
	if n := openFiles(t); n > descriptors {
		t.Errorf("%d descriptors are open, there were %d", n, descriptors)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// TestHalfOpenFrames leaves frames unfinished that announce 100 MiB each: nothing is reserved for announced bytes.
func TestHalfOpenFrames(t *testing.T) {
	b := startBroker(t, t.TempDir())
	const n = 500
	for range n {
		c := dial(t, b)
		if _, err := c.c.Write(append(binary.BigEndian.AppendUint32(nil, 100<<20), make([]byte, 100)...)); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, b)
	for b.Stats().Net.BytesIn < n*104 {
		c.ask(newMetadata())
	}
	if used := b.Stats().Net.FrameBytes; used > n*16<<10 {
		t.Errorf("%d bytes of frame buffers for %d bytes received", used, n*104)
	}
}

func TestStartRefused(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	if _, err := tryBroker(dir); !errors.Is(err, logstore.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second broker on the directory: %v", err)
	}
	if _, err := tryBroker(t.TempDir(), "listeners=PLAINTEXT://"+b.Addrs()[0]); err == nil || !strings.Contains(err.Error(), b.Addrs()[0]) {
		t.Errorf("second broker on the port: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tryBroker(filepath.Join(file, "logs")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a directory that cannot be made: %v", err)
	}
	if _, err := tryBroker(t.TempDir(), "log.segment.bites=1"); err == nil || !strings.Contains(err.Error(), "log.segment.bytes") {
		t.Errorf("a property that does not exist: %v", err)
	}
}
