package registry

import (
	"testing"
)

func TestOfferClusterID(t *testing.T) {
	everyFault(t, nil, func(tr *tree) error {
		_, err := tr.open(1).OfferClusterID(t.Context(), "mine")
		return err
	}, func(t *testing.T, tr *tree) {
		for _, ask := range []func() (string, error){
			func() (string, error) { return tr.open(2).OfferClusterID(t.Context(), "yours") },
			func() (string, error) { return tr.open(2).ClusterID(t.Context()) },
			func() (string, error) { return tr.open(2).FindClusterID(t.Context()) },
		} {
			if id, err := ask(); id != "mine" || err != nil {
				t.Error(id, err)
			}
		}
	})
	if id, err := newTree().open(1).FindClusterID(t.Context()); id != "" || err != nil {
		t.Error(id, err)
	}
}

func TestForgetController(t *testing.T) {
	tr, ctx := newTree(), t.Context()
	old, next := tr.open(1), tr.open(2)
	if _, won, err := old.Elect(ctx, 7); !won || err != nil {
		t.Fatal(won, err)
	}
	for _, previous := range []int64{0, 2, 9} { // none, its own, somebody else's
		if err := next.ForgetController(ctx, previous); err != nil {
			t.Fatal(err)
		}
		if now, err := next.Controller(ctx); err != nil || now.ID != 7 {
			t.Error(previous, now, err)
		}
	}
	if err := next.ForgetController(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if _, won, err := next.Elect(ctx, 7); !won || err != nil {
		t.Error(won, err)
	}
}

// The old session ends ahead of any of the calls, and another broker is elected, whose node has to stay.
func TestForgetControllerIsOvertaken(t *testing.T) {
	ctx := t.Context()
	for ahead := range 3 { // of reading the epoch, of reading the node, and of deleting it
		tr := newTree()
		old, next, other := tr.open(1), tr.open(2), tr.open(3)
		if _, won, err := old.Elect(ctx, 7); !won || err != nil {
			t.Fatal(won, err)
		}
		first := tr.calls
		tr.before = func(call int) {
			if call != first+ahead {
				return
			}
			tr.expire(1)
			if _, won, err := other.Elect(ctx, 8); !won || err != nil {
				t.Error(won, err)
			}
		}
		if err := next.ForgetController(ctx, 1); err != nil {
			t.Fatal(err)
		}
		tr.before = nil
		if tr.calls <= first+ahead+2 { // two are the election's
			t.Errorf("there is no call %d", ahead)
		}
		if now, err := next.Controller(ctx); err != nil || now.ID != 8 {
			t.Errorf("ahead of call %d: the election was undone: %+v, %v", ahead, now, err)
		}
	}
}

func TestSkipProducerIDs(t *testing.T) {
	for first, want := range map[int64]int64{0: 0, 1: 1, 500: 500, 5000: 5000} {
		everyFault(t, nil, func(tr *tree) error {
			return tr.open(1).SkipProducerIDs(t.Context(), 7, first)
		}, func(t *testing.T, tr *tree) {
			b, err := tr.open(1).AllocateProducerIDs(t.Context(), 7)
			if err != nil || b.First != want {
				t.Error(b, err)
			}
			if err := tr.open(1).SkipProducerIDs(t.Context(), 7, 1); err != nil { // never back
				t.Error(err)
			}
			if next, err := tr.open(1).AllocateProducerIDs(t.Context(), 7); err != nil || next.First != b.Last+1 {
				t.Error(next, err)
			}
		})
	}
}
