package zk

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// CheckPath tells why p is no path of a node, nil if it is one (PathUtils.validatePath).
func CheckPath(p string) error {
	switch {
	case p == "" || p[0] != '/':
		return badPath(p, "does not begin with /")
	case p == "/":
		return nil
	case p[len(p)-1] == '/':
		return badPath(p, "ends with /")
	}
	for name := range strings.SplitSeq(p[1:], "/") {
		switch name {
		case "":
			return badPath(p, "has an empty name")
		case ".", "..":
			return badPath(p, "has a relative name")
		}
	}
	for i, r := range p {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(p[i:]); n <= 1 {
				return badPath(p, "is not UTF-8")
			}
		}
		if forbidden(r) {
			return badPath(p, fmt.Sprintf("has the character %U", r))
		}
	}
	return nil
}

func badPath(p, why string) error { return fmt.Errorf("path %q %s", p, why) }

// forbidden has the ranges of PathUtils, which looks at UTF-16: a character beyond the first plane is a pair of
// surrogates there, and those lie in the third range.
func forbidden(r rune) bool {
	return r <= 0x1f || r >= 0x7f && r <= 0x9f || r >= 0xd800 && r <= 0xf8ff || r >= 0xfff0
}

// Parent is the path of the node that has p as a child, "" for the root. p has to be valid.
func Parent(p string) string {
	switch i := strings.LastIndexByte(p, '/'); {
	case p == "/" || i < 0:
		return ""
	case i == 0:
		return "/"
	default:
		return p[:i]
	}
}

// Base is the last name of p.
func Base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// Join is the path of parent's child.
func Join(parent, name string) string {
	if parent == "/" {
		return "/" + name
	}
	return parent + "/" + name
}

// SequenceSuffix is what a server puts behind the name of a sequential node.
func SequenceSuffix(n int32) string { return fmt.Sprintf("%010d", n) }
