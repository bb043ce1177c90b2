package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// topicConfig is topic config's answer; the JSON names are stable.
type topicConfig struct {
	Topic    string         `json:"topic"`
	Settings []topicSetting `json:"settings"`
}

// topicSetting is one setting. Source is where the value comes from: topic, broker, cluster (set while running, on this
// broker or on all), static or default.
type topicSetting struct {
	Name      string  `json:"name"`
	Value     *string `json:"value"` // null where the broker keeps it secret
	Source    string  `json:"source"`
	Inherited string  `json:"inherited,omitempty"` // what would count if the topic had none of its own
}

type topicConfigFlags struct {
	clientFlags
	set, remove []string
	all         bool
	validate    bool
	format      string
}

func newTopicConfigCommand() *cobra.Command {
	var f topicConfigFlags
	cmd := &cobra.Command{
		Use:   "config NAME",
		Short: "Show or change the settings of a topic",
		Long: "Show the settings of a topic, or change some with --set and --delete first. Changes count at once, on all brokers,\n" +
			"and are kept. Without --all only what is set on the topic itself is shown.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: f.completeTopics,
		RunE:              func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) },
	}
	f.register(cmd)
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "setting key=value to make, such as retention.ms=3600000")
	cmd.Flags().StringArrayVar(&f.remove, "delete", nil, "key of a setting to take back: the broker's counts then")
	cmd.Flags().BoolVar(&f.all, "all", false, "also show what the topic has from its broker")
	cmd.Flags().BoolVar(&f.validate, "validate-only", false, "change nothing, only ask whether it could be done")
	addOutput(cmd, &f.format)
	return cmd
}

func (f *topicConfigFlags) run(cmd *cobra.Command, name string) error {
	changes, err := f.changes()
	if err != nil {
		return err
	}
	c, err := f.dial(cmd.Context(), programOf(cmd))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.alterTopic(cmd.Context(), name, changes, f.validate); err != nil {
		return err
	}
	settings, err := c.topicSettings(cmd.Context(), name, f.all)
	if err != nil {
		return err
	}
	return writeTopicConfig(cmd.OutOrStdout(), f.format, topicConfig{name, settings})
}

func (f *topicConfigFlags) changes() ([]kadm.AlterConfig, error) {
	var list []kadm.AlterConfig
	for _, kv := range f.set {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, usagef("--set %s is not key=value", kv)
		}
		list = append(list, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: &v})
	}
	for _, k := range f.remove {
		if k == "" || strings.Contains(k, "=") {
			return nil, usagef("--delete %s: want the key alone", k)
		}
		list = append(list, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: k})
	}
	if f.validate && list == nil {
		return nil, usagef("--validate-only without --set or --delete")
	}
	return list, nil
}

func (c *cluster) alterTopic(ctx context.Context, name string, changes []kadm.AlterConfig, validate bool) error {
	if len(changes) == 0 {
		return nil
	}
	alter := c.admin.AlterTopicConfigs
	if validate {
		alter = c.admin.ValidateAlterTopicConfigs
	}
	resp, err := alter(ctx, changes, name)
	if err != nil {
		return c.failed(ctx, "changing topic "+name, err)
	}
	for _, r := range resp {
		if r.Err != nil {
			return kafkaError("topic "+name, r.Err, r.ErrMessage)
		}
	}
	return nil
}

// topicSettings lists them in order of their names.
func (c *cluster) topicSettings(ctx context.Context, name string, all bool) ([]topicSetting, error) {
	resp, err := c.admin.DescribeTopicConfigs(ctx, name)
	if err != nil {
		return nil, c.failed(ctx, "settings of topic "+name, err)
	}
	list := []topicSetting{}
	for _, r := range resp {
		if r.Err != nil {
			return nil, kafkaError("topic "+name, r.Err, r.ErrMessage)
		}
		for _, k := range r.Configs {
			own := k.Source == kmsg.ConfigSourceDynamicTopicConfig
			if !own && !all {
				continue
			}
			s := topicSetting{Name: k.Key, Value: k.Value, Source: sourceName(k.Source)}
			if own && len(k.Synonyms) > 1 && k.Synonyms[1].Value != nil {
				s.Inherited = *k.Synonyms[1].Value
			}
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b topicSetting) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func sourceName(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDynamicBrokerConfig:
		return "broker"
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "cluster"
	case kmsg.ConfigSourceStaticBrokerConfig:
		return "static"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	}
	return strings.ToLower(s.String())
}

func writeTopicConfig(w io.Writer, format string, c topicConfig) error {
	t := &table{data: c, columns: []column{{name: "name"}, {name: "value"}, {name: "source"}, {name: "inherited", wide: true}}}
	for _, s := range c.Settings {
		value := "(hidden)"
		if s.Value != nil {
			value = *s.Value
		}
		t.add(s.Name, value, s.Source, s.Inherited)
	}
	return t.write(w, format)
}
