package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func TestHandshakeAndResume(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		got := async(func() error { return s.Delete(t.Context(), "/a", 3) })
		p.reply(p.want(zk.OpDelete), 41, zk.OK)
		want(t, <-got, nil)
		if s.ID() != 7 || s.Timeout() != 9*time.Second || s.LastZxid() != 41 || s.Server() != "a:1" {
			t.Errorf("%d %v %d %s", s.ID(), s.Timeout(), s.LastZxid(), s.Server())
		}
		p.close()
		synctest.Wait()
		wantState(t, s, Disconnected)
		p = <-f.conns
		h := p.hello()
		if h.SessionID != 7 || string(h.Password) != "0123456789abcdef" || h.LastZxidSeen != 41 || h.TimeoutMillis != 9000 {
			t.Errorf("%+v", h)
		}
		p.grant(7, 6*time.Second)
		synctest.Wait()
		wantState(t, s, Connected)
		if s.Timeout() != 6*time.Second || <-s.Changes() != Connected {
			t.Errorf("timeout %v", s.Timeout())
		}
	})
}

func TestExpiryIsToldExactly(t *testing.T) {
	for name, answer := range map[string]func(p *peer){
		"told":               func(p *peer) { p.grant(0, 0) },
		"another session":    func(p *peer) { p.grant(8, 9*time.Second) },
		"no time-out":        func(p *peer) { p.grant(7, 0) },
		"as answer to a get": func(p *peer) { p.grant(7, 9*time.Second); p.reply(p.want(zk.OpGetData), 1, zk.SessionExpired) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				s, p := f.open(f.config())
				watched := make(chan (<-chan zk.Event), 1)
				got := async(func() error {
					_, _, c, err := s.GetW(t.Context(), "/w")
					watched <- c
					return err
				})
				p.reply(p.want(zk.OpGetData), 1, zk.OK, append([]byte{0, 0, 0, 0}, stat()...)...)
				want(t, <-got, nil)
				p.close()
				synctest.Wait()
				got = async(func() error { _, _, err := s.Get(t.Context(), "/x"); return err })
				p = <-f.conns
				p.hello()
				if name == "as answer to a get" {
					p.grant(7, 9*time.Second)
					p.want(zk.OpSetWatches)
					p.reply(zk.XidSetWatches, 1, zk.OK)
					p.reply(p.want(zk.OpGetData), 1, zk.SessionExpired)
				} else {
					answer(p)
				}
				want(t, <-got, ErrExpired)
				<-s.Done()
				wantState(t, s, Expired)
				want(t, s.Err(), ErrExpired)
				if e, ok := <-<-watched; ok {
					t.Errorf("event %+v", e)
				}
				want(t, s.Delete(t.Context(), "/y", -1), ErrExpired)
				want(t, s.Close(t.Context()), nil)
				if len(f.conns) > 0 {
					t.Error("it connects again")
				}
			})
		})
	}
}

// What was sent has an unknown outcome; what was not waits for the next connection; what nobody waits for any more is
// never sent.
func TestRequestsWhenTheConnectionBreaks(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		sent := async(func() error { return s.Delete(t.Context(), "/sent", -1) })
		p.want(zk.OpDelete)
		p.close()
		want(t, <-sent, ErrConnectionLoss)
		f.down.Store(true)
		waits := async(func() error { return s.Delete(t.Context(), "/waits", -1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := s.Delete(ctx, "/never", -1)
		want(t, err, context.DeadlineExceeded)
		if errors.Is(err, ErrConnectionLoss) {
			t.Errorf("%v: it was never sent", err)
		}
		f.down.Store(false)
		for len(f.conns) > 0 { // one was made before it was down
			<-f.conns
		}
		p = <-f.conns
		p.hello()
		p.grant(7, 9*time.Second)
		var r zk.VersionRequest
		if h := p.request(&r); r.Path != "/waits" {
			t.Errorf("%v %s", h.Op, r.Path)
		} else {
			p.reply(h.Xid, 5, zk.NoNode)
		}
		want(t, <-waits, zk.NoNode)
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := async(func() error { return s.Delete(ctx, "/slow", -1) })
		xid := p.want(zk.OpDelete)
		err = <-got
		want(t, err, context.DeadlineExceeded)
		want(t, err, ErrConnectionLoss) // unknown
		p.reply(xid, 6, zk.OK)
		got = async(func() error { return s.Delete(t.Context(), "/after", -1) })
		p.reply(p.want(zk.OpDelete), 7, zk.OK)
		want(t, <-got, nil)
	})
}

// The lease counts from the sending of what was answered.
func TestLease(t *testing.T) {
	const T = 9 * time.Second
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		begin := time.Now()
		<-time.After(T / 3)
		if at := time.Since(begin); p.want(zk.OpPing) != zk.XidPing || at != T/3 {
			t.Errorf("ping after %v", at)
		}
		pinged := time.Now()
		<-time.After(time.Second)
		p.reply(zk.XidPing, 1, zk.OK)
		p.close()
		f.down.Store(true)
		synctest.Wait()
		wantState(t, s, Disconnected)
		for state := range s.Changes() {
			if state == Lapsed {
				break
			}
		}
		wantState(t, s, Lapsed)
		if got, want := time.Since(pinged), T-18*time.Millisecond-250*time.Millisecond; got != want {
			t.Errorf("lapsed after %v, want %v", got, want)
		}
		f.down.Store(false)
		for p.addr = ""; p.addr == ""; { // the one that was made before it was down, if any
			p = <-f.conns
			p.hello()
			p.grant(7, T)
			synctest.Wait()
		}
		wantState(t, s, Connected)
	})
}

