package results

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"path"
	"strings"
)

// The plotting library uPlot 1.6.32 lies in uplot/ as published, with its licence.
//
//go:embed report/report.html report/report.css report/report.js uplot/uPlot.iife.min.js uplot/uPlot.min.css
var assets embed.FS

// WriteReport writes the run as one HTML page that needs nothing else: no request
// leaves it (a content security policy forbids any), scripts and styles are inside.
func WriteReport(w io.Writer, r *Run) error {
	t, err := template.ParseFS(assets, "report/report.html")
	if err != nil {
		panic("BUG: report template: " + err.Error())
	}
	return t.ExecuteTemplate(w, "report.html", newReport(r))
}

// report is what the template shows.
type report struct {
	Run    *Run
	Title  string
	Head   []string
	Titles []string
	Rows   [][]string
	Notes  []string
	Detail []section
	Facts  []section
	Charts charts

	Style, PlotStyle   template.CSS
	Script, PlotScript template.JS
}

// section is a small table of names and values.
type section struct {
	Title string
	Rows  [][2]string
}

// charts is the data of the plots, handed to the script as JSON.
type charts struct {
	Names       []string  `json:"names"` // one per series
	Nines       []float64 `json:"nines"` // x of the percentile plots: -log10(1-quantile)
	Percentiles []plot    `json:"percentiles"`
	Time        []overs   `json:"time"` // one per series
}

type plot struct {
	Title string       `json:"title"`
	Lines [][]*float64 `json:"lines"` // one per series, nil where it was not measured; µs
}

type overs struct {
	T         []float64  `json:"t"`
	Completed []float64  `json:"completed"` // per second
	Received  []float64  `json:"received"`
	P50       []*float64 `json:"p50"` // µs
	P99       []*float64 `json:"p99"`
	E2EP99    []*float64 `json:"e2e_p99"`
}

func newReport(r *Run) *report {
	rows := tableRows(r)
	d := &report{
		Run: r, Title: r.Workload + " " + r.Started.UTC().Format("2006-01-02 15:04:05 UTC"),
		Head: headLines(r), Titles: rows[0], Rows: rows[1:], Notes: r.Notes, Charts: newCharts(r),
		Style:      template.CSS(asset("report/report.css")), // our own text, not input
		PlotStyle:  template.CSS(asset("uplot/uPlot.min.css")),
		Script:     template.JS(asset("report/report.js")),
		PlotScript: template.JS(asset("uplot/uPlot.iife.min.js")),
	}
	for _, s := range r.Series {
		d.Detail = append(d.Detail, detail(r, s))
	}
	d.Facts = append(d.Facts, commandFacts(r), environmentFacts(r.Environment))
	return d
}

func asset(name string) string {
	data, err := assets.ReadFile(path.Clean(name))
	if err != nil {
		panic("BUG: embedded file: " + err.Error())
	}
	return string(data)
}

// name tells the series of a run apart: its acks and the axes that vary.
func (s *Series) name(r *Run) string {
	parts := []string{"acks=" + s.Acks}
	for i := range axes {
		if a := &axes[i]; a.varies(r) {
			parts = append(parts, fmt.Sprintf(a.words, a.value(s)))
		}
	}
	return strings.Join(parts, ", ")
}

func detail(r *Run, s *Series) section {
	sec := section{Title: s.name(r)}
	add := func(k, format string, args ...any) {
		sec.Rows = append(sec.Rows, [2]string{k, fmt.Sprintf(format, args...)})
	}
	add("latency means", "%s: %s", s.LatencyKind.Title(), s.LatencyMeaning)
	add("records measured", "%s, %s failed", FormatCount(float64(s.Records)), FormatCount(float64(s.Errors)))
	if s.FirstError != "" {
		add("first error", "%s", s.FirstError)
	}
	add("verification", "%s", verified(s.Verification))
	if b := s.Batches; b != nil && b.Count > 0 {
		add("batches", "%s, on average %s records and %s", FormatCount(float64(b.Count)), significant(b.Records),
			FormatBytes(int64(b.Bytes)))
	}
	if f := s.InFlight; f != nil {
		add("in flight", "at most %s of %s records; %s waited for room", FormatCount(float64(f.Peak)),
			FormatCount(float64(f.Bound)), FormatCount(float64(f.Waits)))
	}
	for _, k := range []Kind{Service, SendDelay} {
		if l := s.Latency(k); l != nil {
			add(k.Title(), "p50 %s, p99 %s, p99.9 %s, max %s", FormatLatency(l.P50), FormatLatency(l.P99),
				FormatLatency(l.P999), FormatLatency(l.Max))
		}
	}
	usage := func(who string, u *Usage) {
		if u == nil {
			return
		}
		inside := ""
		if u.GeneratorInside {
			inside = " (broker and generator share the process)"
		}
		add(who, "%s CPU s (%s cores), %s CPU s per GB, %s resident, peak %s%s", significant(u.CPUSeconds),
			significant(u.Cores), significant(u.CPUSecondsPerGB), FormatBytes(u.RSSBytes), FormatBytes(u.RSSPeakBytes), inside)
	}
	usage("broker process", s.Broker)
	usage("generator process", s.Generator)
	return sec
}

