package loadgen

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-mq/sluice/results"
)

// Process is one reading of what a process has used since it began.
type Process struct {
	PID          int
	At           time.Time
	User, System time.Duration // CPU, in steps of 10 ms
	RSS, PeakRSS int64         // bytes

	VoluntarySwitches, InvoluntarySwitches int64 // of the threads that live
	MinorFaults, MajorFaults               int64
}

// tick is the kernel's USER_HZ, 100 on every architecture that Linux has today.
const tick = time.Second / 100

// ReadProcess reads /proc/PID. The error says whether there is no such process.
func ReadProcess(pid int) (Process, error) { return readProcess("/proc", pid) }

func readProcess(root string, pid int) (Process, error) {
	p := Process{PID: pid, At: time.Now()}
	dir := filepath.Join(root, strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return p, fmt.Errorf("loadgen: process %d cannot be read: %w", pid, err)
	}
	// The second field, the name, is in parentheses and may hold anything.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 13 {
		return p, fmt.Errorf("loadgen: process %d: /proc/%d/stat has %d fields", pid, pid, len(f))
	}
	p.MinorFaults, p.MajorFaults = number(f[7]), number(f[9])
	p.User, p.System = time.Duration(number(f[11]))*tick, time.Duration(number(f[12]))*tick
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return p, fmt.Errorf("loadgen: process %d cannot be read: %w", pid, err)
	}
	fields := parseStatus(status)
	p.RSS, p.PeakRSS = fields["VmRSS"]<<10, fields["VmHWM"]<<10
	threads, _ := filepath.Glob(filepath.Join(dir, "task", "*", "status"))
	for _, name := range threads {
		if data, err := os.ReadFile(name); err == nil { // else the thread has just ended
			t := parseStatus(data)
			p.VoluntarySwitches += t["voluntary_ctxt_switches"]
			p.InvoluntarySwitches += t["nonvoluntary_ctxt_switches"]
		}
	}
	return p, nil
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// parseStatus returns the numbers of a status file by name.
func parseStatus(data []byte) map[string]int64 {
	out := map[string]int64{}
	for line := range strings.Lines(string(data)) {
		key, rest, _ := strings.Cut(line, ":")
		if f := strings.Fields(rest); len(f) > 0 {
			out[key] = number(f[0])
		}
	}
	return out
}

// UsageBetween returns what the process used between two readings; gb is how many
// gigabytes of values were acknowledged meanwhile, 0 where that does not apply.
func UsageBetween(before, after Process, gb float64) *results.Usage {
	user, system := after.User-before.User, after.System-before.System
	u := &results.Usage{
		PID: after.PID, CPUSeconds: (user + system).Seconds(), UserSeconds: user.Seconds(), SystemSeconds: system.Seconds(),
		RSSBytes: after.RSS, RSSPeakBytes: after.PeakRSS,
		VoluntarySwitches:   max(0, after.VoluntarySwitches-before.VoluntarySwitches),
		InvoluntarySwitches: max(0, after.InvoluntarySwitches-before.InvoluntarySwitches),
		MinorFaults:         after.MinorFaults - before.MinorFaults, MajorFaults: after.MajorFaults - before.MajorFaults,
	}
	if wall := after.At.Sub(before.At).Seconds(); wall > 0 {
		u.Cores = u.CPUSeconds / wall
	}
	if gb > 0 {
		u.CPUSecondsPerGB = u.CPUSeconds / gb
	}
	return u
}
