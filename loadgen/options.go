package loadgen

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// client holds what the properties of [Spec.ClientOpts] come to.
type client struct {
	id             string
	linger         time.Duration
	batchBytes     int
	compression    string
	requestTimeout time.Duration
	inFlight       int // produce requests per connection, where the client lets one choose
}

type property struct {
	help string
	set  func(c *client, value string) error
}

var properties = map[string]property{
	"client.id":  {"name sent with every request", func(c *client, v string) error { c.id = v; return nil }},
	"linger.ms":  {"how long a batch waits for more records", millis(func(c *client) *time.Duration { return &c.linger })},
	"batch.size": {"largest batch, in bytes", integer(func(c *client) *int { return &c.batchBytes }, 1, 1<<30)},
	"compression.type": {"none, gzip, snappy, lz4 or zstd", func(c *client, v string) error {
		c.compression = v
		_, err := codec(v)
		return err
	}},
	"request.timeout.ms": {"how long the broker may take for a produce request",
		millis(func(c *client) *time.Duration { return &c.requestTimeout })},
	"max.in.flight.requests.per.connection": {"unanswered produce requests at acks 0 and 1; acks=all has 5",
		integer(func(c *client) *int { return &c.inFlight }, 1, 1000)},
}

// ClientOptions lists the known client properties with a short explanation each.
func ClientOptions() map[string]string {
	out := map[string]string{}
	for k, p := range properties {
		out[k] = p.help
	}
	return out
}

func millis(field func(*client) *time.Duration) func(*client, string) error {
	return func(c *client, v string) error {
		ms, err := strconv.ParseFloat(v, 64)
		if err != nil || !(ms >= 0 && ms <= 3600_000) {
			return fmt.Errorf("want milliseconds between 0 and 3600000")
		}
		*field(c) = time.Duration(ms * float64(time.Millisecond))
		return nil
	}
}

func integer(field func(*client) *int, low, high int) func(*client, string) error {
	return func(c *client, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < low || n > high {
			return fmt.Errorf("want a whole number between %d and %d", low, high)
		}
		*field(c) = n
		return nil
	}
}

// batchOverhead is more than what a batch of one record needs besides the value:
// 61 bytes of header, at most 31 of varints.
const batchOverhead = 128

// client applies the properties to the defaults: those of franz-go, but for a linger
// of 0, so that one record alone is sent at once.
func (s *Spec) client() (*client, error) {
	c := &client{
		id: "sluice-bench", linger: s.Linger, batchBytes: 1_000_012, compression: "none",
		requestTimeout: 10 * time.Second, inFlight: 5,
	}
	for _, k := range slices.Sorted(maps.Keys(s.ClientOpts)) {
		p, ok := properties[k]
		if !ok {
			known := strings.Join(slices.Sorted(maps.Keys(properties)), ", ")
			return nil, fmt.Errorf("%w: unknown client property %q, known are %s", ErrSpec, k, known)
		}
		if err := p.set(c, s.ClientOpts[k]); err != nil {
			return nil, fmt.Errorf("%w: client property %s=%s: %w", ErrSpec, k, s.ClientOpts[k], err)
		}
	}
	if s.Size+batchOverhead > c.batchBytes {
		return nil, fmt.Errorf("%w: a record of %d bytes does not fit into batch.size=%d", ErrSpec, s.Size, c.batchBytes)
	}
	return c, nil
}

func codec(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("want none, gzip, snappy, lz4 or zstd")
}
