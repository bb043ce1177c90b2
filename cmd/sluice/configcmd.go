package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-mq/sluice/config"
)

// configFlags are the flags that say where the broker's configuration comes from.
type configFlags struct {
	file string
	data string
	sets []string
}

func (f *configFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.file, "config", "c", "", "properties file with Kafka's keys (environment: "+envConfig+")")
	cmd.Flags().StringVar(&f.data, "data", "", "directory for all data: log.dirs=DIR/logs, coordinator.dir=DIR/coordinator")
	cmd.Flags().StringArrayVar(&f.sets, "set", nil, "key=value, stronger than file and environment (environment: SLUICE_ and the key, log.dirs is SLUICE_LOG_DIRS)")
	_ = cmd.MarkFlagDirname("data")
	_ = cmd.RegisterFlagCompletionFunc("set", completeSet)
}

// load gathers the values. With an error about the configuration (exit code 3) it
// returns what was right as well.
func (f *configFlags) load(p *program) (*config.Values, error) {
	in := config.Input{
		Environ:  p.environ,
		Reserved: []string{envConfig, envBootstrap, envZooKeeper},
		Sets:     f.sets,
		FileName: f.file,
	}
	if in.FileName == "" {
		in.FileName = p.getenv(envConfig)
	}
	if f.data != "" {
		in.Flags = []config.Flag{{Name: "--data", Key: "log.dirs", Text: filepath.Join(f.data, "logs")},
			{Name: "--data", Key: "coordinator.dir", Text: filepath.Join(f.data, "coordinator")}}
	}
	if in.FileName != "" {
		text, err := readBounded(in.FileName, config.MaxFileBytes)
		if err != nil {
			return nil, configError(err)
		}
		in.File = text
	}
	v, err := config.Load(in)
	if err != nil {
		return v, configError(err)
	}
	return v, nil
}

// broker gathers the values and builds the typed form, with all problems of both
// steps in one error.
func (f *configFlags) broker(p *program) (*config.Values, *config.Broker, error) {
	return typed(f, p, (*config.Values).Broker)
}

// typed is broker for any typed form.
func typed[T any](f *configFlags, p *program, build func(*config.Values) (*T, error)) (*config.Values, *T, error) {
	v, err := f.load(p)
	if v == nil {
		return nil, nil, err
	}
	b, errTyped := build(v)
	if err == nil && errTyped == nil {
		return v, b, nil
	}
	var all config.Problems
	for _, e := range []error{err, errTyped} {
		var some config.Problems
		if errors.As(e, &some) {
			all = append(all, some...)
		}
	}
	return v, nil, configError(all)
}

// readBounded reads a file of at most limit bytes; of a larger one it returns one
// byte more, so that whoever checks the size sees it.
func readBounded(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit+1))
}

func newConfigCommand() *cobra.Command {
	return group("config", "Explain and check the broker's settings", newExplainCommand(), newCheckCommand())
}

// explanation is a key as `config explain -o json` shows it; the names are stable.
type explanation struct {
	Key         string   `json:"key"`
	Scope       string   `json:"scope"` // broker or topic
	Type        string   `json:"type"`
	Valid       string   `json:"valid"`
	Default     *string  `json:"default"`
	Kafka       string   `json:"kafka_default,omitempty"` // only where ours differs
	Value       *string  `json:"value"`
	Source      string   `json:"source"`
	Environment string   `json:"environment,omitempty"`
	Update      string   `json:"update"` // Kafka's update mode
	Synonyms    []string `json:"synonyms"`
	Own         bool     `json:"own"` // Kafka has no such key
	Effect      string   `json:"effect"`
	Doc         string   `json:"doc"`
}

func explainBroker(e config.Entry) explanation {
	x := explainKey(e.Key)
	x.Scope, x.Environment, x.Source = "broker", e.Key.Env(), e.Value.Source.String()
	if e.Value.Set {
		text := e.Key.Shown(e.Value.Text)
		x.Value = &text
	}
	return x
}

func explainTopic(e config.TopicEntry) explanation {
	x := explainKey(e.Key)
	x.Scope, x.Source, x.Value = "topic", e.Source.String(), &e.Text
	return x
}

func explainKey(k *config.Key) explanation {
	x := explanation{
		Key: k.Name, Type: k.Type.String(), Valid: k.Valid(), Kafka: k.KafkaDefault, Update: k.Update.String(),
		Synonyms: append([]string{}, k.Synonyms...), Own: k.Own, Effect: "yes", Doc: k.Doc,
	}
	if !k.Null {
		x.Default = &k.Default
	}
	if k.Pending != "" {
		x.Effect = "not yet: " + k.Pending
	}
	return x
}

