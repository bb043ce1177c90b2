package loadgen

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// setupTimeout bounds every conversation with the cluster besides the load itself.
const setupTimeout = 20 * time.Second

// retryPause is between two attempts at a topic whose leaders are not ready.
const retryPause = 50 * time.Millisecond

// topic is what the run writes to.
type topic struct {
	name       string
	partitions int
	created    bool

	client *kgo.Client
	admin  *kadm.Client
}

// openTopic finds or creates the topic and waits until every partition has a leader
// that answers.
func openTopic(ctx context.Context, spec *Spec) (*topic, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(spec.Bootstrap...), kgo.ClientID("sluice-bench-admin"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	t := &topic{name: spec.Topic, client: cl, admin: kadm.NewClient(cl)}
	if t.name == "" {
		t.name = fmt.Sprintf("sluice-bench-%012x", rand.Uint64()>>16)
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if err := t.ensure(ctx, spec); err != nil {
		t.client.Close()
		return nil, err
	}
	if _, err := t.ends(ctx); err != nil {
		err = errors.Join(fmt.Errorf("loadgen: topic %s does not become ready: %w", t.name, err), t.close(spec))
		return nil, err
	}
	return t, nil
}

func (t *topic) ensure(ctx context.Context, spec *Spec) error {
	if spec.Topic != "" {
		found, err := t.find(ctx, spec)
		if found || err != nil {
			return err
		}
	}
	partitions, replication := max(1, spec.Partitions), -1
	if spec.Replication > 0 {
		replication = spec.Replication
	}
	resp, err := t.admin.CreateTopic(ctx, int32(partitions), int16(replication), nil, t.name)
	if err != nil && resp.ErrMessage != "" {
		err = fmt.Errorf("%w: %s", err, resp.ErrMessage)
	}
	if err != nil {
		return fmt.Errorf("loadgen: cannot create topic %s at %v: %w", t.name, spec.Bootstrap, err)
	}
	t.partitions, t.created = partitions, true
	return nil
}

// find looks for an existing topic and takes over its number of partitions.
func (t *topic) find(ctx context.Context, spec *Spec) (bool, error) {
	details, err := t.admin.ListTopics(ctx, t.name)
	if err != nil {
		return false, fmt.Errorf("loadgen: cannot ask %v for topic %s: %w", spec.Bootstrap, t.name, err)
	}
	d := details[t.name]
	if errors.Is(d.Err, kerr.UnknownTopicOrPartition) || len(d.Partitions) == 0 && d.Err == nil {
		return false, nil
	}
	if d.Err != nil {
		return false, fmt.Errorf("loadgen: topic %s: %w", t.name, d.Err)
	}
	t.partitions = len(d.Partitions)
	if spec.Partitions != 0 && spec.Partitions != t.partitions {
		return false, fmt.Errorf("%w: topic %s exists with %d partitions, not %d", ErrSpec, t.name, t.partitions, spec.Partitions)
	}
	if t.partitions > maxCells/spec.Producers {
		return false, fmt.Errorf("%w: topic %s has %d partitions, at most %d can be verified with %d producers", ErrSpec, t.name,
			t.partitions, maxCells/spec.Producers, spec.Producers)
	}
	return true, nil
}

// ends returns the end offset of every partition; it tries again until ctx ends,
// because a broker may name a leader before that one takes requests.
func (t *topic) ends(ctx context.Context) ([]int64, error) {
	for {
		out, err := t.endsOnce(ctx)
		if err == nil {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(retryPause):
		}
	}
}

func (t *topic) endsOnce(ctx context.Context) ([]int64, error) {
	listed, err := t.admin.ListEndOffsets(ctx, t.name)
	if err != nil {
		return nil, err
	}
	out := make([]int64, t.partitions)
	for p := range out {
		o, ok := listed.Lookup(t.name, int32(p))
		if !ok {
			return nil, fmt.Errorf("partition %d: %w", p, kerr.UnknownTopicOrPartition)
		}
		if o.Err != nil {
			return nil, fmt.Errorf("partition %d: %w", p, o.Err)
		}
		out[p] = o.Offset
	}
	return out, nil
}

// close deletes the topic if the run made it, also when the run was cancelled.
func (t *topic) close(spec *Spec) error {
	defer t.client.Close()
	if !t.created || spec.KeepTopic {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	if _, err := t.admin.DeleteTopic(ctx, t.name); err != nil {
		return fmt.Errorf("loadgen: topic %s could not be deleted: %w", t.name, err)
	}
	return nil
}
