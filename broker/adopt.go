package broker

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
)

// adoption is how a log directory of a Kafka broker comes to be served here (serve --adopt).
//
// A directory is another's if Kafka has left its traces there (logstore.Origin) and the catalogue's state does not say
// that they were there when it was adopted. So a directory that Kafka has run on since then is another's again. Where no
// state file is, which releases before this one made only when they had something to write, Kafka's
// cleaner-offset-checkpoint counts as a trace too: those releases never made it, Kafka has one in each directory.
//
// Nothing of Kafka's is changed that Kafka would not find again: meta.properties and __cluster_metadata-0 stay as they
// are. What Kafka keeps in the latter, the settings of topics, is not read; see assumed.
type adoption struct {
	found  []origin // directories that were not adopted yet
	all    []origin // all that have been used by anybody
	marked bool     // the catalogue has its state file
	moved  bool     // and it says that topics were brought into a coordinator
}

type origin struct {
	path string
	logstore.Origin
}

// planAdoption finds the directories that are to be adopted, before any is opened. Without leave for that they are an
// error.
func planAdoption(cfg *config.Broker) (*adoption, error) {
	a := &adoption{}
	var all []origin
	var newest, bad *stateCopy
	for _, path := range cfg.LogDirs {
		if o, err := logstore.OriginOf(path); err == nil { // else opening it says what is wrong
			all = append(all, origin{path, o})
		}
		switch c, found := readStateCopy(path); {
		case !found:
		case c.err != nil:
			bad = &c
		case newest == nil || c.s.Generation > newest.s.Generation:
			newest = &c
		}
	}
	a.all = all
	known := map[string]string{}
	switch {
	case newest != nil:
		a.marked, known, a.moved = true, newest.s.Adopted, newest.s.Coordinator == moved
	case bad != nil:
		return nil, bad.unreadable()
	}
	for _, o := range all {
		if o.Cleaned && !a.marked && o.Kafka == "" {
			o.Kafka = "cleaner-offset-checkpoint"
		}
		if trace, ok := known[o.ID]; o.Kafka == "" || ok && trace == o.Trace {
			continue
		}
		if !cfg.Adopt {
			return nil, o.refusal(cfg.NodeID)
		}
		a.found = append(a.found, o)
	}
	return a, nil
}

// cluster is the one that the directories are of, "" if all are new; kept tells that a coordinator had its topics.
func (a *adoption) cluster() (id string, kept bool) {
	for _, o := range a.all {
		if o.ClusterID != "" {
			return o.ClusterID, a.moved && len(a.found) == 0
		}
	}
	return "", false
}

func (o *origin) refusal(node int32) error {
	more := ""
	if o.NodeID != node {
		more = fmt.Sprintf(" --set node.id=%d", o.NodeID)
	}
	return fmt.Errorf("%s is a Kafka broker's log directory (it has %s; cluster id %s, node id %d): with --adopt%s its topics "+
		"are served here, once that broker has stopped", o.path, o.Kafka, o.ClusterID, o.NodeID, more)
}

// adjust lets recovery take logs as Kafka leaves them: which topics it compacted is not known for sure.
func (a *adoption) adjust(o *logstore.Options) {
	if len(a.found) > 0 {
		o.GapsAllowed = func(string) bool { return true }
	}
}

// firstAdoptedID is where producer ids begin where Kafka has given out others. It goes on from where it was when it gets
// the directory back, and should not get so far: the logs would take a new producer's first batch for a repetition.
const firstAdoptedID = 1 << 40

// register enters the topics into the state file of the catalogue, which is made if there is none. Before that all that
// Kafka has left unsynced is synced: a later recovery, which knows nothing of gaps, does not come across it.
func (a *adoption) register(dirs []*logstore.Dir, log *slog.Logger) error {
	if a.marked && len(a.found) == 0 {
		return nil
	}
	state, _, err := loadCatalogState(dirs, log)
	if err != nil {
		return err
	}
	topics := map[string]map[string]string{}
	next := state.NextProducerID
	for _, d := range dirs {
		if !slices.ContainsFunc(a.found, func(o origin) bool { return o.path == d.Path() }) {
			continue
		}
		if err := d.Settle(); err != nil {
			return err
		}
		next = max(next, firstAdoptedID, d.MaxProducerID()+1)
		for _, l := range d.Logs() {
			if _, ok := state.Topics[l.Topic()]; !ok {
				topics[l.Topic()] = assumed(l.Topic())
			}
			if stable, end := l.LastStableOffset(), l.StableEnd(); stable < end {
				log.Warn("transactions are open that nobody here can end: consumers at read_committed stop there",
					"log", l.Name(), "last_stable_offset", stable, "end", end)
			}
		}
	}
	if err := state.update(func(s *catalogState) {
		for name, settings := range topics {
			s.set(name, settings)
		}
		s.NextProducerID = next
		if s.Coordinator == moved && len(a.found) > 0 {
			s.Coordinator = moving // topics that Kafka has made since come, too
		}
		for _, o := range a.found {
			s.adopt(o.ID, o.Trace)
		}
	}); err != nil {
		return err
	}
	a.report(topics, log)
	return nil
}

// assumed are the settings of an adopted topic. Nothing may be lost because Kafka's are not known: nothing is deleted
// until somebody says so. Two of Kafka's own topics are compacted by definition.
func assumed(topic string) map[string]string {
	if topic == "__consumer_offsets" || topic == "__transaction_state" {
		return map[string]string{"cleanup.policy": "compact"}
	}
	return map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
}

func (a *adoption) report(topics map[string]map[string]string, log *slog.Logger) {
	for _, o := range a.found {
		log.Warn("log directory adopted", "dir", o.path, "cluster_id", o.ClusterID, "node_id", o.NodeID)
	}
	if len(topics) > 0 {
		log.Warn("settings of topics, which Kafka keeps in __cluster_metadata, are not known: adopted topics delete and compact "+
			"nothing (cleanup.policy=delete, retention.ms=-1, retention.bytes=-1) until you set otherwise; "+
			"__consumer_offsets and __transaction_state are compacted", "topics", len(topics))
	}
	for name, settings := range topics {
		log.Info("topic adopted", "topic", name, "settings", settings)
	}
}