func commandFacts(r *Run) section {
	return section{"Run", [][2]string{
		{"command", strings.Join(r.Command, " ")},
		{"bootstrap", strings.Join(r.Bootstrap, ", ")},
		{"topic", r.Topic},
		{"started", r.Started.UTC().Format("2006-01-02 15:04:05 UTC")},
		{"each series", trimFloat(r.WarmupS) + " s of warm-up, then " + trimFloat(r.DurationS) + " s measured"},
		{"seed", fmt.Sprint(r.Seed)},
		{"schema", fmt.Sprint(r.Schema)},
	}}
}

func environmentFacts(e *Environment) section {
	s := section{Title: "Environment"}
	if e == nil {
		return s
	}
	add := func(k, v string) {
		if v != "" {
			s.Rows = append(s.Rows, [2]string{k, v})
		}
	}
	virtual := ""
	if e.Virtual {
		virtual = ", virtual machine"
	}
	add("CPU", fmt.Sprintf("%s, %d cores%s", e.CPUModel, e.Cores, virtual))
	add("frequency governor", e.Governor)
	add("memory", FormatBytes(e.MemoryBytes)+", "+FormatBytes(e.MemoryAvailableBytes)+" available")
	add("system", e.OS+", kernel "+e.Kernel+", "+e.Arch)
	add("host", e.Host+" ("+e.HostID+")")
	add("data directory", strings.TrimSpace(e.DataDir+" "+e.DataFileSystem))
	add("load average before", fmt.Sprintf("%.2f %.2f %.2f", e.LoadAverage[0], e.LoadAverage[1], e.LoadAverage[2]))
	add("CPU time stolen", fmt.Sprintf("%.2f %%", e.StealPercent))
	add("Go", fmt.Sprintf("%s, GOMAXPROCS %d", e.GoVersion, e.GOMAXPROCS))
	commit := e.Commit
	if e.Dirty {
		commit += " with local changes"
	}
	add("commit", commit)
	add("version", e.Version)
	add("build flags", strings.Join(e.BuildFlags, " "))
	add("client", e.Client)
	return s
}

// ninesStep is the distance of the percentile plots' points: fifty per nine are finer
// than a pixel.
const ninesStep = 0.02

func newCharts(r *Run) charts {
	c := charts{Names: []string{}, Nines: []float64{}, Percentiles: []plot{}, Time: []overs{}}
	last := 0.0
	for _, s := range r.Series {
		c.Names = append(c.Names, s.name(r))
		c.Time = append(c.Time, newOvers(s))
		for _, k := range Kinds() {
			if h := s.Histogram(k); h != nil && h.Count() > minAbove {
				last = max(last, math.Log10(float64(h.Count())/minAbove))
			}
		}
	}
	for x := 0.0; x <= last; x += ninesStep {
		c.Nines = append(c.Nines, math.Round(x*100)/100)
	}
	for _, k := range Kinds() {
		p := plot{Title: k.Title()}
		any := false
		for _, s := range r.Series {
			line := c.line(s.Histogram(k))
			any = any || line != nil
			p.Lines = append(p.Lines, line)
		}
		if any {
			c.Percentiles = append(c.Percentiles, p)
		}
	}
	return c
}

// line samples h at the plot's quantiles; it ends where no percentile may be quoted.
func (c *charts) line(h *Histogram) []*float64 {
	if h == nil || h.Count() == 0 {
		return nil
	}
	out := make([]*float64, len(c.Nines))
	for i, x := range c.Nines {
		if v, ok := h.Quote(100 * (1 - math.Pow(10, -x))); ok {
			out[i] = micros(float64(v))
		}
	}
	return out
}

func newOvers(s *Series) overs {
	o := overs{T: []float64{}}
	for _, p := range s.OverTime {
		if p.Seconds <= 0 {
			continue
		}
		o.T = append(o.T, p.T)
		o.Completed = append(o.Completed, float64(p.Completed)/p.Seconds)
		o.Received = append(o.Received, float64(p.Received)/p.Seconds)
		o.P50, o.P99, o.E2EP99 = append(o.P50, p.P50), append(o.P99, p.P99), append(o.E2EP99, p.E2EP99)
	}
	return o
}
