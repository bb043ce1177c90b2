package loadgen

import (
	"context"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-mq/sluice/results"
)

func within(t *testing.T, what string, gotNs int64, wantMs, share float64) {
	t.Helper()
	got := float64(gotNs) / 1e6
	if math.Abs(got-wantMs) > share*wantMs {
		t.Errorf("%s is %.3f ms, analytic value %.3f", what, got, wantMs)
	}
}

// A broker that takes 5 ms shows 5 ms at every percentile, and the generator no delay.
func TestFixedDelay(t *testing.T) {
	o := simulate(t, Spec{Rate: 1000, Duration: 12 * time.Second, Warmup: time.Second, Partitions: 3, Producers: 2},
		func(*series, *stub) {})
	if len(o.reasons) != 0 {
		t.Fatalf("not valid: %q", o.reasons)
	}
	r := o.result
	for _, k := range []results.Kind{results.Response, results.Service, results.EndToEnd} {
		h := r.Histogram(k)
		for _, p := range []float64{1, 50, 90, 99, 99.9, 99.99, 100} {
			within(t, string(k), h.Percentile(p), 5, 0.002)
		}
		within(t, "mean "+string(k), int64(h.Mean()), 5, 0.0001)
	}
	if d := r.Histogram(results.SendDelay).Max(); d != 0 {
		t.Errorf("send delay is %d ns on a clock that does not slip", d)
	}
	if r.Records != 12_000 || r.OfferedPerS != 1000 || math.Abs(r.AchievedPerS-1000) > 1 {
		t.Errorf("%d records, offered %v/s, achieved %v/s", r.Records, r.OfferedPerS, r.AchievedPerS)
	}
	if v := r.Verification; !v.OK || v.Received != 13_000 {
		t.Errorf("verification %+v", v)
	}
	if r.Response.P999 == nil || r.Response.P9999 != nil || r.InFlight.Peak != 5 && r.InFlight.Peak != 6 {
		t.Errorf("p99.9 %v, peak in flight %d", r.Response.P999, r.InFlight.Peak)
	}
}

// stall holds everything that arrives in the first 200 ms of each 10 s until these are over.
func stall(sent int64) int64 {
	if phase := sent % ms(10_000); phase < ms(200) {
		sent += ms(200) - phase
	}
	return sent + ms(5)
}

// A stall of 200 ms each 10 s hits 2 % of the records: those that should have been sent
// at phase x of it wait 200-x ms more. So p99 is 105 ms and p99.9 is 195 ms.
func TestStallIsNotOmitted(t *testing.T) {
	o := simulate(t, Spec{Rate: 1000, Duration: 20 * time.Second}, func(_ *series, s *stub) { s.due = stall })
	if len(o.reasons) != 0 {
		t.Fatalf("not valid: %q", o.reasons)
	}
	h := o.result.Histogram(results.Response)
	within(t, "p50", h.Percentile(50), 5, 0.02)
	within(t, "p90", h.Percentile(90), 5, 0.02)
	within(t, "p99", h.Percentile(99), 105, 0.02)
	within(t, "p99.9", h.Percentile(99.9), 195, 0.02)
	within(t, "max", h.Max(), 205, 0.02)
}

// With few places in flight the generator behaves like closed-loop tools: during the
// stall it cannot send, so service time hardly sees the stall. Response still does, and
// the run says that the schedule was not kept, and why.
func TestBoundShowsInResponseNotInService(t *testing.T) {
	o := simulate(t, Spec{Rate: 1000, Duration: 20 * time.Second, InFlight: 50}, func(_ *series, s *stub) { s.due = stall })
	within(t, "service p99", o.result.Histogram(results.Service).Percentile(99), 5, 0.02)
	p99 := o.result.Histogram(results.Response).Percentile(99)
	if p99 < ms(105) || p99 > ms(125) {
		t.Errorf("response p99 is %v", time.Duration(p99))
	}
	if !strings.Contains(strings.Join(o.reasons, "\n"), "waited for one of the 50 places in flight") {
		t.Errorf("reasons %q", o.reasons)
	}
	if f := o.result.InFlight; f.Peak != 50 || f.Waits < 2*150 {
		t.Errorf("%+v", f)
	}
}

// acks=0 has no response; what is reported is called by its name.
func TestAcksNone(t *testing.T) {
	o := simulate(t, Spec{Rate: 1000, Duration: 20 * time.Second, Acks: []Acks{AcksNone}}, func(*series, *stub) {})
	r := o.result
	if r.Response != nil || r.Service != nil || r.ToSocket == nil || r.LatencyKind != results.ToSocket {
		t.Errorf("latencies %v %v %v, kind %s", r.Response, r.Service, r.ToSocket, r.LatencyKind)
	}
	if len(o.reasons) != 0 || !strings.Contains(r.Verification.Claim, "written to the socket") {
		t.Errorf("reasons %q, claim %q", o.reasons, r.Verification.Claim)
	}
}

