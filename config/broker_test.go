package config

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBrokerDefaults(t *testing.T) {
	b, err := mustLoad(t, Input{}).Broker()
	if err != nil {
		t.Fatal(err)
	}
	if b.NodeID != 1 || !slices.Equal(b.LogDirs, []string{"sluice-data/logs"}) || b.NumPartitions != 1 || !b.AutoCreateTopics ||
		b.IdleTimeout != 10*time.Minute || b.SendBuffer != -1 || b.FrameBudget != 128<<20 || b.Loops < 1 || b.AdminListener != "127.0.0.1:9404" {
		t.Errorf("%+v", b)
	}
	if l := b.Listeners[0]; len(b.Listeners) != 1 || l.String() != "PLAINTEXT://127.0.0.1:9092" || b.Advertised[0] != l || l.Protocol != "PLAINTEXT" {
		t.Errorf("%+v, %+v", b.Listeners, b.Advertised)
	}
	d := b.TopicDefaults
	if d.SegmentAge != 7*24*time.Hour || d.MaxMessageBytes != 1048588 || d.TimestampBeforeMax != math.MaxInt64 || !d.Delete || d.Compact ||
		d.RetentionMillis != 604800000 || d.FlushInterval != Forever || d.LogAppendTime {
		t.Errorf("%+v", d)
	}
}

// Kafka's own file works as it is, with its controller left out.
func TestKafkasOwnFile(t *testing.T) {
	v := mustLoad(t, Input{File: []byte(stockKRaft), FileName: "server.properties"})
	b, err := v.Broker()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Listeners) != 1 || b.Advertised[0].Address() != "localhost:9092" || b.Loops != 3 || b.LogDirs[0] != "/tmp/kraft-combined-logs" {
		t.Errorf("%+v", b)
	}
	for _, k := range []string{"process.roles", "num.io.threads", "offsets.topic.replication.factor"} {
		if !slices.ContainsFunc(v.Warnings(), func(w string) bool { return strings.HasPrefix(w, k) }) {
			t.Errorf("no warning about %s", k)
		}
	}
}

func TestListeners(t *testing.T) {
	const two = "listener.security.protocol.map=IN:PLAINTEXT,OUT:PLAINTEXT,TLS:SSL"
	for _, c := range []struct {
		sets []string
		want string // listeners then advertised, or the error
	}{
		{[]string{"listeners=plaintext://:0"}, "PLAINTEXT://:0 PLAINTEXT://:0"},
		{[]string{"listeners=PLAINTEXT://[::1]:9"}, "PLAINTEXT://[::1]:9 PLAINTEXT://[::1]:9"},
		{[]string{"listeners=PLAINTEXT://0.0.0.0:9", "advertised.listeners=PLAINTEXT://h:10"}, "PLAINTEXT://0.0.0.0:9 PLAINTEXT://h:10"},
		{[]string{two, "listeners=IN://:1,OUT://:2", "advertised.listeners=OUT://o:3"}, "IN://:1 OUT://:2 IN://:1 OUT://o:3"},
		{[]string{two, "listeners=IN://:0,OUT://:0"}, "IN://:0 OUT://:0 IN://:0 OUT://:0"},
		{[]string{"listeners=PLAINTEXT://0.0.0.0:9"}, "set advertised.listeners=PLAINTEXT://<host>:9"},
		{[]string{"listeners=PLAINTEXT://[::]:9"}, "set advertised.listeners=PLAINTEXT://<host>:9"},
		{[]string{"advertised.listeners=PLAINTEXT://0.0.0.0:9"}, "no address that a client could connect to"},
		{[]string{"listeners="}, "listeners names no address"},
		{[]string{"listeners=h:9"}, `"h:9" is not NAME://host:port`},
		{[]string{"listeners=PLAINTEXT://h:65536"}, "a port of 0 to 65535"},
		{[]string{"listeners=PLAINTEXT://h"}, "a port of 0 to 65535"},
		{[]string{"listeners=SSL://h:9"}, "SSL is SSL, and only PLAINTEXT is served yet"},
		{[]string{"listeners=MINE://h:9"}, "add MINE:PLAINTEXT to it"},
		{[]string{two, "listeners=IN://h:1,OUT://h:1"}, "have the same address h:1"},
		{[]string{two, "listeners=IN://h:1,IN://h:2"}, "names IN twice"},
		{[]string{"advertised.listeners=SASL_SSL://h:1"}, "only PLAINTEXT is served yet"},
		{[]string{two, "listeners=IN://h:1", "advertised.listeners=OUT://h:1"}, "names OUT, which listeners does not"},
		{[]string{"listener.security.protocol.map=PLAINTEXT"}, `"PLAINTEXT" is not NAME:PROTOCOL`},
	} {
		b, err := mustLoad(t, Input{Sets: c.sets}).Broker()
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%q: error %v, want %s", c.sets, err, c.want)
			}
			continue
		}
		var got []string
		for _, l := range append(b.Listeners, b.Advertised...) {
			got = append(got, l.String())
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%q: %s, want %s", c.sets, g, c.want)
		}
	}
}

func TestBrokerCrossChecks(t *testing.T) {
	for _, c := range []struct{ sets, want string }{
		{"broker.id=2 node.id=3", "broker.id=2 and node.id=3 (--set node.id) differ"},
		{"log.dirs=,", "log.dirs names no directory"},
		{"log.dirs=/a,/a/", "log.dirs names /a twice"},
		{"queued.max.request.bytes=5", "queued.max.request.bytes=5 is less than socket.request.max.bytes=104857600 (default)"},
		{"admin.listener=9404", "admin.listener=9404 is not host:port"},
	} {
		_, err := mustLoad(t, Input{Sets: strings.Fields(c.sets)}).Broker()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.sets, err, c.want)
		}
	}
	b, err := mustLoad(t, Input{Sets: []string{
		"broker.id=5", "log.dirs=a, b/./c", "admin.listener=", "num.network.threads=7", "connections.max.idle.ms=-1",
		"socket.request.max.bytes=200000000"}}).Broker()
	if err != nil {
		t.Fatal(err)
	}
	if b.NodeID != 5 || !slices.Equal(b.LogDirs, []string{"a", "b/c"}) || b.AdminListener != "" || b.Loops != 7 || b.IdleTimeout != 0 ||
		b.FrameBudget != 200000000 {
		t.Errorf("%+v", b)
	}
}

func TestLoopsByCores(t *testing.T) {
	r := reader{v: mustLoad(t, Input{})}
	for cpus, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 64: 32} {
		if got := r.loops(cpus); got != want {
			t.Errorf("%d cores: %d loops, want %d", cpus, got, want)
		}
	}
}
