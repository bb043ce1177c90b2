package broker

import (
	"math"
	"time"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
)

// With flush.policy=interval a log is flushed so often, unless flush.ms says otherwise: what a power cut may cost, and
// how much a recovery reads at the most.
const (
	flushBytes = 64 << 20
	flushEvery = 10 * time.Second
)

// logFlush is what a topic's flush settings mean for its logs.
func logFlush(c *config.TopicConfig) (f logstore.Flush) {
	if c.FlushMessages < math.MaxInt64 {
		f.Records, f.Wait = c.FlushMessages, true
	}
	if c.FlushInterval != config.Forever {
		f.Every = max(c.FlushInterval, time.Millisecond) // 0: at every look
	}
	switch c.FlushPolicy {
	case config.FlushInterval:
		f.Wait, f.Bytes = false, flushBytes
		if f.Every == 0 {
			f.Every = flushEvery
		}
	case config.FlushFsync:
		f.Records, f.Wait = 1, true
	}
	return f
}
