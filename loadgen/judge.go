package loadgen

import (
	"fmt"
	"time"

	"github.com/sluice-mq/sluice/results"
)

const (
	// lagShare and lagFloor are the rule for a generator that falls behind: the send
	// delay's p99 may be 5 % of the response's p99, and 1 ms in any case, which is
	// what a busy machine does to any thread.
	lagShare = 0.05
	lagFloor = time.Millisecond

	// backlogShare and backlogFloor: how long after the schedule's end completions may
	// go on, before the rate counts as more than the system sustains.
	backlogShare = 0.05
	backlogFloor = time.Second
)

// judge writes down why the series is not valid, if it is not.
func (m *series) judge(o *outcome, s *sender, settled error) {
	r := o.result
	invalid := func(format string, args ...any) {
		o.reasons = append(o.reasons, "acks="+m.acks.String()+": "+fmt.Sprintf(format, args...))
	}
	var fault string
	r.Verification, fault = m.verify.verdict(m.producers, m.acks, m.ownTopic)
	if o.aborted { // nobody waited for what was still on its way, so nothing more can be said
		invalid("the run was interrupted")
		return
	}
	if v := r.Verification; !v.OK {
		if fault != "" {
			fault = "; first " + fault
		}
		invalid("verification failed: of %d acknowledged records %d are missing; %d came twice, %d out of order, %d corrupt, %d foreign%s",
			v.Acked, v.Missing, v.Duplicates, v.Disorder, v.Corrupt, v.Foreign, fault)
	}
	if settled != nil {
		invalid("cannot tell whether everything was read back: %v", settled)
	}
	if r.Verification.Failed > 0 {
		invalid("%d records failed, their latency is not in the percentiles; first error: %s", r.Verification.Failed, r.FirstError)
	}
	if s.unsent > 0 {
		invalid("%d records of the schedule were never sent", s.unsent)
	}
	if r.Records == 0 {
		invalid("nothing was measured")
	}
	m.judgeLag(r, s.waits, invalid)
	m.judgeBacklog(invalid)
}

// judgeLag applies the rule of lagShare. Where the bound on records in flight made the
// generator wait, the system under load is named as the cause.
func (m *series) judgeLag(r *results.Series, waits int64, invalid func(string, ...any)) {
	reference, of := r.Histogram(r.LatencyKind), "response"
	if m.acks == AcksNone {
		reference, of = r.Histogram(results.EndToEnd), "end to end"
	}
	delay := time.Duration(r.Histogram(results.SendDelay).Percentile(99))
	p99 := time.Duration(reference.Percentile(99))
	limit := max(lagFloor, time.Duration(lagShare*float64(p99)))
	if delay <= limit {
		return
	}
	rule := fmt.Sprintf("send delay p99 is %v, allowed are 1 ms or 5 %% of the %s p99 of %v, whichever is more",
		delay.Round(time.Microsecond), of, p99.Round(time.Microsecond))
	if waits > 0 {
		invalid("the system did not keep up: %d records waited for one of the %d places in flight; %s", waits, m.slots.bound, rule)
		return
	}
	invalid("the generator fell behind its schedule: %s", rule)
}

// judgeBacklog tells a rate that the system does not sustain: the latency then depends
// on how long the run is.
func (m *series) judgeBacklog(invalid func(string, ...any)) {
	var last int64
	for _, rec := range m.recorders {
		at, _ := rec.state()
		last = max(last, at)
	}
	over := time.Duration(last) - m.spec.Warmup - m.spec.Duration
	if over > max(backlogFloor, time.Duration(backlogShare*float64(m.spec.Duration))) {
		invalid("not a steady state: the last record completed %v after the schedule's end; the rate is more than the system sustains",
			over.Round(time.Millisecond))
	}
}
