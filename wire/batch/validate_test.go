package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
)

// lenient is what a topic with Kafka's defaults demands, except that the clock stands at testTime.
func lenient() Rules {
	return Rules{
		MaxMessageBytes: 1<<20 + LogOverhead, Zstd: true,
		Now: testTime, TimestampBefore: math.MaxInt64, TimestampAfter: 3_600_000,
	}
}

// broken returns a good batch after f, with its checksum put right.
func broken(c Codec, f func(b Batch)) Batch {
	b := sample(c, 3)
	f(b)
	b.fixCRC()
	return b
}

func put32(at int, v int32) func(Batch) {
	return func(b Batch) { binary.BigEndian.PutUint32(b[at:], uint32(v)) }
}

func put64(at int, v int64) func(Batch) {
	return func(b Batch) { binary.BigEndian.PutUint64(b[at:], uint64(v)) }
}

func attribute(bits byte) func(Batch) { return func(b Batch) { b[OffsetAttributes+1] |= bits } }

func both(fs ...func(Batch)) func(Batch) {
	return func(b Batch) {
		for _, f := range fs {
			f(b)
		}
	}
}

func TestValidateGood(t *testing.T) {
	for _, c := range codecs {
		for _, all := range []bool{false, true} {
			r := lenient()
			r.WalkCompressed = all
			b := sample(c, 3)
			before := bytes.Clone(b)
			res, err := Validate(b, &r)
			if err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			want := Result{MaxTimestamp: testTime + 2000, Walked: c == None || all}
			if res != want {
				t.Errorf("%v, all %v: %+v, want %+v", c, all, res, want)
			}
			b.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
			if !bytes.Equal(b, before) {
				t.Errorf("%v: the batch was changed", c)
			}
		}
	}
}

func TestValidateHeader(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    Batch
		r    func(*Rules)
		want error
	}{
		{"zstd before version 7", sample(Zstd, 3), func(r *Rules) { r.Zstd = false }, ErrCodec},
		{"snappy before version 7", sample(Snappy, 3), func(r *Rules) { r.Zstd = false }, nil},
		{"base offset 1", broken(None, put64(OffsetBaseOffset, 1)), nil, ErrInvalidRecord},
		{"larger than allowed", sample(None, 3), func(r *Rules) { r.MaxMessageBytes = len(sample(None, 3)) - 1 }, ErrTooLarge},
		{"as large as allowed", sample(None, 3), func(r *Rules) { r.MaxMessageBytes = len(sample(None, 3)) }, nil},
		{"count 0", broken(None, put32(OffsetCount, 0)), nil, ErrInvalidRecord},
		{"count -1", broken(None, put32(OffsetCount, -1)), nil, ErrInvalidRecord},
		{"count too high", broken(None, put32(OffsetCount, 4)), nil, ErrInvalidRecord},
		{"last offset delta -1", broken(None, put32(OffsetLastOffsetDelta, -1)), nil, ErrInvalidRecord},
		{"last offset delta 2^31-1", broken(None, put32(OffsetLastOffsetDelta, math.MaxInt32)), nil, ErrInvalidRecord},
		{"count and delta too high", broken(None, both(put32(OffsetCount, 4), put32(OffsetLastOffsetDelta, 3))), nil, ErrInvalidRecord},
		{"count and delta too low", broken(None, both(put32(OffsetCount, 2), put32(OffsetLastOffsetDelta, 1))), nil, ErrInvalidRecord},
		{"control", broken(None, attribute(attrControl)), nil, ErrInvalidRecord},
		{"producer without a sequence", broken(None, put64(OffsetProducerID, 9)), nil, ErrInvalidRecord},
		{"producer with a sequence", broken(None, both(put64(OffsetProducerID, 9), put32(OffsetBaseSequence, 0))), nil, nil},
		{"codec 5", broken(None, attribute(5)), nil, ErrCodec},
		{"codec 7", broken(None, attribute(7)), nil, ErrCodec},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := lenient()
			if tc.r != nil {
				tc.r(&r)
			}
			_, err := Validate(tc.b, &r)
			if !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

// Each batch breaks a rule and all those after it; the first in Kafka's order is the one reported.
func TestValidateOrder(t *testing.T) {
	r := lenient()
	r.Zstd, r.MaxMessageBytes = false, 10
	b := broken(None, both(attribute(byte(Zstd)|attrControl), put64(OffsetBaseOffset, 1), put32(OffsetCount, 0)))
	b[OffsetCRC] ^= 1
	step := func(want error, text string) {
		t.Helper()
		_, err := Validate(b, &r)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
			t.Fatalf("error %v, want %v with %q", err, want, text)
		}
	}
	step(ErrCodec, "")
	r.Zstd = true
	step(ErrInvalidRecord, "base offset")
	b.SetBaseOffset(0)
	step(ErrTooLarge, "")
	r.MaxMessageBytes = len(b)
	step(ErrCorrupt, "")
	b.fixCRC()
	step(ErrInvalidRecord, "no records")
	put32(OffsetCount, 3)(b)
	b.fixCRC()
	step(ErrInvalidRecord, "control")
}

