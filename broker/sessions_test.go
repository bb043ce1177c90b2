package broker

import (
	"testing"
	"time"

	"github.com/sluice-mq/sluice/wire"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestSessionEpochs(t *testing.T) {
	s := newFetchSessions(10)
	fs := s.create(1, noon)
	if fs == nil || fs.id == noSession {
		t.Fatalf("create: %+v", fs)
	}
	if _, code := s.resume(fs.id, 2, noon); code != wire.InvalidFetchSessionEpoch {
		t.Errorf("resume with a later epoch: %v", code)
	}
	for epoch := int32(1); epoch < 4; epoch++ {
		if got, code := s.resume(fs.id, epoch, noon); got != fs || code != wire.None {
			t.Fatalf("resume with epoch %d: %v", epoch, code)
		}
	}
	if _, code := s.resume(fs.id, 1, noon); code != wire.InvalidFetchSessionEpoch {
		t.Errorf("resume with a used epoch: %v", code)
	}
	s.remove(fs.id)
	if _, code := s.resume(fs.id, 4, noon); code != wire.FetchSessionIDNotFound {
		t.Errorf("resume of a removed session: %v", code)
	}
	if got := nextEpoch(1<<31 - 1); got != 1 {
		t.Errorf("after the last epoch comes %d, want 1", got)
	}
}

func TestSessionEviction(t *testing.T) {
	s := newFetchSessions(2)
	a, b := s.create(5, noon), s.create(1, noon)
	if s.create(9, noon.Add(time.Second)) != nil {
		t.Fatal("a full cache of young sessions gave one up")
	}
	later := noon.Add(sessionRest)
	if _, code := s.resume(a.id, 1, later); code != wire.None {
		t.Fatal(code)
	}
	c := s.create(1, later)
	if c == nil || s.byID[b.id] != nil || s.byID[a.id] == nil {
		t.Fatal("the session that rested for two minutes must go, the used one stay")
	}
	if s.create(5, later) != nil {
		t.Fatal("a session of the same size took the place of one in use")
	}
	if s.create(6, later) == nil || s.byID[a.id] != nil {
		t.Fatal("a larger session takes the place of the smallest that lived for two minutes")
	}
}

func TestSessionOrder(t *testing.T) {
	s := newFetchSessions(1)
	fs := s.create(3, noon)
	for i := range int32(3) {
		fs.set([]byte("t"), i, 0, 100, -1)
	}
	order := func() (got []int32) {
		for p := fs.root.next; p != &fs.root; p = p.next {
			got = append(got, p.index)
		}
		return got
	}
	first := fs.root.next
	fs.moveToEnd(first)
	if got := order(); got[0] != 1 || got[2] != 0 {
		t.Fatalf("served partition did not go to the end: %v", got)
	}
	fs.forget([]byte("t"), 1)
	fs.forget([]byte("t"), 1)
	fs.forget([]byte("unknown"), 1)
	if got := order(); len(got) != 2 {
		t.Fatalf("after forget: %v", got)
	}
	fs.forget([]byte("t"), 0)
	fs.moveToEnd(first) // answered after it was forgotten
	if got := order(); len(got) != 1 || got[0] != 2 {
		t.Fatalf("a forgotten partition came back: %v", got)
	}
	if again := fs.set([]byte("t"), 2, 7, 100, -1); again.offset != 7 || len(order()) != 1 {
		t.Fatal("an entry was added twice")
	}
}
