package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newTopicCommand() *cobra.Command {
	return group("topic", "Create, list, describe, change and delete topics of a cluster",
		newTopicCreateCommand(), newTopicListCommand(), newTopicDescribeCommand(), newTopicConfigCommand(), newTopicDeleteCommand())
}

// topicResult is what create and delete did with one topic; the JSON names are
// stable. Status is created, exists, deleted, missing or failed.
type topicResult struct {
	Name              string `json:"name"`
	Status            string `json:"status"`
	ID                string `json:"id,omitempty"`
	Partitions        int32  `json:"partitions,omitempty"`
	ReplicationFactor int16  `json:"replication_factor,omitempty"`
	Error             string `json:"error,omitempty"`
	ErrorCode         int16  `json:"error_code,omitempty"`
}

func (r *topicResult) fail(err error) {
	r.Status = "failed"
	r.Error = err.Error()
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		r.Error, r.ErrorCode = k.Message, k.Code
	}
}

// idText is a topic's id as Kafka's tools write it.
func idText(id kadm.TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

func writeTopicResults(w io.Writer, format string, results []topicResult) error {
	slices.SortFunc(results, func(a, b topicResult) int { return strings.Compare(a.Name, b.Name) })
	t := &table{data: results, columns: []column{
		{name: "name"}, {name: "status"}, {name: "partitions", right: true}, {name: "replication_factor", right: true},
		{name: "id", wide: true}, {name: "error"}, {name: "error_code", right: true, wide: true},
	}}
	for _, r := range results {
		t.add(r.Name, r.Status, r.Partitions, r.ReplicationFactor, r.ID, r.Error, r.ErrorCode)
	}
	return t.write(w, format)
}

type createFlags struct {
	clientFlags
	partitions  int32
	replicas    int16
	configs     []string
	ifNotExists bool
	format      string
}

func newTopicCreateCommand() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create NAME...",
		Short: "Create topics",
		Args:  cobra.MinimumNArgs(1),
		RunE:  func(cmd *cobra.Command, names []string) error { return f.run(cmd, names) },
	}
	f.register(cmd)
	cmd.Flags().Int32VarP(&f.partitions, "partitions", "p", -1, "number of partitions, -1 for the cluster's default")
	cmd.Flags().Int16VarP(&f.replicas, "replication-factor", "r", -1, "number of replicas, -1 for the cluster's default")
	cmd.Flags().StringArrayVar(&f.configs, "config", nil, "topic setting key=value, such as retention.ms=3600000")
	cmd.Flags().BoolVar(&f.ifNotExists, "if-not-exists", false, "do not fail if a topic exists")
	addOutput(cmd, &f.format)
	return cmd
}

func (f *createFlags) run(cmd *cobra.Command, names []string) error {
	configs := map[string]*string{}
	for _, kv := range f.configs {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return usagef("--config %s is not key=value", kv)
		}
		configs[k] = &v
	}
	c, err := f.dial(cmd.Context(), programOf(cmd))
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := c.admin.CreateTopics(cmd.Context(), f.partitions, f.replicas, configs, names...)
	if err != nil {
		return c.failed(cmd.Context(), "creating", err)
	}
	var results []topicResult
	var errs []error
	for _, t := range resp.Sorted() {
		r := topicResult{Name: t.Topic, Status: "created", Partitions: t.NumPartitions, ReplicationFactor: t.ReplicationFactor}
		if t.ID != (kadm.TopicID{}) {
			r.ID = idText(t.ID)
		}
		switch {
		case f.ifNotExists && errors.Is(t.Err, kerr.TopicAlreadyExists):
			r.Status, r.Partitions, r.ReplicationFactor = "exists", 0, 0
		case t.Err != nil:
			r.fail(t.Err)
			r.Partitions, r.ReplicationFactor = 0, 0
			errs = append(errs, kafkaError("topic "+t.Topic, t.Err, t.ErrMessage))
		}
		results = append(results, r)
	}
	return errors.Join(append([]error{writeTopicResults(cmd.OutOrStdout(), f.format, results)}, errs...)...)
}

// topicSummary is a row of topic list; the JSON names are stable.
type topicSummary struct {
	Name              string `json:"name"`
	ID                string `json:"id"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replication_factor"`
	Internal          bool   `json:"internal"`
}

func newTopicListCommand() *cobra.Command {
	var f clientFlags
	var format string
	var internal bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List topics",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.dial(cmd.Context(), programOf(cmd))
			if err != nil {
				return err
			}
			defer c.Close()
			list, err := c.admin.ListTopicsWithInternal(cmd.Context())
			if err != nil {
				return c.failed(cmd.Context(), "listing topics", err)
			}
			return writeTopicList(cmd.OutOrStdout(), format, list, internal)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&internal, "internal", false, "also topics that the cluster keeps for itself")
	addOutput(cmd, &format)
	return cmd
}

func writeTopicList(w io.Writer, format string, list kadm.TopicDetails, internal bool) error {
	rows := []topicSummary{}
	t := &table{columns: []column{
		{name: "name"}, {name: "partitions", right: true}, {name: "replication_factor", right: true},
		{name: "id", wide: true}, {name: "internal", wide: true},
	}}
	var errs []error
	for _, d := range list.Sorted() {
		if d.IsInternal && !internal {
			continue
		}
		if d.Err != nil {
			errs = append(errs, kafkaError("topic "+d.Topic, d.Err, ""))
			continue
		}
		s := topicSummary{d.Topic, idText(d.ID), len(d.Partitions), d.Partitions.NumReplicas(), d.IsInternal}
		rows = append(rows, s)
		t.add(s.Name, s.Partitions, s.ReplicationFactor, s.ID, s.Internal)
	}
	t.data = rows
	return errors.Join(append([]error{t.write(w, format)}, errs...)...)
}

