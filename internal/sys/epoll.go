package sys

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNoEpoll says that no epoll instance watches the descriptor in the expected way.
var ErrNoEpoll = errors.New("sys: no epoll instance found that watches the descriptor")

// A Watch names the epoll instance of an event loop that is not ours and the events that it asks for, so that the
// loop's interest in a descriptor can be switched off and on again.
//
// Why reach into another library's epoll: a level-triggered loop that offers no way to stop reading forces its user
// to buffer without bound what a peer sends, or to close the connection. The kernel has no such limit: EPOLL_CTL_MOD
// with an empty event set stops EPOLLIN, and only EPOLLERR and EPOLLHUP are still reported, which is wanted. This is
// sound as long as (1) the instance is the one that watches the descriptor, (2) the original event set and data word
// are put back exactly, and (3) the loop itself never modifies the events meanwhile. FindWatch checks (1) and reads
// (2) from the kernel; (3) is the caller's to know.
type Watch struct {
	epfd   int
	events uint32
}

// FindWatch looks up the epoll instance of this process that watches fd, by what the kernel tells in
// /proc/self/fdinfo (lines "tfd:" of proc(5)). It fails with ErrNoEpoll when there is none, or when the data word is
// not the plain descriptor number: then other descriptors cannot be modified without knowing what theirs is.
//
// The inode is compared besides the number: an instance may list a number under which a socket was known that is
// still open as a duplicate.
func FindWatch(fd int) (Watch, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Watch{}, fmt.Errorf("fstat of descriptor %d: %w", fd, err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return Watch{}, fmt.Errorf("%w: %w", ErrNoEpoll, err)
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err != nil || target != "anon_inode:[eventpoll]" {
			continue // gone meanwhile, or something else
		}
		epfd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if events, ok := watchedEvents(epfd, fd, st.Ino); ok {
			return Watch{epfd: epfd, events: events}, nil
		}
	}
	return Watch{}, fmt.Errorf("%w: %d", ErrNoEpoll, fd)
}

// watchedEvents finds fd in the list of what epfd watches. A line reads
// "tfd: 4 events: 1b data: 4 pos:0 ino:a3fc sdev:9": tfd is decimal, the others hexadecimal.
func watchedEvents(epfd, fd int, ino uint64) (events uint32, ok bool) {
	f, err := os.Open(filepath.Join("/proc/self/fdinfo", strconv.Itoa(epfd)))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(strings.ReplaceAll(s.Text(), ":", ": "))
		if len(fields) < 10 || fields[0] != "tfd:" || fields[1] != strconv.Itoa(fd) {
			continue
		}
		ev, err1 := strconv.ParseUint(fields[3], 16, 32)
		data, err2 := strconv.ParseUint(fields[5], 16, 64)
		node, err3 := strconv.ParseUint(fields[9], 16, 64)
		if err1 == nil && err2 == nil && err3 == nil && data == uint64(fd) && node == ino {
			return uint32(ev), true
		}
	}
	return 0, false
}

// Pause stops the reports of readiness of fd.
func (w Watch) Pause(fd int) syscall.Errno { return w.modify(fd, 0) }

// Resume brings them back; what became readable meanwhile is reported at once.
func (w Watch) Resume(fd int) syscall.Errno { return w.modify(fd, w.events) }

func (w Watch) modify(fd int, events uint32) syscall.Errno {
	return epollCtl(w.epfd, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

func epollCtl(epfd, op, fd int, ev *unix.EpollEvent) syscall.Errno {
	err := unix.EpollCtl(epfd, op, fd, ev)
	if err == nil {
		return 0
	}
	errno, ok := err.(syscall.Errno)
	if !ok {
		return syscall.EINVAL
	}
	return errno
}

// A Poller is an epoll instance of our own for one-shot reports that a socket takes bytes again. Arm, Disarm and
// Stop may be called from any goroutine, Wait from one.
type Poller struct {
	epfd, stop int
}

// stopToken is the data word of the stop descriptor. Tokens of callers must differ from it.
const stopToken = ^uint64(0)

// NewPoller opens one. The caller closes it.
func NewPoller() (*Poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		unix.Close(epfd)
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p := &Poller{epfd: epfd, stop: stop}
	if e := epollCtl(epfd, unix.EPOLL_CTL_ADD, stop, event(unix.EPOLLIN, stopToken)); e != 0 {
		p.Close()
		return nil, fmt.Errorf("epoll_ctl: %w", e)
	}
	return p, nil
}

// event packs token into the 64-bit data word, whose halves unix.EpollEvent calls Fd and Pad.
func event(events uint32, token uint64) *unix.EpollEvent {
	return &unix.EpollEvent{Events: events, Fd: int32(uint32(token)), Pad: int32(uint32(token >> 32))}
}

// Arm asks for one report of token when fd takes bytes again, has failed, or was closed by the peer. known says
// whether the descriptor was armed before since it was opened.
func (p *Poller) Arm(fd int, token uint64, known bool) syscall.Errno {
	op := unix.EPOLL_CTL_ADD
	if known {
		op = unix.EPOLL_CTL_MOD
	}
	return epollCtl(p.epfd, op, fd, event(unix.EPOLLOUT|unix.EPOLLONESHOT, token))
}

// Disarm forgets fd. A report that was already taken by Wait may still come.
func (p *Poller) Disarm(fd int) syscall.Errno {
	return epollCtl(p.epfd, unix.EPOLL_CTL_DEL, fd, nil)
}

// Wait blocks its thread until something is ready, and appends the tokens to dst. It returns ok false after Stop.
func (p *Poller) Wait(dst []uint64) (tokens []uint64, ok bool) {
	var events [128]unix.EpollEvent
	for {
		n, err := unix.EpollWait(p.epfd, events[:], -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return dst, false
		}
		for i := range events[:n] {
			token := uint64(uint32(events[i].Fd)) | uint64(uint32(events[i].Pad))<<32
			if token == stopToken {
				return dst, false
			}
			dst = append(dst, token)
		}
		return dst, true
	}
}

// Stop makes Wait return false, now and later.
func (p *Poller) Stop() error {
	_, err := unix.Write(p.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

// Close closes the descriptors. Nobody may be in Wait any more.
func (p *Poller) Close() {
	unix.Close(p.stop)
	unix.Close(p.epfd)
}
