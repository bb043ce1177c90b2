package broker

import (
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

func TestFetchVersions(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	c.append("t", 0, records(3, 10))
	for v := int16(4); v <= 12; v++ {
		req := fetchOf("t", want(0, 0))
		req.Version = v
		p := one(t, c.fetch(req))
		if p.Error != wire.None || len(batches(t, p.Records)) != 1 || p.HighWatermark != 3 || p.LastStableOffset != 3 {
			t.Errorf("version %d: %+v", v, p)
		}
		if v >= 5 && p.LogStartOffset != 0 || p.Aborted != nil {
			t.Errorf("version %d: log start %d, aborted %v", v, p.LogStartOffset, p.Aborted)
		}
		req.IsolationLevel = 1
		if p := one(t, c.fetch(req)); p.Aborted == nil || len(p.Aborted) != 0 {
			t.Errorf("version %d, read committed: aborted %v, want an empty list", v, p.Aborted)
		}
	}
}

// TestMinBytes parks a fetch that three appends satisfy, not two.
func TestMinBytes(t *testing.T) {
	for _, loops := range []string{"1", "2"} {
		t.Run(loops, func(t *testing.T) {
			b := startBroker(t, t.TempDir(), "num.network.threads="+loops)
			reader, writer := dial(t, b), dial(t, b)
			writer.create("t", 2)
			batch := records(1, 100)
			for round := range int64(50) {
				req := fetchOf("t", want(0, 2*round), want(1, round))
				req.MinBytes = int32(3 * len(batch))
				reader.sendFetch(req)
				untilParked(t, b, 1)
				writer.append("t", 0, batch)
				writer.append("t", 1, batch)
				if loops == "1" && b.parked.Load() != 1 {
					t.Fatal("answered below the minimum")
				}
				writer.append("t", 0, batch)
				n := 0
				for _, p := range reader.fetchAnswer(fetchVersion).Topics[0].Partitions {
					n += len(batches(t, p.Records))
				}
				if n != 3 {
					t.Fatalf("round %d: answered with %d batches, want 3", round, n)
				}
			}
		})
	}
}

// TestWokenForNothing wakes a fetch as a late timer or an append between reading and parking does.
func TestWokenForNothing(t *testing.T) {
	b := startBroker(t, t.TempDir())
	reader, writer := dial(t, b), dial(t, b)
	writer.create("t", 1)
	batch := records(1, 100)
	req := fetchOf("t", want(0, 0))
	req.MinBytes = int32(2 * len(batch))
	reader.sendFetch(req)
	untilParked(t, b, 1)
	for range 3 {
		partitionOf(b, "t", 0).waiters.wakeAll()
		writer.ask(newMetadata())
	}
	writer.append("t", 0, batch)
	partitionOf(b, "t", 0).waiters.wakeAll()
	writer.ask(newMetadata())
	writer.append("t", 0, batch)
	if n := len(batches(t, one(t, reader.fetchAnswer(fetchVersion)).Records)); n != 2 {
		t.Errorf("answered with %d batches, want 2", n)
	}
	untilParked(t, b, 0)
	if n := partitionOf(b, "t", 0).waiters.n.Load(); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

func TestFetchTimesOut(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	req := fetchOf("t", want(0, 0))
	const wait = 30 * time.Millisecond
	req.MaxWaitMillis = int32(wait.Milliseconds())
	for range 3 { // the second use of the same memory and timer too
		began := time.Now()
		p := one(t, c.fetch(req))
		if p.Error != wire.None || len(p.Records) != 0 || p.HighWatermark != 0 {
			t.Errorf("%+v", p)
		}
		if took := time.Since(began); took < wait {
			t.Errorf("answered after %v, want no less than %v", took, wait)
		}
	}
}

// TestDeadlineIsKept appends less than the minimum all the time.
func TestDeadlineIsKept(t *testing.T) {
	b := startBroker(t, t.TempDir())
	reader, writer := dial(t, b), dial(t, b)
	writer.create("t", 1)
	req := fetchOf("t", want(0, 0))
	const wait = 100 * time.Millisecond
	req.MinBytes, req.MaxWaitMillis = 1<<20, int32(wait.Milliseconds())
	began := time.Now()
	reader.sendFetch(req)
	untilParked(t, b, 1)
	for small := records(1, 1); b.parked.Load() == 1; {
		writer.append("t", 0, small)
	}
	p := one(t, reader.fetchAnswer(fetchVersion))
	if len(batches(t, p.Records)) == 0 {
		t.Error("what came before the deadline is missing")
	}
	if took := time.Since(began); took < wait && len(p.Records) < 1<<19 {
		t.Errorf("answered after %v with %d bytes", took, len(p.Records))
	}
}

// TestWakeAcrossLoops has reader and writer on different loops, so that reading, parking and appending overlap.
func TestWakeAcrossLoops(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.network.threads=2")
	reader, writer := dial(t, b), dial(t, b)
	reader.ask(newMetadata())
	writer.create("t", 1)
	b.mu.Lock()
	if len(b.loops) != 2 {
		t.Error("both connections are on one loop")
	}
	b.mu.Unlock()
	batch := records(1, 100)
	for i := range int64(1000) {
		if i%2 == 0 {
			reader.sendFetch(fetchOf("t", want(0, i)))
			writer.append("t", 0, batch)
		} else {
			writer.append("t", 0, batch)
			reader.sendFetch(fetchOf("t", want(0, i)))
		}
		if got := batches(t, one(t, reader.fetchAnswer(fetchVersion)).Records); len(got) != 1 || got[0].BaseOffset() != i {
			t.Fatalf("round %d: %d batches", i, len(got))
		}
	}
}

func TestWakeOnTopicDeletion(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.network.threads=2")
	reader, writer := dial(t, b), dial(t, b)
	writer.create("stays", 1)
	writer.create("goes", 2)
	req := fetchOf("goes", want(0, 0), want(1, 0))
	req.MinBytes = 1000
	req.Topics = append(req.Topics, wire.FetchTopic{Name: []byte("stays"), Partitions: []wire.FetchPartition{want(0, 0)}})
	reader.sendFetch(req)
	untilParked(t, b, 1)
	if code := writer.delete("goes"); code != wire.None {
		t.Fatal(code)
	}
	resp := reader.fetchAnswer(fetchVersion)
	for _, rt := range resp.Topics {
		for _, p := range rt.Partitions {
			wanted := wire.None
			if string(rt.Name) == "goes" {
				wanted = wire.UnknownTopicOrPartition
			}
			if p.Error != wanted {
				t.Errorf("%s-%d: %v, want %v", rt.Name, p.Index, p.Error, wanted)
			}
		}
	}
	if n := partitionOf(b, "stays", 0).waiters.n.Load(); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

// TestTopicMadeAnewWhileParked: a fetch by name may see the end of the old topic or the beginning of the new one.
func TestTopicMadeAnewWhileParked(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.network.threads=2")
	reader, writer := dial(t, b), dial(t, b)
	for range 20 {
		writer.create("t", 1)
		reader.sendFetch(fetchOf("t", want(0, 0)))
		untilParked(t, b, 1)
		writer.delete("t")
		writer.create("t", 1)
		writer.append("t", 0, records(1, 10))
		p := one(t, reader.fetchAnswer(fetchVersion))
		if p.Error != wire.UnknownTopicOrPartition && (p.Error != wire.None || len(batches(t, p.Records)) != 1) {
			t.Fatalf("%+v", p)
		}
		writer.delete("t")
	}
}

func TestClosedWhileParked(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.network.threads=2", "socket.frame.timeout.ms=1000")
	writer := dial(t, b)
	writer.create("t", 3)
	for range 3 {
		reader := dial(t, b)
		for range 3 {
			reader.sendFetch(fetchOf("t", want(0, 0), want(1, 0), want(2, 0)))
		}
		untilParked(t, b, 3)
		_ = reader.c.(*net.TCPConn).SetLinger(0) // after a mere end the answers are owed for the frame time-out
		reader.c.Close()
		untilParked(t, b, 0)
	}
	for i := range int32(3) {
		if n := partitionOf(b, "t", i).waiters.n.Load(); n != 0 {
			t.Errorf("partition %d has %d waiters", i, n)
		}
	}
	writer.append("t", 0, records(1, 1))
	if n := b.Stats().Net.HandlerPanics; n != 0 {
		t.Errorf("%d panics", n)
	}
}

// TestOffsetInsideBatch reads the same from memory and from the file.
func TestOffsetInsideBatch(t *testing.T) {
	for _, tail := range []string{"0", "262144"} {
		b := startBroker(t, t.TempDir(), "log.tail.bytes="+tail)
		c := dial(t, b)
		c.create("t", 1)
		for i := range int64(10) {
			req := fetchOf("t", want(0, 10*i))
			req.MaxWaitMillis = 0
			c.fetch(req) // a reader that has caught up
			c.append("t", 0, records(10, 300))
		}
		for offset := range int64(100) {
			got := batches(t, one(t, c.fetch(fetchOf("t", want(0, offset)))).Records)
			if len(got) != 10-int(offset)/10 || got[0].BaseOffset() != offset/10*10 {
				t.Fatalf("tail %s, offset %d: %d batches from %d", tail, offset, len(got), got[0].BaseOffset())
			}
		}
	}
}

// TestMaxBytes counts the batches that each partition gets. Three partitions have five batches each.
func TestMaxBytes(t *testing.T) {
	b := startBroker(t, t.TempDir(), "fetch.max.bytes=20000")
	c := dial(t, b)
	c.create("t", 3)
	whole := records(1, 1900)
	size := int32(len(whole)) // near 2000: fetch.max.bytes is room for ten
	for i := range int32(3) {
		for range 5 {
			c.append("t", i, whole)
		}
	}
	for _, x := range []struct {
		what                string
		min, max, partition int32
		offsets             [3]int64
		batches             [3]int
	}{
		{"no limit but the broker's", 1, 1 << 30, 1 << 30, [3]int64{}, [3]int{5, 5, 0}},
		{"first batch whatever its size", 1, 1, 1, [3]int64{}, [3]int{1, 0, 0}},
		{"nothing is allowed", 1, 0, 0, [3]int64{}, [3]int{1, 0, 0}},
		{"first batch of the first partition that has any", 1, 1, 1, [3]int64{5, 0, 0}, [3]int{0, 1, 0}},
		{"limit of a partition", 1, 1 << 20, 2 * size, [3]int64{}, [3]int{2, 2, 2}},
		{"limit of a partition inside a batch", 1, 1 << 20, 3*size - 1, [3]int64{}, [3]int{2, 2, 2}},
		{"first batch above the limit of a partition", 1, 1 << 20, size - 1, [3]int64{}, [3]int{1, 0, 0}},
		{"limit of the request", 1, 7 * size, 1 << 20, [3]int64{}, [3]int{5, 2, 0}},
		{"limit of the request inside a batch", 1, 7*size + 1, 1 << 20, [3]int64{}, [3]int{5, 2, 0}},
		{"minimum above the limit of the request", 1 << 20, 5 * size, 1 << 20, [3]int64{}, [3]int{5, 0, 0}},
		{"minimum above the broker's limit", 1 << 20, 1 << 20, 1 << 20, [3]int64{}, [3]int{5, 5, 0}},
		{"minimum above the whole batches that fit", 3*size - 10, 3*size - 10, 1 << 20, [3]int64{}, [3]int{2, 0, 0}},
		{"minimum that parts of batches reach", 7 * size, 1 << 20, 5 * size / 2, [3]int64{}, [3]int{2, 2, 2}},
	} {
		req := fetchOf("t")
		req.MinBytes, req.MaxBytes = x.min, x.max
		for i, offset := range x.offsets {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, wire.DefaultFetchPartition(int32(i), offset, x.partition))
		}
		var got [3]int
		for _, p := range c.fetch(req).Topics[0].Partitions {
			got[p.Index] = len(batches(t, p.Records))
			if p.Error != wire.None || p.HighWatermark != 5 {
				t.Errorf("%s: %+v", x.what, p)
			}
		}
		if got != x.batches {
			t.Errorf("%s: %v batches, want %v", x.what, got, x.batches)
		}
	}
	if n := b.Stats().Net.FrameBytes; n > 1<<20 {
		t.Errorf("%d bytes of frames are held", n)
	}
}

// TestFetchErrors are answered at once, whatever the minimum.
func TestFetchErrors(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 2)
	if err := partitionOf(b, "t", 0).log.BeginEpoch(5); err != nil {
		t.Fatal(err)
	}
	c.append("t", 0, records(2, 10))
	ask := func(offset int64, epoch int32) *wire.FetchPartitionResponse {
		p := want(0, offset)
		p.CurrentLeaderEpoch = epoch
		req := fetchOf("t", p)
		return one(t, c.fetch(req))
	}
	for _, x := range []struct {
		offset int64
		epoch  int32
		code   wire.ErrorCode
	}{
		{0, -1, wire.None}, {0, 5, wire.None}, {0, 4, wire.FencedLeaderEpoch}, {0, 0, wire.FencedLeaderEpoch},
		{0, 6, wire.UnknownLeaderEpoch}, {3, 5, wire.OffsetOutOfRange}, {-1, 5, wire.OffsetOutOfRange},
		{1 << 62, -1, wire.OffsetOutOfRange}, {9, 4, wire.FencedLeaderEpoch},
	} {
		p := ask(x.offset, x.epoch)
		if p.Error != x.code {
			t.Errorf("offset %d, epoch %d: %v, want %v", x.offset, x.epoch, p.Error, x.code)
		}
		if x.code != wire.None && (p.HighWatermark != -1 || len(p.Records) != 0) {
			t.Errorf("offset %d, epoch %d: %+v", x.offset, x.epoch, p)
		}
	}
	if e := batches(t, ask(0, -1).Records)[0].LeaderEpoch(); e != 5 {
		t.Errorf("written in epoch %d, want 5", e)
	}
	if p := one(t, c.fetch(fetchOf("nowhere", want(0, 0)))); p.Error != wire.UnknownTopicOrPartition {
		t.Error(p.Error)
	}
	// One that does not exist is no reason to answer early, and is answered behind the others.
	req := fetchOf("t", want(7, 0), want(1, 0))
	reader := dial(t, b)
	reader.sendFetch(req)
	untilParked(t, b, 1)
	c.append("t", 1, records(1, 1))
	got := reader.fetchAnswer(fetchVersion).Topics[0].Partitions
	if len(got) != 2 || got[0].Index != 1 || len(got[0].Records) == 0 || got[1].Error != wire.UnknownTopicOrPartition {
		t.Errorf("%+v", got)
	}
}

// TestOrderBehindParkedFetch sends other requests behind a fetch that waits: they are done, and answered after it.
func TestOrderBehindParkedFetch(t *testing.T) {
	b := startBroker(t, t.TempDir())
	c := dial(t, b)
	c.create("t", 1)
	first := c.next
	c.frame(wire.KeyFetch, fetchVersion, fetchOf("t", want(0, 0)).Append(nil))
	c.frame(wire.KeyMetadata, 9, newMetadata().AppendTo(nil))
	c.frame(wire.KeyFetch, fetchVersion, fetchOf("t", want(0, 0)).Append(nil))
	id := kmsg.NewPtrInitProducerIDRequest() // by way of a worker
	id.Version, id.ProducerID, id.ProducerEpoch = 4, -1, -1
	c.frame(wire.KeyInitProducerId, 4, id.AppendTo(nil))
	c.flush()
	untilParked(t, b, 2)
	for range 2 { // what wakes the fetches comes behind them
		c.frame(wire.KeyProduce, 9, produceBody("t", 0, 1, records(1, 10)))
		c.flush()
	}
	var frame []byte
	for i := range int32(6) {
		head := make([]byte, 4)
		if _, err := io.ReadFull(c.c, head); err != nil {
			t.Fatal(err)
		}
		frame = make([]byte, binary.BigEndian.Uint32(head))
		if _, err := io.ReadFull(c.c, frame); err != nil {
			t.Fatal(err)
		}
		if got := int32(binary.BigEndian.Uint32(frame)); got != first+i {
			t.Fatalf("answer %d has correlation id %d, want %d", i, got, first+i)
		}
	}
	untilParked(t, b, 0)
}

// TestManyParkedFetches wakes a thousand at once, each answered with the one batch.
func TestManyParkedFetches(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.network.threads=2")
	writer := dial(t, b)
	writer.create("t", 1)
	const conns, each = 20, 50
	var readers []*client
	for range conns {
		r := dial(t, b)
		for range each {
			r.frame(wire.KeyFetch, fetchVersion, fetchOf("t", want(0, 0)).Append(nil))
		}
		r.flush()
		readers = append(readers, r)
	}
	untilParked(t, b, conns*each)
	writer.append("t", 0, records(1, 10))
	for i, r := range readers {
		for j := range each {
			if n := len(batches(t, one(t, r.fetchAnswer(fetchVersion)).Records)); n != 1 {
				t.Fatal("answer " + strconv.Itoa(j) + " of connection " + strconv.Itoa(i) + ": " + strconv.Itoa(n) + " batches")
			}
		}
	}
}
