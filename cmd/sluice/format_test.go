package main

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestParseFormat(t *testing.T) {
	r := &kgo.Record{Topic: "t", Partition: 3, Offset: 9, Key: []byte("k"), Value: []byte("v"), Timestamp: time.UnixMilli(1234)}
	for _, c := range []struct{ format, want string }{
		{`%t %p %o %k %v %s %d %T %h|`, "t 3 9 k v v 1234 1234 |"},
		{`100%%\n\t\r\0\\\x41`, "100%\n\t\r\x00\\A"},
		{``, ""},
	} {
		f, err := parseFormat(c.format, "tpokvhd")
		if got := string(f.appendRecord(nil, r)); err != nil || got != c.want {
			t.Errorf("%s: %q, %v, want %q", c.format, got, err, c.want)
		}
	}
	for _, bad := range []string{`%`, `%z`, `\`, `\q`, `\x4`, `\xzz`} {
		if _, err := parseFormat(bad, "v"); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestRecordReaderBounds(t *testing.T) {
	f, err := parseFormat(`%v--\n`, "v")
	if err != nil {
		t.Fatal(err)
	}
	rr := recordReader{in: bufio.NewReaderSize(strings.NewReader("a-b\nc--\n"+strings.Repeat("x", 100)), 16), format: f, limit: 50}
	var r kgo.Record
	if err := rr.next(&r); err != nil || string(r.Value) != "a-b\nc" {
		t.Errorf("%q, %v", r.Value, err)
	}
	if err := rr.next(&r); err == nil || !strings.Contains(err.Error(), "record too long: more than 50 bytes") {
		t.Errorf("%v", err)
	}
}

// Any format and input end without a panic; what a format of key and value prints it
// reads again.
func FuzzFormat(f *testing.F) {
	f.Add(`%k\t%v\n`, []byte("a\tb\nc\td"))
	f.Add(`<%v>%p\x00`, []byte("<x>1\x00"))
	f.Fuzz(func(t *testing.T, format string, input []byte) {
		ff, err := parseFormat(format, "tpkvhd")
		if err != nil || ff.checkInput() != nil {
			return
		}
		rr := recordReader{in: bufio.NewReader(bytes.NewReader(input)), format: ff, limit: 1 << 16}
		for range len(input) + 1 {
			r := new(kgo.Record)
			if err := rr.next(r); err != nil {
				return
			}
		}
		if _, err := rr.in.Peek(1); err != io.EOF {
			t.Fatal("records without bytes")
		}
	})
}
