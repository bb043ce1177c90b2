package netpoll

import (
	"io"
	"testing"
)

// delta is what Stats counted while f ran. Turns publish their counts when they end, which may be after their
// replies have arrived: a task on the loop comes after that.
func (r *rig) delta(f func()) Stats {
	settle := func() Stats {
		for range 2 { // a task's own turn ends after the task
			r.onLoop(func(*Loop) {})
		}
		return r.srv.Stats()
	}
	a := settle()
	f()
	b := settle()
	b.Frames -= a.Frames
	b.Reads -= a.Reads
	b.Readvs -= a.Readvs
	b.Writevs -= a.Writevs
	b.Sendfiles -= a.Sendfiles
	b.EpollCtls -= a.EpollCtls
	b.FrameAllocs -= a.FrameAllocs
	return b
}

func TestSystemCallsOfOneRequest(t *testing.T) {
	t.Run("sendfile", func(t *testing.T) { testOneRequest(t, newRig(t, Config{}), 2, 1) })
	t.Run("copied", func(t *testing.T) { testOneRequest(t, newRig(t, Config{CopyFiles: true}), 1, 0) })
}

func testOneRequest(t *testing.T, r *rig, fileWrites, sendfiles int64) {
	c := r.dial()
	const rounds = 100
	for _, test := range []struct {
		name             string
		frame, reply     []byte
		writes, sendfile int64
	}{
		{"memory", echoFrame(500, 1), echoFrame(500, 1), 1, 0},
		{"largest for one read", echoFrame(gnetBuffer-lengthSize-1, 1), echoFrame(gnetBuffer-lengthSize-1, 1), 1, 0},
		{"file", spliceFrame(100, 8000, 0), r.splicedReply(spliceFrame(100, 8000, 0)), fileWrites, sendfiles},
	} {
		d := r.delta(func() {
			for range rounds {
				c.send(test.frame)
				c.expect(test.reply)
			}
		})
		if d.Frames != rounds || d.Reads != rounds || d.Readvs != 0 || d.Writevs != rounds*test.writes ||
			d.Sendfiles != rounds*test.sendfile || d.EpollCtls != 0 {
			t.Errorf("%s, %d requests: %d read, %d readv, %d sendmsg, %d sendfile, %d epoll_ctl", test.name, d.Frames,
				d.Reads, d.Readvs, d.Writevs, d.Sendfiles, d.EpollCtls)
		}
	}
}

// TestSystemCallsOfManyRequests: requests sent ahead share system calls.
func TestSystemCallsOfManyRequests(t *testing.T) {
	r := newRig(t, Config{})
	c := r.dial()
	const n = 500
	var ahead []byte
	for i := range n {
		ahead = append(ahead, framed(echoFrame(100, uint64(i)))...)
	}
	back := make([]byte, len(ahead))
	d := r.delta(func() {
		c.Write(ahead)
		if _, err := io.ReadFull(c, back); err != nil {
			t.Fatal(err)
		}
	})
	if calls := d.Reads + d.Readvs + d.Writevs + d.EpollCtls; d.Frames != n || calls > n/10 {
		t.Errorf("%d requests: %d read, %d readv, %d sendmsg, %d epoll_ctl", d.Frames, d.Reads, d.Readvs, d.Writevs,
			d.EpollCtls)
	}
}
