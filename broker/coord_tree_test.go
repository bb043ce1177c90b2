package broker

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	zkclient "github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/wire"
)

// hand is somebody else in the coordinator's tree, below the node of a broker's directories.
type hand struct {
	*zkclient.Session
	t *testing.T
}

func handIn(t *testing.T, dirs string) *hand {
	t.Helper()
	_, root, _ := strings.Cut(coordinatorOf(dirs), "/")
	s, err := zkclient.Open(waitContext(t), zkclient.Config{Servers: strings.Split(shared.connect, ","), Chroot: "/" + root, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(t.Context()) })
	return &hand{s, t}
}

func (h *hand) create(path, data string) {
	h.t.Helper()
	if _, _, err := h.Create(waitContext(h.t), path, []byte(data), nil, zk.Persistent); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) set(path, data string) {
	h.t.Helper()
	if _, err := h.Set(waitContext(h.t), path, []byte(data), -1); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hand) get(path string) string {
	h.t.Helper()
	data, _, err := h.Get(waitContext(h.t), path)
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func (h *hand) has(path string) bool {
	h.t.Helper()
	_, found, err := h.Exists(waitContext(h.t), path)
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

func (h *hand) notify(entity string) {
	h.t.Helper()
	if _, _, err := h.Create(waitContext(h.t), "/config/changes/config_change_", []byte(`{"version":2,"entity_path":"`+entity+`"}`), nil,
		zk.PersistentSequential); err != nil {
		h.t.Fatal(err)
	}
}

// TestNodesOfTopics: what a request makes has Kafka's nodes, and nothing is left of them afterwards.
func TestNodesOfTopics(t *testing.T) {
	dir := t.TempDir()
	c := dial(t, startBroker(t, dir))
	h := handIn(t, dir)
	c.createWith("t", 2, map[string]string{"retention.ms": "77"})
	for path, want := range map[string]string{
		"/brokers/topics/t/partitions/1/state": `{"controller_epoch":1,"leader":1,"version":1,"leader_epoch":0,"isr":[1]}`,
		"/config/topics/t":                     `{"version":1,"config":{"retention.ms":"77"}}`,
		"/controller_epoch":                    "1",
	} {
		if got := h.get(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for path, part := range map[string]string{"/brokers/topics/t": `"partitions":{"0":[1],"1":[1]}`, "/brokers/ids/1": `"endpoints":["PLAINTEXT://127.0.0.1:`,
		"/controller": `"brokerid":1`} {
		if got := h.get(path); !strings.Contains(got, part) {
			t.Errorf("%s: %s", path, got)
		}
	}
	if code := c.grow("t", 3, false); code != wire.None || !h.has("/brokers/topics/t/partitions/2/state") {
		t.Errorf("after growth: %v", code)
	}
	if code := c.delete("t"); code != wire.None {
		t.Error(code)
	}
	for _, path := range []string{"/brokers/topics/t", "/config/topics/t", "/admin/delete_topics/t"} {
		if h.has(path) {
			t.Errorf("%s is left", path)
		}
	}
}

// TestTopicsOfOthers: topics that somebody else makes, grows, marks for deletion or takes away in the tree, as tools of
// Kafka did, are served and removed like those of requests.
func TestTopicsOfOthers(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c, h := dial(t, b), handIn(t, dir)
	h.create("/config/topics/t", `{"version":1,"config":{"max.message.bytes":"100","no.such":"1"}}`)
	h.create("/brokers/topics/t", `{"version":1,"partitions":{"0":[1],"1":[1]}}`)
	until(t, "the topic", func() bool { return b.catalog.Image().TopicNamed("t") != nil && partitionOf(b, "t", 1) != nil })
	if r := c.produceOne("t", 1, acksLeader, records(1, 500)); r.Error != wire.MessageTooLarge {
		t.Errorf("its settings do not count: %v", r.Error)
	}
	serves(t, c, "t")
	topic := b.catalog.Image().TopicNamed("t")
	if topic.ID == [16]byte{} || !strings.Contains(h.get("/brokers/topics/t"), `"topic_id"`) {
		t.Errorf("it has no id: %s", h.get("/brokers/topics/t"))
	}
	h.set("/brokers/topics/t", strings.Replace(h.get("/brokers/topics/t"), `"1":[1]`, `"1":[1],"2":[1]`, 1))
	until(t, "the new partition", func() bool { return partitionOf(b, "t", 2) != nil })

	h.create("/brokers/topics/elsewhere", `{"version":1,"partitions":{"0":[7],"1":[1,7]}}`)
	until(t, "the topic of another broker", func() bool { return b.catalog.Image().TopicNamed("elsewhere") != nil })
	if p := c.describe("elsewhere", false).Partitions; p[0].ErrorCode != int16(wire.LeaderNotAvailable) || len(p[0].OfflineReplicas) != 1 ||
		p[1].Leader != 1 || len(p[1].Replicas) != 2 {
		t.Errorf("%+v", p)
	}

	h.create("/admin/delete_topics/t", "")
	h.create("/admin/delete_topics/nowhere", "")
	until(t, "the deletion", func() bool { return !h.has("/admin/delete_topics/t") && !h.has("/admin/delete_topics/nowhere") })
	if names := inDir(t, dir, "t"); len(names) != 0 || b.catalog.Image().TopicNamed("t") != nil {
		t.Errorf("left: %v", names)
	}

	c.create("taken", 1)
	serves(t, c, "taken")
	for _, path := range []string{"/partitions/0/state", "/partitions/0", "/partitions", ""} {
		if err := h.Delete(waitContext(t), "/brokers/topics/taken"+path, -1); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "its end", func() bool { return b.catalog.Image().TopicNamed("taken") == nil })
	if names := inDir(t, dir, "taken"); len(names) != 1 {
		t.Error("the log of a topic that nobody deleted is gone")
	}
	c.create("taken", 1) // the log is put aside
	if r := c.listOffset("taken", 0, latestOffset); r.ErrorCode != 0 || r.Offset != 0 {
		t.Errorf("the new topic has the old one's records: %+v", r)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "taken-0.*-stray")); len(aside) != 1 {
		t.Errorf("put aside: %v", aside)
	}
}

// TestSettingsOfOthers: settings that somebody else writes count as soon as they are told of.
func TestSettingsOfOthers(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	c, h := dial(t, b), handIn(t, dir)
	c.create("t", 1)
	h.set("/config/topics/t", `{"version":1,"config":{"retention.ms":"5000"}}`)
	h.notify("topics/t")
	until(t, "the topic's setting", func() bool { return b.catalog.Image().TopicNamed("t").Config.RetentionMillis == 5000 })
	h.create("/config/brokers/<default>", `{"version":1,"config":{"message.max.bytes":"300"}}`)
	h.notify("brokers/<default>")
	until(t, "the brokers' setting", func() bool { return b.catalog.Image().TopicNamed("t").Config.MaxMessageBytes == 300 })
	c.wantSetting(ownBroker, "message.max.bytes", "300", kmsg.ConfigSourceDynamicDefaultBrokerConfig)
	c.alter(ownBroker, "message.max.bytes=400")
	if got := h.get("/config/brokers/1"); got != `{"version":1,"config":{"message.max.bytes":"400"}}` {
		t.Error(got)
	}
	h.set("/config/brokers/1", `{"version":1,"config":{"message.max.bytes":"many"}}`)
	h.notify("brokers/1")
	until(t, "the setting that means nothing", func() bool { return b.catalog.Image().TopicNamed("t").Config.MaxMessageBytes == 300 })
}

// TestCreationTakenBack: a topic whose logs cannot all be made is not there, neither in the tree nor on disk, and can be
// made when what was in the way is gone. Those beside it in the request are made.
func TestCreationTakenBack(t *testing.T) {
	dir := t.TempDir()
	c := dial(t, startBroker(t, dir))
	h := handIn(t, dir)
	inTheWay := filepath.Join(dir, "t-1")
	if err := os.WriteFile(inTheWay, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 5
	for _, name := range []string{"before", "t", "behind"} {
		r := kmsg.NewCreateTopicsRequestTopic()
		r.Topic, r.NumPartitions, r.ReplicationFactor = name, 3, 1
		req.Topics = append(req.Topics, r)
	}
	for i, r := range c.ask(req).(*kmsg.CreateTopicsResponse).Topics {
		if want := map[bool]wire.ErrorCode{true: wire.KafkaStorageError}[i == 1]; wire.ErrorCode(r.ErrorCode) != want {
			t.Errorf("%s: %v, want %v", r.Topic, wire.ErrorCode(r.ErrorCode), want)
		}
	}
	serves(t, c, "before")
	serves(t, c, "behind")
	for _, path := range []string{"/brokers/topics/t", "/config/topics/t", "/admin/delete_topics/t"} {
		if h.has(path) {
			t.Errorf("%s is left", path)
		}
	}
	if err := os.Remove(inTheWay); err != nil {
		t.Fatal(err)
	}
	if list := inDir(t, dir, "t"); len(list) != 0 {
		t.Errorf("logs are left: %v", list)
	}
	c.create("t", 3)
	serves(t, c, "t")
}

// TestMove: what a broker has kept in its directory is brought into a coordinator that is empty, once, and cannot be
// served without it afterwards.
func TestMove(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, withoutCoordinator)
	c := dial(t, b)
	id := c.createWith("t", 3, map[string]string{"max.message.bytes": "1000"}).TopicID
	c.create("plain", 1)
	at := c.append("t", 1, records(1, 10))
	c.alter(ownBroker, "log.retention.ms=1234")
	producer := c.producerID()
	stop(t, b)
	for i := range 2 {
		b = startBroker(t, dir)
		c = dial(t, b)
		if got := c.describe("t", false); got.TopicID != id || len(got.Partitions) != 3 || got.Partitions[2].Leader != 1 {
			t.Errorf("start %d: %+v", i, got)
		}
		if r := c.produceOne("t", 0, acksLeader, records(1, 2000)); r.Error != wire.MessageTooLarge {
			t.Errorf("start %d: the topic's settings are lost: %v", i, r.Error)
		}
		c.wantSetting(topicResource("plain"), "retention.ms", "1234", kmsg.ConfigSourceDynamicBrokerConfig)
		if next := c.append("t", 1, records(1, 10)); next != at+1 {
			t.Errorf("start %d: the log goes on at %d, want %d", i, next, at+1)
		}
		at++
		if next := c.producerID(); next <= producer {
			t.Errorf("start %d: producer id %d after %d", i, next, producer)
		} else {
			producer = next
		}
		if len(b.Problems()) != 0 {
			t.Error(b.Problems())
		}
		stop(t, b)
	}
	if _, err := tryBroker(dir, withoutCoordinator); err == nil || !strings.Contains(err.Error(), "are in a coordinator") {
		t.Errorf("without the coordinator: %v", err)
	}
}

// TestMoveCutShort: a crash at any time while topics are brought into the coordinator leaves nothing half done.
func TestMoveCutShort(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir, withoutCoordinator)
	c := dial(t, b)
	id := c.createWith("one", 2, map[string]string{"retention.ms": "77"}).TopicID
	two := c.createWith("two", 1, nil).TopicID
	stop(t, b)
	for i, done := range []func(h *hand){
		func(*hand) {},
		func(h *hand) {
			h.create("/config/topics/one", `{"version":1,"config":{"retention.ms":"77"}}`)
			h.create("/brokers/topics/one", fmt.Sprintf(`{"version":3,"partitions":{"0":[1],"1":[1]},"adding_replicas":{},"removing_replicas":{},"topic_id":"%s"}`, registry.TopicID(id)))
		},
	} {
		after := crashed(t, dir)
		first := startBroker(t, t.TempDir()) // makes the nodes that are always there
		stop(t, first)
		text := `{"version":3,"generation":9,"topics":{"one":{"retention.ms":"77"}},"next_producer_id":0,"coordinator":"moving"}`
		if err := os.WriteFile(filepath.Join(after, catalogStateFile), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		coordinatorOf(after)
		h := handIn(t, after)
		if err := h.MakeChroot(waitContext(t)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/brokers", "/brokers/topics", "/config", "/config/topics"} {
			h.create(path, "")
		}
		done(h)
		b := startBroker(t, after)
		c := dial(t, b)
		if a, b := c.describe("one", false), c.describe("two", false); a.TopicID != id || b.TopicID != two || len(a.Partitions) != 2 {
			t.Errorf("%d: %+v %+v", i, a, b)
		}
		c.wantSetting(topicResource("one"), "retention.ms", "77", kmsg.ConfigSourceDynamicTopicConfig)
		stop(t, b)
	}
}

// TestMoveConflict: a topic of the coordinator is never served with another topic's records.
func TestMoveConflict(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	b := startBroker(t, dir, withoutCoordinator)
	dial(t, b).create("t", 1)
	stop(t, b)
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	meta, err := os.ReadFile(filepath.Join(dir, "meta.properties"))
	if err == nil {
		err = os.WriteFile(filepath.Join(other, "meta.properties"), meta, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	b = startBroker(t, other)
	dial(t, b).create("t", 1)
	stop(t, b)
	if _, err := tryBroker(dir, "zookeeper.connect="+coordinatorOf(other)); err == nil || !strings.Contains(err.Error(), "is not the coordinator's topic") {
		t.Errorf("%v", err)
	}
}
