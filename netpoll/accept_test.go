package netpoll

import (
	"os"
	"syscall"
	"testing"
)

// TestNoDescriptors has accept fail for want of descriptors. The server must survive it and take the connection later.
func TestNoDescriptors(t *testing.T) {
	r := newRig(t, Config{})
	first := r.dial() // whatever the first connection needs besides
	first.send([]byte("e"))
	first.expect([]byte("e"))
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	restore := func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) }
	defer restore()
	var fill []*os.File
	for { // up to a number above all that are open
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		fill = append(fill, f)
		if f.Fd() > 200 {
			break
		}
	}
	last := fill[len(fill)-1]
	low := syscall.Rlimit{Cur: uint64(last.Fd()) + 1, Max: old.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	last.Close() // room for the client's side only
	c := r.dial()
	eventually(t, "accept failed", func() bool { return r.srv.acceptErrors.Load() > 0 })
	first.send([]byte("e still served"))
	first.expect([]byte("e still served"))
	restore()
	c.send([]byte("e late"))
	c.expect([]byte("e late"))
	for _, f := range fill[:len(fill)-1] {
		f.Close()
	}
}

func TestSocketOptions(t *testing.T) {
	r := newRig(t, Config{SendBuffer: 50_000, RecvBuffer: 60_000})
	c := r.dial()
	c.send([]byte("e"))
	c.expect([]byte("e"))
	r.onLoop(func(l *Loop) {
		fd := l.slots[0].conn.fd
		for _, o := range []struct {
			name                string
			level, option, want int
		}{
			{"TCP_NODELAY", syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
			{"SO_KEEPALIVE", syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			{"SO_OOBINLINE", syscall.SOL_SOCKET, syscall.SO_OOBINLINE, 1},
			{"SO_PROTOCOL", syscall.SOL_SOCKET, 38, syscall.IPPROTO_TCP},
			{"SO_SNDBUF", syscall.SOL_SOCKET, syscall.SO_SNDBUF, 100_000},
			{"SO_RCVBUF", syscall.SOL_SOCKET, syscall.SO_RCVBUF, 120_000},
		} {
			if got, err := syscall.GetsockoptInt(fd, o.level, o.option); err != nil || got != o.want {
				t.Errorf("%s is %d, %v; want %d", o.name, got, err, o.want)
			}
		}
	})
}
