package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/sluice-mq/sluice/wire/batch"
)

// TestScripts runs testdata/*: scripts over one directory with the log "t-0". Run with -rewrite to write the
// printed states anew.
//
//	open [segment=] [interval=] [tail=]   opens (first: creates) the directory and the log
//	append [n=] [size=] [ts=] [times=] [epoch=]   batches of n records of size bytes
//	roll, flush, close, delete, trim
//	deletebefore to= [upper=]             prints the log start
//	configure [ms=] [bytes=] [keep]       sets the retention; keep: not by deletion
//	retain now= [hw=] [notime]            applies it
//	crash                                 goes on with a copy of the files as they are, not open
//	read from= [upper=] [max=] [minone]   prints ranges of offsets and where they came from
//	time ts=, maxtime
//	corrupt file= at= [mask=]             flips bits; at below 0 counts from the end
//	truncate file= by=
//	list                                  files and sizes
//	dump                                  batches and index entries
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &script{t: t, path: filepath.Join(tempDir(t), "0")}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			run, ok := commands[d.Cmd]
			if !ok {
				d.Fatalf(t, "no command %s", d.Cmd)
			}
			out := run(s, d)
			if s.d != nil {
				s.l.flush(false) // what the background does anyhow, but not always before the next command
			}
			if out == "" {
				out = s.state()
			}
			return out
		})
		if s.d != nil {
			s.d.Close()
		}
	})
}

type script struct {
	t     *testing.T
	path  string
	n     int
	d     *Dir
	l     *Log
	notes []string
}

var commands = map[string]func(*script, *datadriven.TestData) string{
	"open": (*script).open, "append": (*script).append, "read": (*script).read, "list": (*script).list,
	"dump": (*script).dump, "corrupt": (*script).corrupt, "crash": (*script).crash, "truncate": (*script).truncate,
	"time": (*script).time,
	"roll": func(s *script, _ *datadriven.TestData) string {
		s.l.mu.Lock()
		err := s.l.roll(s.l.EndOffset())
		s.l.mu.Unlock()
		return errString(err)
	},
	"deletebefore": func(s *script, d *datadriven.TestData) string {
		start, err := s.l.DeleteBefore(arg(d, "to", 0), arg(d, "upper", 1<<60))
		return errString(err) + fmt.Sprintf("start %d", start)
	},
	"configure": func(s *script, d *datadriven.TestData) string {
		s.l.Configure(Settings{Retention: Retention{Delete: !d.HasArg("keep"), Millis: arg(d, "ms", -1), Bytes: arg(d, "bytes", -1)}})
		return "ok"
	},
	"retain": func(s *script, d *datadriven.TestData) string {
		s.l.retain(arg(d, "hw", 1<<60), arg(d, "now", 0), !d.HasArg("notime"))
		return errString(s.d.Trim())
	},
	"trim":  func(s *script, _ *datadriven.TestData) string { return errString(s.d.Trim()) },
	"flush": func(s *script, _ *datadriven.TestData) string { return errString(s.l.Flush()) },
	"close": func(s *script, _ *datadriven.TestData) string {
		err := s.d.Close()
		s.d = nil
		return errString(err) + "closed"
	},
	"delete": func(s *script, _ *datadriven.TestData) string { return errString(s.d.Delete(s.l)) + "deleted" },
	"maxtime": func(s *script, _ *datadriven.TestData) string {
		off, ts, found, err := s.l.MaxTimestamp()
		return fmt.Sprintf("%soffset %d time %d %v", errString(err), off, ts, found)
	},
}

// errString names the sentinel, since messages have paths in them.
func errString(err error) string {
	for _, known := range []error{ErrLocked, ErrUnsupported, ErrClosed, ErrFailed, ErrRoll, ErrTooLarge, ErrEpoch, ErrOffsetOutOfRange, ErrCorrupt} {
		if errors.Is(err, known) {
			return "error: " + known.Error() + "\n"
		}
	}
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	return ""
}

func (s *script) state() string {
	if s.d == nil {
		return "not open"
	}
	out := strings.Join(s.notes, "")
	s.notes = nil
	return out + fmt.Sprintf("log %d to %d, %d segments, epoch %d%s", s.l.StartOffset(), s.l.EndOffset(), s.l.Segments(),
		s.l.LeaderEpoch(), map[bool]string{true: ", failed"}[s.l.Err() != nil])
}

func arg(d *datadriven.TestData, name string, v int64) int64 {
	for _, a := range d.CmdArgs {
		if a.Key == name {
			n, err := strconv.ParseInt(a.Vals[0], 0, 64)
			if err != nil {
				panic(err)
			}
			v = n
		}
	}
	return v
}

func (s *script) open(d *datadriven.TestData) string {
	o := Options{SegmentBytes: arg(d, "segment", 1<<20), IndexIntervalBytes: int(arg(d, "interval", 200)),
		TailBytes: int(arg(d, "tail", 1<<20)), Logger: quiet()}
	o.Listener.Recovered = func(_ *Log, r Recovery) {
		s.notes = append(s.notes, fmt.Sprintf("checked from %d: %d segments, %d batches\n", r.From, r.Segments, r.Batches))
		if r.Why != "" {
			s.notes = append(s.notes, fmt.Sprintf("%s\ncut at %d: %d bytes, %d segments\n", r.Why, r.CutAt, r.CutBytes, r.CutSegments))
		}
	}
	dir, err := OpenDir(s.path, testID, o)
	if err != nil {
		return errString(err)
	}
	s.d = dir
	if logs := dir.Logs(); len(logs) > 0 {
		s.l = logs[0]
	} else if s.l, err = dir.Create("t", 0, testTopicID); err != nil {
		return errString(err)
	}
	return ""
}