// topicDescription and partitionDescription are topic describe's; the JSON names
// are stable. An offset that could not be asked for is -1.
type topicDescription struct {
	Name       string                 `json:"name"`
	ID         string                 `json:"id"`
	Internal   bool                   `json:"internal"`
	Partitions []partitionDescription `json:"partitions"`
}

type partitionDescription struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	LeaderEpoch int32   `json:"leader_epoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	Offline     []int32 `json:"offline"`
	StartOffset int64   `json:"start_offset"`
	EndOffset   int64   `json:"end_offset"`
	Error       string  `json:"error,omitempty"`
}

func newTopicDescribeCommand() *cobra.Command {
	var f clientFlags
	var format string
	cmd := &cobra.Command{
		Use:               "describe NAME...",
		Short:             "Show partitions, leaders, replicas and offsets of topics",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: f.completeTopics,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := f.dial(cmd.Context(), programOf(cmd))
			if err != nil {
				return err
			}
			defer c.Close()
			list, errs := c.describe(cmd.Context(), names)
			return errors.Join(append([]error{writeDescriptions(cmd.OutOrStdout(), format, list)}, errs...)...)
		},
	}
	f.register(cmd)
	addOutput(cmd, &format)
	return cmd
}

// describe returns what is known of the topics, and an error for each topic or
// partition of which something is not.
func (c *cluster) describe(ctx context.Context, names []string) ([]topicDescription, []error) {
	m, err := c.admin.Metadata(ctx, names...)
	if err != nil {
		return nil, []error{c.failed(ctx, "metadata", err)}
	}
	var errs []error
	var found []string
	for _, t := range m.Topics.Sorted() {
		if t.Err != nil {
			errs = append(errs, kafkaError("topic "+t.Topic, t.Err, ""))
			continue
		}
		found = append(found, t.Topic)
	}
	if len(found) == 0 {
		return []topicDescription{}, errs
	}
	start, err := c.admin.ListStartOffsets(ctx, found...)
	if err != nil {
		errs = append(errs, c.failed(ctx, "start offsets", err))
	}
	end, err := c.admin.ListEndOffsets(ctx, found...)
	if err != nil {
		errs = append(errs, c.failed(ctx, "end offsets", err))
	}
	list := []topicDescription{}
	for _, name := range found {
		t := m.Topics[name]
		d := topicDescription{Name: name, ID: idText(t.ID), Internal: t.IsInternal}
		for _, p := range t.Partitions.Sorted() {
			pd := partitionDescription{
				Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
				Replicas: orEmpty(p.Replicas), ISR: orEmpty(p.ISR), Offline: orEmpty(p.OfflineReplicas),
			}
			var errStart, errEnd error
			pd.StartOffset, errStart = offsetOf(start, name, p.Partition)
			pd.EndOffset, errEnd = offsetOf(end, name, p.Partition)
			if err := firstError(p.Err, errStart, errEnd); err != nil {
				pd.Error = err.Error()
				errs = append(errs, kafkaError(fmt.Sprintf("topic %s partition %d", name, p.Partition), err, ""))
			}
			d.Partitions = append(d.Partitions, pd)
		}
		list = append(list, d)
	}
	return list, errs
}

func offsetOf(l kadm.ListedOffsets, topic string, partition int32) (int64, error) {
	o, ok := l.Lookup(topic, partition)
	if !ok || o.Err != nil {
		return -1, o.Err
	}
	return o.Offset, nil
}

// firstError returns the first error that is one.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func orEmpty(s []int32) []int32 {
	if s == nil {
		return []int32{}
	}
	return slices.Sorted(slices.Values(s))
}

func writeDescriptions(w io.Writer, format string, list []topicDescription) error {
	t := &table{data: list, columns: []column{
		{name: "topic"}, {name: "partition", right: true}, {name: "leader", right: true}, {name: "replicas"}, {name: "isr"},
		{name: "start_offset", right: true}, {name: "end_offset", right: true}, {name: "offline", wide: true},
		{name: "leader_epoch", right: true, wide: true}, {name: "id", wide: true}, {name: "error", wide: true},
	}}
	for _, d := range list {
		for _, p := range d.Partitions {
			t.add(d.Name, p.Partition, p.Leader, joinInts(p.Replicas), joinInts(p.ISR), p.StartOffset, p.EndOffset,
				joinInts(p.Offline), p.LeaderEpoch, d.ID, p.Error)
		}
	}
	return t.write(w, format)
}

func joinInts(s []int32) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(s), "[]"), " ", ",")
}

func newTopicDeleteCommand() *cobra.Command {
	var f clientFlags
	var format string
	var ifExists bool
	cmd := &cobra.Command{
		Use:               "delete NAME...",
		Aliases:           []string{"rm"},
		Short:             "Delete topics with all their records, without asking back",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: f.completeTopics,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := f.dial(cmd.Context(), programOf(cmd))
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.admin.DeleteTopics(cmd.Context(), names...)
			if err != nil {
				return c.failed(cmd.Context(), "deleting", err)
			}
			var results []topicResult
			var errs []error
			for _, t := range resp.Sorted() {
				r := topicResult{Name: t.Topic, Status: "deleted"}
				switch {
				case ifExists && errors.Is(t.Err, kerr.UnknownTopicOrPartition):
					r.Status = "missing"
				case t.Err != nil:
					r.fail(t.Err)
					errs = append(errs, kafkaError("topic "+t.Topic, t.Err, t.ErrMessage))
				}
				results = append(results, r)
			}
			return errors.Join(append([]error{writeTopicResults(cmd.OutOrStdout(), format, results)}, errs...)...)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "do not fail if a topic does not exist")
	addOutput(cmd, &format)
	return cmd
}
