package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrExists reports that a run folder of that name is already there.
var ErrExists = errors.New("results: run folder exists")

// WriteJSON writes the run as one indented JSON object and a line feed.
func WriteJSON(w io.Writer, r *Run) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// FolderName is the name of the run's folder:
// <UTC time>-<workload>-<commit>-<host>, for example
// 20260102T150405Z-produce-1a2b3c4-9f8e7d; "nocommit" where the commit is unknown.
func (r *Run) FolderName() string {
	commit, host := "nocommit", "nohost"
	if e := r.Environment; e != nil {
		if len(e.Commit) >= 7 {
			commit = e.Commit[:7]
		}
		if e.HostID != "" {
			host = e.HostID
		}
	}
	return fmt.Sprintf("%s-%s-%s-%s", r.Started.UTC().Format("20060102T150405Z"), fileSafe(r.Workload), commit, host)
}

// fileSafe replaces everything but letters, digits, dot, dash and underscore.
func fileSafe(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c) {
			return c
		}
		return '_'
	}, s)
}

// Write makes a folder for the run under dir, which is created when absent, and
// returns its path. It holds run.json, env.json, report.html, run.hlog and one .hgrm
// per series and kind. The folder appears under its name only when it is complete, so
// a crash leaves at most a folder that begins with a dot; it is not synced to disk.
// An existing run is never overwritten: [ErrExists].
func Write(dir string, r *Run) (string, error) {
	path := filepath.Join(dir, r.FolderName())
	if _, err := os.Stat(path); err == nil {
		return "", fmt.Errorf("%w: %s", ErrExists, path)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("results: cannot make the folder of runs: %w", err)
	}
	tmp, err := os.MkdirTemp(dir, "."+r.FolderName()+"-")
	if err != nil {
		return "", fmt.Errorf("results: cannot make a run folder: %w", err)
	}
	if err := fill(tmp, r); err != nil {
		return "", errors.Join(fmt.Errorf("results: cannot write the run: %w", err), os.RemoveAll(tmp))
	}
	// MkdirTemp makes folders for the owner alone; a run is meant to be read by others too.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", errors.Join(fmt.Errorf("results: %w", err), os.RemoveAll(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %s", ErrExists, path)
		}
		return "", errors.Join(err, os.RemoveAll(tmp))
	}
	return path, nil
}

func fill(dir string, r *Run) error {
	if err := writeFile(dir, "run.json", func(w io.Writer) error { return WriteJSON(w, r) }); err != nil {
		return err
	}
	if err := writeFile(dir, "env.json", func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r.Environment)
	}); err != nil {
		return err
	}
	if err := writeFile(dir, "report.html", func(w io.Writer) error { return WriteReport(w, r) }); err != nil {
		return err
	}
	if err := writeFile(dir, "run.hlog", func(w io.Writer) error { return WriteHlog(w, r) }); err != nil {
		return err
	}
	for i, s := range r.Series {
		for _, k := range Kinds() {
			h := s.Histogram(k)
			if h == nil {
				continue
			}
			name := fileSafe(s.Tag(i, k)) + ".hgrm"
			if err := writeFile(dir, name, func(w io.Writer) error { return WriteHgrm(w, h) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeFile(dir, name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// ReadFolder reads run.json of a run folder. Histograms are not read back.
func ReadFolder(path string) (*Run, error) {
	data, err := os.ReadFile(filepath.Join(path, "run.json"))
	if err != nil {
		return nil, fmt.Errorf("results: %w", err)
	}
	r := new(Run)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("results: %s: %w", filepath.Join(path, "run.json"), err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("results: %s has schema %d, this program reads %d", path, r.Schema, Schema)
	}
	return r, nil
}
