package coordinator

import (
	"testing"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// TestChecker: the checker finds what must not be.
func TestChecker(t *testing.T) {
	w := operation{kind: write, want: 5, begin: 1, end: 2, answered: true, version: 1}
	r := operation{kind: read, value: 5, version: 1, begin: 3, end: 4, answered: true}
	stale, doubt := r, w
	stale.value, stale.version = 0, 0
	doubt.answered = false
	twice := w
	twice.begin, twice.end = 3, 4
	for i, x := range []struct {
		list []operation
		ok   bool
	}{
		{[]operation{w, r}, true},
		{[]operation{w, stale}, false},
		{[]operation{doubt, r}, true},
		{[]operation{doubt, stale}, true},
		{[]operation{w, twice}, false},
		{[]operation{w, {kind: swap, want: 6, expected: 1, begin: 3, end: 4, answered: true, version: 2}}, true},
		{[]operation{w, {kind: swap, want: 6, expected: 0, begin: 3, end: 4, answered: true, version: 2}}, false},
		{[]operation{w, {kind: swap, want: 6, expected: 0, begin: 3, end: 4, answered: true, code: zk.BadVersion}}, true},
	} {
		if linearizable(register{}, x.list) != x.ok {
			t.Errorf("%d: want %v", i, x.ok)
		}
	}
}
