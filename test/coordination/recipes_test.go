package coordination

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// campaign is a candidate that does not lead yet.
func campaign(t *testing.T, s *client.Session, name string) <-chan *client.Held {
	c := make(chan *client.Held, 1)
	go func() {
		defer close(c)
		h, err := (&client.Election{Session: s, Dir: "/election/x"}).Campaign(t.Context(), []byte(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		c <- h
	}()
	return c
}

// line waits until so many nodes are below a path.
func line(t *testing.T, s *client.Session, dir string, n int) []string {
	t.Helper()
	g := client.Group{Session: s, Dir: dir}
	for {
		names, changed, err := g.Members(t.Context())
		must(t, err)
		if len(names) == n {
			s.Unwatch(changed)
			return names
		}
		<-changed
	}
}

func TestElection(t *testing.T) {
	k := start(t)
	a, b, c := k.open(), k.open(), k.open()
	first := <-campaign(t, a, "a")
	if first.Number() != 0 || first.Path() != "/election/x/master0000000000" {
		t.Errorf("%d %s", first.Number(), first.Path())
	}
	second := campaign(t, b, "b")
	line(t, c, "/election/x", 2)
	third := campaign(t, c, "c")
	line(t, a, "/election/x", 3)
	e := client.Election{Session: c, Dir: "/election/x"}
	leader, changed, err := e.Leader(t.Context())
	must(t, err)
	if string(leader.Data) != "a" || leader.Session != a.ID() || leader.Zxid != first.Zxid() {
		t.Errorf("%+v", leader)
	}
	must(t, first.Release(t.Context()))
	want(t, first.Err(), client.ErrReleased)
	<-changed
	held := <-second
	if held.Number() != 1 || held.Zxid() <= first.Zxid() {
		t.Errorf("%d at %d", held.Number(), held.Zxid())
	}
	again := campaign(t, a, "a") // returns, and gets a new number
	line(t, b, "/election/x", 3)
	must(t, b.Close(t.Context()))
	<-held.Lost()
	want(t, held.Err(), client.ErrClosed)
	held = <-third
	must(t, a.Delete(t.Context(), held.Path(), -1)) // by somebody
	<-held.Lost()
	if held = <-again; held.Number() != 3 {
		t.Errorf("number %d", held.Number())
	}
	must(t, held.Release(t.Context()))
	leader, changed, err = e.Leader(t.Context())
	if must(t, err); leader != nil {
		t.Errorf("%+v", leader)
	}
	<-campaign(t, c, "c")
	<-changed
	leader, _, err = (&client.Election{Session: c, Dir: "/nowhere"}).Leader(t.Context())
	if must(t, err); leader != nil {
		t.Errorf("%+v", leader)
	}
}

// Who is cut off stops before another one may begin.
func TestLeaderThatIsCutOff(t *testing.T) {
	k := start(t)
	p := through(t, k)
	a := k.open(p.via, func(c *client.Config) { c.Timeout = 2 * time.Second })
	b := k.open()
	held := <-campaign(t, a, "a")
	next := campaign(t, b, "b")
	line(t, b, "/election/x", 2)
	p.setDeaf()
	select {
	case <-held.Lost():
	case <-next:
		t.Error("two leaders")
	}
	want(t, held.Err(), client.ErrLapsed)
	<-next
}

// The answer to the create is lost: the node is found again, and there is one.
func TestTicketsWhoseAnswersAreLost(t *testing.T) {
	k := start(t)
	p := through(t, k)
	a, b := k.open(p.via), k.open()
	other, err := (&client.Lock{Session: b, Dir: "/lock"}).Lock(t.Context(), nil) // makes the directory
	must(t, err)
	must(t, other.Release(t.Context()))
	done := p.cutOnce(zk.OpCreate2)
	held, err := (&client.Lock{Session: a, Dir: "/lock"}).Lock(t.Context(), []byte("mine"))
	must(t, err)
	<-done
	if names := line(t, b, "/lock", 1); "/lock/"+names[0] != held.Path() || held.Number() != 1 {
		t.Errorf("%q, have %s", names, held.Path())
	}
	data, stat, err := b.Get(t.Context(), held.Path())
	if must(t, err); string(data) != "mine" || stat.Czxid != held.Zxid() {
		t.Errorf("%s %+v", data, stat)
	}
	done = p.cutOnce(zk.OpDelete)
	must(t, held.Release(t.Context()))
	<-done
	line(t, b, "/lock", 0)
}

// Nobody waits any more for the node whose answer was lost: it must not hold up the line.
func TestTicketThatIsGivenUp(t *testing.T) {
	k := start(t)
	p := through(t, k)
	a, b := k.open(p.via), k.open()
	other, err := (&client.Lock{Session: b, Dir: "/lock"}).Lock(t.Context(), nil)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	p.setCut(func(op zk.Op) bool { // after the create nothing is answered until the caller has gone
		if op == zk.OpCreate2 {
			cancel()
		}
		return op == zk.OpCreate2
	})
	_, err = (&client.Lock{Session: a, Dir: "/lock"}).Lock(ctx, nil)
	want(t, err, context.Canceled)
	p.setCut(nil)
	line(t, b, "/lock", 1)
	ctx, cancel = context.WithCancel(t.Context())
	waits := make(chan error)
	go func() { _, err := (&client.Lock{Session: a, Dir: "/lock"}).Lock(ctx, nil); waits <- err }()
	line(t, b, "/lock", 2)
	cancel()
	want(t, <-waits, context.Canceled)
	line(t, b, "/lock", 1)
	h, err := (&client.Lock{Session: a, Dir: "/lock"}).TryLock(t.Context(), nil)
	if must(t, err); h != nil {
		t.Error("two holders")
	}
	must(t, other.Release(t.Context()))
	line(t, b, "/lock", 0)
	h, err = (&client.Lock{Session: a, Dir: "/lock"}).TryLock(t.Context(), nil)
	if must(t, err); h == nil {
		t.Error("nobody holds it, and it is refused")
	}
}

// Many hold a lock in turn while their connections break, and never two at a time.
func TestLockExcludes(t *testing.T) {
	k := start(t)
	p := through(t, k)
	var n atomic.Int32
	p.setCut(func(zk.Op) bool { return n.Add(1)%13 == 0 })
	var inside, entered atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		s := k.open(p.via)
		wg.Go(func() {
			for range 8 {
				h, err := (&client.Lock{Session: s, Dir: "/locks/one"}).Lock(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two holders")
				}
				entered.Add(1)
				inside.Add(-1)
				if err := h.Release(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if entered.Load() != 32 {
		t.Errorf("%d of 32 times", entered.Load())
	}
	p.setCut(nil)
	line(t, k.open(), "/locks/one", 0)
}

func TestGroup(t *testing.T) {
	k := start(t)
	p := through(t, k)
	a, b := k.open(p.via), k.open()
	ga, gb := client.Group{Session: a, Dir: "/g/members"}, client.Group{Session: b, Dir: "/g/members"}
	names, changed, err := gb.Members(t.Context())
	if must(t, err); len(names) != 0 {
		t.Errorf("%q", names)
	}
	p.cutOnce(zk.OpCreate2)
	_, err = ga.Join(t.Context(), "one", []byte("1"))
	must(t, err)
	<-changed
	_, err = ga.Join(t.Context(), "one", []byte("2"))
	must(t, err)
	_, err = gb.Join(t.Context(), "one", nil)
	want(t, err, zk.NodeExists)
	_, err = gb.Join(t.Context(), "two", nil)
	must(t, err)
	if names := line(t, a, "/g/members", 2); !slices.Equal(names, []string{"one", "two"}) {
		t.Errorf("%q", names)
	}
	data, stat, err := gb.Get(t.Context(), "one")
	if must(t, err); string(data) != "2" || stat.EphemeralOwner != a.ID() {
		t.Errorf("%s %+v", data, stat)
	}
	p.cutOnce(zk.OpDelete)
	must(t, ga.Leave(t.Context(), "one"))
	must(t, ga.Leave(t.Context(), "one"))
	line(t, a, "/g/members", 1)
	must(t, b.Close(t.Context()))
	line(t, a, "/g/members", 0)
}

func TestCounter(t *testing.T) {
	k := start(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]bool{}
	for range 4 {
		c := client.Counter{Session: k.open(), Path: "/counters/a"}
		wg.Go(func() {
			for range 25 {
				n, err := c.Add(t.Context(), 1)
				mu.Lock()
				if err != nil || seen[n] {
					t.Errorf("%d, %v", n, err)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	s := k.open()
	c := client.Counter{Session: s, Path: "/counters/a"}
	n, _, err := c.Get(t.Context())
	if must(t, err); n != 100 {
		t.Errorf("%d", n)
	}
	_, err = s.Set(t.Context(), "/counters/a", []byte("x"), -1)
	must(t, err)
	if _, err := c.Add(t.Context(), 1); err == nil {
		t.Error("no error")
	}
	p := through(t, k)
	lost := client.Counter{Session: k.open(p.via), Path: "/counters/b"}
	p.cutOnce(zk.OpCreate2)
	_, err = lost.Add(t.Context(), 1)
	want(t, err, client.ErrConnectionLoss)
	p.cutOnce(zk.OpSetData)
	_, err = lost.Add(t.Context(), 1)
	want(t, err, client.ErrConnectionLoss)
}

// Everything at once, with connections that break, and sessions closed in the middle: what is asked has an end, and
// nothing stays behind.
func TestCloseDuringEverything(t *testing.T) {
	k := start(t)
	p := through(t, k)
	var n atomic.Int32
	p.setCut(func(zk.Op) bool { return n.Add(1)%50 == 0 })
	for round := range 10 {
		s := k.open(p.via)
		var wg sync.WaitGroup
		begun := make(chan struct{}, 100)
		for i := range 20 {
			wg.Go(func() {
				for j := 0; s.Err() == nil; j++ {
					path := fmt.Sprintf("/r%d-%d", round, i)
					switch rand.N(6) {
					case 0:
						_, _, _ = s.Create(t.Context(), path, nil, nil, zk.Ephemeral)
					case 1:
						_ = s.Delete(t.Context(), path, -1)
					case 2:
						_, _, c, _ := s.GetW(t.Context(), path)
						s.Unwatch(c)
					case 3:
						_, _, _, _ = s.ExistsW(t.Context(), path)
					case 4:
						ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
						if h, _ := (&client.Lock{Session: s, Dir: "/all"}).Lock(ctx, nil); h != nil {
							_ = h.Release(ctx)
						}
						cancel()
					case 5:
						if w, err := s.AddWatch(t.Context(), path, true); err == nil && j%2 == 0 {
							_ = w.Close(t.Context())
						}
					}
					select {
					case begun <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 100 {
			<-begun
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		must(t, s.Close(ctx))
		cancel()
		wg.Wait()
	}
	names, _, err := k.open().Children(t.Context(), "/all")
	if err == nil && len(names) > 0 {
		t.Errorf("left: %q", names)
	}
}
