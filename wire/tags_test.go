package wire

import (
	"errors"
	"testing"
)

// Tags out of order, twice, too long and too short: kmsg's ways, which are Kafka's but for sizes that lie.
func TestTagOddities(t *testing.T) {
	base := FetchRequest{Version: 15}
	base.Reset()
	base.Version = 15
	head := base.Append(nil)
	head = head[:len(head)-1]
	replica := func(id byte) string {
		return "\x01\x0d\x00\x00\x00" + string(id) + "\x00\x00\x00\x00\x00\x00\x00\x07\x00"
	}
	for _, tc := range []struct {
		name, tags string
		replica    int32
		cluster    string
		err        error
	}{
		{"none", "\x00", -1, "", nil},
		{"one", "\x01" + replica(3), 3, "", nil},
		{"twice: the last counts", "\x02" + replica(3) + replica(4), 4, "", nil},
		{"out of order", "\x02" + replica(3) + "\x00\x02\x02c", 3, "c", nil},
		{"null cluster id", "\x01\x00\x01\x00", -1, "", nil},
		{"unknown between", "\x03\x05\x02xx" + replica(3) + "\x7f\x00", 3, "", nil},
		{"more than the field has", "\x01\x00\x04\x02c??", -1, "c", nil},
		{"less than the field has", "\x01\x01\x05\x00\x00\x00\x03\x00", 0, "", ErrShort},
		{"field beyond the size", "\x01\x00\x01\x02c", 0, "", ErrShort},
		{"size beyond the body", "\x01\x05\x7fx", 0, "", ErrShort},
		{"fewer than counted", "\x02" + replica(3), 0, "", ErrShort},
		{"section missing", "", 0, "", ErrShort},
	} {
		body := append(append([]byte(nil), head...), tc.tags...)
		var r FetchRequest
		err := r.Decode(15, body)
		if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
			t.Errorf("%s: error %v, want %v", tc.name, err, tc.err)
		}
		if err == nil && (r.Replica() != tc.replica || string(r.ClusterID) != tc.cluster) {
			t.Errorf("%s: replica %d, cluster %q", tc.name, r.Replica(), r.ClusterID)
		}
		compare(t, &allCodecs[2], 15, body)
	}
}
