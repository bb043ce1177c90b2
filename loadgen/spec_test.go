package loadgen

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSpecIsChecked(t *testing.T) {
	good := Spec{Bootstrap: []string{"127.0.0.1:1"}, Rate: 1, Duration: time.Second}
	if _, err := good.withDefaults(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Spec){
		"no bootstrap":        func(s *Spec) { s.Bootstrap = nil },
		"no rate":             func(s *Spec) { s.Rate = 0 },
		"rate is -1":          func(s *Spec) { s.Rate = -1 },
		"no duration":         func(s *Spec) { s.Duration = 0 },
		"negative time":       func(s *Spec) { s.Warmup = -1 },
		"size is 39":          func(s *Spec) { s.Size = 39 },
		"producers is -1":     func(s *Spec) { s.Producers = -1 },
		"partitions is 50000": func(s *Spec) { s.Partitions, s.Producers = 50000, 1000 },
		"in flight":           func(s *Spec) { s.InFlight = 1 << 20 },
		"arrival":             func(s *Spec) { s.Arrival = "bursts" },
		"acks is 2":           func(s *Spec) { s.Acks = []Acks{2} },
		"unknown client property \"linger\", known are batch.size, client.id, compression.type, linger.ms": func(s *Spec) {
			s.ClientOpts = map[string]string{"linger": "5"}
		},
		"linger.ms=-3":                         func(s *Spec) { s.ClientOpts = map[string]string{"linger.ms": "-3"} },
		"compression.type=zip":                 func(s *Spec) { s.ClientOpts = map[string]string{"compression.type": "zip"} },
		"does not fit into batch.size=1000":    func(s *Spec) { s.ClientOpts = map[string]string{"batch.size": "1000"} },
		"does not fit into batch.size=1000012": func(s *Spec) { s.Size = 1 << 20 },
	} {
		s := good
		change(&s)
		_, err := Run(context.Background(), s, nil)
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestClientOptions(t *testing.T) {
	s := Spec{Size: 100, Linger: time.Second, ClientOpts: map[string]string{"linger.ms": "2.5", "batch.size": "16384",
		"compression.type": "zstd", "request.timeout.ms": "3000", "client.id": "x", "max.in.flight.requests.per.connection": "1"}}
	c, err := s.client()
	want := client{"x", 2500 * time.Microsecond, 16384, "zstd", 3 * time.Second, 1}
	if err != nil || *c != want {
		t.Errorf("%+v, %v", c, err)
	}
	if len(ClientOptions()) != len(properties) {
		t.Error("not every option is listed")
	}
}

func TestParseAcks(t *testing.T) {
	for in, want := range map[string]Acks{"0": AcksNone, "1": AcksLeader, "all": AcksAll, "-1": AcksAll} {
		if a, err := ParseAcks(in); err != nil || a != want {
			t.Errorf("%q: %v, %v", in, a, err)
		}
	}
	if _, err := ParseAcks("2"); !errors.Is(err, ErrSpec) {
		t.Error(err)
	}
}

func TestDefaultInFlight(t *testing.T) {
	for _, c := range []struct {
		rate float64
		size int
		want int
	}{{1, 100, minInFlight}, {1000, 1024, 2000}, {1e6, 100, maxInFlight}, {1e6, 1 << 20, 64}} {
		if n := defaultInFlight(c.rate, c.size); n != c.want {
			t.Errorf("rate %v, size %d: %d in flight, want %d", c.rate, c.size, n, c.want)
		}
	}
}
