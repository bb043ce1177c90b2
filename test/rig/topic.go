package rig

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// CreateTopic creates a topic of one replica and returns when all partitions answer. config has "key", "value" in turn.
func CreateTopic(ctx context.Context, b Broker, topic string, partitions int, config ...string) (took time.Duration, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RequestTimeoutOverhead(5*time.Minute))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	adm.SetTimeoutMillis(300_000)                      // slow is a figure too
	if _, err := adm.BrokerMetadata(ctx); err != nil { // connections and versions are not part of the time
		return 0, err
	}
	configs := map[string]*string{}
	for i := 0; i < len(config); i += 2 {
		configs[config[i]] = &config[i+1]
	}
	begin := time.Now()
	if _, err := adm.CreateTopic(ctx, int32(partitions), 1, configs, topic); err != nil {
		return 0, err
	}
	took = time.Since(begin)
	// A leader may be named a moment before it takes requests.
	for {
		if l, err := adm.ListEndOffsets(ctx, topic); err == nil && l.Error() == nil && len(l[topic]) == partitions {
			return took, nil
		}
		if ctx.Err() != nil {
			return took, ctx.Err()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// DeleteTopics deletes topics.
func DeleteTopics(ctx context.Context, b Broker, topics ...string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()))
	if err != nil {
		return err
	}
	defer cl.Close()
	r, err := kadm.NewClient(cl).DeleteTopics(ctx, topics...)
	if err != nil {
		return err
	}
	return r.Error()
}
