//go:build peers

package differential

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerLimit is how long a broker may take for an answer or for closing the connection; longer is "silent".
const answerLimit = 5 * time.Second

// side is one of the two brokers.
type side struct {
	name    string // "sluice", "kafka"
	address string
	node    int32
	cluster string
	topics  map[[16]byte]string // names of known topic ids

	conn        net.Conn // nil: dial before the next request
	correlation int32
}

// pair is both brokers during one case. Values named left and right, or index 0 and 1, are subject and reference.
type pair struct {
	*testing.T
	*world
	name string // of the case
}

// world is what the cases of one run share.
type world struct {
	twins      bool // both sides are Kafkas
	sides      [2]*side
	exceptions []*exception
	done       map[string]bool // preparations made, by name
	settled    int             // see settleConfigs
}

func newWorld(t *testing.T, subject, reference string, exceptions []*exception) *world {
	w := &world{done: map[string]bool{}, exceptions: exceptions}
	w.sides[0] = &side{name: "sluice", address: subject}
	w.sides[1] = &side{name: "kafka", address: reference}
	for _, s := range w.sides {
		s.topics = map[[16]byte]string{}
		r := kmsg.NewPtrMetadataRequest()
		r.Version = 8
		r.Topics = []kmsg.MetadataRequestTopic{}
		a := s.exchange(r, answerLimit)
		if a.outcome != answered {
			t.Fatalf("%s at %s does not answer Metadata: %s", s.name, s.address, a.outcome)
		}
		m := a.response.(*kmsg.MetadataResponse)
		s.node, s.cluster = m.Brokers[0].NodeID, *m.ClusterID
		t.Cleanup(s.hangUp)
	}
	return w
}

// once runs a preparation the first time that its name comes by.
func (p *pair) once(name string, prepare func()) {
	if !p.done[name] {
		p.done[name] = true
		prepare()
	}
}

const (
	answered = "answered"
	closed   = "closed the connection"
	silent   = "is silent"
)

// answer is what came of one request.
type answer struct {
	outcome  string
	response kmsg.Response // nil unless answered
	fields   map[string]string
	took     time.Duration
}

func (s *side) dial() error {
	if s.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", s.address, answerLimit)
	s.conn = conn
	return err
}

func (s *side) hangUp() {
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
}

// exchange sends one request and decodes its answer.
func (s *side) exchange(r kmsg.Request, limit time.Duration) *answer {
	s.correlation++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("differential")).AppendRequest(nil, r, s.correlation)
	return s.exchangeFrame(frame, r.ResponseKind(), limit)
}

// exchangeFrame sends a frame as it is and decodes what comes back as response.
func (s *side) exchangeFrame(frame []byte, response kmsg.Response, limit time.Duration) *answer {
	a := &answer{fields: map[string]string{}}
	began := time.Now()
	body, err := s.roundTrip(frame, limit)
	a.took = time.Since(began)
	var timeout net.Error
	switch {
	case err == nil:
		a.outcome = answered
		s.decode(a, body, response, binary.BigEndian.Uint32(frame[8:]))
	case errors.As(err, &timeout) && timeout.Timeout():
		a.outcome = silent
	default:
		a.outcome = closed
	}
	if a.outcome != answered {
		s.hangUp()
	}
	a.fields["<outcome>"] = a.outcome
	return a
}

