package coordination

import (
	"testing"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

func TestPersistentWatches(t *testing.T) {
	k := start(t)
	p := through(t, k)
	a, b := k.open(p.via), k.open()
	all, err := a.AddWatch(t.Context(), "/", true)
	must(t, err)
	one, err := a.AddWatch(t.Context(), "/x", false)
	must(t, err)
	make := func(path string) {
		t.Helper()
		_, _, err := b.Create(t.Context(), path, nil, nil, zk.Persistent)
		must(t, err)
	}
	make("/x")
	make("/x/y")
	next := func(w *client.Watch, kind zk.EventType, path string) {
		t.Helper()
		if e := <-w.C; e.Type != kind || e.Path != path {
			t.Errorf("%v of %s, want %v of %s", e.Type, e.Path, kind, path)
		}
	}
	next(all, zk.EventCreated, "/x")
	next(all, zk.EventCreated, "/x/y")
	next(one, zk.EventCreated, "/x")
	next(one, zk.EventChildrenChanged, "/x")
	p.cutOnce(zk.OpExists)
	_, _, err = a.Exists(t.Context(), "/x")
	want(t, err, client.ErrConnectionLoss)
	next(all, zk.EventNone, "/") // something may have been missed, but nothing is from here on
	next(one, zk.EventNone, "/x")
	must(t, b.Delete(t.Context(), "/x/y", -1))
	next(all, zk.EventDeleted, "/x/y")
	next(one, zk.EventChildrenChanged, "/x")
	must(t, one.Close(t.Context()))
	if _, ok := <-one.C; ok {
		t.Error("an event after the end")
	}
	must(t, b.Delete(t.Context(), "/x", -1))
	next(all, zk.EventDeleted, "/x")
	must(t, a.Close(t.Context()))
	if _, ok := <-all.C; ok {
		t.Error("an event after the end")
	}
}

// What happens while the connection is away is told by the next one.
func TestWatchesAfterReconnect(t *testing.T) {
	k := start(t)
	p := through(t, k)
	a, b := k.open(p.via), k.open()
	for _, path := range []string{"/set", "/deleted", "/same", "/parent", "/parent/child"} {
		_, _, err := b.Create(t.Context(), path, nil, nil, zk.Persistent)
		must(t, err)
	}
	fired := map[string]<-chan zk.Event{}
	for _, path := range []string{"/set", "/deleted", "/same"} {
		var err error
		_, _, fired[path], err = a.GetW(t.Context(), path)
		must(t, err)
	}
	var err error
	_, _, fired["/created"], err = a.ExistsW(t.Context(), "/created")
	must(t, err)
	_, _, fired["/parent"], err = a.ChildrenW(t.Context(), "/parent")
	must(t, err)
	p.hold()
	_, _, err = a.Exists(t.Context(), "/same")
	want(t, err, client.ErrConnectionLoss)
	_, err = b.Set(t.Context(), "/set", nil, -1)
	must(t, err)
	must(t, b.Delete(t.Context(), "/deleted", -1))
	must(t, b.Delete(t.Context(), "/parent/child", -1))
	_, _, err = b.Create(t.Context(), "/created", nil, nil, zk.Persistent)
	must(t, err)
	p.hear()
	for path, kind := range map[string]zk.EventType{"/set": zk.EventDataChanged, "/deleted": zk.EventDeleted,
		"/created": zk.EventCreated, "/parent": zk.EventChildrenChanged} {
		if e := <-fired[path]; e.Type != kind || e.Path != path {
			t.Errorf("%v of %s, want %v of %s", e.Type, e.Path, kind, path)
		}
	}
	_, err = b.Set(t.Context(), "/same", nil, -1)
	must(t, err)
	if e := <-fired["/same"]; e.Type != zk.EventDataChanged {
		t.Errorf("%+v", e)
	}
}
