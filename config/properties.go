package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxFileBytes bounds a properties file. Kafka's largest are a few tens of KiB.
const MaxFileBytes = 1 << 20

// property is one key and value of a properties file, line being where it begins.
type property struct {
	key, value string
	line       int
}

// parseProperties reads the syntax of java.util.Properties: `key=value`,
// `key: value` or `key value`, comments after # or !, a backslash at the end of a
// line to go on in the next, the escapes \t \n \r \f \\ and \uXXXX. Other than
// Java, which takes bytes for Latin-1, it reads UTF-8. It returns what it could
// read together with the problems of the rest.
func parseProperties(text []byte) ([]property, []lineProblem) {
	if len(text) > MaxFileBytes {
		return nil, []lineProblem{{1, fmt.Sprintf("the file has %d bytes, more than %d", len(text), MaxFileBytes)}}
	}
	var out []property
	var bad []lineProblem
	s := scanner{rest: strings.TrimPrefix(string(text), "\ufeff")}
	for {
		logical, line, ok := s.next()
		if !ok {
			return out, bad
		}
		if !utf8.ValidString(logical) {
			bad = append(bad, lineProblem{line, "not UTF-8 text"})
			continue
		}
		p, err := splitProperty(logical)
		if err != nil {
			bad = append(bad, lineProblem{line, err.Error()})
			continue
		}
		p.line = line
		out = append(out, p)
	}
}

type lineProblem struct {
	line int
	text string
}

// scanner cuts text into logical lines: comments and blank lines dropped,
// continued lines joined.
type scanner struct {
	rest string
	line int // natural lines consumed so far
}

const blanks = " \t\f"

// natural returns the next line without its end (\n, \r or \r\n).
func (s *scanner) natural() (string, bool) {
	if s.rest == "" {
		return "", false
	}
	s.line++
	i := strings.IndexAny(s.rest, "\r\n")
	if i < 0 {
		l := s.rest
		s.rest = ""
		return l, true
	}
	l, end := s.rest[:i], 1
	if strings.HasPrefix(s.rest[i:], "\r\n") {
		end = 2
	}
	s.rest = s.rest[i+end:]
	return l, true
}

func (s *scanner) next() (logical string, line int, ok bool) {
	for {
		l, ok := s.natural()
		if !ok {
			return "", 0, false
		}
		l = strings.TrimLeft(l, blanks)
		if l == "" || l[0] == '#' || l[0] == '!' {
			continue
		}
		line = s.line
		if !continues(l) {
			return l, line, true
		}
		return s.join(l), line, true
	}
}

// join appends the lines that l, which ends in a backslash, goes on in.
func (s *scanner) join(l string) string {
	var b strings.Builder
	for continues(l) {
		b.WriteString(l[:len(l)-1])
		more, ok := s.natural()
		if !ok {
			return b.String()
		}
		l = strings.TrimLeft(more, blanks)
	}
	b.WriteString(l)
	return b.String()
}

// continues tells whether l ends in an odd number of backslashes.
func continues(l string) bool {
	return (len(l)-len(strings.TrimRight(l, `\`)))%2 == 1
}

// splitProperty cuts a logical line at the first blank, = or : that is not escaped.
func splitProperty(l string) (property, error) {
	end := 0
	for end < len(l) && !strings.ContainsRune(blanks+"=:", rune(l[end])) {
		if l[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(l))
	value := strings.TrimLeft(l[end:], blanks)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], blanks)
	}
	key, err := unescape(l[:end])
	if err != nil {
		return property{}, err
	}
	value, err = unescape(value)
	if err != nil {
		return property{}, err
	}
	if key == "" {
		return property{}, fmt.Errorf("no key before %q", l)
	}
	return property{key: key, value: value}, nil
}

func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var units []uint16 // UTF-16 units that wait for the second half of a pair
	var b strings.Builder
	flush := func() {
		for _, r := range utf16.Decode(units) {
			b.WriteRune(r)
		}
		units = units[:0]
	}
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			flush()
			if s[i] != '\\' {
				b.WriteByte(s[i])
			}
			continue
		}
		i++
		if s[i] == 'u' {
			if i+5 > len(s) {
				return "", fmt.Errorf(`\u needs four hexadecimal digits`)
			}
			n, err := strconv.ParseUint(s[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`\u%s: not four hexadecimal digits`, s[i+1:i+5])
			}
			units = append(units, uint16(n))
			i += 4
			continue
		}
		flush()
		b.WriteByte(plainEscape(s[i]))
	}
	flush()
	return b.String(), nil
}

// plainEscape is what a backslash and c stand for: c itself but for four letters.
func plainEscape(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 'f':
		return '\f'
	}
	return c
}
