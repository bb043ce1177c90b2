package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func mustLoad(t *testing.T, in Input) *Values {
	t.Helper()
	v, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Each source is stronger than those before it, and a value remembers its own.
func TestPrecedence(t *testing.T) {
	in := Input{FileName: "/etc/sluice/server.properties"}
	check := func(text, source string) {
		t.Helper()
		got := mustLoad(t, in).Get("log.dirs")
		if got.Text != text || got.Source.String() != source {
			t.Errorf("%q from %q, want %q from %q", got.Text, got.Source, text, source)
		}
	}
	check("", "default")
	in.File = []byte("# first\nlog.dirs = /file\n")
	check("/file", "server.properties:2")
	in.Environ = []string{"HOME=/", "SLUICE_LOG_DIRS=/env"}
	check("/env", "SLUICE_LOG_DIRS")
	in.Flags = []Flag{{"--data", "log.dirs", "/data/logs"}}
	check("/data/logs", "--data")
	in.Sets = []string{"log.dirs=/set", "log.dirs=/set2"}
	check("/set2", "--set log.dirs")
}

func TestProblemsAreAllReported(t *testing.T) {
	v, err := Load(Input{
		FileName: "s.properties",
		File: []byte("log.segment.byte=1\nnum.partitions=0\nauto.create.topics.enable=yes\nnum.network.threads=many\n" +
			"log.message.timestamp.type=Now\nlog.cleanup.policy=delete,shrink\nauthorizer.class.name=x\nretention.ms=5\nx=\\u\n" +
			"message.max.bytes=2147483648\nnode.id=7\nlog.cleaner.min.cleanable.ratio=NaN\n"),
		Environ:  []string{"SLUICE_LOG_DIR=/x", "SLUICE_LOG_DRIS=/x", "SLUICE_CONFIG=f", "SLUICE_MESSAGE_MAX_BYTES=", "OTHER=1"},
		Reserved: []string{"SLUICE_CONFIG"},
		Sets:     []string{"nonsense", "qqqqqqqqqqqqqqqqqq=1", "log.index.size.max.bytes=3", "=x"},
	})
	var p Problems
	if !errors.As(err, &p) {
		t.Fatalf("error %v", err)
	}
	for i, want := range []string{
		`s.properties:9: \u needs four hexadecimal digits`,
		`s.properties:1: unknown key "log.segment.byte", did you mean log.segment.bytes?`,
		`s.properties:2: num.partitions=0: Value must be at least 1 (int, at least 1)`,
		`s.properties:3: auto.create.topics.enable=yes: Expected value to be either true or false (boolean)`,
		`s.properties:4: num.network.threads=many: Not a number of type INT (int from 1 to 1024)`,
		`s.properties:5: log.message.timestamp.type=Now: String must be one of: CreateTime, LogAppendTime (string, one of: CreateTime, LogAppendTime)`,
		`s.properties:6: log.cleanup.policy=delete,shrink: String must be one of: compact, delete (list of: compact, delete)`,
		`s.properties:7: authorizer.class.name is refused: access control is not built yet, and starting without it would open what you mean to protect`,
		`s.properties:8: retention.ms is a topic's key; the broker's is log.retention.ms`,
		`s.properties:10: message.max.bytes=2147483648: Not a number of type INT (int, at least 0)`,
		`s.properties:12: log.cleaner.min.cleanable.ratio=NaN: Not a number of type DOUBLE (double from 0 to 1)`,
		`SLUICE_LOG_DRIS: unknown variable SLUICE_LOG_DRIS, did you mean SLUICE_LOG_DIRS?`,
		`SLUICE_MESSAGE_MAX_BYTES: message.max.bytes="": Not a number of type INT (int, at least 0)`,
		`--set: "nonsense" is not key=value`,
		`--set qqqqqqqqqqqqqqqqqq: unknown key "qqqqqqqqqqqqqqqqqq"`,
		`--set log.index.size.max.bytes: log.index.size.max.bytes=3: Value must be at least 4 (int, at least 4)`,
		`--set: "=x" is not key=value`,
	} {
		if i >= len(p) || p[i].String() != want {
			t.Fatalf("problem %d:\n%s\nwant\n%s\nall:\n%v", i, p[min(i, len(p)-1)], want, err)
		}
	}
	if len(p) != 17 {
		t.Errorf("more problems than expected:\n%v", err)
	}
	if got := v.Get("node.id"); got.Text != "7" {
		t.Errorf("what was right is lost: %+v", got)
	}
}

func TestEveryKeyHasItsVariable(t *testing.T) {
	seen := map[string]string{}
	for _, k := range Keys() {
		if other := seen[k.Env()]; other != "" {
			t.Errorf("%s and %s share %s", k.Name, other, k.Env())
		}
		seen[k.Env()] = k.Name
		v, _ := Load(Input{Environ: []string{k.Env() + "=" + k.Default}})
		if !k.Null && v.Get(k.Name).Source.Name != k.Env() {
			t.Errorf("%s does not set %s", k.Env(), k.Name)
		}
	}
	v := mustLoad(t, Input{Environ: []string{"SLUICE_ZOOKEEPER_SET_ACL=x"}})
	if len(v.Warnings()) != 1 {
		t.Errorf("a known key's variable: %q", v.Warnings())
	}
}

// The table itself: defaults are valid, names sorted and documented, relations exist.
func TestTable(t *testing.T) {
	for _, k := range append(Keys(), TopicKeys()...) {
		if !k.Null {
			if err := k.check(k.Default); err != nil {
				t.Errorf("%s: default %q: %v", k.Name, k.Default, err)
			}
		}
		if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") {
			t.Errorf("%s: documentation %q", k.Name, k.Doc)
		}
		for _, s := range k.Synonyms {
			if _, ok := Lookup(s); !ok {
				t.Errorf("%s: synonym %s is no broker key", k.Name, s)
			}
		}
		if k.Own && k.KafkaDefault != "" {
			t.Errorf("%s is ours and has a default in Kafka", k.Name)
		}
		if _, _, ok := KnownKey(k.Name); ok && !k.Topic {
			t.Errorf("%s is in the table and among the keys without effect", k.Name)
		}
		if k.Valid() == "" || k.Type.String() == "" {
			t.Errorf("%s: %q", k.Name, k.Valid())
		}
	}
	for _, e := range TopicEntries(nil, nil) {
		if len(e.Key.Synonyms) == 0 {
			continue
		}
		b, _ := Lookup(e.Key.Synonyms[len(e.Key.Synonyms)-1]) // the one with a default
		if def := toMillis(b.Name, b.Default); !b.Null && def != e.Text {
			t.Errorf("%s defaults to %s, its broker key %s to %s", e.Key.Name, e.Text, b.Name, def)
		}
	}
}

