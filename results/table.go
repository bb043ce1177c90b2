package results

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the run as text: what all series have in common, one row per
// series, and notes with the verdict. Latencies carry their unit; a dash stands for
// a figure that was not measured or has fewer than ten samples above it.
func WriteTable(w io.Writer, r *Run) error {
	var b strings.Builder
	for _, line := range headLines(r) {
		b.WriteString(line + "\n")
	}
	b.WriteString("\n")
	rows := tableRows(r)
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, row := range rows {
		fmt.Fprintln(tw, strings.Join(row, "\t")+"\t")
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	b.WriteString("\n")
	for _, line := range noteLines(r) {
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// axis is one setting in words: its column title, and its value in a series.
type axis struct {
	title string
	value func(*Series) string
	words string // how a common value reads in the head line
}

var axes = []axis{
	{"op", func(s *Series) string { return s.Op }, "%s"},
	{"size", func(s *Series) string { return strconv.Itoa(s.Size) + " B" }, "%s values"},
	{"parts", func(s *Series) string { return strconv.Itoa(s.Partitions) }, "partitions %s"},
	{"prods", func(s *Series) string { return strconv.Itoa(s.Producers) }, "producers %s"},
	{"linger", func(s *Series) string { return trimFloat(s.LingerMs) + " ms" }, "linger %s"},
	{"batch", func(s *Series) string { return strconv.Itoa(s.BatchBytes) + " B" }, "batches up to %s"},
	{"compr", func(s *Series) string { return s.Compression }, "compression %s"},
	{"arrival", func(s *Series) string { return s.Arrival }, "%s arrivals, open loop"},
	{"engine", func(s *Series) string { return s.Engine }, "engine %s"},
}

// varies tells whether the series differ on an axis, so that it needs a column.
func (a *axis) varies(r *Run) bool {
	for _, s := range r.Series[1:] {
		if a.value(s) != a.value(r.Series[0]) {
			return true
		}
	}
	return false
}

func headLines(r *Run) []string {
	var common []string
	for i := range axes {
		if a := &axes[i]; len(r.Series) > 0 && !a.varies(r) {
			common = append(common, fmt.Sprintf(a.words, a.value(r.Series[0])))
		}
	}
	head := []string{strings.Join(common, ", ")}
	if e := r.Environment; e != nil {
		head = append(head, fmt.Sprintf("%s, %d cores, %s memory, %s, kernel %s, %s", e.CPUModel, e.Cores,
			FormatBytes(e.MemoryBytes), e.OS, e.Kernel, e.GoVersion))
	}
	return append(head, fmt.Sprintf("each series %s s after %s s of warm-up, started %s, seed %d",
		trimFloat(r.DurationS), trimFloat(r.WarmupS), r.Started.UTC().Format("2006-01-02 15:04:05 UTC"), r.Seed))
}

// tableRows returns the titles and one row per series.
func tableRows(r *Run) [][]string {
	title := []string{"acks"}
	var extra []*axis
	for i := range axes {
		if a := &axes[i]; len(r.Series) > 1 && a.varies(r) {
			extra = append(extra, a)
			title = append(title, a.title)
		}
	}
	title = append(title, "offered/s", "achieved/s", "MB/s", "errors", "latency", "p50", "p90", "p99", "p99.9",
		"p99.99", "max", "e2e p50", "e2e p99", "e2e p99.9", "e2e max")
	rows := [][]string{title}
	for _, s := range r.Series {
		row := []string{s.Acks}
		for _, a := range extra {
			row = append(row, a.value(s))
		}
		row = append(row, formatRate(s.OfferedPerS), formatRate(s.AchievedPerS), significant(s.MBPerS),
			FormatCount(float64(s.Errors)), s.LatencyKind.Title())
		l, e := orEmpty(s.Latency(s.LatencyKind)), orEmpty(s.EndToEnd)
		for _, v := range []*float64{l.P50, l.P90, l.P99, l.P999, l.P9999, l.Max, e.P50, e.P99, e.P999, e.Max} {
			row = append(row, FormatLatency(v))
		}
		rows = append(rows, row)
	}
	return rows
}

func orEmpty(l *Latency) *Latency {
	if l == nil {
		return &Latency{}
	}
	return l
}

// noteLines explains the figures and gives the verdict.
func noteLines(r *Run) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range r.Series {
		if line := fmt.Sprintf("%s: %s", s.LatencyKind.Title(), s.LatencyMeaning); !seen[line] {
			seen[line] = true
			out = append(out, line)
		}
	}
	out = append(out, "end to end (e2e): intended time to received by a consumer that reads everything back")
	if hasDash(r) {
		out = append(out, dash+" : not measured, or fewer than ten samples above the percentile")
	}
	for _, s := range r.Series {
		out = append(out, "acks="+s.Acks+": "+verified(s.Verification))
	}
	for _, n := range r.Notes {
		out = append(out, "note: "+n)
	}
	if r.Valid {
		return append(out, "VALID")
	}
	out = append(out, "NOT VALID:")
	for _, reason := range r.Reasons {
		out = append(out, "  "+reason)
	}
	return out
}

func hasDash(r *Run) bool {
	for _, row := range tableRows(r) {
		for _, cell := range row {
			if cell == dash {
				return true
			}
		}
	}
	return false
}

// verified is the verification in one sentence.
func verified(v *Verification) string {
	if v == nil {
		return "not verified"
	}
	if v.OK {
		return FormatCount(float64(v.Received)) + " records verified: " + v.Claim
	}
	return fmt.Sprintf("VERIFICATION FAILED: sent %d, acknowledged %d, received %d, missing %d, twice %d, out of order %d, "+
		"corrupt %d, foreign %d", v.Sent, v.Acked, v.Received, v.Missing, v.Duplicates, v.Disorder, v.Corrupt, v.Foreign)
}

func trimFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
