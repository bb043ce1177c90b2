package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-mq/sluice/results"
	"github.com/sluice-mq/sluice/test/rig"
)

// figure is one line of the table: values of each round beside those of the limit, where there is one.
type figure struct {
	Row     string    `json:"row"`
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Values  []float64 `json:"values"`
	Limit   []float64 `json:"limit,omitempty"` // of the same rounds
	LimitIs string    `json:"limit_is,omitempty"`
	// The goal: a bound of the ratio of values to limit where there is a limit, else of the values. 0: none.
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

// figure begins a line; rounds are added to it.
func (b *bench) figure(name, unit, limitIs string) *figure {
	f := &figure{Name: name, Unit: unit, LimitIs: limitIs}
	b.figures = append(b.figures, f)
	return f
}

func (f *figure) atLeast(v float64) *figure { f.AtLeast = v; return f }
func (f *figure) atMost(v float64) *figure  { f.AtMost = v; return f }

// add takes a round that has no limit, pair one that has.
func (f *figure) add(value float64)         { f.Values = append(f.Values, value) }
func (f *figure) pair(value, limit float64) { f.add(value); f.Limit = append(f.Limit, limit) }

func (f *figure) ratios() []float64 {
	var r []float64
	for i := range f.Limit {
		r = append(r, f.Values[i]/f.Limit[i])
	}
	return r
}

// verdict of the median: "met", "NOT MET", "" without a goal.
func (f *figure) verdict() string {
	of := f.Values
	if f.LimitIs != "" {
		of = f.ratios()
	}
	switch m := rig.Median(of); {
	case f.AtLeast > 0 && m < f.AtLeast, f.AtMost > 0 && m > f.AtMost:
		return "NOT MET"
	case f.AtLeast > 0 || f.AtMost > 0:
		return "met"
	}
	return ""
}

func (f *figure) goal() string {
	switch {
	case f.AtLeast > 0:
		return "≥ " + short(f.AtLeast)
	case f.AtMost > 0:
		return "≤ " + short(f.AtMost)
	}
	return ""
}

// report is what a run leaves.
type report struct {
	Started     time.Time            `json:"started"`
	Seconds     float64              `json:"seconds"`
	Command     []string             `json:"command"`
	Quick       bool                 `json:"quick"` // not to be quoted
	Environment *results.Environment `json:"environment"`
	LoadAfter   [3]float64           `json:"load_average_after"`
	Figures     []*figure            `json:"figures"`
	Notes       []string             `json:"notes"`

	cpu results.CPUTime
}

func begin(b *bench) *report {
	r := &report{Started: time.Now().UTC(), Command: os.Args, Quick: b.quick, Environment: results.Host(), cpu: results.ReadCPUTime()}
	r.Environment.SetDataDir(b.dir)
	return r
}

func (r *report) end(b *bench) {
	r.Seconds = time.Since(r.Started).Seconds()
	r.Environment.StealPercent = results.ReadCPUTime().StealSince(r.cpu)
	r.LoadAfter = results.Host().LoadAverage
	r.Notes = b.notes
	r.Figures = slices.DeleteFunc(b.figures, func(f *figure) bool { return len(f.Values) == 0 })
}

// print writes the environment and a table that Markdown shows as one.
func (r *report) print(w io.Writer) {
	e := r.Environment
	fmt.Fprintf(w, "%s, commit %.12s%s, %s\n", r.Started.Format("2006-01-02 15:04 UTC"), or(e.Commit, "unknown"), mark(e.Dirty, " with changes"),
		strings.Join(r.Command, " "))
	fmt.Fprintf(w, "%s, %d cores, %s memory, kernel %s, %s, data on %s\n", e.CPUModel, e.Cores, results.FormatBytes(e.MemoryBytes),
		e.Kernel, e.GoVersion, e.DataFileSystem)
	fmt.Fprintf(w, "load average %.2f before and %.2f after, %.1f %% of CPU time stolen, %.0f s in all\n", e.LoadAverage[0], r.LoadAfter[0],
		e.StealPercent, r.Seconds)
	if r.Quick {
		fmt.Fprintln(w, "QUICK: rounds too short to be quoted")
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| row\t| figure\t| median (range)\t| beside\t| median (range)\t| ratio (range)\t| goal\t| \t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, f := range r.Figures {
		fmt.Fprintf(t, "| %s\t| %s, %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", f.Row, f.Name, f.Unit, spread(f.Values), f.LimitIs,
			spread(f.Limit), spread(f.ratios()), f.goal(), f.verdict())
	}
	t.Flush()
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// spread is a median with its range, "" for nothing.
func spread(v []float64) string {
	switch len(v) {
	case 0:
		return ""
	case 1:
		return short(v[0])
	}
	return fmt.Sprintf("%s (%s–%s)", short(rig.Median(v)), short(slices.Min(v)), short(slices.Max(v)))
}

// short has three significant digits.
func short(v float64) string {
	if a := math.Abs(v); a >= 100 || a == math.Trunc(a) {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func mark(yes bool, s string) string {
	if yes {
		return s
	}
	return ""
}
