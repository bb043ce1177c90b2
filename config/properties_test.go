package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestProperties(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a=b", "1 a=b"},
		{"a = b ", "1 a=b "},
		{"a:b\na  c\n\ta\t=\td", "1 a=b|2 a=c|3 a=d"},
		{"a==b\na: =b", "1 a==b|2 a==b"},
		{"# c\n  ! c\\\n\n \f\na=1", "5 a=1"},
		{"a=b\\\n   c\\\r\n\td", "1 a=bcd"},
		{"a=b\\\n\nc=d", "1 a=b|3 c=d"},
		{"a=b\\\n#c\nd=e", "1 a=b#c|3 d=e"},
		{"a=b\\\\\nc=d", `1 a=b\|2 c=d`},
		{"a=b\\", "1 a=b"},
		{"a\\=b\\:c\\ d=e", "1 a=b:c d=e"},
		{`a=\t\n\r\f\q\"`, "1 a=\t\n\r\fq\""},
		{`a=\u00e4\u20AC\ud83d\ude00`, "1 a=ä€😀"},
		{`a=\ud83dx`, "1 a=\ufffdx"},
		{"a=1\rb=2\r\nc=3", "1 a=1|2 b=2|3 c=3"},
		{"a", "1 a="},
		{"\ufeffa=1", "1 a=1"},
		{"", ""},
		{`a=\u12`, `1! \u needs four hexadecimal digits`},
		{`a=\u12g4`, `1! \u12g4: not four hexadecimal digits`},
		{"ok=1\n=b", `1 ok=1|2! no key before "=b"`},
		{"a=\xff", "1! not UTF-8 text"},
		{strings.Repeat("#", MaxFileBytes+1), fmt.Sprintf("1! the file has %d bytes, more than %d", MaxFileBytes+1, MaxFileBytes)},
	} {
		props, bad := parseProperties([]byte(c.text))
		var got []string
		for _, p := range props {
			got = append(got, fmt.Sprintf("%d %s=%s", p.line, p.key, p.value))
		}
		for _, b := range bad {
			got = append(got, fmt.Sprintf("%d! %s", b.line, b.text))
		}
		if g := strings.Join(got, "|"); g != c.want {
			t.Errorf("%.60q: %q, want %q", c.text, g, c.want)
		}
	}
}

// Any bytes are read without a panic, lines count up, and what was read can be
// written and read again.
func FuzzProperties(f *testing.F) {
	for _, s := range []string{"a=b", "a\\\n b\\", `\u00e4=\ud83d\ude00`, "\\", "=", "a\\", "#\\\na", "\r\n\r", stockKRaft} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		props, bad := parseProperties(text)
		line := 0
		var again strings.Builder
		for _, p := range props {
			if p.line <= line || p.key == "" {
				t.Fatalf("property %+v after line %d", p, line)
			}
			line = p.line
			again.WriteString(escapeAll(p.key) + "=" + escapeAll(p.value) + "\n")
		}
		if len(again.String()) > MaxFileBytes {
			return
		}
		second, badAgain := parseProperties([]byte(again.String()))
		if len(badAgain) != 0 || len(second) != len(props) {
			t.Fatalf("%d properties and %v, were %d and %v", len(second), badAgain, len(props), bad)
		}
		for i := range props {
			if second[i].key != props[i].key || second[i].value != props[i].value {
				t.Fatalf("%+v, was %+v", second[i], props[i])
			}
		}
	})
}

// escapeAll writes every character so that it stands for itself.
func escapeAll(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r < 0x80:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Loading any file, environment and flags ends with values or problems, never both
// nor a panic; what loads builds or says why not.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(stockKRaft), "SLUICE_LOG_DIRS=/x", "num.partitions=3")
	f.Add([]byte("listeners=A://[::1]:0,B://:1\nlistener.security.protocol.map=A:PLAINTEXT,B:SSL"), "SLUICE_", "=")
	f.Fuzz(func(t *testing.T, text []byte, env, set string) {
		v, err := Load(Input{File: text, FileName: "f", Environ: []string{env}, Sets: []string{set}})
		if v == nil {
			t.Fatal("no values")
		}
		b, errTyped := v.Broker()
		if (b == nil) == (errTyped == nil) {
			t.Fatalf("broker %v with error %v", b, errTyped)
		}
		if err == nil && b != nil && (len(b.Listeners) == 0 || len(b.Advertised) != len(b.Listeners) || b.Loops < 1 || len(b.LogDirs) == 0) {
			t.Fatalf("%+v", b)
		}
	})
}
