package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Origin is the kind of place that a value came from, in rising precedence.
type Origin int8

// The origins.
const (
	FromDefault Origin = iota
	FromFile
	FromEnv
	FromFlag
	FromCluster // set while running, for all brokers
	FromBroker  // set while running, for this broker
)

// Source is where a value came from.
type Source struct {
	Origin Origin
	Name   string // file, variable or flag
	Line   int    // of the file
}

// String gives "default", "server.properties:12", "SLUICE_LOG_DIRS" or "--set log.dirs".
func (s Source) String() string {
	switch s.Origin {
	case FromDefault:
		return "default"
	case FromFile:
		return s.Name + ":" + strconv.Itoa(s.Line)
	}
	return s.Name
}

// Value is the text of a key and its source. Set is false where the key has neither
// a value nor a default.
type Value struct {
	Text   string
	Set    bool
	Source Source
}

// Input is everything that values may come from.
type Input struct {
	FileName string   // as it appears in messages
	File     []byte   // a properties file, at most MaxFileBytes
	Environ  []string // as os.Environ gives it; only names that begin with SLUICE_ are looked at
	Reserved []string // names in Environ that belong to somebody else
	Sets     []string // key=value, the last of a key wins
	Flags    []Flag   // values that flags other than --set stand for; before Sets
}

// Flag is a value given by a flag of its own, as --data gives log.dirs.
type Flag struct{ Name, Key, Text string }

// Values are the broker keys' values. They do not change.
type Values struct {
	set      map[string]Value
	static   map[string]Value // set without what was set while running; nil: nothing was
	dynamic  Dynamic
	known    map[string]Value // keys of Kafka's that mean nothing here
	warnings []string
}

// Load gathers the values of all broker keys. When something is wrong it returns
// Problems with all of it, and Values with what was right, for showing.
func Load(in Input) (*Values, error) {
	l := loader{v: &Values{set: map[string]Value{}, known: map[string]Value{}}}
	l.file(in)
	l.environ(in)
	for _, f := range in.Flags {
		l.put(f.Key, f.Text, Source{Origin: FromFlag, Name: f.Name})
	}
	for _, s := range in.Sets {
		key, text, ok := strings.Cut(s, "=")
		key = strings.TrimSpace(key)
		src := Source{Origin: FromFlag, Name: "--set " + key}
		if !ok || key == "" {
			l.problem(Problem{Source: Source{Origin: FromFlag, Name: "--set"}, Message: fmt.Sprintf("%q is not key=value", s)})
			continue
		}
		l.put(key, text, src)
	}
	l.warn()
	if len(l.problems) > 0 {
		return l.v, l.problems
	}
	return l.v, nil
}

type loader struct {
	v        *Values
	problems Problems
}

func (l *loader) problem(p Problem) { l.problems = append(l.problems, p) }

func (l *loader) file(in Input) {
	props, bad := parseProperties(in.File)
	name := filepath.Base(in.FileName)
	for _, b := range bad {
		l.problem(Problem{Source: Source{FromFile, name, b.line}, Message: b.text})
	}
	lines := map[string]int{}
	for _, p := range props {
		if first, ok := lines[p.key]; ok {
			l.v.warnings = append(l.v.warnings,
				fmt.Sprintf("%s is set twice in %s, line %d counts, line %d does not", p.key, name, p.line, first))
		}
		lines[p.key] = p.line
		l.put(p.key, p.value, Source{FromFile, name, p.line})
	}
}

// environ finds the keys that variables name. The mapping loses the difference
// between dots and dashes, so it goes from keys to variables.
func (l *loader) environ(in Input) {
	byEnv := map[string]string{}
	for i := range brokerKeys {
		byEnv[brokerKeys[i].Env()] = brokerKeys[i].Name
	}
	for _, e := range in.Environ {
		name, text, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(in.Reserved, name) {
			continue
		}
		src := Source{Origin: FromEnv, Name: name}
		key, ok := byEnv[name]
		if !ok {
			key = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", ".")
		}
		if _, isKnown := findKnown(key); ok || isKnown {
			l.put(key, text, src)
			continue
		}
		p := Problem{Source: src, Message: "unknown variable " + name}
		if near, ok := nearest(name, append(slices.Sorted(maps.Keys(byEnv)), in.Reserved...)); ok {
			p.Message += ", did you mean " + near + "?"
		}
		l.problem(p)
	}
}

