package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrDynamic is the error (wrapped) of broker settings that cannot be made while the
// broker runs. The text is like Kafka's and meant for the client.
var ErrDynamic = errors.New("invalid dynamic config")

type notDynamic string

func (e notDynamic) Error() string        { return string(e) }
func (e notDynamic) Is(target error) bool { return target == ErrDynamic }

// Dynamic are settings made while running, as text by key: those of one broker, and
// those of all brokers, which are weaker. Both are stronger than what the broker was
// started with.
type Dynamic struct{ Broker, Cluster map[string]string }

// With returns the values that count where d is set too. d must not change
// afterwards. v's own dynamic settings are left out.
func (v *Values) With(d Dynamic) *Values {
	static := v.static
	if static == nil {
		static = v.set
	}
	n := &Values{set: maps.Clone(static), static: static, dynamic: d, known: v.known, warnings: v.warnings}
	overlay := func(layer map[string]string, src Source) {
		for name, text := range layer {
			if brokerByName[name] != nil {
				n.set[name] = Value{Text: strings.TrimSpace(text), Set: true, Source: src}
			}
		}
	}
	overlay(d.Cluster, Source{Origin: FromCluster, Name: "set for all brokers"})
	overlay(d.Broker, Source{Origin: FromBroker, Name: "set for this broker"})
	return n
}

// Dynamic returns the settings made while running.
func (v *Values) Dynamic() Dynamic { return v.dynamic }

// CheckDynamic reports what is wrong with d in the order of Kafka's
// DynamicBrokerConfig.validate: of the settings named (those of the broker, or of all
// brokers) each alone, then all values together. Names that no broker key has are
// taken, as there. Its error is ErrDynamic.
func (v *Values) CheckDynamic(d Dynamic, ofBroker bool) error {
	settings := d.Cluster
	if ofBroker {
		settings = d.Broker
	}
	names := slices.Sorted(maps.Keys(settings))
	is := func(u Update) (found []string) {
		for _, name := range names {
			if k := brokerByName[name]; k != nil && k.Update == u {
				found = append(found, name)
			}
		}
		return found
	}
	if fixed := is(ReadOnly); fixed != nil {
		return notDynamic("Cannot update these configs dynamically: " + strings.Join(fixed, ", "))
	}
	for _, name := range names {
		k := brokerByName[name]
		if k == nil {
			continue
		}
		if err := k.check(settings[name]); err != nil {
			return notDynamic(fmt.Sprintf("Invalid value %s for configuration %s: %v", settings[name], name, err))
		}
	}
	if single := is(PerBroker); single != nil && !ofBroker {
		return notDynamic("Cannot update these configs at default cluster level, broker id must be specified: " + strings.Join(single, ", "))
	}
	next := v.With(d)
	for _, name := range is(PerBroker) { // listeners: Kafka's quorum mode takes no other addresses either
		if settings[name] != v.staticText(name) {
			return notDynamic(name + " cannot be altered while the broker runs.")
		}
	}
	if _, err := next.Broker(); err != nil {
		return notDynamic(err.Error())
	}
	return nil
}

func (v *Values) staticText(name string) string { return v.With(Dynamic{}).Get(name).Text }

// Fit returns d without the settings that cannot be made, and what is wrong with each
// of those: another release may have taken them, or what the broker is started with
// has changed.
func (v *Values) Fit(d Dynamic) (fit Dynamic, problems []error) {
	keep := func(from map[string]string, ofBroker bool) map[string]string {
		kept := map[string]string{}
		for _, name := range slices.Sorted(maps.Keys(from)) {
			kept[name] = from[name]
			try := Dynamic{Cluster: kept}
			if ofBroker {
				try = Dynamic{Cluster: fit.Cluster, Broker: kept}
			}
			if err := v.CheckDynamic(try, ofBroker); err != nil {
				problems = append(problems, err)
				delete(kept, name)
			}
		}
		return kept
	}
	fit.Cluster = keep(d.Cluster, false)
	fit.Broker = keep(d.Broker, true)
	return fit, problems
}

// Synonym is one place where a key's value is set, or one where it would be taken
// from if it were not.
type Synonym struct {
	Name   string // the key
	Text   string
	Source TopicSource
}

// Synonyms lists where a value for the broker key is set, the strongest first; the
// default is last. The rule is Kafka's (ConfigHelper.configSynonyms): of each layer all
// keys that the value may come from, and what stands before the key itself is left out.
func (v *Values) Synonyms(name string) []Synonym {
	names := []string{name}
	if k := brokerByName[name]; k != nil && k.Synonyms != nil {
		names = k.Synonyms
	}
	var all []Synonym
	add := func(source TopicSource, text func(name string) (string, bool)) {
		for _, n := range names {
			if t, ok := text(n); ok {
				all = append(all, Synonym{n, t, source})
			}
		}
	}
	in := func(layer map[string]string) func(string) (string, bool) {
		return func(n string) (string, bool) { t, ok := layer[n]; return t, ok }
	}
	static := v.With(Dynamic{})
	add(SourceBroker, in(v.dynamic.Broker))
	add(SourceCluster, in(v.dynamic.Cluster))
	add(SourceStaticBroker, func(n string) (string, bool) { return static.Get(n).Text, static.IsSet(n) })
	add(SourceDefault, func(n string) (string, bool) {
		k := brokerByName[n]
		if k == nil || k.Null {
			return "", false
		}
		return k.Default, true
	})
	for len(all) > 0 && all[0].Name != name {
		all = all[1:]
	}
	return all
}

// DynamicWarnings returns one line for each setting made while running that changes
// nothing.
func (v *Values) DynamicWarnings() (lines []string) {
	for _, layer := range []map[string]string{v.dynamic.Cluster, v.dynamic.Broker} {
		for _, name := range slices.Sorted(maps.Keys(layer)) {
			k := brokerByName[name]
			known, isKnown := findKnown(name)
			switch {
			case k == nil && isKnown:
				lines = append(lines, fmt.Sprintf("%s, set while running, has no effect: %s", name, known.why))
			case k == nil:
				lines = append(lines, fmt.Sprintf("%s, set while running, has no effect: there is no such key", name))
			case !k.takesEffect(strings.TrimSpace(layer[name])):
				lines = append(lines, fmt.Sprintf("%s=%s, set while running, has no effect yet: %s", name, layer[name], k.Pending))
			}
		}
	}
	return lines
}
