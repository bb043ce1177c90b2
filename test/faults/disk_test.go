//go:build peers

package faults

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestMain runs the tests as root, of its own namespaces if need be.
func TestMain(m *testing.M) {
	if os.Geteuid() == 0 {
		os.Exit(testkit.Main(m))
	}
	cmd := exec.Command("unshare", append([]string{"-rm", os.Args[0]}, os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		os.Exit(1)
	}
}

// smallDisk is a file system of that many bytes, in memory.
func smallDisk(t *testing.T, bytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size="+strconv.Itoa(bytes)); err != nil {
		t.Fatal("mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes a file until the disk is full, then gives some bytes back, and returns what empties the disk again.
func fill(t *testing.T, disk string, leave int64) (empty func()) {
	t.Helper()
	path := filepath.Join(disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := int64(0)
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		n, err := f.Write(piece)
		size += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(max(0, size-leave)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// fillTo takes all but some bytes of the disk, and returns what gives them back.
func fillTo(t *testing.T, disk string, leave int64) (empty func()) {
	t.Helper()
	var st unix.Statfs_t
	path := filepath.Join(disk, "filler")
	f, err := os.Create(path)
	if err == nil {
		defer f.Close()
		err = unix.Statfs(disk, &st)
	}
	if err == nil {
		err = unix.Fallocate(int(f.Fd()), 0, 0, int64(st.Bavail)*st.Bsize-leave)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// health asks the broker's HTTP port.
func health(t *testing.T, b *testkit.Broker, path string) (code int, status string, problems []string) {
	t.Helper()
	r, err := http.Get("http://" + b.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var h struct {
		Status   string
		Problems []string
	}
	if err := json.NewDecoder(r.Body).Decode(&h); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, h.Status, h.Problems
}

// metric is the sum of the samples of that name, with any labels.
func metric(t *testing.T, b *testkit.Broker, name string) (sum float64) {
	t.Helper()
	r, err := http.Get("http://" + b.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(text)) {
		if at := strings.LastIndexByte(line, ' '); strings.HasPrefix(line, name) && strings.IndexAny(line, "{ ") == len(name) {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
			if err != nil {
				t.Fatal(err)
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		t.Errorf("no metric %s", name)
	}
	return sum
}

// inject has strace let system calls of the running broker on those files fail, from the next one on, until stop is
// called or the broker ends.
func inject(t *testing.T, b *testkit.Broker, call string, files ...string) (stop func()) {
	t.Helper()
	args := []string{"-f", "-p", strconv.Itoa(b.PID), "-e", "trace=" + call, "-e", "inject=" + call + ":error=EIO"}
	for _, f := range files {
		args = append(args, "-P", f)
	}
	cmd := exec.Command("strace", args...)
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal("strace: ", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "attached") {
			break
		}
		t.Log(lines.Text())
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() {
		}
	}()
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it detaches; the error is that it has ended with the broker
		<-drained
		_ = cmd.Wait()
	}
}

// segments are the newest .log files of the topic's partitions in a log directory, and the numbers of those.
func segments(t *testing.T, dir string) (files []string, partitions []int32) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(dir, topic+"-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		logs, _ := filepath.Glob(filepath.Join(d, "*.log"))
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(d), topic+"-"))
		if err != nil || len(logs) == 0 {
			t.Fatalf("%s: %v, %d segments", d, err, len(logs))
		}
		files, partitions = append(files, logs[len(logs)-1]), append(partitions, int32(n))
	}
	return files, partitions
}
