package client

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// watching is a session with a data, an exist and a child watch.
func watching(t *testing.T, s *Session, p *peer) (data, exist, child <-chan zk.Event) {
	t.Helper()
	got := async(func() (err error) { _, _, data, err = s.GetW(t.Context(), "/d"); return err })
	p.reply(p.want(zk.OpGetData), 10, zk.OK, append([]byte{0, 0, 0, 0}, stat()...)...)
	want(t, <-got, nil)
	got = async(func() (err error) { _, _, exist, err = s.ExistsW(t.Context(), "/e"); return err })
	p.reply(p.want(zk.OpExists), 11, zk.NoNode)
	want(t, <-got, nil)
	got = async(func() (err error) { _, _, child, err = s.ChildrenW(t.Context(), "/c"); return err })
	p.reply(p.want(zk.OpGetChildren2), 12, zk.OK, append([]byte{0, 0, 0, 0}, stat()...)...)
	want(t, <-got, nil)
	return data, exist, child
}

// resume is the server's side of a session that comes back with watches.
func resume(t *testing.T, f *fake) (*peer, zk.SetWatchesRequest, int32) {
	t.Helper()
	p := <-f.conns
	p.hello()
	p.grant(7, 9*time.Second)
	var r zk.SetWatchesRequest
	d := p.packet()
	var h zk.RequestHeader
	h.Decode(d)
	r.WithPersistent = h.Op == zk.OpSetWatches2
	if r.Decode(d); d.Err() != nil || len(d.Left()) > 0 || h.Xid != zk.XidSetWatches {
		t.Fatalf("%+v %+v %v", h, r, d.Err())
	}
	return p, r, h.Xid
}

func TestWatchesAreSetAgain(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		data, exist, child := watching(t, s, p)
		p.event(zk.EventDeleted, "/not-asked-for")
		p.close()
		p, r, _ := resume(t, f)
		if r.RelativeZxid != 12 || !slices.Equal(r.Data, []string{"/d"}) || !slices.Equal(r.Exist, []string{"/e"}) || !slices.Equal(r.Child, []string{"/c"}) {
			t.Errorf("%+v", r)
		}
		// What happened meanwhile comes before the answer; then the connection breaks again. Not all watches are known
		// to be set, so the next server is told the older transaction.
		p.event(zk.EventDataChanged, "/d")
		got := async(func() error { return s.Delete(t.Context(), "/x", -1) })
		p.reply(p.want(zk.OpDelete), 20, zk.OK)
		want(t, <-got, nil)
		p.close()
		p, r, xid := resume(t, f)
		if r.RelativeZxid != 12 || len(r.Data) != 0 || len(r.Exist) != 1 || len(r.Child) != 1 {
			t.Errorf("%+v", r)
		}
		p.event(zk.EventCreated, "/e")
		p.reply(xid, 30, zk.OK)
		synctest.Wait()
		if e := <-data; e.Type != zk.EventDataChanged || e.Path != "/d" {
			t.Errorf("%+v", e)
		}
		if e := <-exist; e.Type != zk.EventCreated {
			t.Errorf("%+v", e)
		}
		p.close()
		p, r, xid = resume(t, f)
		if r.RelativeZxid != 30 || len(r.Exist) != 0 || len(r.Child) != 1 {
			t.Errorf("%+v", r)
		}
		// A server that does not take them: whoever waits has to look.
		p.reply(xid, 31, zk.QuotaExceeded)
		synctest.Wait()
		if e := <-child; e.Type != zk.EventNone || e.Path != "/c" {
			t.Errorf("%+v", e)
		}
		if n := len(s.watches.of); n != 0 {
			t.Errorf("%d watches left", n)
		}
	})
}

func TestWatchesAreSetInPackets(t *testing.T) {
	w := newWatches()
	for i := range 3000 {
		for kind := range watchKinds {
			o := &once{kind: kind, path: fmt.Sprintf("/%d/%s", i, strings.Repeat("x", 90)), c: make(chan zk.Event, 1)}
			o.set(&w, zk.OK)
		}
	}
	b, n := w.resetPackets(nil, 5)
	var paths int
	for range n {
		size := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		if size > resetSize+200 {
			t.Errorf("a packet of %d bytes", size)
		}
		d := zk.NewDecoder(b[4 : 4+size])
		var h zk.RequestHeader
		var r zk.SetWatchesRequest
		h.Decode(d)
		if r.Decode(d); d.Err() != nil || r.RelativeZxid != 5 || h.Op != zk.OpSetWatches {
			t.Fatalf("%+v %v", h, d.Err())
		}
		paths += len(r.Data) + len(r.Exist) + len(r.Child)
		b = b[4+size:]
	}
	if paths != 9000 || n < 6 || len(b) != 0 {
		t.Errorf("%d paths in %d packets, %d bytes left", paths, n, len(b))
	}
}

func TestUnwatch(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		data, _, _ := watching(t, s, p)
		s.Unwatch(data)
		s.Unwatch(nil)
		p.event(zk.EventDeleted, "/d")
		synctest.Wait()
		if len(data) > 0 || len(s.watches.of) != 2 || len(s.watches.once[watchData]) != 0 {
			t.Errorf("%+v", s.watches)
		}
	})
}