func TestValidateRecords(t *testing.T) {
	build := func(c Codec, f func(bd *Builder)) Batch {
		var bd Builder
		bd.Reset(c)
		f(&bd)
		return bytes.Clone(bd.Finish())
	}
	compacted := func(r *Rules) { r.Compacted = true }
	appendTime := func(r *Rules) { r.LogAppendTime = true }
	keyless := func(bd *Builder) {
		bd.Append(testTime, nil, nil)
		bd.Append(testTime, []byte{}, nil)
		bd.Append(testTime, nil, []byte("v"))
	}
	early, late := testTime-10_001, testTime+3_600_001
	before := func(r *Rules) { r.TimestampBefore = 10_000 }
	stamps := func(ts ...int64) func(bd *Builder) {
		return func(bd *Builder) {
			for _, ts := range ts {
				bd.Append(ts, []byte("k"), nil)
			}
		}
	}
	tests := []struct {
		name  string
		build func(bd *Builder)
		patch func(Batch)
		rules func(*Rules)
		want  error
		at    []int32
	}{
		{"no key", keyless, nil, nil, nil, nil},
		{"no key, compacted", keyless, nil, compacted, ErrInvalidRecord, []int32{0, 2}},
		{"late", stamps(testTime, late, testTime), nil, nil, ErrInvalidTimestamp, []int32{1}},
		{"late, log append time", stamps(late, late), nil, appendTime, nil, nil},
		{"at the upper limit", stamps(late-1, testTime), nil, nil, nil, nil},
		{"early", stamps(early, testTime), nil, before, ErrInvalidTimestamp, []int32{0}},
		{"early, no limit", stamps(0, testTime), nil, nil, nil, nil},
		{"at the lower limit", stamps(early+1, testTime), nil, before, nil, nil},
		{"without timestamps", stamps(NoTimestamp, NoTimestamp), nil, before, nil, nil},
		{"most negative", stamps(math.MinInt64, testTime), nil, nil, ErrInvalidTimestamp, []int32{0}},
		{"type log append time", stamps(testTime, testTime), attribute(attrLogAppendTime), appendTime,
			ErrInvalidTimestamp, []int32{0, 1}},
		{"type log append time, create time topic", stamps(testTime, late-1), attribute(attrLogAppendTime), nil, nil, nil},
		{"type log append time, late", stamps(testTime, late), attribute(attrLogAppendTime), nil,
			ErrInvalidTimestamp, []int32{0, 1}},
		{"type log append time, no timestamp", stamps(NoTimestamp), attribute(attrLogAppendTime), nil,
			ErrInvalidTimestamp, []int32{0}},
	}
	for _, tc := range tests {
		for _, c := range codecs {
			t.Run(tc.name+"/"+c.String(), func(t *testing.T) {
				b := build(c, tc.build)
				if tc.patch != nil {
					tc.patch(b)
					b.fixCRC()
				}
				r := lenient()
				if tc.rules != nil {
					tc.rules(&r)
				}
				_, err := Validate(b, &r)
				checkRuleError(t, err, tc.want, tc.at)
			})
		}
	}
}

