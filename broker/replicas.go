package broker

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
)

// replicas are the logs of partitions in this broker's log directories, and what the state file knows of them. It makes,
// removes and configures them, many at a time; which there are to be is its owner's business: what lies in log.dirs
// (dirCatalog), or what the coordinator says (coordCatalog).
type replicas struct {
	node  int32
	alone []int32 // of node only, shared by all partitions
	dirs  []*logstore.Dir
	log   *slog.Logger

	several bool // there is more than one directory in log.dirs
	missing bool // and not all could be opened

	ctx    context.Context // ends when the broker stops
	cancel context.CancelFunc

	state *catalogState // guarded by the owner's lock
}

// openReplicas reads the state file of dirs. stale: some directory's copy is older than the one that counts.
func openReplicas(cfg *config.Broker, dirs []*logstore.Dir, log *slog.Logger) (r *replicas, stale bool, err error) {
	state, stale, err := loadCatalogState(dirs, log)
	if err != nil {
		return nil, false, err
	}
	r = &replicas{node: cfg.NodeID, alone: []int32{cfg.NodeID}, dirs: dirs, log: log, state: state,
		several: len(cfg.LogDirs) > 1, missing: len(cfg.LogDirs) > len(dirs)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, stale, nil
}

// logs are all of the directories that could be opened.
func (r *replicas) logs() (list []*logstore.Log) {
	for _, d := range r.dirs {
		list = append(list, d.Logs()...)
	}
	return list
}

// clear removes what is there of unfinished topics. Of those in directories that are missing it remains to be done.
func (r *replicas) clear() error {
	if len(r.state.Unfinished) == 0 {
		return nil
	}
	removed, err := r.removeUnfinished()
	if err != nil {
		return err
	}
	changed := false
	done := func(s *catalogState) {
		for i := range s.Unfinished {
			u := &s.Unfinished[i]
			if u.From == 0 && s.Known[u.Topic].ID == u.ID {
				s.know(u.Topic, nil)
				changed = true
			}
			n := removed[i]
			u.Absent = max(0, u.Absent-n)
			changed = changed || n > 0
		}
		before := len(s.Unfinished)
		s.Unfinished = slices.DeleteFunc(s.Unfinished, func(u unfinished) bool { return u.Absent == 0 && !r.missing })
		changed = changed || len(s.Unfinished) < before
	}
	if r.state.changed(done); !changed {
		return nil
	}
	return r.state.updateOrForce(done) // the next start finds nothing to remove
}

// removeUnfinished removes the logs, and tells of each place in Unfinished how many.
func (r *replicas) removeUnfinished() (removed map[int]int, err error) {
	left := make(map[unfinished]int) // topic to place in Unfinished: that with the lowest From
	for i, u := range r.state.Unfinished {
		key := unfinished{Topic: u.Topic, ID: u.ID}
		if j, ok := left[key]; !ok || u.From < r.state.Unfinished[j].From {
			left[key] = i
		}
	}
	removed = map[int]int{}
	for _, dir := range r.dirs {
		var gone []*logstore.Log
		for _, l := range dir.Logs() {
			i, ok := left[unfinishedTopic(l.Topic(), l.TopicID())]
			if ok && l.Partition() >= r.state.Unfinished[i].From {
				r.log.Warn("removing a partition whose creation or deletion was cut short", "log", l.Name())
				gone = append(gone, l)
				removed[i]++
			}
		}
		if err := dir.DeleteAll(gone); err != nil {
			return nil, err
		}
	}
	return removed, nil
}

func (r *replicas) replica(l *logstore.Log) *Partition {
	p := &Partition{Topic: l.Topic(), Index: l.Partition(), Leader: r.node, Replicas: r.alone, ISR: r.alone, log: l}
	l.OnStable(p.showUnseen)
	return p
}

// configure gives t its settings, and hands those of its logs down. values are the broker's.
func (r *replicas) configure(t *Topic, overrides map[string]string, values *config.Values) (err error) {
	t.Overrides = overrides
	if t.Config, err = config.Topic(overrides, values); err != nil {
		return err
	}
	t.configureLogs()
	return nil
}

func (t *Topic) configureLogs() {
	for _, p := range t.Partitions {
		if p != nil {
			p.log.Configure(logSettings(&t.Config))
		}
	}
}

// place is one partition of a topic.
type place struct {
	t     *Topic
	index int32
	epoch int32 // the leader epoch that begins with it
}

// allPlaces are those of the topics from partition from on.
func allPlaces(topics ...*Topic) (list []place) {
	for _, t := range topics {
		for i := range t.Partitions {
			if t.Partitions[i] == nil {
				list = append(list, place{t, int32(i), firstEpoch})
			}
		}
	}
	return list
}

// make creates the logs of list, in each directory all at once, and enters them into their topics, those that were made
// before an error too.
func (r *replicas) make(list []place) error {
	type key struct {
		topic string
		index int32
	}
	lists := make([][]logstore.NewLog, len(r.dirs))
	of := make(map[key]place, len(list))
	p := newPlacement(r.dirs)
	for _, x := range list {
		at := p.next()
		of[key{x.t.Name, x.index}] = x
		lists[at] = append(lists[at], logstore.NewLog{Topic: x.t.Name, Partition: x.index, TopicID: x.t.ID, Epoch: x.epoch})
	}
	for at, list := range lists {
		if len(list) == 0 {
			continue
		}
		logs, err := r.dirs[at].CreateAll(r.ctx, list)
		if err != nil {
			return err
		}
		for _, l := range logs {
			x := of[key{l.Topic(), l.Partition()}]
			l.Configure(logSettings(&x.t.Config))
			p := r.replica(l)
			p.epoch = x.epoch
			x.t.Partitions[x.index] = p
		}
	}
	return nil
}

// remove deletes the logs of topics, and tells for each how many partitions it could not, because their directories are
// offline or not there.
func (r *replicas) remove(topics []*Topic) (list []unfinished, err error) {
	list = unfinishedTopics(topics)
	byDir := make(map[*logstore.Dir][]*logstore.Log)
	of := make(map[*logstore.Log]int) // place in topics
	for i, t := range topics {
		for _, p := range t.Partitions {
			if p == nil {
				list[i].Absent++
				continue
			}
			byDir[p.log.Dir()] = append(byDir[p.log.Dir()], p.log)
			of[p.log] = i
		}
	}
	var errs []error
	for dir, logs := range byDir {
		err := dir.DeleteAll(logs)
		if dir.Err() == nil {
			errs = append(errs, err)
			continue
		}
		for _, l := range logs {
			list[of[l]].Absent++
		}
	}
	return list, errors.Join(errs...)
}

// firstEpoch is the leader epoch of a new partition.
const firstEpoch = 0

// placement chooses directories for new partitions: the one with the fewest, where Kafka too puts the next one. Those
// that are offline come last.
type placement struct {
	offline []bool
	n       []int
}

func newPlacement(dirs []*logstore.Dir) *placement {
	p := &placement{}
	for _, dir := range dirs {
		p.offline = append(p.offline, dir.Err() != nil)
		p.n = append(p.n, len(dir.Logs()))
	}
	return p
}

// next is the place of the directory for one more partition.
func (p *placement) next() int {
	best := 0
	for i := range p.n {
		if p.offline[best] != p.offline[i] {
			if p.offline[best] {
				best = i
			}
		} else if p.n[i] < p.n[best] {
			best = i
		}
	}
	p.n[best]++
	return best
}
