package broker

import (
	"testing"
	"time"
)

// TestRetentionReachesTheLogs: a topic's own settings and the broker's defaults, at the broker's interval.
func TestRetentionReachesTheLogs(t *testing.T) {
	b := startBroker(t, t.TempDir(), "log.retention.check.interval.ms=1", "log.retention.bytes=0")
	c := dial(t, b)
	c.createWith("kept", 1, map[string]string{"retention.bytes": "-1"})
	c.createWith("compacted", 1, map[string]string{"cleanup.policy": "compact"})
	c.createWith("default", 1, nil)
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
