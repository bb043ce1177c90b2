package rig

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
)

// Figure is one line of a report's table: values of each round beside those of a limit, where there is one.
type Figure struct {
	Row     string    `json:"row"`
	Name    string    `json:"name"`
	Unit    string    `json:"unit"`
	Values  []float64 `json:"values"`
	Limit   []float64 `json:"limit,omitempty"` // of the same rounds
	LimitIs string    `json:"limit_is,omitempty"`
	// The goal: a bound of the ratio of values to limit where there is a limit, else of the values. 0: none.
	Least float64 `json:"at_least,omitempty"`
	Most  float64 `json:"at_most,omitempty"`
}

// AtLeast sets the goal, and so does AtMost.
func (f *Figure) AtLeast(v float64) *Figure { f.Least = v; return f }

// AtMost sets the goal.
func (f *Figure) AtMost(v float64) *Figure { f.Most = v; return f }

// Add takes a round that has no limit.
func (f *Figure) Add(value float64) { f.Values = append(f.Values, value) }

// Pair takes a round that has one.
func (f *Figure) Pair(value, limit float64) { f.Add(value); f.Limit = append(f.Limit, limit) }

func (f *Figure) ratios() []float64 {
	var r []float64
	for i := range f.Limit {
		r = append(r, f.Values[i]/f.Limit[i])
	}
	return r
}

// verdict of the median: "met", "NOT MET", "" without a goal.
func (f *Figure) verdict() string {
	of := f.Values
	if f.LimitIs != "" {
		of = f.ratios()
	}
	switch m := Median(of); {
	case f.Least > 0 && m < f.Least, f.Most > 0 && m > f.Most:
		return "NOT MET"
	case f.Least > 0 || f.Most > 0:
		return "met"
	}
	return ""
}

func (f *Figure) goal() string {
	switch {
	case f.Least > 0:
		return "≥ " + Short(f.Least)
	case f.Most > 0:
		return "≤ " + Short(f.Most)
	}
	return ""
}

// Report is what a run of a benchmark leaves.
type Report struct {
	Started     time.Time            `json:"started"`
	Seconds     float64              `json:"seconds"`
	Command     []string             `json:"command"`
	Quick       bool                 `json:"quick"` // not to be quoted
	Environment *results.Environment `json:"environment"`
	LoadAfter   [3]float64           `json:"load_average_after"`
	Figures     []*Figure            `json:"figures"`
	Notes       []string             `json:"notes"`

	cpu results.CPUTime
}

// NewReport begins one. dir is on the file system that is measured; quick says that its figures are not to be quoted.
func NewReport(dir string, quick bool) *Report {
	r := &Report{Started: time.Now().UTC(), Command: os.Args, Quick: quick, Environment: results.Host(), cpu: results.ReadCPUTime()}
	r.Environment.SetDataDir(dir)
	return r
}

// Figure begins a line; rounds are added to it. One without any is left out.
func (r *Report) Figure(name, unit, limitIs string) *Figure {
	f := &Figure{Name: name, Unit: unit, LimitIs: limitIs}
	r.Figures = append(r.Figures, f)
	return f
}

// Note is printed with the figures.
func (r *Report) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// End notes what there is to say of the machine.
func (r *Report) End() {
	r.Seconds = time.Since(r.Started).Seconds()
	r.Environment.StealPercent = results.ReadCPUTime().StealSince(r.cpu)
	r.LoadAfter = results.Host().LoadAverage
	r.Figures = slices.DeleteFunc(r.Figures, func(f *Figure) bool { return len(f.Values) == 0 })
}

// Print writes the environment and a table that Markdown shows as one.
func (r *Report) Print(w io.Writer) {
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

// Write writes all of it, as JSON.
func (r *Report) Write(path string) error {
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
		return Short(v[0])
	}
	return fmt.Sprintf("%s (%s–%s)", Short(Median(v)), Short(slices.Min(v)), Short(slices.Max(v)))
}

// Short has three significant digits.
func Short(v float64) string {
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
