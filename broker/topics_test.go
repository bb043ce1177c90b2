package broker

import (
	"bytes"
	"errors"
	"fmt"
	"github.com/sluice-mq/sluice/logstore"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// crashed copies the directory of a running broker: what a crash at this moment leaves.
func crashed(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	cloneRoot(t, dir, to)
	return to
}

// stop does not wait for clients to hang up.
func stop(t *testing.T, b *Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRestartKeeps(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c := dial(t, b)
	id := c.createWith("t", 3, map[string]string{"max.message.bytes": "1000"}).TopicID
	c.create("plain", 1)
	for range 5 {
		c.append("t", 1, records(2, 100))
	}
	cluster := b.ClusterID()
	highest := c.producerID()
	for range 3 {
		highest = max(highest, c.producerID())
	}
	after := crashed(t, dir)
	stop(t, b)
	for _, dir := range []string{dir, after} {
		b := startBroker(t, dir)
		c := dial(t, b)
		if b.ClusterID() != cluster {
			t.Errorf("cluster %s, was %s", b.ClusterID(), cluster)
		}
		if got := c.describe("t", false); got.TopicID != id || len(got.Partitions) != 3 {
			t.Errorf("%+v, had id %x", got, id)
		}
		if p := c.produceOne("t", 1, acksLeader, records(1, 2000)); p.Error != wire.MessageTooLarge {
			t.Errorf("the topic's settings are lost: %v", p.Error)
		}
		if got := batches(t, one(t, c.fetch(fetchOf("t", want(1, 0)))).Records); len(got) != 5 || got[4].LastOffset() != 9 {
			t.Errorf("%d batches", len(got))
		}
		if at := c.append("t", 1, records(1, 1)); at != 10 {
			t.Errorf("the log goes on at %d", at)
		}
		if n := c.producerID(); n <= highest {
			t.Errorf("producer id %d was given out before: %d was the last", n, highest)
		}
	}
}

func TestProducerIDsNeverRepeat(t *testing.T) {
	dir := t.TempDir()
	seen := map[int64]bool{}
	for range 4 {
		b := startBroker(t, dir)
		clients := []*client{dial(t, b), dial(t, b)}
		for i := range producerIDBlock/2 + 10 {
			if id := clients[i%2].producerID(); seen[id] || id < 0 {
				t.Fatalf("producer id %d given out twice", id)
			} else {
				seen[id] = true
			}
		}
		dir = crashed(t, dir)
		stop(t, b)
	}
}

func TestAutoCreation(t *testing.T) {
	b := startBroker(t, t.TempDir(), "num.partitions=4")
	c := dial(t, b)
	if got := c.describe("t", false); got.ErrorCode != int16(wire.UnknownTopicOrPartition) || b.catalog.Image().TopicNamed("t") != nil {
		t.Errorf("not asked for: %+v", got)
	}
	if got := c.describe("t", true); got.ErrorCode != int16(wire.UnknownTopicOrPartition) {
		t.Errorf("before it is made: %+v", got)
	}
	until(t, "the topic", func() bool { return len(c.describe("t", true).Partitions) == 4 })
	if got := c.describe("not/good", true); got.ErrorCode != int16(wire.InvalidTopicException) {
		t.Errorf("%+v", got)
	}
	b.waiting.Add(maxCreating)
	c.describe("many", true)
	if _, busy := b.creating.Load("many"); busy {
		t.Error("one more waits than may")
	}
	b.waiting.Add(-maxCreating)
	until(t, "the next topic", func() bool { return c.describe("many", true).ErrorCode == 0 })
	until(t, "the end of the work", func() bool { return b.waiting.Load() == 0 })
}

// TestDeletedTopicMadeAnew also reads on in the old log, by an answer that was begun before.
func TestDeletedTopicMadeAnew(t *testing.T) {
	b := startBroker(t, t.TempDir(), "log.tail.bytes=0", "socket.send.buffer.bytes=32768")
	c, slow := dial(t, b), dial(t, b)
	first := c.createWith("t", 1, nil).TopicID
	for range 8 {
		c.append("t", 0, records(1, 500000))
	}
	p := want(0, 0)
	p.MaxBytes = 1 << 30
	req := fetchOf("t", p)
	req.MaxBytes = 1 << 30
	slow.sendFetch(req)
	until(t, "the answer's first bytes", func() bool { return b.Stats().Net.BytesOutMemory+b.Stats().Net.BytesOutFile > 1<<16 })
	c.delete("t")
	second := c.createWith("t", 1, nil).TopicID
	if first == second {
		t.Error("the new topic has the id of the old one")
	}
	if got := one(t, c.fetch(fetchOf("t", want(0, 1)))); got.Error != wire.OffsetOutOfRange {
		t.Errorf("the new topic is not empty: %+v", got)
	}
	if at := c.append("t", 0, records(1, 10)); at != 0 {
		t.Errorf("the new topic begins at %d", at)
	}
	if got := batches(t, one(t, slow.fetchAnswer(fetchVersion)).Records); len(got) != 8 {
		t.Errorf("%d batches of the old topic", len(got))
	}
	if code := c.delete("t"); code != wire.None {
		t.Error(code)
	}
	if code := c.delete("t"); code != wire.UnknownTopicOrPartition {
		t.Error(code)
	}
}

// TestSettingsOfDeadTopic: a crash after settings were written and before the topic was there.
func TestSettingsOfDeadTopic(t *testing.T) {
	dir := t.TempDir()
	state := `{"version":1,"topics":{"t":{"max.message.bytes":"100"}},"next_producer_id":5000}`
	if err := os.WriteFile(filepath.Join(dir, catalogStateFile), []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		b := startBroker(t, dir)
		c := dial(t, b)
		if i == 0 {
			c.create("t", 1)
		}
		if p := c.produceOne("t", 0, acksLeader, records(1, 500)); p.Error != wire.None {
			t.Errorf("start %d: the topic has settings of an older one: %v", i, p.Error)
		}
		if id := c.producerID(); id < 5000 {
			t.Errorf("producer id %d", id)
		}
		stop(t, b)
	}
}

// TestUnfinishedTopicGoes: a crash between the partitions of a topic that is being made or deleted.
func TestUnfinishedTopicGoes(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, withoutCoordinator)
	c := dial(t, b)
	c.create("stays", 2)
	c.create("half", 2)
	cat := b.catalog.(*dirCatalog)
	cat.mu.Lock()
	half := cat.Image().TopicNamed("half")
	err := cat.state.update(func(s *catalogState) { s.begin(unfinishedTopic("half", half.ID)) })
	cat.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	after := crashed(t, dir)
	if err := os.RemoveAll(filepath.Join(after, "half-0")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b := startBroker(t, after, withoutCoordinator)
		c := dial(t, b)
		if got := c.describe("half", false); got.ErrorCode != int16(wire.UnknownTopicOrPartition) {
			t.Errorf("half a topic came back: %+v", got)
		}
		if got := c.describe("stays", false); len(got.Partitions) != 2 {
			t.Errorf("%+v", got)
		}
		c.create("half", 3)
		c.delete("half")
		stop(t, b)
		if n := len(b.catalog.(*dirCatalog).state.Unfinished); n != 0 {
			t.Errorf("%d topics are unfinished", n)
		}
	}
}

func TestMissingPartition(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, withoutCoordinator)
	c := dial(t, b)
	c.create("t", 3)
	stop(t, b)
	if err := os.RemoveAll(filepath.Join(dir, "t-1")); err != nil {
		t.Fatal(err)
	}
	b = startBroker(t, dir, withoutCoordinator)
	c = dial(t, b)
	got := c.describe("t", false)
	if len(got.Partitions) != 3 || got.Partitions[1].ErrorCode != int16(wire.LeaderNotAvailable) || got.Partitions[2].ErrorCode != 0 {
		t.Errorf("%+v", got)
	}
	if p := c.produceOne("t", 1, acksLeader, records(1, 1)); p.Error != wire.KafkaStorageError {
		t.Error(p.Error)
	}
	c.append("t", 2, records(1, 1))
	resp := c.fetch(fetchOf("t", want(0, 0), want(1, 0), want(2, 0)))
	if ps := resp.Topics[0].Partitions; len(ps) != 3 || ps[1].Index != 1 || ps[1].Error != wire.KafkaStorageError {
		t.Errorf("%+v", ps)
	}
	if s := b.Stats(); s.Partitions != 2 {
		t.Errorf("%d partitions are counted", s.Partitions)
	}
	if code := c.delete("t"); code != wire.None {
		t.Error(code)
	}
	c.create("t", 3)
}

