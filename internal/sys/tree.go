package sys

import (
	"errors"
	"io/fs"
	"os"
	"time"
)

// What changes names goes through here, so that one place sees every change of the file system (with file.go and
// fsync.go). Errors are those of package os, with operation and path.

// Rename gives old's file the name new, in place of what had it. It is on the device after SyncDir of both parents.
func Rename(old, new string) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeRename, Path: old, To: new}, func(*Change) (int, error) {
			return 0, os.Rename(old, new)
		})
		return err
	}
	return os.Rename(old, new)
}

// Remove removes a file or an empty directory.
func Remove(path string) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeRemove, Path: path}, func(*Change) (int, error) { return 0, os.Remove(path) })
		return err
	}
	return os.Remove(path)
}

// RemoveAll removes path and what is below it. It is no error if there is nothing.
func RemoveAll(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default: // not a directory, or not readable: the attempt tells
		return ignoreMissing(Remove(path))
	}
	for _, e := range entries {
		at := path + string(os.PathSeparator) + e.Name()
		if e.IsDir() {
			err = RemoveAll(at)
		} else {
			err = ignoreMissing(Remove(at))
		}
		if err != nil {
			return err
		}
	}
	return ignoreMissing(Remove(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Mkdir makes a directory.
func Mkdir(path string, perm fs.FileMode) error {
	if tracing {
		_, err := traced(Change{Kind: ChangeMkdir, Path: path}, func(*Change) (int, error) { return 0, os.Mkdir(path, perm) })
		return err
	}
	return os.Mkdir(path, perm)
}

// SetModTime sets when path was last changed.
func SetModTime(path string, t time.Time) error { return os.Chtimes(path, time.Time{}, t) }