func checkRuleError(t *testing.T, err, want error, at []int32) {
	t.Helper()
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Fatalf("error %v, want %v", err, want)
	}
	var re *RuleError
	if want == nil || !errors.As(err, &re) {
		return
	}
	if len(re.Records) != len(at) || re.Failed != len(at) {
		t.Fatalf("records %+v, want %v", re.Records, at)
	}
	for i := range at {
		if re.Records[i].Index != at[i] || re.Records[i].Message == "" {
			t.Errorf("record error %+v, want one at %d", re.Records[i], at[i])
		}
	}
}

func TestValidateTimestampBeatsOthers(t *testing.T) {
	var bd Builder
	bd.Append(testTime, nil, nil)
	bd.Append(testTime+4_000_000, []byte("k"), nil)
	r := lenient()
	r.Compacted = true
	_, err := Validate(bd.Finish(), &r)
	checkRuleError(t, err, ErrInvalidTimestamp, []int32{0, 1})
}

func TestValidateOffsets(t *testing.T) {
	for _, c := range codecs {
		var bd Builder
		bd.Reset(c)
		bd.Append(testTime, []byte("k"), nil)
		bd.count = 4
		bd.Append(testTime, []byte("k"), nil)
		bd.count = 2
		bd.Append(testTime, []byte("k"), nil)
		r := lenient()
		r.WalkCompressed = true
		_, err := Validate(bd.Finish(), &r)
		if c == None {
			if err != nil {
				t.Errorf("Kafka takes such records when they are not compressed: %v", err)
			}
			continue
		}
		checkRuleError(t, err, ErrInvalidRecord, []int32{1})
	}
}

