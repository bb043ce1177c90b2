package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/coordination/client"
	"github.com/sluice-mq/sluice/coordination/registry"
)

// groupFlags make consume a member of a group of the kind that Kafka had before 0.9.
type groupFlags struct {
	zookeeper   string
	group       string
	assignor    string
	session     time.Duration
	commitEvery time.Duration
	backoff     time.Duration
	retries     int
}

const groupHelp = `With --zookeeper and --group it shares the topic with the other members of the group, in the way of Kafka's consumers before
0.9: members, who reads which partition, and offsets are nodes below /consumers/GROUP. Brokers are found there as well.
Offsets are committed after their records were written; when a member goes, the others take over from there. --from is for
partitions of which none is committed.`

func (g *groupFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&g.zookeeper, "zookeeper", "", "connect string of a coordinator or ZooKeeper, host:port[,host:port…][/chroot]: share the topic in a group")
	fl.StringVarP(&g.group, "group", "g", "", "the group, with --zookeeper")
	fl.StringVar(&g.assignor, "assignor", "range", "how partitions are divided, range or roundrobin; the same for all members (partition.assignment.strategy)")
	fl.DurationVar(&g.session, "session-timeout", 6*time.Second, "after so long without a sign of life a member is gone (zookeeper.session.timeout.ms)")
	fl.DurationVar(&g.commitEvery, "commit-interval", 5*time.Second, "how often to commit offsets (auto.commit.interval.ms)")
	fl.DurationVar(&g.backoff, "rebalance-backoff", 2*time.Second, "how long to wait for a partition that another member still reads (rebalance.backoff.ms)")
	fl.IntVar(&g.retries, "rebalance-retries", 4, "how often to do that (rebalance.max.retries)")
}

func (f *consumeFlags) checkGroup() error {
	g := &f.shared
	if g.zookeeper == "" {
		if g.group != "" {
			return errors.New("--group needs --zookeeper")
		}
		return nil
	}
	switch {
	case g.group == "":
		return errors.New("--zookeeper needs --group")
	case strings.ContainsRune(g.group, '/'):
		return fmt.Errorf("--group %s: a group's name has no /", g.group)
	case f.bootstrap != "":
		return errors.New("--zookeeper and --bootstrap exclude each other")
	case f.partition >= 0:
		return errors.New("with --zookeeper the group divides the partitions; name the topic alone")
	case f.from != "start" && f.from != "end":
		return fmt.Errorf("--from %s: want start or end with --zookeeper", f.from)
	case assignors[g.assignor] == nil:
		return fmt.Errorf("--assignor %s: want range or roundrobin", g.assignor)
	case g.session < time.Millisecond, g.commitEvery < time.Millisecond, g.backoff < time.Millisecond:
		return errors.New("--session-timeout, --commit-interval and --rebalance-backoff are at least 1ms")
	case g.retries < 0:
		return fmt.Errorf("--rebalance-retries %d: want 0 or more", g.retries)
	}
	return nil
}

// runGroup is the consume verb as a member of a group.
func (f *consumeFlags) runGroup(cmd *cobra.Command) error {
	ctx, g := cmd.Context(), &f.shared
	warn := func(format string, args ...any) { fmt.Fprintf(cmd.ErrOrStderr(), "warning: "+format+"\n", args...) }
	connect := zkFlags{server: g.zookeeper, timeout: g.session, patience: 10 * time.Second, maxReplies: 16 << 20}
	joined := false
	open := func(ctx context.Context) (*client.Session, error) {
		for {
			s, err := connect.open(ctx, programOf(cmd))
			if e, ok := errors.AsType[*exitError](err); ok && joined && e.code == exitUnreachable {
				warn("%v", err) // it was there before, and may come back
				continue
			}
			joined = true
			return s, err
		}
	}
	m := member{group: g.group, id: memberID(g.group), topic: f.topic, assign: assignors[g.assignor], backoff: g.backoff,
		retries: g.retries, commitEvery: g.commitEvery, exit: f.exit, warn: warn,
		reader: &topicReader{f: f, cmd: cmd, warn: warn, p: printer{flags: f, w: bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)}}}
	err := m.run(ctx, open)
	switch {
	case errors.Is(err, errHadEnough), ctx.Err() != nil && errors.Is(err, context.Canceled) && !f.exit && f.count == 0:
		return nil
	}
	return zkError(ctx, err)
}

// memberID is group_host-milliseconds-uuid8, as Kafka's consumers named themselves.
func memberID(group string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	var unique [4]byte
	_, _ = rand.Read(unique[:]) // never fails
	return fmt.Sprintf("%s_%s-%d-%x", group, host, time.Now().UnixMilli(), unique)
}

// topicReader prints partitions for a member.
type topicReader struct {
	f    *consumeFlags
	cmd  *cobra.Command
	warn func(format string, args ...any)
	p    printer
}

