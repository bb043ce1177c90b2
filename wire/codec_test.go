package wire

import (
	"bytes"
	"errors"
	"math/rand"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// codec is one of our four codecs beside kmsg's of the same message.
type codec struct {
	name     string
	min, max int16
	random   func(m maker, tags bool) kmsgMessage
	kmsg     func(version int16) kmsgMessage
	ours     func() ours
}

type kmsgMessage interface {
	AppendTo([]byte) []byte
	ReadFrom([]byte) error
}

// ours decodes, and gives what it decoded as kmsg's message and as bytes.
type ours interface {
	Decode(version int16, body []byte) error
	asKmsg(version int16) kmsgMessage
	bytes(version int16) []byte
}

type (
	oursProduceRequest  struct{ ProduceRequest }
	oursProduceResponse struct{ ProduceResponse }
	oursFetchRequest    struct{ FetchRequest }
	oursFetchResponse   struct{ FetchResponse }
)

func (o *oursProduceRequest) asKmsg(int16) kmsgMessage { return kmsgProduceRequest(&o.ProduceRequest) }
func (o *oursProduceRequest) bytes(int16) []byte       { return o.Append(nil) }
func (o *oursProduceResponse) asKmsg(v int16) kmsgMessage {
	return kmsgProduceResponse(&o.ProduceResponse, v)
}
func (o *oursProduceResponse) bytes(v int16) []byte  { return o.Append(nil, v) }
func (o *oursFetchRequest) asKmsg(int16) kmsgMessage { return kmsgFetchRequest(&o.FetchRequest) }
func (o *oursFetchRequest) bytes(int16) []byte       { return o.Append(nil) }
func (o *oursFetchResponse) asKmsg(v int16) kmsgMessage {
	return kmsgFetchResponse(&o.FetchResponse, v)
}
func (o *oursFetchResponse) bytes(v int16) []byte { return writeFetch(&o.FetchResponse, v) }

var allCodecs = []codec{
	{
		"produce request", MinProduceVersion, MaxProduceVersion,
		func(m maker, tags bool) kmsgMessage { return m.produceRequest(tags) },
		func(v int16) kmsgMessage { k := kmsg.NewPtrProduceRequest(); k.Version = v; return k },
		func() ours { return new(oursProduceRequest) },
	},
	{
		"produce response", MinProduceVersion, MaxProduceVersion,
		func(m maker, tags bool) kmsgMessage { return m.produceResponse(tags) },
		func(v int16) kmsgMessage { k := kmsg.NewPtrProduceResponse(); k.Version = v; return k },
		func() ours { return new(oursProduceResponse) },
	},
	{
		"fetch request", MinFetchVersion, MaxFetchVersion,
		func(m maker, tags bool) kmsgMessage { return m.fetchRequest(tags) },
		func(v int16) kmsgMessage { k := kmsg.NewPtrFetchRequest(); k.Version = v; return k },
		func() ours { return new(oursFetchRequest) },
	},
	{
		"fetch response", MinFetchVersion, MaxFetchVersion,
		func(m maker, tags bool) kmsgMessage { return m.fetchResponse(tags) },
		func(v int16) kmsgMessage { k := kmsg.NewPtrFetchResponse(); k.Version = v; return k },
		func() ours { return new(oursFetchResponse) },
	},
}

// Random messages of every version, encoded by kmsg, decoded by us into one value used again and again, and
// encoded by us: every field and every byte is the same. The same with tags nobody knows, which we drop.
func TestCodecsAgreeWithKmsg(t *testing.T) {
	for _, c := range allCodecs {
		t.Run(c.name, func(t *testing.T) {
			o := c.ours()
			for v := c.min; v <= c.max; v++ {
				m := maker{rand.New(rand.NewSource(int64(v))), v}
				for i := range 40 {
					tags := i%2 == 1
					want := c.random(m, tags)
					body := want.AppendTo(nil)
					if err := o.Decode(v, body); err != nil {
						t.Fatalf("version %d, %d: %v\n%x", v, i, err, body)
					}
					if d := differ(o.asKmsg(v), want); d != "" {
						t.Fatalf("version %d, %d: %s", v, i, d)
					}
					if tags {
						continue
					}
					if got := o.bytes(v); !bytes.Equal(got, body) {
						t.Fatalf("version %d, %d:\nwe   %x\nkmsg %x", v, i, got, body)
					}
				}
			}
		})
	}
}

// A body cut anywhere gives an error and an empty message.
func TestCutBodies(t *testing.T) {
	for _, c := range allCodecs {
		o := c.ours()
		for v := c.min; v <= c.max; v++ {
			m := maker{rand.New(rand.NewSource(int64(100 + v))), v}
			for i := range 4 {
				body := c.random(m, i%2 == 1).AppendTo(nil)
				for cut := range body {
					if err := o.Decode(v, body[:cut]); err == nil {
						t.Fatalf("%s version %d: %d of %d bytes decode", c.name, v, cut, len(body))
					}
				}
				if err := o.Decode(v, append(body, "rest"...)); err != nil {
					t.Fatalf("%s version %d: bytes after the end: %v", c.name, v, err)
				}
			}
		}
	}
}

func TestVersionsOutside(t *testing.T) {
	for _, c := range allCodecs {
		for _, v := range []int16{-1, 0, c.min - 1, c.max + 1, 32767} {
			if err := c.ours().Decode(v, make([]byte, 100)); !errors.Is(err, ErrVersion) {
				t.Errorf("%s version %d: %v", c.name, v, err)
			}
		}
	}
}

// compare holds our decoder against kmsg's for arbitrary bytes: both take them and agree, or neither does.
//
// Where they part on purpose:
//   - a null array where none is allowed (and a compact count above 2^31) is an empty one for kmsg, and
//     ErrNull for us and Kafka (ErrShort for the count);
//   - kmsg has no bounds on counts: what we call ErrLimit is not put to it, since it would run for minutes.
func compare(t *testing.T, c *codec, v int16, body []byte) {
	o := c.ours()
	err := o.Decode(v, body)
	if errors.Is(err, ErrLimit) || errors.Is(err, ErrNull) || err != nil && hugeCount(body) {
		return
	}
	k := c.kmsg(v)
	kerr := k.ReadFrom(body)
	if (err == nil) != (kerr == nil) {
		t.Fatalf("%s version %d: we say %v, kmsg %v\n%x", c.name, v, err, kerr, body)
	}
	if err != nil {
		return
	}
	if d := differ(o.asKmsg(v), k); d != "" {
		t.Fatalf("%s version %d: %s\n%x", c.name, v, d, body)
	}
	again := c.ours()
	if err := again.Decode(v, o.bytes(v)); err != nil {
		t.Fatalf("%s version %d: what we wrote is not read: %v", c.name, v, err)
	}
}

// hugeCount tells whether a body may hold a compact count so large that kmsg spins on it: three bytes in a
// row with the continuation bit. Bodies we refuse are not put to kmsg then.
func hugeCount(body []byte) bool {
	run := 0
	for _, b := range body {
		if b < 0x80 {
			run = 0
		} else if run++; run == 3 {
			return true
		}
	}
	return false
}

func fuzzCodec(f *testing.F, c *codec) {
	for v := c.min; v <= c.max; v++ {
		m := maker{rand.New(rand.NewSource(int64(200 + v))), v}
		for i := range 3 {
			f.Add(v, c.random(m, i == 0).AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, v int16, body []byte) {
		v = c.min + int16(uint16(v)%uint16(c.max-c.min+1))
		compare(t, c, v, body)
	})
}

func FuzzProduceRequest(f *testing.F)  { fuzzCodec(f, &allCodecs[0]) }
func FuzzProduceResponse(f *testing.F) { fuzzCodec(f, &allCodecs[1]) }
func FuzzFetchRequest(f *testing.F)    { fuzzCodec(f, &allCodecs[2]) }
func FuzzFetchResponse(f *testing.F)   { fuzzCodec(f, &allCodecs[3]) }

// Bodies with a few bytes changed: what the fuzzers do, for a moment, in every test run.
func TestDamagedBodies(t *testing.T) {
	for i := range allCodecs {
		c := &allCodecs[i]
		for v := c.min; v <= c.max; v++ {
			m := maker{rand.New(rand.NewSource(int64(300 + v))), v}
			for range 40 {
				body := c.random(m, m.Intn(2) == 0).AppendTo(nil)
				for range 1 + m.Intn(3) {
					body[m.Intn(len(body))] = byte(m.Intn(256) >> m.Intn(8))
				}
				compare(t, c, v, body)
			}
		}
	}
}
