package zk

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// samples has every record, with every field set to something of its own.
func samples() map[string]Record {
	stat := Stat{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	acl := []ACL{{PermRead | PermAdmin, Anyone}, {PermAll, DigestID("u", "p")}}
	return map[string]Record{
		"connect":          &ConnectRequest{0, 5, 18000, 77, []byte("0123456789abcdef"), true, true},
		"connect, old":     &ConnectRequest{0, 5, 18000, 77, []byte("0123456789abcdef"), false, false},
		"connected":        &ConnectResponse{0, 18000, 77, []byte("0123456789abcdef"), false, true},
		"connected, old":   &ConnectResponse{0, 18000, 77, []byte("0123456789abcdef"), false, false},
		"request":          &RequestHeader{3, OpGetData},
		"reply":            &ReplyHeader{3, 9, NoNode},
		"stat":             &stat,
		"path":             &PathRequest{"/a"},
		"read":             &ReadRequest{"/a", true},
		"create":           &CreateRequest{Path: "/a", Data: []byte{}, ACL: acl, Mode: EphemeralSequential},
		"create, null":     &CreateRequest{Path: "/a", Mode: Persistent},
		"create, ttl":      &CreateRequest{Path: "/a", Data: []byte("x"), ACL: acl, Mode: TTL, TTLMillis: 60, WithTTL: true},
		"version":          &VersionRequest{"/a", -1},
		"setData":          &SetDataRequest{"/a", []byte("data"), 4},
		"setACL":           &SetACLRequest{"/a", acl, 2},
		"auth":             &AuthRequest{0, "digest", []byte("u:p")},
		"setWatches":       &SetWatchesRequest{RelativeZxid: 8, Data: []string{"/a"}, Exist: []string{"/b", "/c"}, Child: []string{"/d"}},
		"setWatches2":      &SetWatchesRequest{8, nil, nil, nil, []string{"/e"}, []string{"/f"}, true},
		"watch":            &WatchRequest{"/a", int32(WatchPersistentRecursive)},
		"reconfig":         &ReconfigRequest{"a", "b", "c", -1},
		"event":            &Event{EventDeleted, StateConnected, "/a"},
		"multi":            &MultiRequest{[]Part{{OpCheck, &VersionRequest{"/a", 3}}, {OpCreate, &CreateRequest{Path: "/b", ACL: acl}}, {OpCreateTTL, &CreateRequest{Path: "/t", ACL: acl, Mode: TTL, TTLMillis: 1, WithTTL: true}}, {OpDelete, &VersionRequest{"/c", -1}}, {OpSetData, &SetDataRequest{"/d", nil, 1}}}},
		"multiRead":        &MultiRequest{[]Part{{OpGetData, &ReadRequest{"/a", false}}, {OpGetChildren, &ReadRequest{"/a", false}}}},
		"multi, empty":     &MultiRequest{},
		"multi, answered":  &MultiResponse{[]PartResult{{Op: OpCheck}, {Op: OpCreate, Path: "/b"}, {Op: OpCreate2, Path: "/t", Stat: stat}, {Op: OpDelete}, {Op: OpSetData, Stat: stat}}},
		"multi, refused":   &MultiResponse{[]PartResult{{Op: OpError}, {Op: OpError, Err: NodeExists}, {Op: OpError, Err: RuntimeInconsistency}}},
		"multiRead, there": &MultiResponse{[]PartResult{{Op: OpGetData, Data: []byte("x"), Stat: stat}, {Op: OpGetChildren, Children: []string{"a", "b"}}}},
	}
}

// fresh is a record of r's type that decodes the same form.
func fresh(r Record) Record {
	n := reflect.New(reflect.TypeOf(r).Elem()).Interface().(Record)
	switch r := r.(type) {
	case *CreateRequest:
		n.(*CreateRequest).WithTTL = r.WithTTL
	case *SetWatchesRequest:
		n.(*SetWatchesRequest).WithPersistent = r.WithPersistent
	}
	return n
}

func TestRecordsComeBack(t *testing.T) {
	for name, r := range samples() {
		b := r.Append(nil)
		got := fresh(r)
		d := NewDecoder(b)
		got.Decode(d)
		if d.Err() != nil || len(d.Left()) > 0 || !reflect.DeepEqual(got, r) {
			t.Errorf("%s: %x came back as %+v (%v, %d bytes left)", name, b, got, d.Err(), len(d.Left()))
		}
	}
}

// TestEveryCutIsAnError: a record cut anywhere is refused, but for the two whose last field old clients leave out.
func TestEveryCutIsAnError(t *testing.T) {
	for name, r := range samples() {
		b := r.Append(nil)
		for n := range b {
			if n == len(b)-1 && strings.HasPrefix(name, "connect") {
				continue
			}
			d := NewDecoder(b[:n])
			fresh(r).Decode(d)
			if !errors.Is(d.Err(), ErrDecode) {
				t.Errorf("%s: cut at %d of %d: %v", name, n, len(b), d.Err())
			}
		}
	}
}

// TestBytes: what ZooKeeper 3.8 puts on the wire.
func TestBytes(t *testing.T) {
	s := samples()
	for _, c := range []struct {
		record, hex string
	}{
		{"request", "00000003" + "00000004"},
		{"reply", "00000003" + "0000000000000009" + "ffffff9b"},
		{"read", "00000002" + "2f61" + "01"},
		{"create, null", "00000002" + "2f61" + "ffffffff" + "ffffffff" + "00000000"},
		{"version", "00000002" + "2f61" + "ffffffff"},
		{"event", "00000002" + "00000003" + "00000002" + "2f61"},
		{"multi, empty", "ffffffff" + "01" + "ffffffff"},
		{"multi, refused", "ffffffff" + "00" + "00000000" + "00000000" +
			"ffffffff" + "00" + "ffffff92" + "ffffff92" + "ffffffff" + "00" + "fffffffe" + "fffffffe" + "ffffffff01ffffffff"},
	} {
		if got := hex.EncodeToString(s[c.record].Append(nil)); got != c.hex {
			t.Errorf("%s: %s, want %s", c.record, got, c.hex)
		}
	}
	for name, want := range map[string]int{"connect": 45, "connect, old": 44, "connected": 37, "connected, old": 36, "stat": 68} {
		if n := len(s[name].Append(nil)); n != want {
			t.Errorf("%s: %d bytes, want %d", name, n, want)
		}
	}
}

// TestAnnouncedSizesAllocateNothing: a vector of two thousand million strings in a packet of ten bytes.
func TestAnnouncedSizesAllocateNothing(t *testing.T) {
	b := AppendInt(nil, 1<<31-1)
	b = append(b, 0, 0, 0, 0, 0, 0)
	for name, f := range map[string]func(*Decoder){
		"buffer":  func(d *Decoder) { d.Buffer() },
		"string":  func(d *Decoder) { _ = d.String() },
		"strings": func(d *Decoder) { d.Strings() },
		"acls":    func(d *Decoder) { d.ACLs() },
		"ids":     func(d *Decoder) { d.IDs() },
	} {
		d := &Decoder{}
		n := testing.AllocsPerRun(10, func() {
			*d = Decoder{b: b}
			f(d)
		})
		if d.Err() == nil || n > 0 {
			t.Errorf("%s: %v after %v allocations", name, d.Err(), n)
		}
	}
}

func TestPaths(t *testing.T) {
	for _, p := range []string{"/", "/a", "/a/b", "/zookeeper/quota", "/a.b", "/...", "/ä", "/a b"} {
		if err := CheckPath(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{"", "a", "//", "/a/", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a\x00", "/\x1f", "/\u007f",
		"/\u009f", "/\ue000", "/\ufff0", "/\U0001F600", "/\xff"} {
		if CheckPath(p) == nil {
			t.Errorf("%q is taken for a path", p)
		}
	}
	for p, want := range map[string][2]string{"/": {"", ""}, "/a": {"/", "a"}, "/a/b": {"/a", "b"}} {
		if got := [2]string{Parent(p), Base(p)}; got != want {
			t.Errorf("%q: %q, want %q", p, got, want)
		}
		if p != "/" && Join(Parent(p), Base(p)) != p {
			t.Errorf("%q is not put together again", p)
		}
	}
	if got := SequenceSuffix(42); got != "0000000042" {
		t.Error(got)
	}
}

// TestDigest: the example of ZooKeeper's documentation of the super user.
func TestDigest(t *testing.T) {
	if got := DigestID("super", "test").ID; got != "super:D/InIHSb7yEEbrWz8b9l71RjZJU=" {
		t.Error(got)
	}
}

func TestPackets(t *testing.T) {
	var b []byte
	for _, s := range []string{"one", "", strings.Repeat("x", 200_000)} {
		start := len(b)
		b = EndPacket(append(BeginPacket(b), s...), start)
	}
	r := iotest.HalfReader(bytes.NewReader(b))
	var buf []byte
	for _, want := range []string{"one", "", strings.Repeat("x", 200_000)} {
		var err error
		if buf, err = ReadPacket(r, buf, DefaultMaxPacket); err != nil || string(buf) != want {
			t.Fatalf("%d bytes, %v", len(buf), err)
		}
	}
	if _, err := ReadPacket(r, buf, DefaultMaxPacket); err != io.EOF {
		t.Error(err)
	}
	for _, head := range []string{"\x00\x10\x00\x00", "\xff\xff\xff\xff"} {
		if _, err := ReadPacket(strings.NewReader(head), nil, DefaultMaxPacket); !errors.Is(err, ErrPacketSize) {
			t.Errorf("%x: %v", head, err)
		}
	}
	buf, err := ReadPacket(strings.NewReader("\x00\x0f\xff\xffabc"), nil, DefaultMaxPacket)
	if err != io.ErrUnexpectedEOF || cap(buf) > 2*readStep {
		t.Errorf("%v, %d bytes allocated for 3", err, cap(buf))
	}
}

// FuzzDecode: nothing panics, and what is decoded survives another turn.
func FuzzDecode(f *testing.F) {
	kinds := samples()
	for name, r := range kinds {
		f.Add(name, r.Append(nil))
	}
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		r, ok := kinds[name]
		if !ok {
			return
		}
		d := NewDecoder(b)
		got := fresh(r)
		if got.Decode(d); d.Err() != nil {
			return
		}
		again := fresh(r)
		d = NewDecoder(got.Append(nil))
		if again.Decode(d); d.Err() != nil || len(d.Left()) > 0 || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: %+v came back as %+v (%v)", name, got, again, d.Err())
		}
	})
}

