package wire

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestFlexibleAgreesWithKmsg(t *testing.T) {
	for k := Key(0); k < NumKeys; k++ {
		req := kmsg.RequestForKey(int16(k))
		if req == nil {
			t.Fatalf("%v: kmsg has no such request", k)
		}
		for v := int16(0); v <= req.MaxVersion(); v++ {
			req.SetVersion(v)
			if got := Flexible(k, v); got != req.IsFlexible() {
				t.Errorf("%v version %d: flexible %v, want %v", k, v, got, req.IsFlexible())
			}
		}
		first, ok := k.FirstFlexible()
		if ok != Flexible(k, req.MaxVersion()) || ok && (!Flexible(k, first) || Flexible(k, first-1)) {
			t.Errorf("%v: first flexible version %d, %v", k, first, ok)
		}
	}
	if kmsg.RequestForKey(NumKeys) != nil {
		t.Error("kmsg has more keys than we do")
	}
}

func TestKeyNames(t *testing.T) {
	for k := Key(0); k < NumKeys; k++ {
		want := kmsg.NameForKey(int16(k))
		if k == KeyAlterPartitionReassignments {
			want = "AlterPartitionReassignments" // kmsg names it otherwise than Kafka
		}
		if !strings.EqualFold(k.String(), want) {
			t.Errorf("key %d is %q, kmsg has %q", k, k, want)
		}
	}
	for k, want := range map[Key]string{KeyProduce: "Produce", KeyApiVersions: "ApiVersions", -1: "-1", 95: "95"} {
		if k.String() != want {
			t.Errorf("key %d is %q, want %q", int(k), k, want)
		}
	}
	if Flexible(-1, 9) || Flexible(NumKeys, 9) || Flexible(KeyVote, -1) || Key(-1).Known() {
		t.Error("facts of unknown keys")
	}
}
