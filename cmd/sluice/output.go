package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// outputFormats are the values of -o. The names in json, yaml and csv are stable;
// table and wide are for people and may change.
var outputFormats = []string{"table", "wide", "json", "yaml", "csv"}

// addOutput gives cmd the flag -o.
func addOutput(cmd *cobra.Command, format *string, formats ...string) {
	if len(formats) == 0 {
		formats = outputFormats
	}
	cmd.Flags().StringVarP(format, "output", "o", formats[0], "output as "+strings.Join(formats, ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	before := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if !slices.Contains(formats, *format) {
			return usagef("-o %s: output formats are %s", *format, strings.Join(formats, ", "))
		}
		if before != nil {
			return before(cmd, args)
		}
		return nil
	}
}

// column is one column of a table.
type column struct {
	name  string // the name in csv; tables show it in upper case
	right bool   // a number
	wide  bool   // not in the narrow table
}

// table is a result: rows for people and csv, data for json and yaml.
type table struct {
	columns []column
	rows    [][]string
	data    any
}

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer, format string) error {
	switch format {
	case "json":
		return writeJSON(w, t.data)
	case "yaml":
		return writeYAML(w, t.data)
	case "csv":
		return t.writeCSV(w)
	}
	return t.writeText(w, format == "wide")
}

func writeJSON(w io.Writer, data any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(data)
}

// writeYAML goes through JSON, which is YAML, so that both have the same names in
// the same order.
func writeYAML(w io.Writer, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(text, &n); err != nil {
		return err
	}
	blockStyle(&n)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return err
	}
	return e.Close()
}

// blockStyle lets the encoder choose the style of all but lists of plain values,
// which stay in one line.
func blockStyle(n *yaml.Node) {
	flat := n.Kind == yaml.SequenceNode && !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode })
	if !flat && (len(n.Content) > 0 || n.Kind == yaml.ScalarNode) {
		n.Style = 0
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

func (t *table) writeCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := make([]string, len(t.columns))
	for i, col := range t.columns {
		head[i] = col.name
	}
	_ = c.Write(head) // Flush and Error report it
	_ = c.WriteAll(t.rows)
	return c.Error()
}

// writeText prints columns two blanks apart, numbers to the right.
func (t *table) writeText(w io.Writer, wide bool) error {
	var shown []int
	for i, c := range t.columns {
		if wide || !c.wide {
			shown = append(shown, i)
		}
	}
	width := make([]int, len(t.columns))
	for _, i := range shown {
		width[i] = utf8.RuneCountInString(t.columns[i].name)
		for _, r := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(r[i]))
		}
	}
	var b strings.Builder
	line := func(cell func(i int) string) {
		var l strings.Builder
		for n, i := range shown {
			if n > 0 {
				l.WriteString("  ")
			}
			s := cell(i)
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(s))
			if t.columns[i].right {
				l.WriteString(pad + s)
			} else {
				l.WriteString(s + pad)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	line(func(i int) string { return strings.ReplaceAll(strings.ToUpper(t.columns[i].name), "_", "-") })
	for _, r := range t.rows {
		line(func(i int) string { return r[i] })
	}
	_, err := io.WriteString(w, b.String())
	return err
}
