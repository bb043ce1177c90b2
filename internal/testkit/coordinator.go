package testkit

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// StartCoordinator is Start for `sluice coordinator`: of the addresses only Coordinator and Admin are there.
// coordinator.dir is Dir/coordinator.
func StartCoordinator(tb testing.TB, dir string, set ...string) *Broker {
	tb.Helper()
	ready := filepath.Join(tb.TempDir(), "ready.json")
	b := launch(tb, dir, ready, coordinatorArgs(dir, append([]string{"--ready-file=" + ready}, set...)))
	if b.Coordinator == "" {
		tb.Fatalf("the ready file names no address")
	}
	return b
}

// StartCoordinatorFailing is StartFailing for `sluice coordinator` on the data in dir.
func StartCoordinatorFailing(tb testing.TB, dir string, set ...string) (code int, output string) {
	tb.Helper()
	return fail(tb, coordinatorArgs(dir, set))
}

// RestoreCoordinator runs `sluice coordinator restore` on the data in dir.
func RestoreCoordinator(tb testing.TB, dir string) (code int, output string) {
	tb.Helper()
	return fail(tb, []string{"coordinator", "restore", "--data", dir})
}

func coordinatorArgs(dir string, set []string) []string {
	args := []string{"coordinator", "--data", dir, "--set", "coordinator.listeners=127.0.0.1:0",
		"--set", "coordinator.admin.listener=127.0.0.1:0"}
	for _, kv := range set {
		if !strings.HasPrefix(kv, "--") {
			args = append(args, "--set")
		}
		args = append(args, kv)
	}
	return args
}

// Signal sends the program a signal, such as SIGSTOP.
func (b *Broker) Signal(s syscall.Signal) { b.process.signal(s) }

// Ended waits until the program ends by itself, which it has to, and returns its exit code.
func (b *Broker) Ended() int {
	b.tb.Helper()
	if !b.process.wait(stopLimit) {
		b.tb.Fatal("sluice runs on, where it had to end")
	}
	return b.process.cmd.ProcessState.ExitCode()
}

// Race tells whether test and program have the race detector, which multiplies memory.
const Race = raceEnabled
