package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	quoted = regexp.MustCompile("`([A-Za-z0-9_.][A-Za-z0-9_.*/-]*)`")
	linked = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
)

// TestDocumentsNameWhatExists checks every link to a file, and every quoted path whose first part is a directory of
// the repository (so `host/path` and `key=value` are left alone). NN_name in a path stands for any name.
func TestDocumentsNameWhatExists(t *testing.T) {
	documents, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob(filepath.Join(root, "docs", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range append(documents, deeper...) {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range quoted.FindAllStringSubmatch(string(text), -1) {
			if first, rest, ok := strings.Cut(m[1], "/"); ok && rest != "" && exists(root, first) && first != "bin" && !exists(root, m[1]) {
				t.Errorf("%s names %s, which is not there", document, m[1])
			}
		}
		for _, m := range linked.FindAllStringSubmatch(string(text), -1) {
			if !exists(filepath.Dir(document), m[1]) {
				t.Errorf("%s links to %s, which is not there", document, m[1])
			}
		}
	}
}

func exists(dir, pattern string) bool {
	found, err := filepath.Glob(filepath.Join(dir, strings.NewReplacer("...", "", "NN_name", "*").Replace(pattern)))
	return err == nil && len(found) > 0
}
