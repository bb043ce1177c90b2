package broker

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluice-mq/sluice/logstore"
)

// catalogState is what a coordinator would hold of a catalogue without one, in a file beside Kafka's own, a copy in each
// of the log directories, so that it outlives any one of them. Every change is on disk before it is used: written whole,
// synced, renamed over the old file; one directory that took it is enough. The copy of the highest generation counts.
type catalogState struct {
	dirs []*logstore.Dir

	Version        int                          `json:"version"`
	Generation     int64                        `json:"generation"`        // rises with every attempt to write
	Topics         map[string]map[string]string `json:"topics"`            // settings by topic, as Kafka keeps them in /config/topics
	Brokers        map[string]map[string]string `json:"brokers,omitempty"` // by node id or <default>, as in /config/brokers
	NextProducerID int64                        `json:"next_producer_id"`
	Unfinished     []unfinished                 `json:"unfinished,omitempty"`
	// Known are the topics that are there, whether or not the directories with their partitions are today. Kept only
	// with several directories: without its only one there is no broker.
	Known map[string]knownTopic `json:"known,omitempty"`
	// Coordinator tells that topics, settings and producer ids are in a coordinator: moving, or moved. Then Topics has only
	// what tools that read logs have to know of compacted topics, and the others are empty.
	Coordinator string `json:"coordinator,omitempty"`
	// Session is the last one in which this broker was registered there: what of it is left after a crash is our own.
	Session int64 `json:"session,omitempty"`
	// Adopted are the directories that Kafka has had, by logstore.Origin.ID, with their Trace when they were adopted.
	Adopted map[string]string `json:"adopted,omitempty"`
}

// What Coordinator says.
const (
	moving = "moving" // some of it may be there already; the next start goes on
	moved  = "moved"
)

type knownTopic struct {
	ID         string `json:"id"` // hexadecimal
	Partitions int    `json:"partitions"`
}

// unfinished is a topic whose partitions are being made or removed, one after the other. What is there of it after a
// crash goes at the next start: nobody was told that it exists, or somebody wanted it gone.
type unfinished struct {
	Topic string `json:"topic"`
	ID    string `json:"id"`             // hexadecimal
	From  int32  `json:"from,omitempty"` // first partition that is meant; those below are whole
	// Absent is how many partitions could not be removed, because their directory was offline or not there. They go when
	// they come back, however late: beside a new topic of that name they would keep the broker from starting.
	Absent int `json:"absent,omitempty"`
}

func unfinishedTopic(name string, id [16]byte) unfinished {
	return unfinished{Topic: name, ID: hex.EncodeToString(id[:])}
}

func unfinishedTopics(topics []*Topic) []unfinished {
	list := make([]unfinished, len(topics))
	for i, t := range topics {
		list[i] = unfinishedTopic(t.Name, t.ID)
	}
	return list
}

// sameWork is u without how much of it is left: what tells it from others.
func (u unfinished) sameWork() unfinished {
	u.Absent = 0
	return u
}

// maxAbsent bounds the memory of partitions that never come back: so many topics, the oldest are forgotten.
const maxAbsent = 1000

const catalogStateFile = "sluice-catalog.json"

// stateCopy is one directory's file.
type stateCopy struct {
	path string
	text []byte
	s    *catalogState
	err  error
}

func readStateCopy(dir string) (c stateCopy, found bool) {
	c.path = filepath.Join(dir, catalogStateFile)
	if c.text, c.err = os.ReadFile(c.path); errors.Is(c.err, fs.ErrNotExist) {
		return c, false
	}
	c.s = &catalogState{}
	if c.err == nil {
		c.err = json.Unmarshal(c.text, c.s)
	}
	if c.err == nil && (c.s.Version < 1 || c.s.Version > 3 || c.s.Topics == nil || c.s.NextProducerID < 0) {
		c.err = fmt.Errorf("version %d, not all of it is there", c.s.Version)
	}
	return c, true
}

func (c *stateCopy) unreadable() error {
	return fmt.Errorf("%s is damaged or of a newer release (%v): restore it, or move it away to lose the settings of topics", c.path, c.err)
}

// loadCatalogState finds the newest copy in dirs, whatever their order is today. stale: some directory's is older, or
// cannot be read.
func loadCatalogState(dirs []*logstore.Dir, log *slog.Logger) (s *catalogState, stale bool, err error) {
	var best, bad *stateCopy
	for _, d := range dirs {
		c, found := readStateCopy(d.Path())
		switch {
		case !found:
			stale = true
		case c.err != nil:
			bad, stale = &c, true
		case best == nil:
			best = &c
		case c.s.Generation == best.s.Generation && !bytes.Equal(c.text, best.text):
			return nil, false, fmt.Errorf("%s and %s are both there and differ, of two brokers: move away the one that is not to count",
				best.path, c.path)
		case c.s.Generation != best.s.Generation:
			stale = true
			if c.s.Generation > best.s.Generation {
				best = &c
			}
		}
	}
	switch {
	case best == nil && bad != nil:
		return nil, false, bad.unreadable()
	case bad != nil:
		log.Warn("a copy of the catalogue cannot be read, another one counts", "path", bad.path, "err", bad.err, "instead", best.path)
	case best == nil:
		best = &stateCopy{s: &catalogState{Topics: map[string]map[string]string{}}}
	}
	best.s.dirs = dirs
	return best.s, stale, nil
}

