package wire

import (
	"bytes"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestRequestHeaderAgreesWithKmsg(t *testing.T) {
	client := "some-client"
	for _, f := range []*kmsg.RequestFormatter{
		kmsg.NewRequestFormatter(), kmsg.NewRequestFormatter(kmsg.FormatterClientID(client)),
	} {
		for k := Key(0); k < NumKeys; k++ {
			req := kmsg.RequestForKey(int16(k))
			for v := int16(0); v <= req.MaxVersion(); v++ {
				if k == KeyControlledShutdown && v == 0 {
					continue // kmsg leaves the body out; see TestRequestHeaderEdges
				}
				req.SetVersion(v)
				frame := f.AppendRequest(nil, req, 77)[4:]
				h, body, err := ParseRequestHeader(frame)
				if err != nil || h.Key != k || h.Version != v || h.CorrelationID != 77 {
					t.Fatalf("%v version %d: %+v, %v", k, v, h, err)
				}
				if want := req.AppendTo(nil); !bytes.Equal(body, want) {
					t.Fatalf("%v version %d: body %x, want %x", k, v, body, want)
				}
				again := append(AppendRequestHeader(nil, &h), body...)
				if !bytes.Equal(again, frame) {
					t.Fatalf("%v version %d: written as %x, want %x", k, v, again, frame)
				}
				for cut := range len(frame) - len(body) {
					short, _, err := ParseRequestHeader(frame[:cut])
					if err == nil || cut >= 8 && (short.Key != k || short.Version != v || short.CorrelationID != 77) {
						t.Fatalf("%v version %d cut to %d: %+v, %v", k, v, cut, short, err)
					}
				}
			}
		}
	}
}

func TestRequestHeaderEdges(t *testing.T) {
	for _, tc := range []struct {
		name   string
		frame  string
		client string
		has    bool
		body   string
		err    error
	}{
		{"null client id, flexible", "\x00\x12\x00\x03\x00\x00\x00\x07\xff\xff\x00body", "", false, "body", nil},
		{"empty client id", "\x00\x12\x00\x00\x00\x00\x00\x07\x00\x00body", "", true, "body", nil},
		{"client id of length -2", "\x00\x12\x00\x00\x00\x00\x00\x07\xff\xfebody", "", false, "body", nil},
		{"ApiVersions of a version to come", "\x00\x12\x7f\xff\x00\x00\x00\x07\x00\x01c\x00??", "c", true, "??", nil},
		{"tags", "\x00\x12\x00\x03\x00\x00\x00\x07\x00\x01c\x02\x05\x01x\x05\x00body", "c", true, "body", nil},
		{"tags cut", "\x00\x12\x00\x03\x00\x00\x00\x07\x00\x01c\x02\x05\x01x", "c", true, "", ErrShort},
		{"too many tags", "\x00\x12\x00\x03\x00\x00\x00\x07\x00\x01c\xff\xff\x7f", "c", true, "", ErrLimit},
		{"ControlledShutdown 0", "\x00\x07\x00\x00\x00\x00\x00\x07\x00\x00\x00\x01", "", false, "\x00\x00\x00\x01", nil},
		{"ControlledShutdown 1", "\x00\x07\x00\x01\x00\x00\x00\x07\x00\x01c\x00\x00\x00\x01", "c", true, "\x00\x00\x00\x01", nil},
		{"unknown key", "\x00\x5f\x00\x00\x00\x00\x00\x07\x00\x01c", "", false, "", ErrKey},
		{"negative key", "\xff\xff\x00\x00\x00\x00\x00\x07\x00\x01c", "", false, "", ErrKey},
		{"cut in the correlation id", "\x00\x12\x00\x03\x00\x00\x00", "", false, "", ErrShort},
		{"empty", "", "", false, "", ErrShort},
	} {
		h, body, err := ParseRequestHeader([]byte(tc.frame))
		if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.err)
		}
		if string(h.ClientID) != tc.client || h.HasClientID != tc.has || string(body) != tc.body {
			t.Errorf("%s: %+v, body %q", tc.name, h, body)
		}
		if len(tc.frame) >= 8 && h.CorrelationID != 7 {
			t.Errorf("%s: correlation id %d", tc.name, h.CorrelationID)
		}
	}
}

func TestResponseHeader(t *testing.T) {
	for _, tc := range []struct {
		k    Key
		v    int16
		want string
	}{
		{KeyProduce, 8, "\x01\x02\x03\x04"},
		{KeyProduce, 9, "\x01\x02\x03\x04\x00"},
		{KeyFetch, 12, "\x01\x02\x03\x04\x00"},
		{KeyApiVersions, 0, "\x01\x02\x03\x04"},
		{KeyApiVersions, 3, "\x01\x02\x03\x04"},
		{KeyApiVersions, 99, "\x01\x02\x03\x04"},
		{KeySaslHandshake, 1, "\x01\x02\x03\x04"},
		{KeyOffsetDelete, 0, "\x01\x02\x03\x04"},
		{KeyDescribeCluster, 0, "\x01\x02\x03\x04\x00"},
	} {
		got := AppendResponseHeader([]byte("x"), tc.k, tc.v, 0x01020304)
		if string(got) != "x"+tc.want {
			t.Errorf("%v version %d: %x", tc.k, tc.v, got)
		}
		id, body, err := ParseResponseHeader(append(got[1:], "body"...), tc.k, tc.v)
		if id != 0x01020304 || string(body) != "body" || err != nil {
			t.Errorf("%v version %d: read %x, %q, %v", tc.k, tc.v, id, body, err)
		}
		if _, _, err := ParseResponseHeader([]byte(tc.want[:len(tc.want)-1]), tc.k, tc.v); err == nil {
			t.Errorf("%v version %d: a cut header is read", tc.k, tc.v)
		}
	}
}

func FuzzRequestHeader(f *testing.F) {
	f.Add([]byte("\x00\x12\x00\x03\x00\x00\x00\x07\x00\x01c\x02\x05\x01x\x05\x00body"))
	f.Add([]byte("\x00\x07\x00\x00\x00\x00\x00\x07\x00\x00\x00\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, body, err := ParseRequestHeader(in)
		if err != nil {
			return
		}
		again, rest, err := ParseRequestHeader(append(AppendRequestHeader(nil, &h), body...))
		if err != nil || again.Key != h.Key || again.Version != h.Version || again.HasClientID != h.HasClientID ||
			!bytes.Equal(again.ClientID, h.ClientID) || !bytes.Equal(rest, body) {
			t.Fatalf("%+v becomes %+v, %v", h, again, err)
		}
	})
}
