package logstore

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-mq/sluice/wire/batch"
)

// TestIndexesAtTheEdge: the recovery point is at the end of a segment that was rolled afterwards, and a power cut has
// torn, or lost, what the roll has added to its indexes.
func TestIndexesAtTheEdge(t *testing.T) {
	o := small()
	o.SegmentBytes, o.IndexIntervalBytes = 1<<20, 200
	path := filepath.Join(tempDir(t), "0")
	d := openTest(t, path, o)
	l := createTest(t, d, "t")
	for i := range 40 {
		appendTest(t, l, makeBatch(1, 100, int64(1000+10*i), batch.None), nil)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := d.writeCheckpoint(recoveryPointFile); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	old := l.active
	err := l.roll(l.end.Load())
	l.mu.Unlock()
	if err == nil {
		err = old.spill()
	}
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string][]byte{}
	for _, suffix := range []string{indexSuffix, timeIndexSuffix} {
		if whole[suffix], err = os.ReadFile(old.stem + suffix); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]struct {
		suffix string
		do     func(b []byte) []byte
	}{
		"nothing":                  {timeIndexSuffix, func(b []byte) []byte { return b }},
		"time entries lost":        {timeIndexSuffix, func(b []byte) []byte { return b[:len(b)-3*timeEntrySize] }},
		"a time entry twice":       {timeIndexSuffix, func(b []byte) []byte { return append(b, b[len(b)-timeEntrySize:]...) }},
		"garbage in a time entry":  {timeIndexSuffix, func(b []byte) []byte { b[len(b)-2*timeEntrySize-1] ^= 0xf7; return b }},
		"all time entries lost":    {timeIndexSuffix, func([]byte) []byte { return nil }},
		"zeros in the offsets":     {indexSuffix, func(b []byte) []byte { clear(b[8:24]); return b }},
		"offset entries in a turn": {indexSuffix, func(b []byte) []byte { copy(b[8:16], b[16:24]); return b }},
	} {
		t.Run(name, func(t *testing.T) {
			again := filepath.Join(tempDir(t), "1")
			copyDir(t, path, again)
			stem := filepath.Join(again, l.name, segmentName(0))
			b := damage.do(append([]byte(nil), whole[damage.suffix]...))
			if err := os.WriteFile(stem+damage.suffix, b, 0o600); err != nil {
				t.Fatal(err)
			}
			d := openTest(t, again, o)
			got := d.Logs()[0]
			if got.EndOffset() != 40 || got.Err() != nil {
				t.Fatalf("end %d, %v", got.EndOffset(), got.Err())
			}
			if off, at, found, err := got.OffsetForTime(1385); err != nil || !found || off != 39 || at != 1390 {
				t.Errorf("the record of 1385 or later is %d of %d, %v, %v", off, at, found, err)
			}
			for suffix, want := range whole {
				if b, err := os.ReadFile(stem + suffix); err != nil || string(b) != string(want) {
					t.Errorf("%s has %d bytes after the start, want %d; %v", suffix, len(b), len(want), err)
				}
			}
		})
	}
}
