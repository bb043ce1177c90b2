package config

import (
	"slices"
	"strings"
)

// Type is the type of a key's value. The numbers are those of the
// DescribeConfigs and CreateTopics responses (KIP-569).
type Type int8

// The types of Kafka's ConfigDef.
const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

var typeNames = [...]string{"", "boolean", "string", "int", "short", "long", "double", "list", "class", "password"}

func (t Type) String() string { return typeNames[t] }

// Update says how the key can be changed while the broker runs.
type Update int8

// Kafka's update modes.
const (
	ReadOnly Update = iota
	PerBroker
	ClusterWide
)

var updateNames = [...]string{"read-only", "per-broker", "cluster-wide"}

func (u Update) String() string { return updateNames[u] }

// Key is one row of the table. Rows are shared and must not be changed.
type Key struct {
	Name    string
	Type    Type
	Default string // as text; meaningless when Null
	Null    bool   // there is no default
	Doc     string
	Update  Update
	Own     bool // Kafka has no such key
	Topic   bool // a topic's key; else a broker's

	Min, Max float64  // bounds of numbers, inclusive; checked where HasMin, HasMax
	HasMin   bool     //
	HasMax   bool     //
	replicas bool     // a list of partition:broker, or *
	Allowed  []string // the only values, or elements of a list, that are valid

	// Synonyms are the broker keys that a topic key takes its default from, or the
	// keys that a broker key gives way to or comes before; the strongest first.
	Synonyms []string

	// Pending, when not empty, says why setting the key changes nothing yet; the
	// value is checked all the same. Works lists values that are honoured already.
	Pending string
	Works   []string

	// KafkaDefault is set where Default differs from Kafka's, which Doc explains.
	KafkaDefault string
}

// Shown is a value of the key as logs and lists may have it: Kafka's word in place of a secret.
func (k *Key) Shown(text string) string {
	if k.Type == Password && text != "" {
		return "[hidden]"
	}
	return text
}

// takesEffect tells whether setting the key to text changes what the broker does.
func (k *Key) takesEffect(text string) bool {
	return k.Pending == "" || slices.Contains(k.Works, text)
}

// Valid describes the values that the key takes, for messages: "int, at least 1".
func (k *Key) Valid() string {
	var b strings.Builder
	b.WriteString(k.Type.String())
	switch {
	case k.HasMin && k.HasMax:
		b.WriteString(" from " + number(k.Min) + " to " + number(k.Max))
	case k.HasMin:
		b.WriteString(", at least " + number(k.Min))
	case k.HasMax:
		b.WriteString(", at most " + number(k.Max))
	}
	if k.Allowed != nil {
		if k.Type == List {
			b.WriteString(" of: " + strings.Join(k.Allowed, ", "))
		} else {
			b.WriteString(", one of: " + strings.Join(k.Allowed, ", "))
		}
	}
	return b.String()
}

// Env is the name of the environment variable that sets the key.
func (k *Key) Env() string { return envName(k.Name) }

const envPrefix = "SLUICE_"

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

var (
	brokerByName = index(brokerKeys)
	topicByName  = index(topicKeys)
)

func index(keys []Key) map[string]*Key {
	m := make(map[string]*Key, len(keys))
	for i := range keys {
		if m[keys[i].Name] != nil {
			panic("BUG: config key " + keys[i].Name + " is in the table twice")
		}
		m[keys[i].Name] = &keys[i]
	}
	return m
}

// Lookup finds a broker key by its name.
func Lookup(name string) (*Key, bool) {
	k, ok := brokerByName[name]
	return k, ok
}

// LookupTopic finds a topic key by its name.
func LookupTopic(name string) (*Key, bool) {
	k, ok := topicByName[name]
	return k, ok
}

// Keys returns the broker keys in order of their names.
func Keys() []*Key { return sorted(brokerKeys) }

// TopicKeys returns the topic keys in order of their names.
func TopicKeys() []*Key { return sorted(topicKeys) }

func sorted(keys []Key) []*Key {
	s := make([]*Key, len(keys))
	for i := range keys {
		s[i] = &keys[i]
	}
	slices.SortFunc(s, func(a, b *Key) int { return strings.Compare(a.Name, b.Name) })
	return s
}