// readAgain is how long to wait after brokers could not be asked.
const readAgain = time.Second

func (t *topicReader) read(ctx context.Context, brokers []*registry.BrokerInfo, from map[int32]int64, reached func(int32, int64)) error {
	flags := t.f.clientFlags
	for {
		var err error
		if flags.bootstrap, err = t.seeds(brokers); err != nil {
			return err
		}
		err = t.once(ctx, &flags, from, func(p int32, offset int64) {
			from[p] = offset
			reached(p, offset)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !t.mayPass(err) {
			return err
		}
		t.warn("%v; trying on", err)
		select {
		case <-time.After(readAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// mayPass tells errors that are gone after a while, or after asking for offsets again.
func (t *topicReader) mayPass(err error) bool {
	if k, ok := errors.AsType[*kerr.Error](err); ok {
		return k.Retriable || k == kerr.OffsetOutOfRange || k == kerr.UnknownTopicOrPartition
	}
	e, ok := errors.AsType[*exitError](err)
	return ok && e.code == exitUnreachable
}

// seeds are the brokers' addresses, of the listeners that -X security.protocol can talk to.
func (t *topicReader) seeds(brokers []*registry.BrokerInfo) (string, error) {
	c, err := t.f.resolve(programOf(t.cmd))
	if err != nil {
		return "", err
	}
	protocol := map[[2]bool]string{{false, false}: "PLAINTEXT", {true, false}: "SSL", {false, true}: "SASL_PLAINTEXT", {true, true}: "SASL_SSL"}[[2]bool{c.useTLS, c.useSASL}]
	var list []string
	for _, b := range brokers {
		for _, e := range b.Endpoints {
			if e.Protocol == protocol {
				list = append(list, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
				break
			}
		}
	}
	if len(list) == 0 {
		return "", fmt.Errorf("none of the %d registered brokers has a listener for %s; see -X security.protocol", len(brokers), protocol)
	}
	return strings.Join(list, ","), nil
}

// once reads with one client.
func (t *topicReader) once(ctx context.Context, flags *clientFlags, from map[int32]int64, reached func(int32, int64)) error {
	c, err := flags.dial(ctx, programOf(t.cmd), consumeOptions()...)
	if err != nil {
		return err
	}
	defer c.Close()
	extents, err := t.extents(ctx, c, from)
	if err != nil {
		return err
	}
	offsets := map[int32]kgo.Offset{}
	for p, e := range extents {
		reached(p, e.begin)
		offsets[p] = kgo.NewOffset().At(e.begin)
		if e.begin >= e.end {
			delete(extents, p)
		}
	}
	if t.f.exit && len(extents) == 0 {
		return errHadEnough
	}
	c.AddConsumePartitions(map[string]map[int32]kgo.Offset{t.f.topic: offsets})
	t.p.left, t.p.next = extents, map[int32]int64{}
	for {
		fetches := c.PollRecords(ctx, t.p.want())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		done, err := t.p.print(fetches)
		if err != nil {
			return err
		}
		for p, offset := range t.p.next {
			reached(p, offset)
		}
		if done {
			return errHadEnough
		}
		for _, e := range fetches.Errors() {
			return c.failed(ctx, fmt.Sprintf("topic %s partition %d", e.Topic, e.Partition), e.Err)
		}
	}
}

// extents is where to begin, and where the ends are now. What was committed and is not there any more is told.
func (t *topicReader) extents(ctx context.Context, c *cluster, from map[int32]int64) (map[int32]extent, error) {
	start, err := c.admin.ListStartOffsets(ctx, t.f.topic)
	if err != nil {
		return nil, c.failed(ctx, "start offsets", err)
	}
	end, err := c.admin.ListEndOffsets(ctx, t.f.topic)
	if err != nil {
		return nil, c.failed(ctx, "end offsets", err)
	}
	out := map[int32]extent{}
	for p, at := range from {
		name := fmt.Sprintf("topic %s partition %d", t.f.topic, p)
		s, found := start.Lookup(t.f.topic, p)
		e, foundEnd := end.Lookup(t.f.topic, p)
		switch {
		case !found || !foundEnd:
			return nil, kafkaError(name, kerr.UnknownTopicOrPartition, "the brokers do not have it")
		case firstError(s.Err, e.Err) != nil:
			return nil, kafkaError(name, firstError(s.Err, e.Err), "")
		}
		if at >= 0 && (at < s.Offset || at > e.Offset) {
			t.warn("%s: the committed offset %d is not in the offsets %d to %d that exist; going on at the %s", name, at, s.Offset, e.Offset, t.f.from)
			at = -1
		}
		switch {
		case at < 0 && t.f.from == "end":
			at = e.Offset
		case at < 0:
			at = s.Offset
		}
		out[p] = extent{at, e.Offset}
	}
	return out, nil
}
