package loadgen

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReadProcess(t *testing.T) {
	p, err := ReadProcess(os.Getpid())
	if err != nil || p.RSS <= 0 || p.PeakRSS < p.RSS || p.VoluntarySwitches <= 0 {
		t.Errorf("%+v, %v", p, err)
	}
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, "7", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := readProcess(root, 7); err == nil {
		t.Error("no error for a process that is not there")
	}
	write("stat", "7 (a ) b) S 1 7 7 0 -1 4194560 11 0 3 0 250 50 0 0 20 0\n")
	write("status", "Name:\ta\nVmHWM:\t  2000 kB\nVmRSS:\t  1000 kB\n")
	write("task/7/status", "voluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t2\n")
	write("task/8/status", "voluntary_ctxt_switches:\t6\n")
	p, err = readProcess(root, 7)
	want := Process{7, p.At, 2500 * time.Millisecond, 500 * time.Millisecond, 1000 << 10, 2000 << 10, 11, 2, 11, 3}
	if err != nil || p != want {
		t.Errorf("%+v, %v", p, err)
	}
	u := UsageBetween(Process{At: p.At.Add(-6 * time.Second)}, p, 1.5)
	if u.CPUSeconds != 3 || u.Cores != 0.5 || u.CPUSecondsPerGB != 2 || u.RSSBytes != 1000<<10 || u.MajorFaults != 3 {
		t.Errorf("%+v", u)
	}
	write("stat", "7 (a) S 1\n")
	if _, err := readProcess(root, 7); err == nil {
		t.Error("no error for a short stat")
	}
}