// TestStringsThatAreNone: bytes that are not UTF-8 become U+FFFD, one each; null is remembered of paths alone.
func TestStringsThatAreNone(t *testing.T) {
	for in, want := range map[string]string{"/\xff": "/\ufffd", "\xff\xfe": "\ufffd\ufffd", "/ä\x00": "/ä\x00", "": ""} {
		if got := NewDecoder(AppendString(nil, in)).String(); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	null := AppendInt(nil, -1)
	for name, f := range map[string]struct {
		read func(*Decoder)
		path bool
	}{
		"string": {func(d *Decoder) { _ = d.String() }, false}, "strings": {func(d *Decoder) { d.Strings() }, false},
		"acls": {func(d *Decoder) { d.ACLs() }, false}, "path": {(&PathRequest{}).Decode, true}, "paths": {func(d *Decoder) { d.paths() }, true},
	} {
		d := NewDecoder(null)
		if f.read(d); d.Err() != nil || d.NullPath() != f.path {
			t.Errorf("%s: %v, null path %v", name, d.Err(), d.NullPath())
		}
	}
	d := NewDecoder(AppendInt(nil, -7)) // a vector of another length below 0
	if d.Strings(); d.Err() != nil || d.NullPath() {
		t.Error(d.Err())
	}
}

// TestDigestOf: the whole of what was sent is hashed.
func TestDigestOf(t *testing.T) {
	for auth, user := range map[string]string{"u:p": "u", "u": "u", "": "", ":p": "", "a:b:c": "a"} {
		if got, _, _ := strings.Cut(DigestOf(auth).ID, ":"); got != user {
			t.Errorf("%q is %q's", auth, got)
		}
	}
	if DigestOf("u") == DigestOf("u:") || DigestOf("u:p") != DigestID("u", "p") {
		t.Error("of something else")
	}
}
