package broker

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluice-mq/sluice/logstore"
)

// catalogState is what a coordinator would hold of a catalogue without one, in a file beside Kafka's own, in one of
// the log directories: the first, when it was made. Every change is on disk before it is used: written whole, synced,
// renamed over the old file.
type catalogState struct {
	path string

	Version        int                          `json:"version"`
	Topics         map[string]map[string]string `json:"topics"`            // settings by topic, as Kafka keeps them in /config/topics
	Brokers        map[string]map[string]string `json:"brokers,omitempty"` // by node id or <default>, as in /config/brokers
	NextProducerID int64                        `json:"next_producer_id"`
	Unfinished     []unfinished                 `json:"unfinished,omitempty"`
	// Adopted are the directories that Kafka has had, by logstore.Origin.ID, with their Trace when they were adopted.
	Adopted map[string]string `json:"adopted,omitempty"`
}

// unfinished is a topic whose partitions are being made or removed, one after the other. What is there of it after a
// crash goes at the next start: nobody was told that it exists, or somebody wanted it gone.
type unfinished struct {
	Topic string `json:"topic"`
	ID    string `json:"id"`             // hexadecimal
	From  int32  `json:"from,omitempty"` // first partition that is meant; those below are whole
}

// covers tells whether u says that a partition is to go.
func (u unfinished) covers(topic string, id [16]byte, partition int32) bool {
	from := u.From
	u.From = 0
	return u == unfinishedTopic(topic, id) && partition >= from
}

func unfinishedTopic(name string, id [16]byte) unfinished {
	return unfinished{Topic: name, ID: hex.EncodeToString(id[:])}
}

const catalogStateFile = "sluice-catalog.json"

// loadCatalogState finds the file in one of dirs, whatever their order is today.
func loadCatalogState(dirs []*logstore.Dir) (*catalogState, error) {
	path := ""
	for _, d := range dirs {
		at := filepath.Join(d.Path(), catalogStateFile)
		switch _, err := os.Lstat(at); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, err
		case path != "":
			return nil, fmt.Errorf("%s and %s are both there, of two brokers: move away the one that is not to count", path, at)
		default:
			path = at
		}
	}
	if path == "" {
		return newCatalogState(filepath.Join(dirs[0].Path(), catalogStateFile)), nil
	}
	return readCatalogState(path)
}

func newCatalogState(path string) *catalogState {
	return &catalogState{path: path, Topics: map[string]map[string]string{}}
}

func readCatalogState(path string) (*catalogState, error) {
	s := newCatalogState(path)
	text, err := os.ReadFile(s.path)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil || s.Version < 1 || s.Version > 2 || s.Topics == nil || s.NextProducerID < 0 {
		return nil, fmt.Errorf("%s is damaged or of a newer release (%v): restore it, or move it away to lose the settings of topics",
			s.path, err)
	}
	return s, nil
}

// update makes a change that is on disk when it returns, or has not happened.
func (s *catalogState) update(change func(*catalogState)) error {
	next := *s
	next.Topics, next.Brokers = maps.Clone(s.Topics), maps.Clone(s.Brokers)
	next.Unfinished, next.Adopted = slices.Clone(s.Unfinished), maps.Clone(s.Adopted)
	change(&next)
	if err := next.save(); err != nil {
		return err
	}
	*s = next
	return nil
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

func (s *catalogState) begin(u unfinished) {
	if !slices.Contains(s.Unfinished, u) {
		s.Unfinished = append(s.Unfinished, u)
	}
}

func (s *catalogState) end(u unfinished) {
	s.Unfinished = slices.DeleteFunc(s.Unfinished, func(x unfinished) bool { return x == u })
}

// save writes version 2 only where a release that knows version 1 alone would lose something: settings of brokers, or
// the partitions below unfinished ones.
func (s *catalogState) save() error {
	s.Version = 1
	if len(s.Brokers) > 0 || slices.ContainsFunc(s.Unfinished, func(u unfinished) bool { return u.From > 0 }) {
		s.Version = 2
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return logstore.WriteFileAtomic(s.path, append(text, '\n'))
}
