package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sluice-mq/sluice/logstore"
)

// catalogState is what a coordinator would hold of a catalogue without one, in a file beside Kafka's own.
// Every change is on disk before it is used: written whole, synced, renamed over the old file.
type catalogState struct {
	path string

	Version        int                          `json:"version"`
	Topics         map[string]map[string]string `json:"topics"` // settings by topic, as Kafka keeps them in /config/topics
	NextProducerID int64                        `json:"next_producer_id"`
}

const catalogStateFile = "sluice-catalog.json"

func loadCatalogState(dir string) (*catalogState, error) {
	s := &catalogState{path: filepath.Join(dir, catalogStateFile), Version: 1, Topics: map[string]map[string]string{}}
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil || s.Version != 1 || s.Topics == nil || s.NextProducerID < 0 {
		return nil, fmt.Errorf("%s is damaged or of a newer release (%v): restore it, or move it away to lose the settings of topics",
			s.path, err)
	}
	return s, nil
}

// setTopic changes a topic's settings; nil forgets them.
func (s *catalogState) setTopic(name string, settings map[string]string) error {
	old, had := s.Topics[name]
	if settings == nil {
		delete(s.Topics, name)
	} else {
		s.Topics[name] = settings
	}
	err := s.save()
	if err != nil && had {
		s.Topics[name] = old
	} else if err != nil {
		delete(s.Topics, name)
	}
	return err
}

func (s *catalogState) setNextProducerID(id int64) error {
	old := s.NextProducerID
	s.NextProducerID = id
	err := s.save()
	if err != nil {
		s.NextProducerID = old
	}
	return err
}

func (s *catalogState) save() error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return logstore.WriteFileAtomic(s.path, append(text, '\n'))
}
