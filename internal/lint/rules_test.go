package lint

import (
	"go/ast"
	"path"
	"regexp"
	"strconv"
	"testing"
)

// names are the parts of package syscall that are no calls: signals, error numbers and types.
var names = regexp.MustCompile(`^(Signal|Errno|SIG[A-Z0-9]+|E[A-Z0-9]+|RawConn|Conn|WaitStatus|SysProcAttr|Rusage)$`)

// calls are the calls that a package may make by itself, for a reason that stands beside it.
var calls = map[string]*regexp.Regexp{
	"internal/testkit": regexp.MustCompile(`^(Inotify.*|IN_.*)$`),                                   // tests only; keeps internal/sys free of what only tests use
	"test/rig":         regexp.MustCompile(`^(Mmap|Munmap|PROT_.*|MAP_.*|Fallocate|Fstat|Stat_t)$`), // a measuring tool, no part of the program
}

func TestSystemCallsHaveOneAddress(t *testing.T) {
	for _, f := range sources(t) {
		if f.dir == "internal/sys" {
			continue
		}
		for _, i := range f.Imports {
			switch p, _ := strconv.Unquote(i.Path.Value); p {
			case "golang.org/x/sys/unix":
				if !f.test {
					t.Errorf("%s: %s outside internal/sys", f.at(i), p)
				}
			case "unsafe":
				if !f.test { // unsafe.Sizeof in a test of bounds does no harm
					t.Errorf("%s: %s outside internal/sys", f.at(i), p)
				}
			}
		}
		for n := range ast.Preorder(f.File) {
			if name := selected(n, "syscall"); name != "" && !f.test && !names.MatchString(name) &&
				(calls[f.dir] == nil || !calls[f.dir].MatchString(name)) {
				t.Errorf("%s: syscall.%s outside internal/sys", f.at(n), name)
			}
		}
	}
}

// selected is x in pkg.x, and "" for any other node.
func selected(n ast.Node, pkg string) string {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if id, ok := s.X.(*ast.Ident); !ok || id.Name != pkg || id.Obj != nil {
		return ""
	}
	return s.Sel.Name
}

func TestNothingHappensBeforeMain(t *testing.T) {
	for _, f := range sources(t) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !f.test {
				t.Errorf("%s: init function", f.at(fn))
			}
		}
	}
}

func TestTestsWaitForEvents(t *testing.T) {
	for _, f := range sources(t) {
		if !f.test {
			continue
		}
		for n := range ast.Preorder(f.File) {
			if selected(n, "time") == "Sleep" {
				t.Errorf("%s: time.Sleep in a test: wait for the event, or use testing/synctest", f.at(n))
			}
			for _, tb := range []string{"t", "tb", "b"} {
				if s := selectedFrom(n, tb); s == "Skip" || s == "Skipf" || s == "SkipNow" {
					t.Errorf("%s: skipped test: a test runs, or has a build tag", f.at(n))
				}
			}
		}
	}
}

func selectedFrom(n ast.Node, receiver string) string {
	if s, ok := n.(*ast.SelectorExpr); ok {
		if id, ok := s.X.(*ast.Ident); ok && id.Name == receiver {
			return s.Sel.Name
		}
	}
	return ""
}

// TestPackagesSayWhatTheyAre wants a package comment in doc.go, or in the file named like a package of few files.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	said := map[string]bool{}
	for _, f := range sources(t) {
		if f.Name.Name == "main" {
			said[f.dir] = said[f.dir] || f.Doc != nil
			continue
		}
		base := path.Base(f.path)
		said[f.dir] = said[f.dir] || f.Doc != nil && (base == "doc.go" || base == path.Base(f.dir)+".go")
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment in doc.go", dir)
		}
	}
}
