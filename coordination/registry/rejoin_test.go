package registry

import (
	"testing"
)

// TestOfferClusterID: a cluster without an id gets the one that a broker's directories have; one that has an id keeps it.
func TestOfferClusterID(t *testing.T) {
	everyFault(t, nil, func(tr *tree) error {
		_, err := tr.open(1).OfferClusterID(t.Context(), "mine")
		return err
	}, func(t *testing.T, tr *tree) {
		r := tr.open(2)
		if id, err := r.FindClusterID(t.Context()); err != nil || id != "mine" {
			t.Errorf("%q %v", id, err)
		}
		if id, err := r.OfferClusterID(t.Context(), "yours"); err != nil || id != "mine" {
			t.Errorf("%q %v", id, err)
		}
	})
	if id, err := newTree().open(1).FindClusterID(t.Context()); err != nil || id != "" {
		t.Errorf("without any: %q %v", id, err)
	}
}

// TestForgetController: what a process that was killed has left is removed by its successor, and nothing else.
func TestForgetController(t *testing.T) {
	prepare := func(tr *tree) {
		if _, won, err := tr.open(1).Elect(t.Context(), 5); err != nil || !won {
			t.Fatal(won, err)
		}
	}
	everyFault(t, prepare, func(tr *tree) error { return tr.open(2).ForgetController(t.Context(), 1) }, func(t *testing.T, tr *tree) {
		if c, err := tr.open(3).Controller(t.Context()); err != nil || c.ID != NoController {
			t.Errorf("%+v %v", c, err)
		}
	})
	tr := newTree()
	prepare(tr)
	for session, previous := range map[int64]int64{1: 1, 2: 0, 3: 4} {
		if err := tr.open(session).ForgetController(t.Context(), previous); err != nil {
			t.Error(err)
		}
	}
	if c, err := tr.open(9).Controller(t.Context()); err != nil || c.ID != 5 {
		t.Errorf("somebody else's was removed: %+v %v", c, err)
	}
}

// TestSkipProducerIDs: ids that were given out before the coordinator was there are not given out again.
func TestSkipProducerIDs(t *testing.T) {
	everyFault(t, nil, func(tr *tree) error { return tr.open(1).SkipProducerIDs(t.Context(), 7, 5500) }, func(t *testing.T, tr *tree) {
		r := tr.open(2)
		for _, first := range []int64{5500, 6500} {
			if b, err := r.AllocateProducerIDs(t.Context(), 7); err != nil || b.First != first {
				t.Errorf("%+v %v, want one from %d", b, err, first)
			}
			if err := r.SkipProducerIDs(t.Context(), 7, 100); err != nil { // behind: nothing
				t.Error(err)
			}
		}
	})
	r := newTree().open(1)
	if err := r.SkipProducerIDs(t.Context(), 7, 0); err != nil {
		t.Error(err)
	}
	if _, found, err := r.ProducerIDs(t.Context()); found || err != nil {
		t.Errorf("nothing to skip: %v %v", found, err)
	}
}
