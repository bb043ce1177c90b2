package client

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
)

func TestParseConnect(t *testing.T) {
	for _, c := range []struct {
		in      string
		servers []string
		chroot  string
	}{
		{"localhost", []string{"localhost:2181"}, ""},
		{"a:1, b:2/kafka/x", []string{"a:1", "b:2"}, "/kafka/x"},
		{"a/", []string{"a:2181"}, ""},
		{"[::1]:2181,[fe80::1]", []string{"[::1]:2181", "[fe80::1]:2181"}, ""},
		{"", nil, ""},
		{"a,", nil, ""},
		{"a:", nil, ""},
		{":2181", nil, ""},
		{"::1", nil, ""},
		{"a:1:2", nil, ""},
		{"a/b/", nil, ""},
		{"a//b", nil, ""},
		{"a/../b", nil, ""},
	} {
		servers, chroot, err := ParseConnect(c.in)
		if (err != nil) != (c.servers == nil) || !slices.Equal(servers, c.servers) || chroot != c.chroot {
			t.Errorf("%q: %q %q %v", c.in, servers, chroot, err)
		}
	}
}

func TestConfigThatCannotWork(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no servers": {}, "chroot": {Servers: []string{"a:1"}, Chroot: "x"}, "time-out": {Servers: []string{"a:1"}, Timeout: 1},
		"long time-out": {Servers: []string{"a:1"}, Timeout: 1 << 60},
	} {
		if _, err := Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	err := error(&OpError{Op: zk.OpSetData, Path: "/a", Err: zk.BadVersion})
	if err.Error() != "setData /a: zookeeper: bad version" || !errors.Is(err, zk.BadVersion) {
		t.Error(err)
	}
	if err := (&OpError{Op: zk.OpMulti, Err: ErrExpired}); err.Error() != "multi: zookeeper: session expired" {
		t.Error(err)
	}
	if Lapsed.String() != "lapsed" || State(9).String() != "state 9" || !Expired.Over() || Lapsed.Over() {
		t.Error(Lapsed, State(9))
	}
}

// What is subtracted from the time-out: see lease.go.
func TestHeld(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		18 * time.Second: 17604 * time.Millisecond,
		4 * time.Second:  3742 * time.Millisecond,
		time.Minute:      58680 * time.Millisecond,
	} {
		if got := held(timeout); got != want {
			t.Errorf("%v: %v, want %v", timeout, got, want)
		}
	}
}
