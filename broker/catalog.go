package broker

import "github.com/sluice-mq/sluice/config"

// Catalog knows which topics exist and changes that. The hot path asks only for the image; the other methods
// block (they write to disk, or to the coordinator) and are called from workers.
//
// There are two kinds: topics are what lies in log.dirs (dirCatalog), and topics are what the coordinator says
// (coordCatalog).
type Catalog interface {
	// Image returns the current state; never nil.
	Image() *Image
	// Create makes the topic, or only checks that it could when validateOnly is set, and publishes a new image
	// that has it. Errors are *Refusal.
	Create(spec TopicSpec, validateOnly bool) (*Topic, error)
	// Grow gives the topic n partitions in all, or only checks that it could. assignment has the replicas of each new
	// partition; nil leaves them to the catalogue. Errors are *Refusal.
	Grow(name string, n int32, assignment [][]int32, validateOnly bool) error
	// CreateAll is Create for many topics at a time, which costs the disk little more than one. There is an answer for
	// each of specs, whose names differ.
	CreateAll(specs []TopicSpec, validateOnly bool) []Creation
	// Delete takes the topic out of the image, then removes its logs. Errors are *Refusal.
	Delete(t *Topic) error
	// DeleteAll is Delete for many topics at a time, with an error for each.
	DeleteAll(ts []*Topic) []error
	// AlterTopic gives the topic other settings; AlterBroker this broker, or all brokers where ofAll is set. They count
	// when the call returns, in the image and in the logs, and are on disk; with validateOnly they are only checked.
	// Errors are *Refusal.
	AlterTopic(name string, change Change, validateOnly bool) error
	AlterBroker(ofAll bool, change Change, validateOnly bool) error
	// ProducerIDs reserves a block of producer ids that was never given out before, durably.
	ProducerIDs() (first, count int64, err error)
	// onChange has f called now and after each change of the broker's own settings, one call at a time. f must not block.
	onChange(f func(*config.Broker))
	// Close has changes that are under way end early, undone sooner or later.
	Close()
}

// Creation is what became of a topic to create: it, or why it could not be.
type Creation struct {
	Topic *Topic
	Err   error
}

// Change makes the settings of something anew of those that it has now, which must not be modified. Its error is
// *Refusal.
type Change func(now map[string]string) (map[string]string, error)

// TopicSpec is a topic to create.
type TopicSpec struct {
	Name        string
	Partitions  int32 // -1: num.partitions
	Replication int16 // -1: default.replication.factor
	Assignment  map[int32][]int32
	Overrides   map[string]string
}
