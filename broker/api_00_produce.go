package broker

import (
	"errors"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire"
	"github.com/sluice-mq/sluice/wire/batch"
)

// Produce, versions 3 to 11: 7 zstd, 8 errors of single records, 9 flexible, 10 tags for a new leader. Versions 0
// to 2 are advertised and refused, as Kafka does (KAFKA-18659).
func produceAPI() api {
	return api{key: wire.KeyProduce, min: 0, served: 3, max: 11, maxBody: 1<<31 - 1, handle: (*call).produce}
}

// Acks that a producer may ask for.
const (
	acksAll    = -1
	acksNone   = 0
	acksLeader = 1
)

// errAcksZero closes a connection whose acks=0 request failed: there is no other way to tell the producer.
var errAcksZero = errors.New("produce with acks=0 failed")

func (c *call) produce() {
	lp := c.loop
	req, resp := &lp.produce, &lp.produceReply
	if err := req.Decode(c.version(), c.body); err != nil {
		c.hangUp("malformed request")
		return
	}
	resp.Reset()
	failed := false
	// Kafka looks for the right to use a transactional id, and there is none to have it for (KafkaApis).
	denied := req.TransactionalID == nil && transactional(req)
	lp.unsynced = nil // of a request that ended in a panic
	image := c.b.catalog.Image()
	for i := range req.Topics {
		t := &req.Topics[i]
		topic := image.Topic(t.Name)
		resp.Topic(t.Name, t.ID)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			r := resp.Partition(p.Index)
			lp.producing = producePlace{i, j}
			if denied {
				r.Error, r.BaseOffset, r.LogAppendTime, r.LogStartOffset = wire.TransactionalIDAuthorizationFailed, -1, -1, -1
			} else {
				c.produceTo(image, topic, p, r)
			}
			failed = failed || r.Error != wire.None
		}
	}
	if req.Acks == acksNone {
		nc := c.net.Conn()
		c.drop()
		if failed {
			nc.Close(errAcksZero)
		}
		return
	}
	out := c.begin()
	out.Buf = resp.Append(out.Buf, c.version())
	if s := lp.unsynced; s != nil {
		lp.unsynced = nil
		s.wait(c)
		return
	}
	c.send()
}

// transactional tells whether any batch of the request belongs to a transaction.
func transactional(req *wire.ProduceRequest) bool {
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			if len(p.Records) >= batch.HeaderSize && batch.Batch(p.Records).IsTransactional() {
				return true
			}
		}
	}
	return false
}

// produceTo appends one partition's records, or says in r why not; the checks are in Kafka's order. With one
// replica, what is appended is committed: acks=all has nothing more to wait for.
func (c *call) produceTo(im *Image, t *Topic, p *wire.ProducePartition, r *wire.ProducePartitionResponse) {
	r.BaseOffset, r.LogAppendTime, r.LogStartOffset = -1, -1, -1
	part := t.partition(p.Index)
	if part == nil {
		r.Error = t.unavailable(p.Index)
		return
	}
	b, err := batch.Single(p.Records)
	if err != nil {
		r.Error = codeOf(err)
		if r.Error == wire.CorruptMessage {
			r.ErrorMessage = err.Error()
		}
		c.loop.topics.produceFailed.Inc()
		return
	}
	acks, early := c.loop.produce.Acks, c.version() < 7 // zstd came with version 7
	switch {
	case im.Fenced && acks != acksAll:
		r.Error = wire.NotLeaderOrFollower
		return
	case early && b.Codec() == batch.Zstd:
		r.Error = wire.UnsupportedCompressionType
		return
	case early && !b.Codec().Known():
		r.Error = wire.UnknownServerError
		return
	case acks != acksAll && acks != acksNone && acks != acksLeader:
		r.Error = wire.InvalidRequiredAcks
		return
	case b.IsTransactional():
		// Nobody can have begun the transaction. It is Kafka's answer while it finds no coordinator: clients try again.
		r.Error, r.ErrorMessage = wire.NotEnoughReplicas, "transactions are not served"
		return
	case acks == acksAll && len(part.ISR) < min(int(t.Config.MinInSyncReplicas), len(part.Replicas)):
		r.Error = wire.NotEnoughReplicas
		return
	}
	part.append(c, t, b, r)
	if r.Error != wire.None {
		c.loop.topics.produceFailed.Inc()
	}
}

// append checks b by the topic's rules and writes it; the caller holds no lock. r gets the outcome.
func (p *Partition) append(c *call, t *Topic, b batch.Batch, r *wire.ProducePartitionResponse) {
	rules := batch.Rules{
		MaxMessageBytes: int(t.Config.MaxMessageBytes), Zstd: true, Compacted: t.Config.Compact,
		LogAppendTime: t.Config.LogAppendTime, Now: c.loop.now.UnixMilli(),
		TimestampBefore: t.Config.TimestampBeforeMax, TimestampAfter: t.Config.TimestampAfterMax,
	}
	checked, err := batch.Validate(b, &rules)
	if err != nil {
		p.fail(r, err)
		return
	}
	b.SetMaxTimestamp(checked.MaxTimestamp, checked.LogAppendTime)
	done, err := p.log.Append(b, p.leaderEpoch(), c.net.Frame())
	if err != nil {
		p.fail(r, err)
		return
	}
	if checked.LogAppendTime {
		r.LogAppendTime = checked.MaxTimestamp
	}
	r.BaseOffset, r.LogStartOffset = done.Base, p.log.StartOffset()
	if done.Wait && c.loop.produce.Acks != acksNone {
		c.loop.awaitSync(p.log, done.Last+1)
	}
	if done.Duplicate { // answered as if it were new, but for the time, which Kafka gives whatever the topic's rule
		r.LogAppendTime = done.MaxTimestamp
		return
	}
	m := &c.loop.topics
	m.messagesIn.Add(uint64(b.Count()))
	m.bytesIn.Add(uint64(len(b)))
	p.appended(done.Last, int64(len(b)), c.loop)
}

// fail says in r why nothing was appended. As in Kafka only errors of single records come with words, and the log
// start is left out where the log was not asked (ReplicaManager.appendToLocalLog).
func (p *Partition) fail(r *wire.ProducePartitionResponse, err error) {
	r.Error = codeOf(err)
	switch r.Error {
	case wire.MessageTooLarge, wire.RecordListTooLarge, wire.CorruptMessage, wire.KafkaStorageError, wire.NotLeaderOrFollower:
	default:
		r.LogStartOffset = p.log.StartOffset()
	}
	if errors.Is(err, logstore.ErrNoSpace) || errors.Is(err, logstore.ErrLossy) {
		r.ErrorMessage = err.Error() // Kafka has no such state, and nothing else would tell the producer's log
	}
	var rule *batch.RuleError
	if errors.As(err, &rule) && len(rule.Records) > 0 {
		r.ErrorMessage = rule.Error()
		r.RecordErrors = append(r.RecordErrors[:0], rule.Records...)
	}
}
