package netpoll

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPost: tasks run in order, one wake-up however many are posted meanwhile, TurnEnd after them.
func TestPost(t *testing.T) {
	r := newRig(t, Config{})
	l := r.srv.Loops()[0]
	started, goOn := make(chan struct{}), make(chan struct{})
	l.Post(taskFunc(func() { close(started); <-goOn }))
	<-started
	before, ends := r.srv.Stats().Wakeups, r.turnEnds.Load()
	var order []int
	done := make(chan struct{})
	const n = 1000
	for i := range n {
		if !l.Post(taskFunc(func() { order = append(order, i) })) {
			t.Fatal("refused")
		}
	}
	l.Post(taskFunc(func() { close(done) }))
	close(goOn)
	<-done
	if w := r.srv.Stats().Wakeups - before; w != 1 {
		t.Errorf("%d wake-ups", w)
	}
	for i := range n {
		if order[i] != i {
			t.Fatalf("task %d ran as number %d", order[i], i)
		}
	}
	eventually(t, "TurnEnd", func() bool { return r.turnEnds.Load() > ends })
}

// TestPostByTasks: tasks that post tasks do not keep the loop from its connections.
func TestPostByTasks(t *testing.T) {
	r := newRig(t, Config{})
	l := r.srv.Loops()[0]
	var again taskFunc
	stop := false // the loop's
	again = func() {
		if !stop {
			l.Post(again)
		}
	}
	l.Post(again)
	c := r.dial()
	for range 100 {
		c.send([]byte("e"))
		c.expect([]byte("e"))
	}
	r.onLoop(func(*Loop) { stop = true })
}

func TestPostWhileClosing(t *testing.T) {
	r := newRig(t, Config{Loops: 2})
	var posters, ran sync.WaitGroup
	for _, l := range r.srv.Loops() {
		posters.Add(1)
		go func() {
			defer posters.Done()
			for {
				ran.Add(1)
				if !l.Post(taskFunc(ran.Done)) {
					ran.Done()
					return
				}
			}
		}()
	}
	r.srv.Close()
	posters.Wait()
	ran.Wait() // what was accepted ran
}

// TestProgrammersFaultEndsTheProcess runs this test again as another process, whose handler panics.
func TestProgrammersFaultEndsTheProcess(t *testing.T) {
	const variable = "NETPOLL_TEST_PANIC"
	if message := os.Getenv(variable); message != "" {
		r := &rig{t: t, closed: make(chan error, 10)}
		r.start(Config{})
		onOpen := func(*Conn) { panic(message) }
		r.onOpen.Store(&onOpen)
		c := r.dial()
		c.expectClosed()
		r.srv.Close()
		return
	}
	for message, ends := range map[string]bool{"BUG: half done": true, "FATAL: disk": true, "something": false} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestProgrammersFaultEndsTheProcess$")
		cmd.Env = append(os.Environ(), variable+"="+message)
		out, err := cmd.CombinedOutput()
		if ended := err != nil; ended != ends || ended && !strings.Contains(string(out), "panic: "+message) {
			t.Errorf("%s: %v\n%s", message, err, out)
		}
	}
}

func TestSendShare(t *testing.T) {
	var s sendShare
	for range sendBytes/filePiece - 1 {
		s.start = time.Time{}
		if s.usedUp(filePiece) {
			t.Fatalf("used up after %d bytes", s.bytes)
		}
	}
	s.start = time.Now()
	if !s.usedUp(filePiece) {
		t.Errorf("not used up after %d bytes", s.bytes)
	}
	s = sendShare{start: time.Now().Add(-time.Hour)}
	if s.usedUp(filePiece - 1) {
		t.Error("looked at the clock too early")
	}
	if !s.usedUp(1) {
		t.Error("not used up after an hour")
	}
}

// TestCloseEndsTasksThatPostThemselves: such a task must not keep Close.
func TestCloseEndsTasksThatPostThemselves(t *testing.T) {
	r := newRig(t, Config{})
	l := r.srv.Loops()[0]
	var again taskFunc
	refused := false // the loop's, then Close's
	again = func() { refused = !l.Post(again) }
	l.Post(again)
	r.srv.Close()
	if !refused {
		t.Error("the last one was not refused")
	}
}