func (l *loader) put(key, text string, src Source) {
	k, ok := brokerByName[key]
	if !ok {
		l.putUnknown(key, text, src)
		return
	}
	text = strings.TrimSpace(text)
	if err := k.check(text); err != nil {
		l.problem(Problem{Key: key, Source: src, Message: fmt.Sprintf("%s=%s: %v (%s)", key, quoteEmpty(text), err, k.Valid())})
		return
	}
	l.v.set[key] = Value{Text: text, Set: true, Source: src}
}

func (l *loader) putUnknown(key, text string, src Source) {
	f, ok := findKnown(key)
	switch {
	case ok && f.refuse:
		l.problem(Problem{Key: key, Source: src, Message: key + " is refused: " + f.why})
	case ok:
		l.v.known[key] = Value{Text: text, Set: true, Source: src}
	default:
		p := Problem{Key: key, Source: src, Message: "unknown key " + strconv.Quote(key)}
		if t, isTopic := topicByName[key]; isTopic && len(t.Synonyms) > 0 {
			p.Message = key + " is a topic's key; the broker's is " + t.Synonyms[0]
		} else if near, ok := nearest(key, slices.Sorted(maps.Keys(brokerByName))); ok {
			p.Message += ", did you mean " + near + "?"
		}
		l.problem(p)
	}
}

// warn makes one line for each key that was set and changes nothing.
func (l *loader) warn() {
	for _, name := range slices.Sorted(maps.Keys(l.v.known)) {
		f, _ := findKnown(name)
		l.v.warnings = append(l.v.warnings, fmt.Sprintf("%s (%s) has no effect: %s", name, l.v.known[name].Source, f.why))
	}
	for _, name := range slices.Sorted(maps.Keys(l.v.set)) {
		if k, v := brokerByName[name], l.v.set[name]; !k.takesEffect(v.Text) {
			l.v.warnings = append(l.v.warnings, fmt.Sprintf("%s=%s (%s) has no effect yet: %s", name, v.Text, v.Source, k.Pending))
		}
	}
}

func quoteEmpty(s string) string {
	if s == "" {
		return `""`
	}
	return s
}

// Get returns the value of a broker key, its default if it was not set.
func (v *Values) Get(key string) Value {
	if val, ok := v.set[key]; ok {
		return val
	}
	if k, ok := brokerByName[key]; ok && !k.Null {
		return Value{Text: k.Default, Set: true}
	}
	return Value{}
}

// IsSet tells whether the key has a value other than by default.
func (v *Values) IsSet(key string) bool {
	_, ok := v.set[key]
	return ok
}

// Entry is a key of the table with its value.
type Entry struct {
	Key   *Key
	Value Value
}

// Entries returns all broker keys with their values, in order of names.
func (v *Values) Entries() []Entry {
	keys := Keys()
	out := make([]Entry, len(keys))
	for i, k := range keys {
		out[i] = Entry{k, v.Get(k.Name)}
	}
	return out
}

// NonDefault returns the entries that were set, in order of names.
func (v *Values) NonDefault() []Entry {
	return slices.DeleteFunc(v.Entries(), func(e Entry) bool { return e.Value.Source.Origin == FromDefault })
}

// Warnings returns one line for each key that was set and has no effect, and for
// each that a file sets twice.
func (v *Values) Warnings() []string { return slices.Clone(v.warnings) }

// KnownKey tells why a key of Kafka's that is not in the table has no effect here.
func KnownKey(name string) (why string, refused, ok bool) {
	k, ok := findKnown(name)
	return k.why, k.refuse, ok
}

// Nearest returns the broker or topic key whose name is most like name.
func Nearest(name string) (string, bool) {
	return nearest(name, slices.Sorted(maps.Keys(brokerByName)))
}