func TestWarnings(t *testing.T) {
	v := mustLoad(t, Input{FileName: "s", File: []byte(
		"zookeeper.set.acl=true\ncompression.type=producer\nlog.cleanup.policy=delete\nlog.roll.jitter.hours=1\nlog.dir=a\nlog.dir=b\n")})
	want := []string{
		"log.dir is set twice in s, line 6 counts, line 5 does not",
		"zookeeper.set.acl (s:1) has no effect: the coordinator is reached without TLS and without ACLs in this release",
		"log.roll.jitter.hours=1 (s:4) has no effect yet: segments roll without jitter",
	}
	if got := v.Warnings(); !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if v.Get("log.dir").Text != "b" {
		t.Error("the first of two lines counts")
	}
}

func TestNonDefaultAndEntries(t *testing.T) {
	v := mustLoad(t, Input{Sets: []string{"num.partitions=4", "broker.id=3"}})
	nd := v.NonDefault()
	if len(nd) != 2 || nd[0].Key.Name != "broker.id" || nd[1].Value.Text != "4" {
		t.Errorf("%+v", nd)
	}
	if n := len(v.Entries()); n != len(brokerKeys) {
		t.Errorf("%d entries, want %d", n, len(brokerKeys))
	}
	if v.Get("no.such.key").Set {
		t.Error("an unknown key is set")
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"ca", "abc", 3}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if _, ok := nearest(strings.Repeat("x", 101), []string{strings.Repeat("x", 101)}); ok {
		t.Error("a very long name was compared")
	}
}
