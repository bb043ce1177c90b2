package broker

import (
	"maps"
	"slices"
	"strconv"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/wire"
)

// loadBrokerSettings makes the settings count that brokers were given while running. One that does not fit any more
// is left out, and stays in the state file: it must not keep the broker from starting.
func (d *dirCatalog) loadBrokerSettings() {
	fit, problems := d.static.Fit(d.dynamic())
	for _, err := range problems {
		d.log.Warn("a broker setting made while running has no effect", "problem", err, "file", catalogStateFile)
	}
	d.values = d.static.With(fit)
}

// onChange has f called now and after each change of values, one call at a time. f must not block.
func (d *dirCatalog) onChange(f func(*config.Broker)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changed = f
	if cfg, err := d.values.Broker(); err == nil { // Fit has seen to that
		f(cfg)
	}
}

// dynamic is what the state holds for this broker.
func (d *dirCatalog) dynamic() config.Dynamic {
	return config.Dynamic{Broker: d.state.Brokers[strconv.Itoa(int(d.node))], Cluster: d.state.Brokers[allBrokers]}
}

// AlterTopic checks in the order of Kafka's ConfigurationControlManager: the change, the name, the settings, and only
// then whether the topic exists.
func (d *dirCatalog) AlterTopic(name string, change Change, validateOnly bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.image.Load().TopicNamed(name)
	settings, err := checkTopicChange(t, name, change, d.values)
	if err != nil || validateOnly || maps.Equal(settings, t.Overrides) {
		return err
	}
	typed, err := config.Topic(settings, d.values)
	if err != nil {
		return refuse(wire.InvalidConfig, "%v", err)
	}
	if err := d.state.update(func(s *catalogState) { s.set(name, settings) }); err != nil {
		return refuse(wire.KafkaStorageError, "%v", err)
	}
	for _, w := range config.TopicWarnings(settings) {
		d.log.Warn(w, "topic", name)
	}
	d.replaceTopics([]*Topic{t.with(settings, typed)})
	d.log.Info("settings of a topic changed", "topic", name, "settings", settings)
	return nil
}

// with is a copy of t with other settings; the partitions are the same ones.
func (t *Topic) with(overrides map[string]string, typed config.TopicConfig) *Topic {
	n := *t
	n.Overrides, n.Config = overrides, typed
	return &n
}

// replaceTopics gives the logs of changed topics their settings, then publishes the image with them.
func (d *dirCatalog) replaceTopics(changed []*Topic) {
	byID := make(map[[16]byte]*Topic, len(changed))
	for _, t := range changed {
		byID[t.ID] = t
		t.configureLogs()
	}
	im := d.image.Load()
	all := slices.Clone(im.Topics())
	for i, t := range all {
		if n := byID[t.ID]; n != nil {
			all[i] = n
		}
	}
	next := im.withTopics(all)
	next.Config = d.values
	d.image.Store(next)
}

// AlterBroker also gives the topics the values that they take from the broker; what is set on a topic itself stays
// as it is (KAFKA-9254).
func (d *dirCatalog) AlterBroker(ofAll bool, change Change, validateOnly bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next, name := d.dynamic(), strconv.Itoa(int(d.node))
	layer := &next.Broker
	if ofAll {
		name, layer = allBrokers, &next.Cluster
	}
	settings, err := change(*layer)
	if err != nil {
		return err
	}
	*layer = settings
	if err := d.static.CheckDynamic(next, !ofAll); err != nil {
		return refuse(wire.InvalidRequest, "%v", err)
	}
	fit, _ := d.static.Fit(next) // what did not count before the change does not keep it from counting
	values := d.static.With(fit)
	typed, err := values.Broker()
	if err != nil {
		return refuse(wire.InvalidRequest, "%v", err)
	}
	changed, err := d.inheriting(values)
	if err != nil {
		return refuse(wire.InvalidRequest, "%v", err)
	}
	if validateOnly {
		return nil
	}
	if err := d.state.update(func(s *catalogState) { s.setBroker(name, settings) }); err != nil {
		return refuse(wire.KafkaStorageError, "%v", err)
	}
	d.values = values
	d.replaceTopics(changed)
	d.changed(typed)
	for _, w := range values.DynamicWarnings() {
		d.log.Warn(w)
	}
	d.log.Info("settings of brokers changed", "broker", name, "settings", slices.Sorted(maps.Keys(settings)))
	return nil
}

// inheriting returns the topics whose settings are others with the broker's values, with those settings.
func (d *dirCatalog) inheriting(values *config.Values) (changed []*Topic, err error) {
	for _, t := range d.image.Load().Topics() {
		typed, err := config.Topic(t.Overrides, values)
		if err != nil {
			return nil, err
		}
		if typed != t.Config {
			changed = append(changed, t.with(t.Overrides, typed))
		}
	}
	return changed, nil
}
