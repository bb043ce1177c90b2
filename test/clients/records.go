package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	records    = 100_000
	partitions = 4
	large      = 900 << 10 // bytes of the one large value
)

// record is what a client writes and must get back. A nil key or value is null.
type record struct {
	partition  int32
	key, value []byte
	headers    []header
}

type header struct {
	key   string
	value []byte
}

// recordSet is the same 100,000 records at each call: sizes from nothing to some KiB, one of 900 KiB, some keys and
// values null, up to three headers. The order is the order of writing; record i belongs to partition i mod 4.
func recordSet() []record {
	rnd := rand.New(rand.NewPCG(1, 2))
	words := vocabulary(rnd)
	set := make([]record, records)
	for i := range set {
		r := record{partition: int32(i % partitions), value: prose(rnd, words, size(rnd, i))}
		if i%7 != 0 {
			r.key = fmt.Appendf(nil, "key-%d", rnd.IntN(5000))
		}
		if i%1000 == 999 {
			r.value = nil
		}
		for h := range rnd.IntN(4) {
			r.headers = append(r.headers, header{fmt.Sprintf("h%d", h), prose(rnd, words, rnd.IntN(20))})
		}
		set[i] = r
	}
	return set
}

// lineSet is 100,000 records for tools that read lines: no null, no tab or line feed, a key for each.
func lineSet() iter.Seq[record] {
	return func(yield func(record) bool) {
		rnd := rand.New(rand.NewPCG(3, 4))
		words := vocabulary(rnd)
		for i := range records {
			if !yield(record{key: fmt.Appendf(nil, "k%d", i), value: append([]byte("v"), prose(rnd, words, size(rnd, i))...)}) {
				return
			}
		}
	}
}

func size(rnd *rand.Rand, i int) int {
	switch {
	case i == records/2:
		return large
	case i%100 == 0:
		return 5000 + rnd.IntN(10_000)
	default:
		return rnd.IntN(400)
	}
}

func vocabulary(rnd *rand.Rand) []string {
	words := make([]string, 500)
	for i := range words {
		b := make([]byte, 2+rnd.IntN(9))
		for j := range b {
			b[j] = 'a' + byte(rnd.IntN(26))
		}
		words[i] = string(b)
	}
	return words
}

// prose is n bytes of words, about as compressible as text.
func prose(rnd *rand.Rand, words []string, n int) []byte {
	b := make([]byte, 0, n+12)
	for len(b) < n {
		b = append(append(b, words[rnd.IntN(len(words))]...), ' ')
	}
	return b[:n]
}

// digest hashes records partition by partition in the order in which they are added: equal sums mean equal content
// and equal order in each partition.
type digest struct {
	count  int
	parts  [partitions]hash.Hash
	codecs []string // found in the batches, if the reader can tell
}

func newDigest() *digest {
	d := &digest{}
	for i := range d.parts {
		d.parts[i] = sha256.New()
	}
	return d
}

// add may be called by one goroutine for each partition; it leaves count to the caller.
func (d *digest) add(r record) {
	h := d.parts[r.partition]
	field(h, r.key)
	field(h, r.value)
	for _, x := range r.headers {
		field(h, []byte(x.key))
		field(h, x.value)
	}
	h.Write([]byte{0xff})
}

// field writes a length and bytes, so that no two sequences of fields look alike.
func field(w io.Writer, b []byte) {
	n := int64(len(b))
	if b == nil {
		n = -1
	}
	w.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	w.Write(b)
}

func (d *digest) sum() string {
	all := sha256.New()
	for _, h := range d.parts {
		all.Write(h.Sum(nil))
	}
	return fmt.Sprintf("%x", all.Sum(nil))
}

func writeLine(w io.Writer, key, value []byte) {
	w.Write(key)
	w.Write([]byte{'\t'})
	w.Write(value)
	w.Write([]byte{'\n'})
}

// text writes the Go standard library's sources, in the order of their names and again from the start if they are
// too few, until size is reached. Empty lines are left out, because kcat sends no message for one, and files with
// a NUL or without a line feed at the end.
func text(w *bufio.Writer, size int64) error {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	var names []string
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), "src"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, ".go") {
			names = append(names, path)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no Go sources: %w", err)
	}
	slices.Sort(names)
	for written := int64(0); written < size; {
		before := written
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			n, err := writeText(w, b)
			if err != nil {
				return err
			}
			if written += n; written >= size {
				return nil
			}
		}
		if written == before {
			return errors.New("no usable Go sources")
		}
	}
	return nil
}

func writeText(w io.Writer, b []byte) (written int64, err error) {
	if !bytes.HasSuffix(b, []byte("\n")) || bytes.IndexByte(b, 0) >= 0 || len(b) > large {
		return 0, nil
	}
	for line := range bytes.Lines(b) {
		if len(line) > 1 && err == nil {
			_, err = w.Write(line)
			written += int64(len(line))
		}
	}
	return written, err
}
