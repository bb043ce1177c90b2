package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

// Whatever a server sends instead of an answer, the request fails, the connection is left, and the next one works.
func TestGarbageFromTheServer(t *testing.T) {
	header := func(xid int32, err zk.Error) []byte {
		return (&zk.ReplyHeader{Xid: xid, Zxid: 1, Err: err}).Append(nil)
	}
	framed := func(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	for name, garbage := range map[string]func(xid int32) []byte{
		"no length":           func(int32) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") },
		"negative length":     func(int32) []byte { return []byte{255, 255, 255, 255} },
		"too long":            func(int32) []byte { return binary.BigEndian.AppendUint32(nil, defaultMaxReply+1) },
		"short header":        func(int32) []byte { return framed([]byte{1, 2, 3}) },
		"nobody's answer":     func(xid int32) []byte { return framed(header(xid+1, zk.OK)) },
		"no stat":             func(xid int32) []byte { return framed(header(xid, zk.OK)) },
		"half a stat":         func(xid int32) []byte { return framed(append(header(xid, zk.OK), make([]byte, 67)...)) },
		"answer to no ping":   func(int32) []byte { return framed(header(zk.XidPing, zk.OK)) },
		"answer to no auth":   func(int32) []byte { return framed(header(zk.XidAuth, zk.OK)) },
		"answer to no resets": func(int32) []byte { return framed(header(zk.XidSetWatches, zk.OK)) },
		"event of no form":    func(int32) []byte { return framed(header(zk.XidNotification, zk.OK)) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				s, p := f.open(f.config())
				got := async(func() error { _, err := s.Set(t.Context(), "/a", nil, -1); return err })
				go p.c.Write(garbage(p.want(zk.OpSetData))) // the client leaves before the end
				want(t, <-got, ErrConnectionLoss)
				p = <-f.conns
				p.hello()
				p.grant(7, 9*time.Second)
				got = async(func() error { _, err := s.Set(t.Context(), "/a", nil, -1); return err })
				p.reply(p.want(zk.OpSetData), 1, zk.OK, stat()...)
				want(t, <-got, nil)
			})
		})
	}
}

func TestGarbageInTheHandshake(t *testing.T) {
	for name, garbage := range map[string][]byte{
		"text":       []byte("SSH-2.0-OpenSSH_9.2p1\r\n"),
		"short":      {0, 0, 0, 3, 1, 2, 3},
		"long":       {0, 16, 0, 0},
		"no session": append([]byte{0, 0, 0, 37}, make([]byte, 37)...),
		"nothing":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				go func() {
					p := <-f.conns
					p.hello()
					go p.c.Write(garbage) // the client leaves before the end
				}()
				go func() {
					for len(f.conns) == 0 || f.dials.Load() < 2 {
						<-time.After(time.Millisecond)
					}
					p := <-f.conns
					p.hello()
					p.grant(9, 9*time.Second)
				}()
				s, err := Open(t.Context(), f.config())
				if err != nil || s.ID() != 9 {
					t.Fatal(err)
				}
				s.end(Closed, ErrClosed)
				s.wg.Wait()
			})
		})
	}
}

// Answers may come in pieces of any size, and several in one.
func TestHalfPackets(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		s, p := f.open(f.config())
		got := async(func() error { return s.Delete(t.Context(), "/a", -1) })
		a := (&zk.ReplyHeader{Xid: p.want(zk.OpDelete), Zxid: 1}).Append(zk.BeginPacket(nil))
		for _, b := range zk.EndPacket(a, 0) {
			p.write([]byte{b})
			synctest.Wait()
		}
		want(t, <-got, nil)
		results := make(chan error)
		var b []byte
		for range 10 {
			go func() { results <- s.Delete(t.Context(), "/a", -1) }()
		}
		for range 10 {
			start := len(b)
			b = zk.EndPacket((&zk.ReplyHeader{Xid: p.want(zk.OpDelete), Zxid: 1}).Append(zk.BeginPacket(b)), start)
		}
		go p.write(b)
		for range 10 {
			want(t, <-results, nil)
		}
	})
}

// FuzzReplies plays a server that sends anything: no panic, and everything that was asked has an end.
func FuzzReplies(f *testing.F) {
	ok := zk.EndPacket((&zk.ReplyHeader{Xid: 1, Zxid: 1}).Append(zk.BeginPacket(nil)), 0)
	f.Add(ok)
	f.Add(append(bytes.Clone(ok), 0, 0, 0, 1, 0))
	e := zk.Event{Type: zk.EventDeleted, State: 3, Path: "/a"}
	f.Add(zk.EndPacket(e.Append((&zk.ReplyHeader{Xid: -1, Zxid: -1}).Append(zk.BeginPacket(nil))), 0))
	m := zk.MultiResponse{Results: []zk.PartResult{{Op: zk.OpCreate2, Path: "/a"}, {Op: zk.OpError, Err: zk.NoNode}}}
	f.Add(zk.EndPacket(m.Append((&zk.ReplyHeader{Xid: 5, Zxid: 1}).Append(zk.BeginPacket(nil))), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg, err := Config{Servers: []string{"x"}, Logger: slog.New(slog.DiscardHandler), MaxReply: 1 << 16}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		s := newSession(cfg)
		c := &conn{s: s, net: near, raw: near, timeout: time.Minute, broken: make(chan struct{}), auths: 1, resets: 1,
			pings: make([]time.Duration, 1)}
		s.conn, s.granted, s.state, s.timeout = c, true, Connected, time.Minute
		calls := []*call{
			newCall(zk.OpGetData, "/a", nil, decodeData), newCall(zk.OpGetChildren2, "/a", nil, decodeChildren),
			newCall(zk.OpGetACL, "/a", nil, decodeACL), newCall(zk.OpCreate2, "/a", nil, decodePathStat),
			newCall(zk.OpMulti, "", nil, decodeMulti), newCall(zk.OpCloseSession, "", nil, nil),
		}
		calls[0].watch = &once{path: "/a", c: make(chan zk.Event, 1)}
		for _, x := range calls {
			s.calls.addLocked(x)
		}
		s.take(c, nil)
		go func() {
			far.Write(b) // the client may leave before the end
			far.Close()
		}()
		if c.cause = c.read(); c.cause == nil {
			t.Error("no error")
		}
		near.Close()
		s.lost(c)
		for _, x := range calls {
			<-x.done
		}
		s.end(Closed, errors.New("end"))
		if s.calls.count != 0 || s.calls.bytes != 0 {
			t.Errorf("%d requests, %d bytes left", s.calls.count, s.calls.bytes)
		}
	})
}
