package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/wire/batch"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v; run the test with -update and look at the difference\n%s", path, err, got)
	}
}

// stoppedDir makes a log directory with two topics, all codecs, a stray directory, and a marker of a transaction.
func stoppedDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data", "logs")
	d, err := logstore.OpenDir(dir, logstore.Identity{ClusterID: "abcdefghijklmnopqrstuv", NodeID: 3},
		logstore.Options{SegmentBytes: 900, IndexIntervalBytes: 100, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i, topic := range []string{"orders", "payments"} {
		l, err := d.Create(topic, int32(i), [16]byte{1, 2, byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		var bd batch.Builder
		for n := range 10 {
			bd.Reset(batch.Codec(n % 5))
			bd.SetProducer(int64(1000+i), 0, int32(2*n), false)
			bd.Append(int64(1700000000000+n), nil, []byte("first\nline"))
			bd.Append(int64(1700000000500+n), []byte("key"), bytes.Repeat([]byte{0, 'x'}, 20*n), batch.Header{Key: "h", Value: []byte("v")})
			if _, err := l.Append(bd.Finish(), int32(n/5), nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Append(marker(), 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	meta := "#\n#Sun Nov 22 16:17:49 UTC 2026\ncluster.id=abcdefghijklmnopqrstuv\ndirectory.id=plzO9RywTcqVA9X5z8pNTQ\nnode.id=3\nversion=1\n"
	if err := os.WriteFile(filepath.Join(dir, "meta.properties"), []byte(meta), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "orders-7-stray"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// marker is a control batch that commits a transaction.
func marker() batch.Batch {
	var bd batch.Builder
	bd.Reset(batch.None)
	bd.SetProducer(1000, 0, -1, true)
	bd.Append(1700000001000, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 5})
	b := bd.Finish()
	b[batch.OffsetAttributes+1] |= 1 << 5
	b.SetMaxTimestamp(1, false) // for the checksum
	b.SetMaxTimestamp(1700000001000, false)
	return b
}

// flipAt changes a byte of a file.
func flipAt(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// logText runs a verb of log and makes what it says the same in every run.
func logText(t *testing.T, dir string, code int, args ...string) string {
	t.Helper()
	r := sluice(t, "", append([]string{"log"}, args...)...)
	if r.code != code {
		t.Errorf("%q: exit code %d, want %d: %s", args, r.code, code, r.stderr)
	}
	s := strings.ReplaceAll(r.stdout, dir, "DIR")
	return regexp.MustCompile(`("?seconds"?): [0-9.e-]+`).ReplaceAllString(s, "$1: 0")
}

func TestLogGoldens(t *testing.T) {
	dir := stoppedDir(t)
	orders := filepath.Join(dir, "orders-0")
	segment := filepath.Join(orders, "00000000000000000000.log")
	for _, o := range []string{"table", "json"} {
		golden(t, "log-list."+o, logText(t, dir, exitOK, "list", dir, "-o", o))
		golden(t, "log-dump."+o, logText(t, dir, exitOK, "dump", orders, "-o", o))
		golden(t, "log-dump-records."+o, logText(t, dir, exitOK, "dump", orders, "-r", "--from", "15", "-o", o))
		golden(t, "log-verify."+o, logText(t, dir, exitOK, "verify", dir, "-o", o))
	}
	golden(t, "log-dump-files.table", logText(t, dir, exitOK, "dump", filepath.Join(orders, "00000000000000000000.index"),
		filepath.Join(orders, "00000000000000000000.timeindex"), filepath.Join(orders, "leader-epoch-checkpoint"),
		filepath.Join(orders, "partition.metadata"), filepath.Join(dir, "meta.properties"),
		filepath.Join(dir, "recovery-point-offset-checkpoint"), filepath.Join(dir, "replication-offset-checkpoint")))
	flipAt(t, segment, 113)
	flipAt(t, filepath.Join(dir, "payments-1", "00000000000000000000.index"), 7)
	for _, o := range []string{"table", "json"} {
		golden(t, "log-verify-damaged."+o, logText(t, dir, exitDamage, "verify", dir, "-o", o))
		golden(t, "log-dump-damaged."+o, logText(t, dir, exitDamage, "dump", segment, "-o", o, "-n", "3"))
		golden(t, "log-recover-dry."+o, logText(t, dir, exitDamage, "recover", dir, "--dry-run", "-o", o))
	}
}

func TestLogFormats(t *testing.T) {
	dir := stoppedDir(t)
	data := filepath.Dir(dir) // of serve --data
	for _, c := range []struct{ args, want string }{
		{"list DATA -o csv", "dir,topic,partition,start_offset,"},
		{"list DATA -o wide", "orders-7-stray: a replica"},
		{"list DATA -o yaml", "cluster_id: abcdefghijklmnopqrstuv"},
		{"dump DIR/orders-0 -o yaml -n 1", "---\nsegment: 00000000000000000000.log\nposition: 0\n"},
		{"dump DIR/orders-0 -o csv -n 1", "segment,position,size,"},
		{"dump DIR/orders-0 -o wide -n 1", "PRODUCER-EPOCH"},
		{"dump DIR/orders-0 -n 1 -f %t/%p@%o:%k:%v:%d\\n", "orders/0@0::first\nline:1700000000000\n"},
		{"dump DIR/orders-0 --from 3 --to 4 -f %o,%h\\n", "3,h=v\n"},
		{"dump DIR/orders-0 --from 7 --to 8 -r -o json", `"value":"\u0000x`},
		{"dump DIR/orders-0 -o csv --max-bytes 1", "00000000000000000000.log,0,"},
		{"verify DATA -o csv", "DIR,orders-0,0,21,"},
		{"verify DIR/orders-0", "partitions: 1,"},
		{"verify DIR/orders-0 --rate 1000000000 --headers-only --page-cache", "damage: 0"},
	} {
		args := strings.Fields(strings.NewReplacer("DATA", data, "DIR", dir).Replace(c.args))
		if got := logText(t, dir, exitOK, args...); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s\nwant %s", c.args, got, c.want)
		}
	}
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"dump DIR/orders-0 --from -1", "want 0 or more", exitUsage},
		{"dump DIR/orders-0 -f %q", "no verb %q", exitUsage},
		{"dump DIR/.lock", "not a file that a log has", exitUsage},
		{"dump DIR", "no segments", exitFailed},
		{"dump DIR/x.log", "no such file", exitFailed},
		{"verify DIR --rate -1", "--rate wants 0 or more", exitUsage},
		{"verify DIR/orders-7-stray", "neither a log directory", exitFailed},
		{"list DIR/nothing", "no such file", exitFailed},
		{"recover DIR/nothing", "no such file", exitFailed},
		{"recover DIR --partition x-0", "no partition x-0", exitFailed},
	} {
		r := sluice(t, "", append([]string{"log"}, strings.Fields(strings.ReplaceAll(c.args, "DIR", dir))...)...)
		r.want(t, c.code, "", c.want)
	}
}

// Only recover writes, and not with --dry-run.
func TestLogRecover(t *testing.T) {
	dir := stoppedDir(t)
	flipAt(t, filepath.Join(dir, "orders-0", "00000000000000000000.log"), 113)
	before := files(t, dir)
	sluice(t, "", "log", "list", dir)
	sluice(t, "", "log", "verify", dir)
	sluice(t, "", "log", "dump", filepath.Join(dir, "orders-0"))
	sluice(t, "", "log", "recover", dir, "--dry-run").want(t, exitDamage, "damaged", "nothing was touched")
	after := files(t, dir)
	for name, content := range after {
		if before[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	sluice(t, "", "log", "recover", dir).want(t, exitDamage, "damaged", "--force cuts them")
	type rows = []recoveredJSON
	r := fromJSON[rows](t, sluice(t, "", "log", "recover", dir, "--force", "-o", "json"))
	if len(r) != 2 || r[0].Status != "cut" || r[0].CutAt != 2 || r[0].EndOffset != 2 || r[1].Status != "whole" || r[1].EndOffset != 21 {
		t.Errorf("%+v", r)
	}
	sluice(t, "", "log", "verify", dir).want(t, exitOK, "damage: 0, warnings: 1", "")
}

func TestLogCompletion(t *testing.T) {
	dir := stoppedDir(t)
	sluice(t, "", "__complete", "log", "verify", "").want(t, exitOK, ":16\n", "") // directories only
	sluice(t, "", "__complete", "log", "recover", dir, "--partition", "").want(t, exitOK, "orders-0\npayments-1\n", "")
}

// What the broker keeps in its catalogue says which topics may have gaps.
func TestCompactedTopics(t *testing.T) {
	dir := t.TempDir()
	text, _ := json.Marshal(map[string]any{"topics": map[string]any{"a": map[string]string{"cleanup.policy": "compact,delete"}, "b": map[string]string{}}})
	if err := os.WriteFile(filepath.Join(dir, "sluice-catalog.json"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	g := gapsFlag{topics: []string{"c"}}
	gaps := g.allowed(dir)
	if !gaps("a") || gaps("b") || !gaps("c") {
		t.Error(gaps("a"), gaps("b"), gaps("c"))
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	m := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		m[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}
