package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestReadNames(t *testing.T) {
	dir := t.TempDir()
	want := []string{"x"}
	for i := range 1000 { // more than one call's worth
		name := fmt.Sprintf("%0100d", i)
		want = append(want, name)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadNames(dir, []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got[1:])
	if !slices.Equal(got, want) {
		t.Fatalf("%d names", len(got))
	}
	if _, err := ReadNames(filepath.Join(dir, "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, want := range []string{"", "some text"} {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(path); string(got) != want || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		st, err := Stat(path)
		if err != nil || st.Size != int64(len(want)) || st.Inode == 0 {
			t.Fatalf("%+v, %v", st, err)
		}
	}
}
