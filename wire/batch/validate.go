package batch

import (
	"fmt"
	"sync"
)

// Rules is what a leader demands of a batch that a client produced.
type Rules struct {
	MaxMessageBytes int   // max.message.bytes: largest batch in bytes, header and all
	Zstd            bool  // the request may carry zstd: Produce version 7 and up
	Compacted       bool  // cleanup.policy has compact: every record needs a key
	LogAppendTime   bool  // message.timestamp.type is LogAppendTime
	Now             int64 // milliseconds since 1970
	TimestampBefore int64 // message.timestamp.before.max.ms; math.MaxInt64 as good as switches it off
	TimestampAfter  int64 // message.timestamp.after.max.ms
	WalkCompressed  bool  // look into every compressed batch, as Kafka does
	MaxDecompressed int   // bytes that a batch may decompress to; 0: DefaultMaxDecompressed
}

// Result is what the header of a valid batch must say: b.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime).
// For a correct client's batch on a CreateTime topic that changes nothing and costs nothing.
type Result struct {
	MaxTimestamp  int64 // milliseconds; of the records, or Now with LogAppendTime
	LogAppendTime bool
	Walked        bool // the records were looked at
}

// Validate checks one produced batch in the order of Kafka's UnifiedLog.analyzeAndValidateRecords and
// LogValidator: codec allowed, base offset, size, checksum, count, not a control batch, sequence, records.
// Nothing is written. b must come from Single (or First).
//
// Records that are not compressed are always walked. Compressed ones are opened only when the topic is
// compacted, or when the header's timestamps are not plausible: missing, in the wrong order, out of the
// limits, or of the wrong type. Kafka opens all of them; with WalkCompressed this does too. The shortcut lets
// through what only a broken client would write: compressed records with gaps in their offsets, with a count
// or timestamps that their header denies, or a block that does not decompress.
//
// Offsets of records that are not compressed are taken as they are, as Kafka does. Compressed ones that are
// opened must be numbered 0, 1, 2 …, where Kafka would number them anew.
//
// Errors: ErrCodec, ErrTooLarge, ErrCorrupt, ErrInvalidRecord or ErrInvalidTimestamp; the last two as a
// *RuleError, with the records at fault. Nothing is allocated for a valid batch once pools are warm.
func Validate(b Batch, r *Rules) (Result, error) {
	if err := validateHeader(b, r); err != nil {
		return Result{}, err
	}
	res := Result{MaxTimestamp: b.MaxTimestamp()}
	if b.Codec() == None {
		var w Walker
		if err := r.walk(b, &w, &res); err != nil {
			return Result{}, err
		}
	} else if r.mustOpen(b) {
		w := walkers.Get().(*Walker)
		err := r.walk(b, w, &res)
		walkers.Put(w)
		if err != nil {
			return Result{}, err
		}
	}
	if r.LogAppendTime {
		res.MaxTimestamp, res.LogAppendTime = r.Now, true
	}
	return res, nil
}

// walkers holds Walkers with warm memory: one per goroutine that validates at a time, 1 MiB each at most.
var walkers = sync.Pool{New: func() any { return new(Walker) }}

func validateHeader(b Batch, r *Rules) error {
	codec, count := b.Codec(), b.Count()
	switch {
	case codec == Zstd && !r.Zstd:
		return ErrCodec
	case b.BaseOffset() != 0:
		return invalid("the base offset of a produced batch must be 0")
	case len(b) > r.MaxMessageBytes:
		return ErrTooLarge
	case !b.CRCOK():
		return ErrCorrupt
	case b.LastOffsetDelta() < 0:
		return invalid("the batch has an impossible range of offsets")
	case count <= 0:
		return invalid("the batch has no records")
	case int64(b.LastOffsetDelta())+1 != int64(count):
		return invalid("the batch's count of records does not agree with its offsets")
	case b.IsControl():
		return invalid("clients may not write control records")
	case b.ProducerID() > NoProducerID && b.BaseSequence() < 0:
		return invalid("a batch with a producer id needs a sequence number")
	case !codec.Known():
		return ErrCodec
	}
	return nil
}

// mustOpen tells whether the records of a compressed batch have to be looked at.
func (r *Rules) mustOpen(b Batch) bool {
	if r.WalkCompressed || r.Compacted || b.LogAppendTime() {
		return true
	}
	if r.LogAppendTime {
		return false
	}
	base, last := b.BaseTimestamp(), b.MaxTimestamp()
	return last <= NoTimestamp || last < base || r.outOfRange(base) || r.outOfRange(last)
}

// outOfRange is LogValidator.recordHasInvalidTimestamp, overflow included.
func (r *Rules) outOfRange(ts int64) bool {
	diff := r.Now - ts
	return ts != NoTimestamp && (diff > r.TimestampBefore || -diff > r.TimestampAfter)
}

// walk checks every record and sets res.
func (r *Rules) walk(b Batch, w *Walker, res *Result) error {
	if err := w.Reset(b, r.MaxDecompressed); err != nil {
		return err
	}
	var (
		rec    Record
		errs   ruleErrors
		base   = b.BaseTimestamp()
		ofLog  = b.LogAppendTime()
		newest = NoTimestamp
	)
	for i := int32(0); w.Next(&rec); i++ {
		ts := base + rec.TimestampDelta
		if ofLog {
			ts = b.MaxTimestamp()
		}
		newest = max(newest, ts)
		switch {
		case rec.OffsetDelta != i && b.Codec() != None:
			errs.add(i, ErrInvalidRecord, "the record's offset is not the next one")
		case r.Compacted && rec.Key == nil:
			errs.add(i, ErrInvalidRecord, "a compacted topic takes no record without a key")
		case !r.LogAppendTime && ts != NoTimestamp:
			if r.outOfRange(ts) {
				errs.add(i, ErrInvalidTimestamp, r.rangeMessage(ts))
			}
		case ofLog:
			errs.add(i, ErrInvalidTimestamp, "a producer may not set the timestamp type LogAppendTime")
		}
	}
	if w.Err() != nil {
		return w.Err()
	}
	res.MaxTimestamp, res.Walked = newest, true
	return errs.err()
}

func (r *Rules) rangeMessage(ts int64) string {
	return fmt.Sprintf("the timestamp %d is more than %d ms before or %d ms after the broker's time %d",
		ts, r.TimestampBefore, r.TimestampAfter, r.Now)
}

// ruleErrors collects what is wrong with the records of one batch.
type ruleErrors struct {
	first     []RecordError
	failed    int
	timestamp bool
}

func (e *ruleErrors) add(index int32, err error, message string) {
	e.failed++
	e.timestamp = e.timestamp || err == ErrInvalidTimestamp
	if len(e.first) < MaxRecordErrors {
		e.first = append(e.first, RecordError{Index: index, Message: message})
	}
}

func (e *ruleErrors) err() error {
	switch {
	case e.failed == 0:
		return nil
	case e.timestamp:
		return &RuleError{ErrInvalidTimestamp, "records with an invalid timestamp", e.first, e.failed}
	default:
		return &RuleError{ErrInvalidRecord, "invalid records", e.first, e.failed}
	}
}
