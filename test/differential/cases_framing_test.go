//go:build peers

package differential

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// frameOf is a whole frame with a header of the given parts; no length is computed if size is given.
func frameOf(key, version int16, rest []byte, size ...uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	if len(size) > 0 {
		binary.BigEndian.PutUint32(b, size[0])
	}
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	return append(b, rest...)
}

// resize makes a frame's length fit what it holds.
func resize(frame []byte) []byte {
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

func frame(r kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("c")).AppendRequest(nil, r, 7)
}

func framingCases() (cs []testCase) {
	add := func(name string, run func(p *pair)) { cs = append(cs, testCase{"framing/" + name, run}) }
	versions := &kmsg.ApiVersionsResponse{}
	raw := func(name string, b []byte, response kmsg.Response) {
		add(name, func(p *pair) { p.frame(b, response) })
	}
	empty := []byte{0, 0}     // client id of length 0, header version 1
	null := []byte{0xff, 255} // null client id
	raw("length 0", append([]byte{0, 0, 0, 0}, make([]byte, 8)...), versions)
	raw("length -1", frameOf(18, 0, empty, 0xffffffff), versions)
	raw("length minimal", frameOf(18, 0, empty, 0x80000000), versions)
	raw("length above the limit", frameOf(18, 0, empty, 100<<20+1), versions)
	raw("header cut", append([]byte{0, 0, 0, 4, 0, 18, 0, 0}, 0, 0, 0, 0), versions)
	raw("no client id", frameOf(18, 0, nil), versions)
	raw("client id null", frameOf(18, 0, null), versions)
	raw("client id length -2", frameOf(18, 0, []byte{0xff, 0xfe}), versions)
	raw("client id longer than the frame", frameOf(18, 0, []byte{0, 9, 'x'}), versions)
	raw("client id not UTF-8", frameOf(18, 0, []byte{0, 2, 0xff, 0xfe}), versions)
	raw("bytes after the body", frameOf(18, 0, []byte{0, 0, 1, 2, 3}), versions)
	raw("flexible header with a tag", frameOf(60, 0, []byte{0, 0, 1, 9, 1, 5, 0, 0}), &kmsg.DescribeClusterResponse{})
	raw("flexible header without tags", frameOf(60, 0, empty), &kmsg.DescribeClusterResponse{})
	raw("HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), versions)
	raw("TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more of it"), versions)
	for _, key := range []int16{-1, 94, 95, 1000, 32767, 52, 56, 62} { // no API, or the controller's
		raw(fmt.Sprintf("key %d", key), frameOf(key, 0, append(empty, make([]byte, 40)...)), versions)
	}
	for _, k := range []struct {
		key      kmsg.Key
		versions []int16
	}{
		{kmsg.Produce, []int16{-1, 14}}, {kmsg.Fetch, []int16{-1, 3, 19}}, {kmsg.ListOffsets, []int16{-1, 0, 12}},
		{kmsg.Metadata, []int16{-1, 14}}, {kmsg.CreateTopics, []int16{-1, 8}}, {kmsg.DeleteTopics, []int16{-1, 7}},
		{kmsg.InitProducerID, []int16{-1, 7}}, {kmsg.FindCoordinator, []int16{-1, 7}}, {kmsg.DescribeCluster, []int16{-1, 3}},
	} {
		for _, v := range k.versions {
			response := kmsg.ResponseForKey(int16(k.key))
			raw(fmt.Sprintf("%s version %d", k.key.Name(), v), frameOf(int16(k.key), v, append(empty, make([]byte, 60)...)), response)
		}
	}
	return append(cs, cutCases()...)
}

