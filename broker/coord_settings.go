package broker

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/coordination/registry"
	"github.com/sluice-mq/sluice/wire"
)

// Settings of topics and brokers that were made while running: nodes below /config, and what others change there.

// settings gives t those that it has in the tree. What cannot be made, which somebody else has written, is left out.
func (c *coordCatalog) settings(t *Topic, overrides map[string]string) {
	t.Overrides = overrides
	typed, err := config.Topic(overrides, c.values)
	if err != nil {
		fit := map[string]string{}
		for _, key := range slices.Sorted(maps.Keys(overrides)) {
			fit[key] = overrides[key]
			if _, err := config.Topic(fit, c.values); err != nil {
				c.log.Error("a setting of a topic has no effect", "topic", t.Name, "setting", key, "value", overrides[key], "problem", err)
				delete(fit, key)
			}
		}
		t.Overrides = fit
		if typed, err = config.Topic(fit, c.values); err != nil {
			typed = c.defaults.TopicDefaults
		}
	}
	t.Config = typed
}

// onChange has f called now and after each change of values, one call at a time. f must not block.
func (c *coordCatalog) onChange(f func(*config.Broker)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = f
	if cfg, err := c.values.Broker(); err == nil { // Fit has seen to that
		f(cfg)
	}
}

// useDynamic makes the settings of brokers count. One that does not fit is left out, and stays in the tree.
func (c *coordCatalog) useDynamic() {
	fit, problems := c.static.Fit(c.dynamic)
	for _, err := range problems {
		c.log.Warn("a broker setting made while running has no effect", "problem", err)
	}
	c.values = c.static.With(fit)
	if cfg, err := c.values.Broker(); err == nil {
		c.changed(cfg)
	}
}

// AlterTopic checks in the order of Kafka's ConfigurationControlManager: the change, the name, the settings, and only
// then whether the topic exists.
func (c *coordCatalog) AlterTopic(name string, change Change, validateOnly bool) error {
	l, err := c.forChange()
	if err != nil {
		return err
	}
	defer c.mu.Unlock()
	t := c.image.Load().TopicNamed(name)
	settings, err := checkTopicChange(t, name, change, c.values)
	if err != nil || validateOnly || maps.Equal(settings, t.Overrides) {
		return err
	}
	if err := l.reg.SetConfig(l.calls(), registry.TopicEntity(name), settings); err != nil {
		return coordErr(err)
	}
	for _, w := range config.TopicWarnings(settings) {
		c.log.Warn(w, "topic", name)
	}
	c.setOverrides(name, settings)
	c.settle([]string{name})
	c.log.Info("settings of a topic changed", "topic", name, "settings", settings)
	return nil
}

func (c *coordCatalog) setOverrides(name string, settings map[string]string) {
	k := *c.topics[name]
	k.overrides = settings
	c.topics[name] = &k
	c.mirror(name, settings)
}

// checkTopicChange is what the topic, nil if there is none, is to have after the change.
func checkTopicChange(t *Topic, name string, change Change, values *config.Values) (map[string]string, error) {
	var now map[string]string
	if t != nil {
		now = t.Overrides
	}
	settings, err := change(now)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, refuse(wire.InvalidRequest, "Default topic resources are not allowed.")
	}
	if r := checkTopicName(name); r != nil {
		return nil, r
	}
	if _, err := config.Topic(settings, values); err != nil {
		return nil, refuse(wire.InvalidConfig, "%v", err)
	}
	if t == nil {
		return nil, refuse(wire.UnknownTopicOrPartition, "The topic '%s' does not exist.", name)
	}
	return settings, nil
}

// AlterBroker also gives the topics the values that they take from the broker; what is set on a topic itself stays
// as it is (KAFKA-9254).
func (c *coordCatalog) AlterBroker(ofAll bool, change Change, validateOnly bool) error {
	l, err := c.forChange()
	if err != nil {
		return err
	}
	defer c.mu.Unlock()
	next, entity, name := c.dynamic, registry.BrokerEntity(c.node), strconv.Itoa(int(c.node))
	layer := &next.Broker
	if ofAll {
		layer, entity, name = &next.Cluster, registry.DefaultBroker, registry.Default
	}
	settings, err := change(*layer)
	if err != nil {
		return err
	}
	*layer = settings
	if err := c.checkDynamic(next, !ofAll); err != nil || validateOnly {
		return err
	}
	if err := l.reg.SetConfig(l.calls(), entity, settings); err != nil {
		return coordErr(err)
	}
	c.dynamic = next
	c.useDynamic()
	c.settleAll()
	for _, w := range c.values.DynamicWarnings() {
		c.log.Warn(w)
	}
	c.log.Info("settings of brokers changed", "broker", name, "settings", slices.Sorted(maps.Keys(settings)))
	return nil
}

