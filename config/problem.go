package config

import "strings"

// Problem is one thing that is wrong with the settings.
type Problem struct {
	Key     string // may be empty
	Source  Source
	Message string // names key and value, and says what is allowed
}

func (p Problem) String() string {
	if p.Source.Origin == FromDefault {
		return p.Message
	}
	return p.Source.String() + ": " + p.Message
}

// Problems are all that is wrong, in the order found. It is an error with one line
// for each.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}