// cutCases sends each API's body cut at every byte, and with counts that lie.
func cutCases() (cs []testCase) {
	requests := map[string]func() kmsg.Request{
		"Metadata v8":         func() kmsg.Request { return metadata(8, "cut") },
		"Metadata v12":        func() kmsg.Request { return metadata(12, "cut") },
		"Produce v3":          func() kmsg.Request { return produce(3, 1, "cut", 0, batchOf{n: 1}.bytes()) },
		"Produce v9":          func() kmsg.Request { return produce(9, 1, "cut", 0, batchOf{n: 1}.bytes()) },
		"Fetch v4":            func() kmsg.Request { return fetch(4, fetchFrom{topic: "cut"}) },
		"Fetch v12":           func() kmsg.Request { return fetch(12, fetchFrom{topic: "cut"}) },
		"ListOffsets v1":      func() kmsg.Request { return listOffsets(1, "cut", 0, -1) },
		"ListOffsets v7":      func() kmsg.Request { return listOffsets(7, "cut", 0, -1) },
		"CreateTopics v2":     func() kmsg.Request { return createTopics(2, newTopic("c u t", 1, 1)) },
		"CreateTopics v7":     func() kmsg.Request { return createTopics(7, newTopic("c u t", 1, 1)) },
		"DeleteTopics v1":     func() kmsg.Request { return deleteTopics(1, "c u t") },
		"DeleteTopics v6":     func() kmsg.Request { return deleteTopics(6, "c u t") },
		"InitProducerId v0":   func() kmsg.Request { r := kmsg.NewPtrInitProducerIDRequest(); return r },
		"InitProducerId v4":   func() kmsg.Request { r := kmsg.NewPtrInitProducerIDRequest(); r.Version = 4; return r },
		"FindCoordinator v2":  func() kmsg.Request { return findCoordinator(2, 9, "g") },
		"FindCoordinator v4":  func() kmsg.Request { return findCoordinator(4, 9, "g") },
		"DescribeCluster v0":  func() kmsg.Request { return kmsg.NewPtrDescribeClusterRequest() },
		"ApiVersions v3":      func() kmsg.Request { return apiVersions(3, "name", "1") },
		"ApiVersions v0 (no)": func() kmsg.Request { return apiVersions(0, "", "") },
	}
	for name, request := range requests {
		cs = append(cs, testCase{"cut/" + name, func(p *pair) {
			p.topic("cut", 1, nil)
			r := request()
			whole := frame(r)
			for n := 12; n < len(whole); n++ {
				p.frame(resize(append([]byte(nil), whole[:n]...)), r.ResponseKind())
				if p.Failed() {
					p.Fatalf("cut after %d of %d bytes", n, len(whole))
				}
			}
		}})
	}
	lie := func(name string, key kmsg.Key, version int16, body []byte) {
		r := kmsg.ResponseForKey(int16(key))
		r.SetVersion(version)
		cs = append(cs, testCase{"lies/" + name, func(p *pair) { p.frame(frameOf(int16(key), version, append([]byte{0, 0}, body...)), r) }})
	}
	lie("Metadata with 2147483647 topics", kmsg.Metadata, 1, []byte{0x7f, 255, 255, 255, 0, 1, 'a'})
	lie("Metadata with -2 topics", kmsg.Metadata, 1, []byte{255, 255, 255, 254})
	lie("Metadata with a name longer than the body", kmsg.Metadata, 1, []byte{0, 0, 0, 1, 0x7f, 255, 'a'})
	lie("Metadata v9 with a varint that does not end", kmsg.Metadata, 9, []byte{0, 255, 255, 255, 255, 255, 255, 255})
	lie("Metadata v9 with a null name", kmsg.Metadata, 9, []byte{0, 2, 0, 0, 0, 0, 0, 0})
	lie("Metadata v1 with a null name", kmsg.Metadata, 1, []byte{0, 0, 0, 1, 255, 255})
	lie("Produce with -1 topics", kmsg.Produce, 3, []byte{255, 255, 0, 1, 0, 0, 0, 9, 255, 255, 255, 255})
	lie("Produce with records longer than the body", kmsg.Produce, 3,
		[]byte{255, 255, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 3, 'c', 'u', 't', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0, 0, 0, 1})
	lie("Fetch with 2147483647 topics", kmsg.Fetch, 4,
		[]byte{255, 255, 255, 255, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 9, 9, 0, 0x7f, 255, 255, 255})
	return cs
}