// checkDynamic says why the settings of brokers cannot be those.
func (c *coordCatalog) checkDynamic(next config.Dynamic, ofBroker bool) error {
	if err := c.static.CheckDynamic(next, ofBroker); err != nil {
		return refuse(wire.InvalidRequest, "%v", err)
	}
	fit, _ := c.static.Fit(next) // what did not count before the change does not keep it from counting
	values := c.static.With(fit)
	if _, err := values.Broker(); err != nil {
		return refuse(wire.InvalidRequest, "%v", err)
	}
	for _, t := range c.image.Load().Topics() {
		if _, err := config.Topic(t.Overrides, values); err != nil {
			return refuse(wire.InvalidRequest, "%v", err)
		}
	}
	return nil
}

// readChanges learns whose settings have changed, and what they are now.
func (c *coordCatalog) readChanges(l *link) error {
	list, stale, err := l.reg.ConfigChanges(l.calls(), c.changes)
	l.await(partChanges, stale)
	if err != nil {
		return err
	}
	var topics []string
	brokers := false
	seen := map[registry.Entity]bool{}
	for _, x := range list {
		e := x.What
		if x.Err != nil {
			c.log.Error("a notification of changed settings cannot be understood and is passed over", "error", x.Err)
		}
		if x.Err != nil || seen[e] || c.first {
			c.changes = x.Number
			continue
		}
		seen[e] = true
		switch e.Type() {
		case registry.TopicType:
			changed, err := c.readSettings(l, e)
			if err != nil {
				return err
			}
			if changed {
				topics = append(topics, e.Name())
			}
		case registry.BrokerType:
			brokers = true
		}
		c.changes = x.Number
	}
	c.settle(topics)
	if brokers {
		if err := c.readDynamic(l); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		return nil
	}
	return l.reg.PurgeChanges(l.calls()) // whoever comes by sweeps, as in Kafka
}

// readSettings reads those of a topic; changed tells whether they are others.
func (c *coordCatalog) readSettings(l *link, e registry.Entity) (changed bool, err error) {
	k := c.topics[e.Name()]
	if k == nil {
		return false, nil
	}
	now, err := l.reg.Config(l.calls(), e)
	var broken *registry.DecodeError
	if errors.As(err, &broken) {
		c.log.Error("a node of the coordinator cannot be understood and is passed over", "error", err)
		return false, nil
	}
	if err != nil || maps.Equal(now, k.overrides) {
		return false, err
	}
	c.setOverrides(e.Name(), now)
	c.log.Info("settings of a topic changed, by another broker or tool", "topic", e.Name(), "settings", now)
	return true, nil
}

// readDynamic reads what is set for brokers.
func (c *coordCatalog) readDynamic(l *link) (err error) {
	var next config.Dynamic
	if next.Cluster, err = l.reg.Config(l.calls(), registry.DefaultBroker); err != nil {
		return err
	}
	if next.Broker, err = l.reg.Config(l.calls(), registry.BrokerEntity(c.node)); err != nil {
		return err
	}
	if maps.Equal(next.Cluster, c.dynamic.Cluster) && maps.Equal(next.Broker, c.dynamic.Broker) {
		return nil
	}
	c.dynamic = next
	c.useDynamic()
	c.settleAll()
	c.log.Info("settings of brokers changed, by another broker or tool")
	return nil
}

// mirror keeps, of compacted topics, the settings in the state file: tools that read logs while no broker runs have to
// know which have gaps.
func (c *coordCatalog) mirror(name string, settings map[string]string) {
	if !mirrored(settings) {
		settings = nil
	}
	if maps.Equal(c.state.Topics[name], settings) {
		return
	}
	if err := c.state.updateOrForce(func(s *catalogState) { s.set(name, settings) }); err != nil {
		c.log.Warn("that a topic is compacted is not on disk for tools", "topic", name, "error", err)
	}
}

func mirrored(settings map[string]string) bool {
	return strings.Contains(settings["cleanup.policy"], "compact")
}
