package demo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// TestDemo checks what the demo promises: every record back at each acks level, a report, nothing left behind.
func TestDemo(t *testing.T) {
	out, tmp := t.TempDir(), t.TempDir()
	cmd := exec.Command(testkit.Binary(t), "demo", "--duration", "1s", "--rate", "300", "--out", out)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{"acks=0: 900 records verified", "acks=1: 900 records verified", "acks=all: 900 records verified"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	for _, name := range []string{"report.html", "run.json"} {
		if found, err := filepath.Glob(filepath.Join(out, "*", name)); err != nil || len(found) != 1 {
			t.Errorf("%s: %v, %v", name, found, err)
		}
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}