func TestValidateBoundsRecordErrors(t *testing.T) {
	var bd Builder
	for range MaxRecordErrors + 5 {
		bd.Append(testTime, nil, nil)
	}
	r := lenient()
	r.Compacted = true
	_, err := Validate(bd.Finish(), &r)
	var re *RuleError
	if !errors.As(err, &re) || len(re.Records) != MaxRecordErrors || re.Failed != MaxRecordErrors+5 {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(err.Error(), "1005") {
		t.Errorf("message %q does not count them", err)
	}
}

// sarama leaves the header's max timestamp unset; others leave it 0.
func TestValidateFindsMaxTimestamp(t *testing.T) {
	for _, c := range codecs {
		for _, claimed := range []int64{NoTimestamp, 0, testTime - 1, math.MinInt64} {
			b := broken(c, put64(OffsetMaxTimestamp, claimed))
			r := lenient()
			res, err := Validate(b, &r)
			if err != nil || res.MaxTimestamp != testTime+2000 || !res.Walked || res.LogAppendTime {
				t.Fatalf("%v, %d: %+v, %v", c, claimed, res, err)
			}
			b.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
			if !bytes.Equal(b, sample(c, 3)) {
				t.Errorf("%v: not what a correct client sends", c)
			}
		}
	}
}

// A claim that is plausible but wrong is found where the records are walked.
func TestValidateWrongMaxTimestamp(t *testing.T) {
	for _, c := range codecs {
		b := broken(c, put64(OffsetMaxTimestamp, testTime+1))
		r := lenient()
		r.WalkCompressed = true
		if res, err := Validate(b, &r); err != nil || res.MaxTimestamp != testTime+2000 {
			t.Errorf("%v: %+v, %v", c, res, err)
		}
		r.WalkCompressed = false
		res, err := Validate(b, &r)
		want := testTime + 1 // the documented shortcut
		if c == None {
			want = testTime + 2000
		}
		if err != nil || res.MaxTimestamp != want {
			t.Errorf("%v, not opened: %+v, %v", c, res, err)
		}
	}
}

func TestValidateLogAppendTime(t *testing.T) {
	for _, c := range codecs {
		b := sample(c, 3)
		r := lenient()
		r.LogAppendTime, r.Now = true, testTime+99
		res, err := Validate(b, &r)
		if err != nil || res.MaxTimestamp != testTime+99 || !res.LogAppendTime || res.Walked != (c == None) {
			t.Fatalf("%v: %+v, %v", c, res, err)
		}
		b.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
		if !b.LogAppendTime() || b.MaxTimestamp() != testTime+99 || !b.CRCOK() {
			t.Errorf("%v: header not set", c)
		}
	}
}

// A CreateTime topic takes a batch that claims LogAppendTime, as Kafka does, and takes the claim away.
func TestValidateClearsLogAppendTime(t *testing.T) {
	b := broken(None, attribute(attrLogAppendTime))
	r := lenient()
	res, err := Validate(b, &r)
	if err != nil || res.LogAppendTime || res.MaxTimestamp != testTime+2000 {
		t.Fatalf("%+v, %v", res, err)
	}
	b.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
	if b.LogAppendTime() || !b.CRCOK() {
		t.Error("the claim is still there")
	}
}

func TestValidateOpensOnlyWhereItMust(t *testing.T) {
	for _, c := range codecs[1:] {
		b := append(bytes.Clone(sample(c, 3)[:HeaderSize]), "no block of any codec"...)
		put32(OffsetLength, int32(len(b)-LogOverhead))(b)
		Batch(b).fixCRC()
		r := lenient()
		if _, err := Validate(b, &r); err != nil {
			t.Errorf("%v: opened: %v", c, err)
		}
		r.LogAppendTime = true
		put64(OffsetMaxTimestamp, NoTimestamp)(b)
		Batch(b).fixCRC()
		if _, err := Validate(b, &r); err != nil {
			t.Errorf("%v: opened although the timestamps do not matter: %v", c, err)
		}
		r.LogAppendTime = false
		if _, err := Validate(b, &r); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("%v: error %v", c, err)
		}
	}
}

func TestValidateBoundsDecompression(t *testing.T) {
	for _, c := range codecs[1:] {
		b := sample(c, 100)
		r := lenient()
		r.WalkCompressed, r.MaxDecompressed = true, 1000
		if _, err := Validate(b, &r); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v: error %v", c, err)
		}
	}
}

func FuzzValidate(f *testing.F) {
	for _, c := range codecs {
		f.Add([]byte(sample(c, 3)), false, false)
		f.Add([]byte(sample(c, 3)), true, true)
	}
	f.Fuzz(func(t *testing.T, in []byte, compacted, appendTime bool) {
		b, err := Single(bytes.Clone(in))
		if err != nil {
			return
		}
		b.fixCRC()
		r := lenient()
		r.Compacted, r.LogAppendTime, r.MaxDecompressed = compacted, appendTime, 1<<16
		res, err := Validate(b, &r)
		if err != nil {
			return
		}
		b.SetMaxTimestamp(res.MaxTimestamp, res.LogAppendTime)
		// What was accepted and stamped is accepted again, and nothing changes a second time.
		before := bytes.Clone(b)
		if appendTime {
			return // then the producer would be setting the timestamp type
		}
		again, err := Validate(b, &r)
		if err != nil || again.MaxTimestamp != res.MaxTimestamp {
			t.Fatalf("%+v, then %+v, %v", res, again, err)
		}
		b.SetMaxTimestamp(again.MaxTimestamp, again.LogAppendTime)
		if !bytes.Equal(b, before) {
			t.Fatal("the second stamp changed something")
		}
	})
}