func (s *script) append(d *datadriven.TestData) string {
	epoch := int32(arg(d, "epoch", int64(max(0, s.l.LeaderEpoch()))))
	ts := arg(d, "ts", 1000)
	for i := range arg(d, "times", 1) {
		b := makeBatch(int(arg(d, "n", 1)), int(arg(d, "size", 20)), ts+i, batch.None)
		if _, err := s.l.Append(b, epoch, nil); err != nil {
			return errString(err)
		}
	}
	return ""
}

func (s *script) read(d *datadriven.TestData) string {
	spans, n, err := s.l.Read(nil, arg(d, "from", 0), arg(d, "upper", 1<<60), arg(d, "max", 1<<20), d.HasArg("minone"))
	if err != nil {
		return errString(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%d bytes\n", n)
	for i := range spans {
		kind := "file"
		if spans[i].Mem != nil {
			kind = "memory"
		}
		b := spanBytes(s.t, spans[i:i+1])
		fmt.Fprintf(&out, "%s %s\n", kind, offsets(s.t, b))
	}
	return out.String()
}

// offsets prints the offset ranges of the batches in b.
func offsets(t *testing.T, b []byte) string {
	var out []string
	for len(b) > 0 {
		m, rest, err := batch.First(b)
		if err != nil {
			t.Fatal(err)
		}
		out, b = append(out, fmt.Sprintf("%d-%d", m.BaseOffset(), m.LastOffset())), rest
	}
	return strings.Join(out, " ")
}

func (s *script) time(d *datadriven.TestData) string {
	off, ts, found, err := s.l.OffsetForTime(arg(d, "ts", 0))
	return fmt.Sprintf("%soffset %d time %d %v", errString(err), off, ts, found)
}

// crash leaves the old directory open, since nothing may be written by closing it, until the test ends.
func (s *script) crash(*datadriven.TestData) string {
	s.n++
	to := filepath.Join(tempDir(s.t), fmt.Sprint(s.n))
	copyDir(s.t, s.path, to)
	old := s.d
	s.t.Cleanup(func() { old.Close() })
	s.d, s.path = nil, to
	return "crashed"
}

func (s *script) file(d *datadriven.TestData) string {
	var name string
	d.ScanArgs(s.t, "file", &name)
	return filepath.Join(s.path, "t-0", name)
}

func (s *script) corrupt(d *datadriven.TestData) string {
	b := mustRead(s.t, s.file(d))
	at := arg(d, "at", 0)
	if at < 0 {
		at += int64(len(b))
	}
	b[at] ^= byte(arg(d, "mask", 1))
	mustWrite(s.t, s.file(d), b)
	return "ok"
}

func (s *script) truncate(d *datadriven.TestData) string {
	b := mustRead(s.t, s.file(d))
	mustWrite(s.t, s.file(d), b[:len(b)-int(arg(d, "by", 0))])
	return "ok"
}

func (s *script) list(*datadriven.TestData) string {
	var out []string
	filepath.WalkDir(s.path, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == metaFile || e.Name() == lockFile {
			return err
		}
		rel, _ := filepath.Rel(s.path, path)
		out = append(out, fmt.Sprintf("%s %d\n", rel, len(mustRead(s.t, path))))
		return nil
	})
	slices.Sort(out)
	return strings.Join(out, "")
}

func (s *script) dump(*datadriven.TestData) string {
	var out strings.Builder
	names, _ := filepath.Glob(filepath.Join(s.path, "t-0", "*"+logSuffix))
	for _, name := range names {
		stem := strings.TrimSuffix(name, logSuffix)
		fmt.Fprintf(&out, "%s\n", filepath.Base(name))
		for rest, pos := mustRead(s.t, name), 0; len(rest) > 0; {
			b, next, err := batch.First(rest)
			if err != nil {
				fmt.Fprintf(&out, "  %d: %v\n", pos, err)
				break
			}
			fmt.Fprintf(&out, "  %d: %d-%d epoch %d time %d size %d crc %v\n", pos, b.BaseOffset(), b.LastOffset(),
				b.LeaderEpoch(), b.MaxTimestamp(), len(b), b.CRCOK())
			pos, rest = pos+len(b), next
		}
		for _, kind := range []struct {
			suffix string
			size   int
		}{{indexSuffix, offsetEntrySize}, {timeIndexSuffix, timeEntrySize}} {
			var x sparseIndex
			x.init(nil, stem+kind.suffix, 0, kind.size)
			b, _ := os.ReadFile(stem + kind.suffix)
			fmt.Fprintf(&out, "  %s:", kind.suffix)
			for ; len(b) >= kind.size; b = b[kind.size:] {
				e := x.decode(b)
				fmt.Fprintf(&out, " %d:%d", e.key, e.val)
			}
			out.WriteString("\n")
		}
	}
	return out.String()
}
