package registry

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/coordination/zk"
)

// cutter stands between a client and a server and loses one answer: that of the numbered packet of the server's, with
// which the connection ends. The next connections go through.
type cutter struct {
	l       net.Listener
	to      string
	left    atomic.Int64 // packets until the one that is lost
	packets atomic.Int64
	mu      sync.Mutex
	conns   []net.Conn
	closed  bool
	wg      sync.WaitGroup
}

func cut(t *testing.T, to string, packet int64) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{l: l, to: to}
	c.left.Store(packet)
	c.wg.Go(c.accept)
	return c
}

func (c *cutter) accept() {
	for {
		in, err := c.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.to)
		if err != nil {
			in.Close()
			continue
		}
		c.mu.Lock()
		c.conns = append(c.conns, in, out)
		if c.closed {
			in.Close()
			out.Close()
		}
		c.mu.Unlock()
		c.wg.Go(func() { c.pass(out, in, false) })
		c.wg.Go(func() { c.pass(in, out, true) })
	}
}

// pass copies packets; those of the server are counted.
func (c *cutter) pass(to, from net.Conn, answers bool) {
	defer to.Close()
	defer from.Close()
	r := bufio.NewReader(from)
	for {
		b, err := zk.ReadPacket(r, nil, 8<<20)
		if err != nil {
			return
		}
		if answers {
			c.packets.Add(1)
			if c.left.Add(-1) == 0 {
				return
			}
		}
		if _, err := to.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)); err != nil {
			return
		}
	}
}

func (c *cutter) close() {
	c.l.Close()
	c.mu.Lock()
	c.closed = true
	for _, conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.wg.Wait()
}

// lifecycle does everything once and leaves nothing but the fixed nodes, an epoch and a block of producer ids.
func lifecycle(ctx context.Context, r *registry.Registry) error {
	if err := r.Prepare(ctx); err != nil {
		return err
	}
	_, idErr := r.ClusterID(ctx)
	epoch, regErr := r.Register(ctx, broker(1, 9092), 0)
	c, won, electErr := r.Elect(ctx, 1)
	if err := errors.Join(idErr, regErr, electErr); err != nil || !won || epoch == 0 {
		return errors.Join(err, errors.New("not elected"))
	}
	t, states := topic("t", 3)
	if err := errors.Join(r.CreateTopic(ctx, t, map[string]string{"a": "1"}), r.CreatePartitionStates(ctx, c, states)); err != nil {
		return err
	}
	for i := range states {
		states[i].State.LeaderEpoch++
	}
	if err := r.UpdatePartitionStates(ctx, c, states); err != nil {
		return err
	}
	for _, u := range states {
		if u.Err != nil || u.State.Epoch != 1 {
			return errors.Join(u.Err, errors.New("not updated"))
		}
	}
	first, err := r.AllocateProducerIDs(ctx, 1)
	if err != nil {
		return err
	}
	if second, err := r.AllocateProducerIDs(ctx, 1); err != nil || second.First <= first.Last {
		return errors.Join(err, errors.New("the same producer ids twice"))
	}
	e := registry.BrokerEntity(1)
	return errors.Join(r.SetConfig(ctx, e, map[string]string{"a": "1"}), r.DeleteConfig(ctx, e),
		r.MarkTopicDeleted(ctx, "t"), r.DeleteTopic(ctx, c, "t"), r.Resign(ctx, c), r.Unregister(ctx, 1))
}

// TestAnyAnswerMayBeLost ends the connection instead of giving each of the answers, one in each run.
func TestAnyAnswerMayBeLost(t *testing.T) {
	var want []string
	for packet, last := int64(0), int64(1); packet <= last; packet++ {
		address := start(t)
		c := cut(t, address, packet) // the first run loses none
		r, session := open(t, c.l.Addr().String(), registry.Options{})
		if err := lifecycle(t.Context(), r); err != nil {
			t.Fatalf("answer %d lost: %v", packet, err)
		}
		if packet == 0 {
			last = c.packets.Load()
		}
		if err := session.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.close()
		left := paths(t, address)
		if packet == 0 {
			want = left
		}
		if !reflect.DeepEqual(left, want) {
			t.Errorf("answer %d lost: left %v, want %v", packet, left, want)
		}
	}
}

// paths are all nodes but the notifications, of which there may be two.
func paths(t *testing.T, address string) (all []string) {
	t.Helper()
	_, s := open(t, address, registry.Options{})
	var walk func(path string)
	walk = func(path string) {
		names, _, err := s.Children(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, path)
		if path == registry.ConfigChangesPath {
			return
		}
		slices.Sort(names)
		for _, name := range names {
			walk(zk.Join(path, name))
		}
	}
	walk("/")
	return all
}
