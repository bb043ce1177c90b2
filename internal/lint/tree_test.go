package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/sluice-mq/sluice/"

// root is the repository, seen from this package's directory.
const root = "../.."

// pkg is one package of the module; paths have no module prefix, and imports are only those of the module.
type pkg struct {
	path        string
	imports     []string
	testImports []string
}

func packages(t *testing.T) (ps []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-tags", "peers,invariants", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, pkg{strings.TrimPrefix(l.ImportPath, module), ours(l.Imports), ours(append(l.TestImports, l.XTestImports...))})
	}
	if len(ps) == 0 {
		t.Fatal("go list names no packages")
	}
	return ps
}

func ours(imports []string) (of []string) {
	for _, i := range imports {
		if name, ok := strings.CutPrefix(i, module); ok {
			of = append(of, name)
		}
	}
	return of
}

// source is one Go file of the repository, those of nested modules included.
type source struct {
	path string // from the root
	dir  string
	test bool
	set  *token.FileSet
	*ast.File
}

func sources(t *testing.T) (files []source) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (name == "testdata" || name == "bin" || name == "vendor" || len(name) > 2 && name[0] == '.') {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		files = append(files, source{rel, filepath.ToSlash(filepath.Dir(rel)), strings.HasSuffix(name, "_test.go"), set, f})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// at is a position as file:line.
func (s source) at(n ast.Node) string {
	p := s.set.Position(n.Pos())
	p.Filename = s.path
	p.Column = 0
	return p.String()
}

// lines is how many lines a node covers.
func (s source) lines(n ast.Node) int {
	return s.set.Position(n.End()).Line - s.set.Position(n.Pos()).Line + 1
}
