package results

import (
	"time"
)

// Schema is the version of the JSON form of [Run]. It grows when a field changes
// its meaning or goes away; new fields alone do not change it.
const Schema = 1

// Run is one benchmark run: what was asked for, on what, and what came out.
type Run struct {
	Schema  int  `json:"schema"`
	Valid   bool `json:"valid"`   // false: do not quote the figures, see Reasons
	Aborted bool `json:"aborted"` // ended before its time

	Reasons []string `json:"reasons"` // why the run is not valid; empty when it is
	Notes   []string `json:"notes"`   // what a reader has to know although the run is valid

	Workload  string    `json:"workload"`
	Started   time.Time `json:"started"` // UTC
	Command   []string  `json:"command"`
	Bootstrap []string  `json:"bootstrap"`
	Topic     string    `json:"topic"`
	Seed      uint64    `json:"seed"`
	DurationS float64   `json:"duration_s"` // measured window of each series, without warm-up
	WarmupS   float64   `json:"warmup_s"`

	Series      []*Series    `json:"series"`
	Environment *Environment `json:"environment"`
}

// Axes are the settings by which the series of a run differ.
type Axes struct {
	Op          string  `json:"op"`   // "produce"
	Acks        string  `json:"acks"` // "0", "1" or "all"
	Size        int     `json:"size"` // bytes of one record's value
	Partitions  int     `json:"partitions"`
	Producers   int     `json:"producers"`
	LingerMs    float64 `json:"linger_ms"`
	BatchBytes  int     `json:"batch_bytes"` // largest batch the client builds
	Compression string  `json:"compression"`
	Engine      string  `json:"engine"`  // what sent the records, for example "franz-go"
	Arrival     string  `json:"arrival"` // "constant" or "poisson": open loop in both cases
}

// Series is the measurement at one point of the axes. Counts and latencies are of
// the records whose intended time lies in the measured window; those of the warm-up
// are verified but not counted here.
type Series struct {
	Axes

	OfferedPerS  float64 `json:"offered_per_s"`  // records the schedule asked for
	AchievedPerS float64 `json:"achieved_per_s"` // completed records over the time until the last of them was
	MBPerS       float64 `json:"mb_per_s"`       // values of the achieved records, MB = 1e6 bytes
	Records      int64   `json:"records"`        // completed without error
	Errors       int64   `json:"errors"`
	FirstError   string  `json:"first_error,omitempty"`

	// LatencyKind names the histogram that stands for this series in tables:
	// "response", or "to_socket" at acks=0, where nobody answers.
	LatencyKind    Kind   `json:"latency_kind"`
	LatencyMeaning string `json:"latency_meaning"`

	Response  *Latency `json:"response_us"`   // intended time to acknowledgement; null at acks=0
	Service   *Latency `json:"service_us"`    // handed to the client to acknowledgement; null at acks=0
	SendDelay *Latency `json:"send_delay_us"` // intended time to handed to the client
	ToSocket  *Latency `json:"to_socket_us"`  // acks=0 only: intended time to written to the socket
	EndToEnd  *Latency `json:"end_to_end_us"` // intended time to received by a consumer

	Verification *Verification `json:"verification"`
	Batches      *Batches      `json:"batches"`
	InFlight     *InFlight     `json:"in_flight"`
	Broker       *Usage        `json:"broker"`    // of the process named by the caller; null without one
	Generator    *Usage        `json:"generator"` // of the measuring process
	OverTime     []Point       `json:"over_time"` // about one per second, warm-up (negative t_s) included

	histograms [kinds]*Histogram
}

// Verification counts what the consumer found, over the whole series with warm-up.
type Verification struct {
	OK         bool   `json:"ok"`
	Claim      string `json:"claim"` // what OK means at this acks
	Sent       int64  `json:"sent"`
	Acked      int64  `json:"acked"` // at acks=0: written to the socket
	Failed     int64  `json:"failed"`
	Received   int64  `json:"received"` // distinct, intact records of this series
	Missing    int64  `json:"missing"`
	Duplicates int64  `json:"duplicates"`
	Disorder   int64  `json:"out_of_order"`
	Corrupt    int64  `json:"corrupt"`
	Foreign    int64  `json:"foreign"` // records that this run did not write
}

// Batches tells what the client made of the records. Sizes are means over the
// batches written in the measured window; bytes are before compression and without
// the 61 bytes of a batch header.
type Batches struct {
	Count           int64   `json:"count"`
	Records         float64 `json:"records_mean"`
	Bytes           float64 `json:"bytes_mean"`
	CompressedBytes float64 `json:"compressed_bytes_mean"`
}

// InFlight tells of the bound on records handed to the client and not yet completed.
type InFlight struct {
	Bound int   `json:"bound"`
	Peak  int   `json:"peak"`
	Waits int64 `json:"waits"` // records that were sent late because the bound was reached
}

// Usage is what a process used from the start of the measured window until the last
// record of the series was completed.
type Usage struct {
	PID                 int     `json:"pid"`
	CPUSeconds          float64 `json:"cpu_s"`
	UserSeconds         float64 `json:"cpu_user_s"`
	SystemSeconds       float64 `json:"cpu_system_s"`
	Cores               float64 `json:"cores"` // CPU seconds per second
	CPUSecondsPerGB     float64 `json:"cpu_s_per_gb"`
	RSSBytes            int64   `json:"rss_bytes"`      // at the end
	RSSPeakBytes        int64   `json:"rss_peak_bytes"` // since the process began
	VoluntarySwitches   int64   `json:"voluntary_switches"`
	InvoluntarySwitches int64   `json:"involuntary_switches"`
	MinorFaults         int64   `json:"minor_faults"`
	MajorFaults         int64   `json:"major_faults"`
	GeneratorInside     bool    `json:"generator_inside"` // the figures contain the load generator itself
}

// Point is one interval of a series, of about a second. Latencies are in microseconds
// and follow the ten-sample rule.
type Point struct {
	T         float64  `json:"t_s"` // end of the interval; 0 is the start of the measured window
	Seconds   float64  `json:"seconds"`
	Sent      int64    `json:"sent"`
	Completed int64    `json:"completed"`
	Errors    int64    `json:"errors"`
	Received  int64    `json:"received"`
	P50       *float64 `json:"p50"` // of the kind named by the series' latency_kind
	P99       *float64 `json:"p99"`
	Max       *float64 `json:"max"`
	E2EP50    *float64 `json:"end_to_end_p50"`
	E2EP99    *float64 `json:"end_to_end_p99"`
	E2EMax    *float64 `json:"end_to_end_max"`
}

// Invalid marks the run as not to be quoted, for the given reason.
func (r *Run) Invalid(reason string) {
	r.Valid = false
	r.Reasons = append(r.Reasons, reason)
}

// New returns an empty, valid run of this schema, started now.
func New(workload string) *Run {
	return &Run{
		Schema: Schema, Valid: true, Workload: workload, Started: time.Now().UTC().Truncate(time.Millisecond),
		Reasons: []string{}, Notes: []string{}, Command: []string{}, Bootstrap: []string{}, Series: []*Series{},
	}
}
