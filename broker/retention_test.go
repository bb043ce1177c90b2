package broker

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-mq/sluice/wire"
)

// createWith creates a topic of one partition with settings, given as key, value, key, value.
func (c *client) createWith(topic string, settings ...string) {
	c.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 5
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, 1, 1
	for i := 0; i < len(settings); i += 2 {
		rt.Configs = append(rt.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: settings[i], Value: &settings[i+1]})
	}
	req.Topics = append(req.Topics, rt)
	if got := c.ask(req).(*kmsg.CreateTopicsResponse).Topics[0]; got.ErrorCode != 0 {
		c.t.Fatalf("create %s: %v %v", topic, wire.ErrorCode(got.ErrorCode), got.ErrorMessage)
	}
}

// TestRetentionReachesTheLogs: a topic's own settings and the broker's defaults, at the broker's interval.
func TestRetentionReachesTheLogs(t *testing.T) {
	b := startBroker(t, t.TempDir(), "log.retention.check.interval.ms=1", "log.retention.bytes=0")
	c := dial(t, b)
	c.createWith("kept", "retention.bytes", "-1")
	c.createWith("compacted", "cleanup.policy", "compact")
	c.createWith("default")
	for _, topic := range []string{"kept", "default"} {
		c.produce(topic, records(10, 10))
	}
	p := b.catalog.Image().TopicNamed("default").Partitions[0]
	for end := time.Now().Add(30 * time.Second); p.log.StartOffset() < 10; {
		if time.Now().After(end) {
			t.Fatal("nothing was deleted")
		}
		<-time.After(time.Millisecond)
	}
	if n := b.catalog.Image().TopicNamed("kept").Partitions[0].log.StartOffset(); n != 0 {
		t.Errorf("start of a log that is to be kept: %d", n)
	}
	if low := c.produce("default", records(1, 1)); low != 10 {
		t.Errorf("next offset %d", low)
	}
}