// roundTrip writes a frame and reads one answer frame, without its length.
func (s *side) roundTrip(frame []byte, limit time.Duration) ([]byte, error) {
	if err := s.dial(); err != nil {
		return nil, err
	}
	s.conn.SetDeadline(time.Now().Add(limit))
	if _, err := s.conn.Write(frame); err != nil {
		return nil, err // a broker may close before it has read all
	}
	var size [4]byte
	if _, err := io.ReadFull(s.conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(s.conn, body)
	return body, err
}

// decode fills an answer from an answer frame: header, body by kmsg, and whether it was encoded in the usual form
// (kmsg reads a null array as an empty one; writing it again shows the difference).
func (s *side) decode(a *answer, body []byte, response kmsg.Response, correlation uint32) {
	if len(body) < 4 {
		a.fields["<header>"] = fmt.Sprintf("only %d bytes", len(body))
		return
	}
	if binary.BigEndian.Uint32(body) != correlation {
		a.fields["<header>"] = "wrong correlation id"
	}
	body = body[4:]
	isVersions := response.Key() == int16(kmsg.ApiVersions)
	if response.IsFlexible() && !isVersions {
		if len(body) == 0 || body[0] != 0 {
			a.fields["<header>"] = "no empty tag section"
			return
		}
		body = body[1:]
	}
	if isVersions && len(body) > 1 && binary.BigEndian.Uint16(body) == 35 {
		response.SetVersion(0) // the answer to a version it does not know is in version 0
		a.fields["<version>"] = "0"
	}
	if err := response.ReadFrom(body); err != nil {
		a.fields["<body>"] = "cannot be decoded: " + err.Error()
		return
	}
	if again := response.AppendTo(nil); !slices.Equal(again, body) {
		a.fields["<body>"] = "unusual encoding"
	}
	a.response = response
	s.learn(response)
	s.flatten(a.fields, response)
}

// ask sends the same request to both and compares. It returns both responses; a nil one was not answered.
func (p *pair) ask(r kmsg.Request) [2]kmsg.Response {
	p.Helper()
	return p.askEach(func(*side) kmsg.Request { return r })
}

// askEach is ask for a request that holds a value of each side's own: a session, a topic id.
func (p *pair) askEach(request func(*side) kmsg.Request) [2]kmsg.Response {
	p.Helper()
	a := p.exchangeEach(request)
	r := request(p.sides[1])
	p.compare(r.Key(), r.GetVersion(), a)
	return [2]kmsg.Response{a[0].response, a[1].response}
}

func (p *pair) exchangeEach(request func(*side) kmsg.Request) (a [2]*answer) {
	var both sync.WaitGroup
	for i, s := range p.sides {
		both.Go(func() { a[i] = s.exchange(request(s), answerLimit) })
	}
	both.Wait()
	return a
}

// askTimed is ask that also compares whether the answer came at once or after the given wait.
func (p *pair) askTimed(wait time.Duration, r kmsg.Request) {
	p.Helper()
	a := p.exchangeEach(func(*side) kmsg.Request { return r })
	for _, x := range a {
		x.fields["<wait>"] = "full"
		if x.took < wait-wait/10 {
			x.fields["<wait>"] = "less"
		}
	}
	p.compare(r.Key(), r.GetVersion(), a)
}

// tell sends a request that has no answer (acks=0), then asks for ApiVersions on the same connection: "answered"
// means that the connection lives and nothing else was sent on it.
func (p *pair) tell(r kmsg.Request) {
	p.Helper()
	var a [2]*answer
	for i, s := range p.sides {
		if err := s.dial(); err != nil {
			p.Fatal(err)
		}
		s.correlation++
		s.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, r, s.correlation))
		x := s.exchange(kmsg.NewPtrApiVersionsRequest(), answerLimit)
		a[i] = &answer{outcome: x.outcome, fields: map[string]string{"<outcome>": x.outcome}}
		if h, ok := x.fields["<header>"]; ok {
			a[i].fields["<header>"] = h
		}
	}
	p.compare(r.Key(), r.GetVersion(), a)
}

// frame sends the same frame, made for each side's correlation id 7, on a new connection, and compares.
// response says how to decode what comes back.
func (p *pair) frame(frame []byte, response kmsg.Response) {
	p.Helper()
	var a [2]*answer
	var both sync.WaitGroup
	for i, s := range p.sides {
		both.Go(func() {
			s.hangUp()
			fresh := kmsg.ResponseForKey(response.Key())
			fresh.SetVersion(response.GetVersion())
			a[i] = s.exchangeFrame(frame, fresh, 2*time.Second)
			s.hangUp()
		})
	}
	both.Wait()
	p.compare(response.Key(), response.GetVersion(), a)
}

// compare reports every field that differs and is not excepted.
func (p *pair) compare(key, version int16, a [2]*answer) {
	p.Helper()
	for _, d := range differences(a[0].fields, a[1].fields) {
		if p.excepted(key, version, d) {
			continue
		}
		p.Errorf("%s version %d, %s: %s has %s, %s has %s", kmsg.NameForKey(key), version, d.path,
			p.sides[0].name, d.left, p.sides[1].name, d.right)
	}
}

func (p *pair) excepted(key, version int16, d difference) bool {
	for _, e := range p.exceptions {
		if e.covers(p.name, key, version, d) {
			e.used++
			return true
		}
	}
	return false
}

// difference is one path with two values; a missing path has the value "nothing".
type difference struct{ path, left, right string }

func differences(left, right map[string]string) (ds []difference) {
	for path, l := range left {
		if r, ok := right[path]; !ok {
			ds = append(ds, difference{path, l, "nothing"})
		} else if l != r {
			ds = append(ds, difference{path, l, r})
		}
	}
	for path, r := range right {
		if _, ok := left[path]; !ok {
			ds = append(ds, difference{path, "nothing", r})
		}
	}
	slices.SortFunc(ds, func(a, b difference) int { return strings.Compare(a.path, b.path) })
	return ds
}

// testCase is one named conversation with both brokers.
type testCase struct {
	name string
	run  func(p *pair)
}

// perVersion makes a case for each version of an API.
func perVersion(name string, from, to int16, run func(p *pair, v int16)) (cs []testCase) {
	for v := from; v <= to; v++ {
		cs = append(cs, testCase{fmt.Sprintf("%s/v%d", name, v), func(p *pair) { run(p, v) }})
	}
	return cs
}

func (w *world) run(t *testing.T) {
	for _, c := range allCases() {
		t.Run(c.name, func(t *testing.T) {
			for _, s := range w.sides {
				s.hangUp()
			}
			c.run(&pair{t, w, c.name})
		})
	}
}

func allCases() []testCase {
	return slices.Concat(framingCases(), versionsCases(), metadataCases(), produceCases(), sequenceCases(), fetchCases(),
		sessionCases(), offsetsCases(), deleteRecordsCases(), topicCases(), clusterCases(), configCases(), logDirsCases(), partitionsCases())
}

// eventually asks again until ok, for what a broker does in its own time and announces nowhere.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatalf("still not so: %s", what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func environment(name string, otherwise func() string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise()
}
