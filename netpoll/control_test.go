package netpoll

import (
	"syscall"

	"github.com/sluice-mq/sluice/internal/sys"
)

// control sets a client's receive buffer, which must be done before it connects.
func control(receive int) func(_, _ string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) (err error) {
		raw.Control(func(fd uintptr) { err = sys.SetBuffers(int(fd), 0, receive) })
		return err
	}
}
