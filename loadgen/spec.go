package loadgen

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrSpec is wrapped by every complaint about a [Spec].
var ErrSpec = errors.New("loadgen")

// Acks is how many replicas have to have a record before it is acknowledged, as in
// Kafka's produce request.
type Acks int16

// The three levels.
const (
	AcksNone   Acks = 0
	AcksLeader Acks = 1
	AcksAll    Acks = -1
)

// String returns "0", "1" or "all".
func (a Acks) String() string {
	if a == AcksAll {
		return "all"
	}
	return fmt.Sprint(int16(a))
}

// ParseAcks reads "0", "1", "all" or "-1".
func ParseAcks(s string) (Acks, error) {
	switch s {
	case "0":
		return AcksNone, nil
	case "1":
		return AcksLeader, nil
	case "all", "-1":
		return AcksAll, nil
	}
	return 0, fmt.Errorf("%w: acks is %q, want 0, 1 or all", ErrSpec, s)
}

// Arrival is the distribution of the intended send times.
type Arrival string

// Constant leaves equal gaps, Poisson exponentially distributed ones of the same mean.
const (
	Constant Arrival = "constant"
	Poisson  Arrival = "poisson"
)

// Spec says what to run. Bootstrap, Rate and Duration have no default.
type Spec struct {
	Bootstrap []string // host:port of some brokers

	Topic       string // default: a fresh name
	Partitions  int    // of a topic that has to be created, default 1; an existing topic must agree when this is set
	Replication int    // of a topic that has to be created; 0: the broker's default
	KeepTopic   bool   // leave a topic that the run created

	Rate     float64 // records per second, all producers together
	Arrival  Arrival // default Constant
	Duration time.Duration
	Warmup   time.Duration // before Duration; verified, not measured

	Size      int           // bytes of a value, default 1024, at least MinSize
	Acks      []Acks        // one series each, in this order; default 0, 1, all
	Linger    time.Duration // how long the client waits for a batch to fill
	Producers int           // clients, each with its own connections; default 1
	InFlight  int           // bound on records handed over and not completed; 0: see defaultInFlight
	Seed      uint64        // of payload and Poisson arrivals; 0 is a seed like any other

	ClientOpts map[string]string // client properties with Kafka's names, see ClientOptions

	DrainTimeout time.Duration // wait for the last acknowledgements, default 30 s
	IdleTimeout  time.Duration // give missing records up after so long without a new one, default 5 s

	BrokerPID int      // process whose CPU and memory are sampled; 0: none
	DataDir   string   // of the broker, for the record; "": unknown
	Workload  string   // name for the record, default "produce"
	Command   []string // for the record
}

const (
	maxProducers = 1000
	maxCells     = 4 << 20 // producers x partitions; 32 bytes each make 128 MiB
	maxRate      = 100e6
	maxSize      = 64 << 20

	maxInFlight      = 1 << 16
	maxInFlightBytes = 64 << 20
	minInFlight      = 64
)

// withDefaults returns a checked copy with the defaults filled in.
func (s Spec) withDefaults() (*Spec, error) {
	setDefault(&s.Arrival, Constant)
	setDefault(&s.Size, 1024)
	setDefault(&s.Producers, 1)
	setDefault(&s.DrainTimeout, 30*time.Second)
	setDefault(&s.IdleTimeout, 5*time.Second)
	setDefault(&s.Workload, "produce")
	if len(s.Acks) == 0 {
		s.Acks = []Acks{AcksNone, AcksLeader, AcksAll}
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	setDefault(&s.InFlight, defaultInFlight(s.Rate, s.Size))
	return &s, nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func (s *Spec) check() error {
	switch {
	case len(s.Bootstrap) == 0:
		return errors.New("no bootstrap address")
	case s.Rate == 0:
		return errors.New("no rate: an open loop needs the number of records per second to offer, it does not go as fast as it can")
	case math.IsNaN(s.Rate) || s.Rate < 0 || s.Rate > maxRate:
		return fmt.Errorf("rate is %v records/s, want more than 0 and at most %.0f", s.Rate, float64(maxRate))
	case s.Duration <= 0:
		return errors.New("no duration")
	case s.Warmup < 0 || s.Linger < 0 || s.DrainTimeout < 0 || s.IdleTimeout < 0:
		return errors.New("a negative time")
	case s.Size < MinSize || s.Size > maxSize:
		return fmt.Errorf("size is %d bytes, want %d (the header that verification needs) to %d", s.Size, MinSize, maxSize)
	case s.Producers < 1 || s.Producers > maxProducers:
		return fmt.Errorf("producers is %d, want 1 to %d", s.Producers, maxProducers)
	case s.Partitions < 0 || s.Partitions > maxCells/s.Producers:
		return fmt.Errorf("partitions is %d, want 1 to %d with %d producers", s.Partitions, maxCells/s.Producers, s.Producers)
	case s.InFlight < 0 || s.InFlight > maxInFlight:
		return fmt.Errorf("in flight is %d, want at most %d records", s.InFlight, maxInFlight)
	case s.Arrival != Constant && s.Arrival != Poisson:
		return fmt.Errorf("arrival is %q, want constant or poisson", s.Arrival)
	}
	for _, a := range s.Acks {
		if a < AcksAll || a > AcksLeader {
			return fmt.Errorf("acks is %d, want 0, 1 or -1 (all)", int16(a))
		}
	}
	return nil
}

// defaultInFlight allows two seconds of records, between minInFlight and 65,536 of
// them (with 400 bytes each besides the value: 26 MB) and 64 MiB of values.
func defaultInFlight(rate float64, size int) int {
	n := min(2*rate, maxInFlight, float64(maxInFlightBytes/size))
	return max(int(n), minInFlight)
}