// A server that says nothing is left after two thirds of the time-out, and another one asked.
func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Servers = []string{"a:1", "b:2"}
		s, p := f.open(cfg)
		begin := time.Now()
		go drain(p)
		q := <-f.conns
		if took := time.Since(begin); took < 6*time.Second || took > 6*time.Second+firstPause {
			t.Errorf("after %v", took)
		}
		if q.addr == p.addr {
			t.Error("the same server")
		}
		want(t, s.Trouble(), errSilent)
	})
}

func drain(p *peer) {
	for {
		if _, err := zk.ReadPacket(p.c, nil, 1<<20); err != nil {
			return
		}
	}
}

// A machine that was suspended finds out without waiting for a timer.
func TestSuspended(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, _ := f.open(f.config())
		wantState(t, s, Connected)
		f.slept.Store(int64(time.Hour))
		wantState(t, s, Lapsed)
	})
}

func TestAuthIsShownToEachServer(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Auth = []Auth{{"digest", []byte("u:p")}, {"ip", nil}}
		opened := async(func() error {
			s, err := Open(t.Context(), cfg)
			if err == nil {
				t.Cleanup(func() { s.end(Closed, ErrClosed) })
			}
			return err
		})
		for range 2 {
			p := <-f.conns
			p.hello()
			p.grant(7, 9*time.Second)
			for _, scheme := range []string{"digest", "ip"} {
				var r zk.AuthRequest
				if h := p.request(&r); h.Xid != zk.XidAuth || r.Scheme != scheme {
					t.Errorf("%+v %+v", h, r)
				}
				synctest.Wait()
				if len(opened) > 0 && scheme == "digest" {
					t.Error("open before it is known")
				}
				p.reply(zk.XidAuth, 0, zk.OK)
			}
			if opened != nil {
				want(t, <-opened, nil)
				opened = nil
			}
			p.close()
		}
		p := <-f.conns
		p.hello()
		p.grant(7, 9*time.Second)
		p.want(zk.OpAuth)
		p.reply(zk.XidAuth, 0, zk.AuthFailed)
		synctest.Wait()
	})
}

func TestAuthThatIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Auth = []Auth{{"digest", nil}}
		opened := async(func() error { _, err := Open(t.Context(), cfg); return err })
		p := <-f.conns
		p.hello()
		p.grant(7, 9*time.Second)
		p.want(zk.OpAuth)
		p.reply(zk.XidAuth, 0, zk.AuthFailed)
		want(t, <-opened, ErrAuthFailed)
	})
}

// A server whose data is older says nothing, so it is asked what it has.
func TestServerIsBehind(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.LastZxid = 0x50
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		opened := async(func() error { _, err := Open(ctx, cfg); return err })
		go func() {
			for {
				var p *peer
				select {
				case p = <-f.conns:
				case <-ctx.Done():
					return
				}
				if h := p.hello(); h.LastZxidSeen != 0x50 {
					t.Errorf("%+v", h)
				}
				p.close()
				p = <-f.conns
				word := make([]byte, 4)
				if _, err := p.c.Read(word); err != nil || string(word) != "srvr" {
					t.Errorf("%q %v", word, err)
				}
				p.write([]byte("Zookeeper version: 3.8.0\nZxid: 0x4f\nMode: standalone\n"))
				p.close()
			}
		}()
		err := <-opened
		want(t, err, ErrBehind)
		want(t, err, context.DeadlineExceeded)
		if n := f.dials.Load(); n > 40 {
			t.Errorf("%d connections in 5 s", n)
		}
	})
}