// An event is in its channel before the answer that could show the change is seen.
func TestEventsComeBeforeAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		data, _, child := watching(t, s, p)
		got := async(func() error { return s.Delete(t.Context(), "/d", -1) })
		xid := p.want(zk.OpDelete)
		p.event(zk.EventDeleted, "/d")
		p.event(zk.EventDeleted, "/c")
		p.reply(xid, 15, zk.OK)
		want(t, <-got, nil)
		if len(data) != 1 || len(child) != 1 {
			t.Error("no event")
		}
	})
}

func TestPersistentWatch(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		var all, one *Watch
		got := async(func() (err error) { all, err = s.AddWatch(t.Context(), "/", true); return err })
		p.reply(p.want(zk.OpAddWatch), 1, zk.OK, 0, 0, 0, 0)
		want(t, <-got, nil)
		got = async(func() (err error) { one, err = s.AddWatch(t.Context(), "/a", false); return err })
		p.reply(p.want(zk.OpAddWatch), 1, zk.OK, 0, 0, 0, 0)
		want(t, <-got, nil)
		p.event(zk.EventCreated, "/a/b/c")
		p.event(zk.EventChildrenChanged, "/a")
		p.event(zk.EventDataChanged, "/a")
		for _, want := range []string{"NodeCreated /a/b/c", "NodeDataChanged /a"} {
			if e := <-all.C; e.Type.String()+" "+e.Path != want {
				t.Errorf("%v %s, want %s", e.Type, e.Path, want)
			}
		}
		for _, want := range []zk.EventType{zk.EventChildrenChanged, zk.EventDataChanged} {
			if e := <-one.C; e.Type != want || e.Path != "/a" {
				t.Errorf("%v %s", e.Type, e.Path)
			}
		}
		p.close()
		p, r, xid := resume(t, f)
		if !slices.Equal(r.Persistent, []string{"/a"}) || !slices.Equal(r.PersistentRecursive, []string{"/"}) {
			t.Errorf("%+v", r)
		}
		p.reply(xid, 2, zk.OK)
		if e := <-all.C; e.Type != zk.EventNone {
			t.Errorf("%v: the connection was another one", e.Type)
		}
		for range watchQueue + 10 { // nobody receives
			p.event(zk.EventDataChanged, "/a")
		}
		synctest.Wait()
		<-one.C // in the pump's hand since before
		for n := 0; ; n++ {
			if e := <-one.C; e.Type == zk.EventNone {
				break
			} else if n > watchQueue {
				t.Fatal("events were dropped, and nothing said so")
			}
		}
		got = async(func() error { return one.Close(t.Context()) })
		var rm zk.WatchRequest
		h := p.request(&rm)
		if h.Op != zk.OpRemoveWatches || rm.Path != "/a" || zk.WatcherType(rm.Kind) != zk.WatcherPersistent {
			t.Errorf("%v %+v", h, rm)
		}
		p.reply(h.Xid, 3, zk.MarshallingError) // ZooKeeper before 3.9
		want(t, <-got, nil)
		want(t, one.Close(t.Context()), nil)
		s.end(Closed, ErrClosed)
		for range all.C {
		}
	})
}

func TestChroot(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Chroot = "/kafka/x"
		s, p := f.open(cfg)
		var created string
		got := async(func() (err error) { created, _, err = s.Create(t.Context(), "/a", nil, nil, zk.Persistent); return err })
		var r zk.CreateRequest
		h := p.request(&r)
		if r.Path != "/kafka/x/a" {
			t.Error(r.Path)
		}
		p.reply(h.Xid, 1, zk.OK, append(zk.AppendString(nil, "/kafka/x/a"), stat()...)...)
		if want(t, <-got, nil); created != "/a" {
			t.Error(created)
		}
		var changed <-chan zk.Event
		got = async(func() (err error) { _, _, changed, err = s.ChildrenW(t.Context(), "/"); return err })
		var read zk.ReadRequest
		if h = p.request(&read); read.Path != "/kafka/x" {
			t.Error(read.Path)
		}
		p.reply(h.Xid, 1, zk.OK, append([]byte{0, 0, 0, 0}, stat()...)...)
		want(t, <-got, nil)
		p.event(zk.EventChildrenChanged, "/kafka/xyz") // not ours
		p.event(zk.EventChildrenChanged, "/kafka/x")
		if e := <-changed; e.Path != "/" {
			t.Error(e.Path)
		}
		got = async(func() error { return s.MakeChroot(t.Context()) })
		for _, want := range []struct {
			path string
			err  zk.Error
		}{{"/kafka/x", zk.NoNode}, {"/kafka", zk.OK}, {"/kafka/x", zk.NodeExists}} {
			var r zk.CreateRequest
			if h := p.request(&r); r.Path != want.path {
				t.Errorf("%s, want %s", r.Path, want.path)
			} else if want.err == zk.OK {
				p.reply(h.Xid, 2, zk.OK, zk.AppendString(nil, r.Path)...)
			} else {
				p.reply(h.Xid, 2, want.err)
			}
		}
		want(t, <-got, nil)
	})
}
