//go:build peers

package zookeeper

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestCommandLine: zkCli, which is ZooKeeper's own client, prints the same for the commands of testdata/zkcli.txt.
func TestCommandLine(t *testing.T) {
	script, err := os.ReadFile("testdata/zkcli.txt")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(script, []byte("\n")); n < 25 {
		t.Fatalf("%d commands are left", n)
	}
	var out [2][]string
	for i, address := range [2]string{openOurs(t, nil), openTheirs(t)} {
		out[i] = zkCli(t, address, script)
	}
	for i, line := range out[theirs] {
		if i >= len(out[ours]) || out[ours][i] != line {
			t.Fatalf("line %d:\nours:\n%s\n\ntheirs:\n%s", i+1, strings.Join(out[ours], "\n"), strings.Join(out[theirs], "\n"))
		}
	}
	if len(out[ours]) != len(out[theirs]) || len(out[ours]) < 80 {
		t.Errorf("ours has %d lines, theirs %d", len(out[ours]), len(out[theirs]))
	}
}

// zkCli runs commands and returns what is printed, first as answers, then as errors, without what two servers do not
// share.
func zkCli(t *testing.T, address string, script []byte) []string {
	t.Helper()
	cmd := exec.Command(filepath.Join(testkit.Root(t), "test", "peers", "zookeeper.sh"), "cli", "-server", address)
	cmd.Stdin = bytes.NewReader(script)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, stdout.Bytes(), stderr.Bytes())
	}
	text := strings.ReplaceAll(stdout.String()+"errors:\n"+stderr.String(), address, "SERVER")
	text = dates.ReplaceAllString(text, "$1 TIME")
	text = inOrder(text)
	text = lists.ReplaceAllStringFunc(text, func(list string) string {
		names := strings.Split(strings.Trim(list, "[]"), ", ")
		slices.Sort(names)
		return "[" + strings.Join(names, ", ") + "]"
	})
	// who one is has no order either
	text = strings.ReplaceAll(text, "digest: bob\nip: 127.0.0.1\n", "ip: 127.0.0.1\ndigest: bob\n")
	return strings.Split(strings.TrimSpace(text), "\n")
}

var (
	dates = regexp.MustCompile(`([cm]time =) .*`)
	zxids = regexp.MustCompile(`(Zxid = )0x([0-9a-f]+)`)
	lists = regexp.MustCompile(`\[[^]\n]*\]`)
)

// inOrder writes the rank of a transaction for its number.
func inOrder(text string) string {
	var all []uint64
	number := func(s string) uint64 {
		n, _ := strconv.ParseUint(s, 16, 64) // zxids matches nothing else
		return n
	}
	for _, m := range zxids.FindAllStringSubmatch(text, -1) {
		all = append(all, number(m[2]))
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return zxids.ReplaceAllStringFunc(text, func(s string) string {
		m := zxids.FindStringSubmatch(s)
		return fmt.Sprint(m[1], slices.Index(all, number(m[2])))
	})
}