// A server that takes every connection and drops it at once is not asked in a tight loop.
func TestReconnectStorm(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		p.close()
		stop := time.After(time.Minute)
		for n := 0; ; n++ {
			select {
			case p := <-f.conns:
				p.hello()
				p.grant(7, 9*time.Second)
				p.close()
			case <-stop:
				if n < 30 || n > 200 {
					t.Errorf("%d connections in a minute", n)
				}
				wantState(t, s, Disconnected)
				return
			}
		}
	})
}

func TestCloseWhileDisconnected(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		f.down.Store(true)
		p.close()
		synctest.Wait()
		under := async(func() error { return s.Delete(t.Context(), "/a", -1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		want(t, s.Close(ctx), context.DeadlineExceeded)
		want(t, <-under, ErrClosed)
		wantState(t, s, Closed)
		want(t, s.Close(t.Context()), nil)
	})
}

// The answer to closeSession is lost; the next connection tells that it was done.
func TestCloseWhoseAnswerIsLost(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		closed := async(func() error { return s.Close(t.Context()) })
		p.want(zk.OpCloseSession)
		want(t, s.Delete(t.Context(), "/late", -1), ErrClosed)
		p.close()
		p = <-f.conns
		p.hello()
		p.grant(0, 0)
		want(t, <-closed, nil)
	})
}

func TestOpenGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.down.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := Open(ctx, f.config())
		want(t, err, context.DeadlineExceeded)
		if err == nil || fmt.Sprint(err) != "opening a session: context deadline exceeded; a:1: dial: connection refused" {
			t.Error(err)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		f.down.Store(true)
		p.close()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		results := make(chan error, maxPending+10)
		for range maxPending + 10 {
			go func() { results <- s.Delete(ctx, "/a", -1) }()
		}
		synctest.Wait()
		s.mu.Lock()
		if s.calls.count != maxPending || len(s.calls.queue) > maxPending {
			t.Errorf("%d requests, %d in the queue", s.calls.count, len(s.calls.queue))
		}
		s.mu.Unlock()
		cancel()
		for range maxPending + 10 {
			want(t, <-results, context.Canceled)
		}
		if s.calls.count != 0 || s.calls.bytes != 0 || len(s.calls.queue) > 2*keepDead {
			t.Errorf("%d requests, %d bytes left, %d in the queue", s.calls.count, s.calls.bytes, len(s.calls.queue))
		}
		_, _, err := s.Create(t.Context(), "/a", make([]byte, 1<<20), nil, zk.Persistent)
		want(t, err, ErrTooLarge)
	})
}

// The server that takes the session over may agree to less; the lease is by the newest agreement.
func TestTimeoutThatShrinks(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Timeout = time.Minute
		go func() {
			p := <-f.conns
			p.hello()
			p.grant(7, time.Minute)
			p.close()
		}()
		s, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := <-f.conns
		p.hello()
		at := time.Now()
		p.grant(7, 4*time.Second)
		f.down.Store(true)
		p.close()
		for s.State() != Lapsed {
			<-s.Changes()
		}
		if got := time.Since(at); got > held(4*time.Second) {
			t.Errorf("lapsed after %v", got)
		}
		s.end(Closed, ErrClosed)
		s.wg.Wait()
	})
}

// Xids begin anew before they would be negative, which have a meaning of their own.
func TestXidsBeginAnew(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		s.mu.Lock()
		s.calls.xid = 1<<31 - 3
		s.mu.Unlock()
		for _, want := range []int32{1<<31 - 2, 1, 2} {
			got := async(func() error { return s.Delete(t.Context(), "/a", -1) })
			xid := p.want(zk.OpDelete)
			if xid != want {
				t.Errorf("xid %d, want %d", xid, want)
			}
			p.reply(xid, 1, zk.OK)
			if err := <-got; err != nil {
				t.Error(err)
			}
		}
	})
}

// What is missing above the root is told, not tried for ever.
func TestChrootThatIsMissing(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		cfg := f.config()
		cfg.Chroot = "/none"
		s, p := f.open(cfg)
		go func() {
			for {
				b, err := zk.ReadPacket(p.c, nil, 1<<20)
				if err != nil {
					return
				}
				var h zk.RequestHeader
				if h.Decode(zk.NewDecoder(b)); h.Op != zk.OpPing {
					p.reply(h.Xid, 1, zk.NoNode)
				}
			}
		}()
		_, err := (&Counter{Session: s, Path: "/c"}).Add(t.Context(), 1)
		want(t, err, zk.NoNode)
		_, err = (&Election{Session: s, Dir: "/"}).Campaign(t.Context(), nil)
		want(t, err, zk.NoNode)
		_, err = (&Group{Session: s, Dir: "/"}).Join(t.Context(), "a", nil)
		want(t, err, zk.NoNode)
		p.close()
	})
}