// TestFailedWrites has the state file fail: nothing changes, and all goes on when it is writable again.
func TestFailedWrites(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, withoutCoordinator)
	c := dial(t, b)
	c.create("there", 2)
	cat := b.catalog.(*dirCatalog)
	inTheWay := filepath.Join(dir, catalogStateFile+".tmp")
	if err := os.MkdirAll(filepath.Join(inTheWay, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		partitions int32
		settings   map[string]string
	}{{1, map[string]string{"max.message.bytes": "100"}}, {3, nil}} {
		if r := c.createWith("t", x.partitions, x.settings); wire.ErrorCode(r.ErrorCode) != wire.KafkaStorageError {
			t.Errorf("%+v: %v", x, wire.ErrorCode(r.ErrorCode))
		}
	}
	if code := c.delete("there"); code != wire.KafkaStorageError || c.describe("there", false).ErrorCode != 0 {
		t.Errorf("deleted without a trace: %v", code)
	}
	if err := os.RemoveAll(inTheWay); err != nil {
		t.Fatal(err)
	}
	// A file where a partition is to be.
	if err := os.WriteFile(filepath.Join(dir, "t-1"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := c.createWith("t", 3, map[string]string{"max.message.bytes": "100"}); wire.ErrorCode(r.ErrorCode) != wire.KafkaStorageError {
		t.Error(wire.ErrorCode(r.ErrorCode))
	}
	if _, err := os.Stat(filepath.Join(dir, "t-0")); err == nil || c.describe("t", false).ErrorCode == 0 {
		t.Error("a part of the topic is left")
	}
	if err := os.Remove(filepath.Join(dir, "t-1")); err != nil {
		t.Fatal(err)
	}
	cat.mu.Lock()
	if len(cat.state.Unfinished) != 0 || len(cat.state.Topics) != 0 {
		t.Errorf("left in the state: %+v", cat.state)
	}
	cat.mu.Unlock()
	c.create("t", 3)
	if p := c.produceOne("t", 0, acksLeader, records(1, 500)); p.Error != wire.None {
		t.Errorf("settings of the topic that failed: %v", p.Error)
	}
	if code := c.delete("there"); code != wire.None {
		t.Error(code)
	}
}

// TestLogDirsInAnotherOrder: the state file is found where it is.
func TestLogDirsInAnotherOrder(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	b := startBroker(t, one, withoutCoordinator)
	c := dial(t, b)
	c.createWith("t", 2, map[string]string{"max.message.bytes": "100"})
	before := c.producerID()
	stop(t, b)
	b = startBroker(t, two+","+one, withoutCoordinator)
	c = dial(t, b)
	if p := c.produceOne("t", 0, acksLeader, records(1, 500)); p.Error != wire.MessageTooLarge {
		t.Errorf("settings are lost: %v", p.Error)
	}
	if id := c.producerID(); id <= before {
		t.Errorf("producer id %d after %d", id, before)
	}
	stop(t, b)

	twice := func(what, from, to string) {
		if err := os.CopyFS(filepath.Join(two, to), os.DirFS(filepath.Join(one, from))); err != nil {
			t.Fatal(err)
		}
		if _, err := tryBroker(one+","+two, withoutCoordinator); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s twice: %v", what, err)
		}
		if err := os.RemoveAll(filepath.Join(two, to)); err != nil {
			t.Fatal(err)
		}
	}
	twice("t-0", "t-0", "t-0")
	text, err := os.ReadFile(filepath.Join(one, catalogStateFile))
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(text, []byte(`"max.message.bytes"`), []byte(`"retention.bytes"`), 1)
	for _, x := range []struct {
		one, two []byte
		starts   bool
	}{{text, other, false}, {text, text, true}, {text[:9], text, true}, {text[:9], text[:9], false}} {
		if err := errors.Join(os.WriteFile(filepath.Join(one, catalogStateFile), x.one, 0o644),
			os.WriteFile(filepath.Join(two, catalogStateFile), x.two, 0o644)); err != nil {
			t.Fatal(err)
		}
		b, err := tryBroker(one+","+two, withoutCoordinator)
		if x.starts != (err == nil) || err != nil && !strings.Contains(err.Error(), catalogStateFile) {
			t.Errorf("%.20q and %.20q: %v", x.one, x.two, err)
		}
		if err == nil {
			stop(t, b)
		}
	}
}

// TestStateOnDisk: a change that cannot be written does not happen.
func TestStateOnDisk(t *testing.T) {
	path := t.TempDir()
	dir, err := logstore.OpenDir(path, logstore.Identity{NodeID: 1}, logstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s, _, err := loadCatalogState([]*logstore.Dir{dir}, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.update(func(s *catalogState) {
		s.set("t", map[string]string{"retention.ms": "5"})
		s.NextProducerID = 7
	}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(path, catalogStateFile))
	if err != nil || !bytes.Contains(text, []byte(`"retention.ms": "5"`)) || bytes.Contains(text, []byte("unfinished")) {
		t.Errorf("%s %v", text, err)
	}
	if _, err := config.Topic(s.Topics["t"], nil); err != nil {
		t.Error(err)
	}
	u := unfinishedTopic("t", [16]byte{1})
	if err := os.Mkdir(filepath.Join(path, catalogStateFile+".tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.update(func(s *catalogState) { s.begin(u); s.set("t", nil) }); err == nil {
		t.Error("written where it cannot be")
	}
	if len(s.Unfinished) != 0 || len(s.Topics) != 1 || fmt.Sprint(s.Topics["t"]) != "map[retention.ms:5]" {
		t.Errorf("a change that failed is there: %+v", s)
	}
}