// update makes a change that is on disk when it returns, or has not happened.
func (s *catalogState) update(change func(*catalogState)) error {
	s.Generation++ // also if this fails: what a failed attempt has left somewhere is not to be taken for the next one
	next := s.changed(change)
	if err := next.save(); err != nil {
		return err
	}
	*s = *next
	return nil
}

// updateOrForce is update, but that want of space is no reason not to make the change: it is on disk with the next one.
func (s *catalogState) updateOrForce(change func(*catalogState)) error {
	err := s.update(change)
	if logstore.IsNoSpace(err) {
		s.force(change)
		return nil
	}
	return err
}

// force makes a change that counts at once, and is on disk with the next one at the latest. For what need not be there
// after a crash, when there is no space to write it.
func (s *catalogState) force(change func(*catalogState)) { *s = *s.changed(change) }

func (s *catalogState) changed(change func(*catalogState)) *catalogState {
	next := *s
	next.Topics, next.Brokers, next.Known, next.Unfinished = maps.Clone(s.Topics), maps.Clone(s.Brokers), maps.Clone(s.Known), slices.Clone(s.Unfinished)
	next.Adopted = maps.Clone(s.Adopted)
	change(&next)
	return &next
}

// set changes a topic's settings; without any they are forgotten.
func (s *catalogState) set(name string, settings map[string]string) {
	if len(settings) == 0 {
		delete(s.Topics, name)
	} else {
		s.Topics[name] = settings
	}
}

func (s *catalogState) adopt(id, trace string) {
	if s.Adopted == nil {
		s.Adopted = map[string]string{}
	}
	s.Adopted[id] = trace
}

// allBrokers names, in Brokers, what is set for all of them.
const allBrokers = "<default>"

// setBroker changes a broker's settings, or those of allBrokers.
func (s *catalogState) setBroker(name string, settings map[string]string) {
	if len(settings) == 0 {
		delete(s.Brokers, name)
		return
	}
	if s.Brokers == nil {
		s.Brokers = map[string]map[string]string{}
	}
	s.Brokers[name] = settings
}

// begin notes work that is not noted yet.
func (s *catalogState) begin(list ...unfinished) {
	there := make(map[unfinished]bool, len(s.Unfinished))
	for _, u := range s.Unfinished {
		there[u.sameWork()] = true
	}
	for _, u := range list {
		if !there[u.sameWork()] {
			s.Unfinished = append(s.Unfinished, u)
		}
	}
}

// end takes list out, but for what of it has partitions that are still to be removed.
func (s *catalogState) end(list ...unfinished) {
	done := make(map[unfinished]bool, len(list))
	for _, u := range list {
		done[u.sameWork()] = true
	}
	s.Unfinished = slices.DeleteFunc(s.Unfinished, func(u unfinished) bool { return done[u.sameWork()] })
	for _, u := range list {
		if u.Absent > 0 {
			s.Unfinished = append(s.Unfinished, u)
		}
	}
	absent := 0
	for i := len(s.Unfinished) - 1; i >= 0; i-- {
		if s.Unfinished[i].Absent == 0 {
			continue
		}
		if absent++; absent > maxAbsent {
			s.Unfinished = slices.Delete(s.Unfinished, i, i+1)
		}
	}
}

// know notes a topic, or with nil that it is gone.
func (s *catalogState) know(name string, t *Topic) {
	switch {
	case t == nil:
		delete(s.Known, name)
	case s.Known == nil:
		s.Known = map[string]knownTopic{}
		fallthrough
	default:
		s.Known[name] = knownTopic{hex.EncodeToString(t.ID[:]), len(t.Partitions)}
	}
}

// save writes version 2 only where a release that knows version 1 alone would lose something: settings of brokers, what
// lies in several directories, or the partitions below unfinished ones; and version 3 where they would not find the
// topics, which are in the coordinator.
func (s *catalogState) save() error {
	s.Version = 1
	if len(s.Brokers)+len(s.Known) > 0 || slices.ContainsFunc(s.Unfinished, func(u unfinished) bool { return u.From > 0 }) {
		s.Version = 2
	}
	if s.Coordinator != "" {
		s.Version = 3
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range s.dirs {
		if err := d.Replace(catalogStateFile, append(text, '\n')); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) < len(s.dirs) {
		return nil // the others are behind; the next start takes the newest
	}
	return errors.Join(errs...)
}
