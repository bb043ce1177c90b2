package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// streamSample is how many rows decide how wide the columns of a streamed table are; a later row that needs more
// pushes the rest of its line to the right.
const streamSample = 200

// stream writes a result that may be too long for memory: table and csv line by line, json as one object per line,
// yaml as one document per row.
type stream struct {
	w       io.Writer
	format  string
	columns []column
	width   []int
	held    [][]string // the sample, until it is written
	begun   bool
	csv     *csv.Writer
}

func newStream(w io.Writer, format string, columns []column) *stream {
	return &stream{w: w, format: format, columns: columns, csv: csv.NewWriter(w)}
}

// add writes a row: cells for people and csv, data for json and yaml. Close writes what is left.
func (s *stream) add(data any, cells ...any) error {
	switch s.format {
	case "json":
		e := json.NewEncoder(s.w)
		e.SetEscapeHTML(false)
		return e.Encode(data)
	case "yaml":
		if _, err := io.WriteString(s.w, "---\n"); err != nil {
			return err
		}
		return writeYAML(s.w, data)
	}
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	if s.format == "csv" {
		if !s.begun {
			s.begun = true
			_ = s.csv.Write(s.names(func(n string) string { return n }))
		}
		return s.csv.Write(row)
	}
	if s.width != nil {
		return s.line(row)
	}
	if s.held = append(s.held, row); len(s.held) < streamSample {
		return nil
	}
	return s.sampled()
}

func (s *stream) names(as func(string) string) []string {
	names := make([]string, len(s.columns))
	for i, c := range s.columns {
		names[i] = as(c.name)
	}
	return names
}

// sampled sets the widths and writes what was held back for that.
func (s *stream) sampled() error {
	head := s.names(func(n string) string { return strings.ReplaceAll(strings.ToUpper(n), "_", "-") })
	s.width = make([]int, len(s.columns))
	rows := append([][]string{head}, s.held...)
	for _, r := range rows {
		for i := range s.columns {
			s.width[i] = max(s.width[i], utf8.RuneCountInString(r[i]))
		}
	}
	s.held = nil
	for _, r := range rows {
		if err := s.line(r); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) line(row []string) error {
	var l strings.Builder
	first := true
	for i, c := range s.columns {
		if c.wide && s.format != "wide" {
			continue
		}
		if !first {
			l.WriteString("  ")
		}
		first = false
		pad := strings.Repeat(" ", max(0, s.width[i]-utf8.RuneCountInString(row[i])))
		if c.right {
			l.WriteString(pad + row[i])
		} else {
			l.WriteString(row[i] + pad)
		}
	}
	_, err := io.WriteString(s.w, strings.TrimRight(l.String(), " ")+"\n")
	return err
}

func (s *stream) close() error {
	switch s.format {
	case "csv":
		s.csv.Flush()
		return s.csv.Error()
	case "table", "wide":
		if s.width == nil && len(s.held) > 0 {
			return s.sampled()
		}
	}
	return nil
}
