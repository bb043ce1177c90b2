package results

import (
	"bufio"
	"fmt"
	"io"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// hgrmTicks is how many lines a .hgrm file has per halving of the distance to 100 %,
// the number the public plotter's own examples use.
const hgrmTicks = 5

// WriteHgrm writes h as a percentile table of milliseconds, the text form that
// HdrHistogram plotters read.
func WriteHgrm(w io.Writer, h *Histogram) error {
	bw := bufio.NewWriter(w)
	if _, err := h.h.PercentilesPrint(bw, hgrmTicks, float64(time.Millisecond)); err != nil {
		return err
	}
	return bw.Flush()
}

// WriteHlog writes every histogram of the run as a HdrHistogram log (format 1.3, V2
// encoding, nanoseconds), one line per series and kind with a [Series.Tag]. All lines
// span the same time, the length of a measured window.
func WriteHlog(w io.Writer, r *Run) error {
	bw := bufio.NewWriter(w)
	lw := hdr.NewHistogramLogWriter(bw)
	start := r.Started.UnixMilli()
	for _, write := range []func() error{
		func() error { return lw.OutputComment("[sluice, workload " + r.Workload + ", values in ns]") },
		lw.OutputLogFormatVersion,
		func() error { return lw.OutputStartTime(start) },
		lw.OutputLegend,
	} {
		if err := write(); err != nil {
			return err
		}
	}
	for i, s := range r.Series {
		for _, k := range Kinds() {
			h := s.Histogram(k)
			if h == nil {
				continue
			}
			h.h.SetTag(s.Tag(i, k))
			h.h.SetStartTimeMs(start)
			h.h.SetEndTimeMs(start + int64(r.DurationS*1e3))
			if err := lw.OutputIntervalHistogram(h.h); err != nil {
				return err
			}
		}
	}
	return bw.Flush()
}

// Tag names the histogram of one kind of the i-th series of a run, in .hlog lines and
// file names: "01-produce-acks1-response".
func (s *Series) Tag(i int, k Kind) string {
	return fmt.Sprintf("%02d-%s-acks%s-%s", i+1, s.Op, s.Acks, k)
}