func newExplainCommand() *cobra.Command {
	var flags configFlags
	var format string
	cmd := &cobra.Command{
		Use:               "explain [KEY...]",
		Short:             "Show type, default, value and meaning of settings, of all without KEY",
		ValidArgsFunction: completeKeys,
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := flags.load(programOf(cmd))
			if err != nil {
				return err
			}
			list, err := explain(v, args)
			if err != nil {
				return err
			}
			if format == "table" && len(args) > 0 {
				return writeExplanations(cmd.OutOrStdout(), list)
			}
			return explanationTable(list).write(cmd.OutOrStdout(), format)
		},
	}
	flags.register(cmd)
	addOutput(cmd, &format)
	return cmd
}

// explain finds the named keys; broker keys go before topic keys of the same name.
func explain(v *config.Values, names []string) ([]explanation, error) {
	if len(names) == 0 {
		var all []explanation
		for _, e := range v.Entries() {
			all = append(all, explainBroker(e))
		}
		for _, e := range config.TopicEntries(nil, v) {
			all = append(all, explainTopic(e))
		}
		return all, nil
	}
	var out []explanation
	for _, name := range names {
		found := explainName(v, name)
		if len(found) == 0 {
			return nil, unknownKey(name)
		}
		out = append(out, found...)
	}
	return out, nil
}

func explainName(v *config.Values, name string) []explanation {
	var out []explanation
	if k, ok := config.Lookup(name); ok {
		out = append(out, explainBroker(config.Entry{Key: k, Value: v.Get(name)}))
	}
	for _, e := range config.TopicEntries(nil, v) {
		if e.Key.Name == name {
			out = append(out, explainTopic(e))
		}
	}
	return out
}

func unknownKey(name string) error {
	if why, _, ok := config.KnownKey(name); ok {
		return fmt.Errorf("%s is a key of Kafka's without effect here: %s", name, why)
	}
	if near, ok := config.Nearest(name); ok {
		return usagef("unknown key %q, did you mean %s?", name, near)
	}
	return usagef("unknown key %q; `sluice config explain` lists all", name)
}

func explanationTable(list []explanation) *table {
	t := &table{data: list, columns: []column{
		{name: "key"}, {name: "scope"}, {name: "value"}, {name: "source"}, {name: "type", wide: true}, {name: "default", wide: true},
		{name: "kafka_default", wide: true}, {name: "environment", wide: true}, {name: "effect", wide: true},
	}}
	for _, x := range list {
		t.add(x.Key, x.Scope, textOrNull(x.Value), x.Source, x.Type, textOrNull(x.Default), x.Kafka, x.Environment, x.Effect)
	}
	return t
}

func textOrNull(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

func writeExplanations(w io.Writer, list []explanation) error {
	var b strings.Builder
	for i, x := range list {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s (%s)\n  %s\n", x.Key, x.Scope, x.Doc)
		line := func(name, text string) {
			if text != "" {
				fmt.Fprintf(&b, "  %-12s %s\n", name, text)
			}
		}
		line("value", textOrNull(x.Value)+" ("+x.Source+")")
		line("default", textOrNull(x.Default))
		line("in Kafka", x.Kafka)
		line("type", x.Valid)
		line("environment", x.Environment)
		line("synonyms", strings.Join(x.Synonyms, ", "))
		line("change", x.Update+" in Kafka")
		if x.Effect != "yes" {
			line("effect", x.Effect)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newCheckCommand() *cobra.Command {
	var flags configFlags
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a properties file together with environment and flags, and list all problems",
		Long: "Check a properties file together with environment and flags, and list all problems.\n" +
			"Exits with 3 if there are any. Nothing is opened or created besides the file.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if flags.file != "" {
					return usagef("the file is named twice: %s and --config %s", args[0], flags.file)
				}
				flags.file = args[0]
			}
			v, _, err := flags.broker(programOf(cmd))
			if v != nil {
				for _, w := range v.Warnings() {
					fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
				}
			}
			if err != nil {
				return err
			}
			t := &table{columns: []column{{name: "key"}, {name: "value"}, {name: "source"}}}
			for _, e := range v.NonDefault() {
				t.add(e.Key.Name, e.Key.Shown(e.Value.Text), e.Value.Source)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The configuration is valid. Set besides defaults: %d\n", len(t.rows))
			if len(t.rows) == 0 {
				return nil
			}
			return t.writeText(cmd.OutOrStdout(), false)
		},
	}
	flags.register(cmd)
	return cmd
}

func completeKeys(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, k := range append(config.Keys(), config.TopicKeys()...) {
		names = append(names, k.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeSet(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, k := range config.Keys() {
		names = append(names, k.Name+"=")
	}
	return names, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