// A generator that oversleeps says so of itself.
func TestSlowGeneratorIsNotValid(t *testing.T) {
	o := simulate(t, Spec{Rate: 1000, Duration: 10 * time.Second}, func(m *series, _ *stub) { m.pace = bubble{20 * time.Millisecond} })
	if len(o.reasons) != 1 || !strings.Contains(o.reasons[0], "the generator fell behind its schedule: send delay p99 is 20") {
		t.Errorf("reasons %q", o.reasons)
	}
	within(t, "response max", o.result.Histogram(results.Response).Max(), 25, 0.05)
}

// A rate above the capacity leaves a backlog that grows until the end.
func TestOverload(t *testing.T) {
	var free int64
	o := simulate(t, Spec{Rate: 1000, Duration: 20 * time.Second, InFlight: maxInFlight}, func(_ *series, s *stub) {
		s.due = func(sent int64) int64 { // 800 records/s
			free = max(free, sent) + ms(1.25)
			return free
		}
	})
	if !strings.Contains(strings.Join(o.reasons, "\n"), "not a steady state") {
		t.Errorf("reasons %q", o.reasons)
	}
	if r := o.result; math.Abs(r.AchievedPerS-800) > 8 {
		t.Errorf("achieved %v/s of 800", r.AchievedPerS)
	}
}

// A broker that loses, repeats, swaps or damages one record of a series fails the run.
func TestWrongBrokerIsCaught(t *testing.T) {
	at := func(n int64) bool { return n == 1000 }
	var held []byte
	for _, tc := range []struct {
		name  string
		wrong func(n int64, deliver func([]byte), value []byte)
		check func(v *results.Verification) bool
		fault string
	}{
		{"drop", func(n int64, deliver func([]byte), value []byte) {
			if !at(n) {
				deliver(value)
			}
		}, func(v *results.Verification) bool { return v.Missing == 1 && v.Received == 1999 }, "1 are missing"},
		{"drop the last", func(n int64, deliver func([]byte), value []byte) {
			if n != 1999 {
				deliver(value)
			}
		}, func(v *results.Verification) bool { return v.Missing == 1 }, "1 are missing"},
		{"repeat", func(n int64, deliver func([]byte), value []byte) {
			deliver(value)
			if at(n) {
				deliver(value)
			}
		}, func(v *results.Verification) bool { return v.Duplicates == 1 && v.Missing == 0 }, "for the second time"},
		{"repeat the last", func(n int64, deliver func([]byte), value []byte) {
			deliver(value)
			if n == 1999 {
				deliver(value)
			}
		}, func(v *results.Verification) bool { return v.Duplicates == 1 }, "for the second time"},
		{"swap", func(n int64, deliver func([]byte), value []byte) {
			switch {
			case at(n):
				held = append([]byte(nil), value...)
			case at(n - 1):
				deliver(value)
				deliver(held)
			default:
				deliver(value)
			}
		}, func(v *results.Verification) bool { return v.Disorder == 1 && v.Missing == 0 && v.Duplicates == 0 }, "after its successor"},
		{"damage", func(n int64, deliver func([]byte), value []byte) {
			if at(n) {
				value = append([]byte(nil), value...)
				value[77] ^= 1
			}
			deliver(value)
		}, func(v *results.Verification) bool { return v.Corrupt == 1 && v.Missing == 1 }, "checksum"},
		{"cut", func(n int64, deliver func([]byte), value []byte) {
			if at(n) {
				value = value[:20]
			}
			deliver(value)
		}, func(v *results.Verification) bool { return v.Foreign == 1 && v.Missing == 1 }, "did not write"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := simulate(t, Spec{Rate: 1000, Duration: 2 * time.Second}, func(_ *series, s *stub) { s.wrong = tc.wrong })
			v := o.result.Verification
			if v.OK || !tc.check(v) {
				t.Errorf("%+v", v)
			}
			if len(o.reasons) != 1 || !strings.Contains(o.reasons[0], tc.fault) {
				t.Errorf("reasons %q", o.reasons)
			}
		})
	}
}

// A broker that answers nothing ends the run after the drain time-out, with every
// record accounted for.
func TestSilentBroker(t *testing.T) {
	o := simulate(t, Spec{Rate: 1000, Duration: 10 * time.Second, InFlight: 100, DrainTimeout: 3 * time.Second},
		func(_ *series, s *stub) { s.silent = true })
	reasons := strings.Join(o.reasons, "\n")
	for _, want := range []string{"100 records failed", "client closed", "9900 records of the schedule were never sent", "nothing was measured"} {
		if !strings.Contains(reasons, want) {
			t.Errorf("no %q in %q", want, o.reasons)
		}
	}
	if o.result.Errors != 100 {
		t.Errorf("%d errors", o.result.Errors)
	}
}

// A cancelled run ends at once and says what it is.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		began := time.Now()
		o := simulateHere(t, ctx, Spec{Rate: 1000, Duration: time.Hour}, func(*series, *stub) {})
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %v", took)
		}
		if !o.aborted || len(o.reasons) != 1 || !strings.Contains(o.reasons[0], "interrupted") {
			t.Errorf("aborted %v, reasons %q", o.aborted, o.reasons)
		}
	})
}
