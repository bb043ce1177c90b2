package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const formatHelp = `Formats are text with these verbs (as in kcat and rpk) and the escapes \n \t \r \0 \\ \xNN:
  %t topic      %k key              %h headers, name=value, comma-separated
  %p partition  %v value (also %s)  %d timestamp in milliseconds (also %T)
  %o offset     %% a percent sign`

// recordFormat is a compiled format: literals and verbs in turn.
type recordFormat []segment

// segment is a verb, or literal text where verb is 0.
type segment struct {
	verb byte
	text []byte
}

// parseFormat compiles a format, allowing only the verbs in allowed.
func parseFormat(s, allowed string) (recordFormat, error) {
	var f recordFormat
	var lit []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			c, n, err := formatEscape(s[i+1:])
			if err != nil {
				return nil, err
			}
			lit = append(lit, c)
			i += n
		case s[i] != '%':
			lit = append(lit, s[i])
		case i+1 == len(s):
			return nil, errors.New("format ends in %; write %% for a percent sign")
		default:
			i++
			verb := s[i]
			switch verb {
			case '%':
				lit = append(lit, '%')
				continue
			case 's':
				verb = 'v'
			case 'T':
				verb = 'd'
			}
			if strings.IndexByte(allowed, verb) < 0 {
				return nil, fmt.Errorf("format has no verb %%%c here; there are %%%s", s[i], strings.Join(strings.Split(allowed, ""), " %"))
			}
			if len(lit) > 0 {
				f = append(f, segment{text: lit})
				lit = nil
			}
			f = append(f, segment{verb: verb})
		}
	}
	if len(lit) > 0 {
		f = append(f, segment{text: lit})
	}
	return f, nil
}

// formatEscape reads what comes after a backslash: the byte meant and how many
// bytes of s say so.
func formatEscape(s string) (c byte, n int, err error) {
	if s == "" {
		return 0, 0, errors.New(`format ends in \; write \\ for a backslash`)
	}
	switch s[0] {
	case 'n':
		return '\n', 1, nil
	case 't':
		return '\t', 1, nil
	case 'r':
		return '\r', 1, nil
	case '0':
		return 0, 1, nil
	case '\\':
		return '\\', 1, nil
	case 'x':
		if len(s) >= 3 {
			if b, err := strconv.ParseUint(s[1:3], 16, 8); err == nil {
				return byte(b), 3, nil
			}
		}
	}
	return 0, 0, fmt.Errorf(`format has the unknown escape \%c; there are \n \t \r \0 \\ \xNN`, s[0])
}

// appendRecord appends r in the format.
func (f recordFormat) appendRecord(dst []byte, r *kgo.Record) []byte {
	for _, s := range f {
		switch s.verb {
		case 0:
			dst = append(dst, s.text...)
		case 't':
			dst = append(dst, r.Topic...)
		case 'p':
			dst = strconv.AppendInt(dst, int64(r.Partition), 10)
		case 'o':
			dst = strconv.AppendInt(dst, r.Offset, 10)
		case 'k':
			dst = append(dst, r.Key...)
		case 'v':
			dst = append(dst, r.Value...)
		case 'd':
			dst = strconv.AppendInt(dst, r.Timestamp.UnixMilli(), 10)
		case 'h':
			for i, h := range r.Headers {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = append(append(append(dst, h.Key...), '='), h.Value...)
			}
		}
	}
	return dst
}

// checkInput tells whether records can be cut out of a stream by the format: each
// verb must be followed by text that ends it.
func (f recordFormat) checkInput() error {
	if len(f) == 0 {
		return errors.New("format is empty")
	}
	for i, s := range f {
		if s.verb != 0 && (i+1 == len(f) || f[i+1].verb != 0) {
			return fmt.Errorf(`%%%c must be followed by text that ends it, such as \n`, s.verb)
		}
	}
	return nil
}

// recordReader cuts records out of a stream.
type recordReader struct {
	in     *bufio.Reader
	format recordFormat
	limit  int // bytes of one field
}

var errTooLong = errors.New("record too long")

// next fills r from the input. It returns io.EOF at the end; the last text of the
// last record may be missing.
func (rr *recordReader) next(r *kgo.Record) error {
	if _, err := rr.in.Peek(1); err != nil {
		return err
	}
	for i := 0; i < len(rr.format); i++ {
		s := rr.format[i]
		if s.verb == 0 { // only at the beginning: others were taken as the end of a verb
			if err := rr.expect(s.text); err != nil {
				return err
			}
			continue
		}
		end := rr.format[i+1].text
		last := i+2 == len(rr.format)
		i++
		field, err := rr.until(end, last)
		if err != nil {
			return fmt.Errorf("%%%c: %w", s.verb, err)
		}
		if err := setField(r, s.verb, field); err != nil {
			return err
		}
	}
	return nil
}

func (rr *recordReader) expect(text []byte) error {
	got := make([]byte, len(text))
	if _, err := io.ReadFull(rr.in, got); err != nil || !bytes.Equal(got, text) {
		return fmt.Errorf("want %q, found %q", text, got)
	}
	return nil
}

// until reads up to end, which it drops. At the end of the input end may be missing
// if orEOF.
func (rr *recordReader) until(end []byte, orEOF bool) ([]byte, error) {
	var field []byte
	for {
		piece, err := rr.in.ReadSlice(end[len(end)-1])
		field = append(field, piece...)
		switch {
		case bytes.HasSuffix(field, end):
			return field[:len(field)-len(end)], nil
		case len(field) > rr.limit:
			return nil, fmt.Errorf("%w: more than %d bytes before %q", errTooLong, rr.limit, end)
		case err == io.EOF && orEOF:
			return field, nil
		case err == io.EOF:
			return nil, fmt.Errorf("the input ends before %q", end)
		case err != nil && err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

func setField(r *kgo.Record, verb byte, field []byte) error {
	switch verb {
	case 't':
		r.Topic = string(field)
	case 'k':
		r.Key = field
	case 'v':
		r.Value = field
	case 'p':
		n, err := strconv.ParseInt(string(field), 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%%p: %q is no partition", field)
		}
		r.Partition = int32(n)
	case 'd':
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return fmt.Errorf("%%d: %q is no time in milliseconds", field)
		}
		r.Timestamp = time.UnixMilli(n)
	case 'h':
		for h := range strings.SplitSeq(string(field), ",") {
			if h == "" {
				continue
			}
			hdr, err := parseHeader(h)
			if err != nil {
				return fmt.Errorf("%%h: %w", err)
			}
			r.Headers = append(r.Headers, hdr)
		}
	}
	return nil
}

func parseHeader(s string) (kgo.RecordHeader, error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || name == "" {
		return kgo.RecordHeader{}, fmt.Errorf("header %q is not name=value", s)
	}
	return kgo.RecordHeader{Key: name, Value: []byte(value)}, nil
}
