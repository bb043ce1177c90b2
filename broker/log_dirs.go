package broker

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
)

// brokenDir is an entry of log.dirs that could not be opened. It stays offline until the next start.
type brokenDir struct {
	path string
	err  error
}

// openDirs opens every log directory. All must be of one cluster: the first that was used before names it, new ones
// join it. As in Kafka one that cannot be used is left out and the others serve (LogManager.createAndValidateLogDirs),
// unless that is not the disk's fault but a mistake of whoever starts the broker: see refusesStart.
// cluster is the coordinator's, "" without one.
func (b *Broker) openDirs(cfg *config.Broker, adopted *adoption, cluster string) error {
	id := logstore.Identity{NodeID: cfg.NodeID, ClusterID: cluster}
	opts := b.logOptions(cfg)
	adopted.adjust(&opts)
	if b.adjustLogs != nil {
		b.adjustLogs(&opts)
	}
	open := make(map[string]*logstore.Dir)
	for _, path := range usedFirst(cfg.LogDirs) {
		if id.ClusterID == "" && isNew(path) && slices.ContainsFunc(b.broken, func(x brokenDir) bool { return !isNew(x.path) }) {
			return fmt.Errorf("%w: and it alone would tell which cluster %s is to be of; repair it, or take it out of log.dirs",
				b.broken[0].err, path)
		}
		d, err := logstore.OpenDir(path, id, opts)
		switch {
		case err == nil:
			open[path] = d
			b.dirs = append(b.dirs, d)
			id.ClusterID = d.ClusterID()
		case refusesStart(err):
			return err
		default:
			b.broken = append(b.broken, brokenDir{path, err})
		}
	}
	if len(b.dirs) == 0 {
		return errors.Join(broken(b.broken)...)
	}
	for _, x := range b.broken {
		b.log.Error("log directory cannot be opened and is offline until the next start; the others serve. Its partitions "+
			"answer KAFKA_STORAGE_ERROR", "dir", x.path, "err", x.err)
	}
	b.dirs = b.dirs[:0]
	for _, path := range cfg.LogDirs {
		if d := open[path]; d != nil {
			b.dirs = append(b.dirs, d)
		}
	}
	return nil
}

func (b *Broker) logOptions(cfg *config.Broker) logstore.Options {
	t := cfg.TopicDefaults
	s := logSettings(&t)
	opts := logstore.Options{
		SegmentBytes: s.SegmentBytes, SegmentMillis: s.SegmentMillis,
		IndexIntervalBytes: s.IndexIntervalBytes, IndexMaxBytes: s.IndexMaxBytes,
		ProducerExpiration: cfg.ProducerExpiration, ProducerExpirationCheck: cfg.ProducerExpirationCheck,
		MaxProducers: cfg.MaxProducers, RetentionInterval: cfg.RetentionCheck, FlushCheckInterval: cfg.FlushCheck,
		WriteBackBytes: cmp.Or(cfg.WriteBackBytes, -1), ScrubBytesPerSecond: cfg.ScrubBytesPerSecond, ScrubInterval: cfg.ScrubInterval,
		TailBytes: cfg.TailBytes, FreeBytes: cfg.FreeBytes, Logger: b.log, Cleaner: logCleaner(cfg),
		OpenFiles: max(logstore.DefaultOpenFiles()/len(cfg.LogDirs), 1),
	}
	opts.Listener.SlowWrite = func(*logstore.Log, int, time.Duration) { b.slowWrites.Add(1) }
	return opts
}

// refusesStart tells errors that are no fault of the disk: two brokers on one directory, a directory of another cluster
// or node, files that a Kafka broker has to convert first. To serve without it would hide a mistake.
func refusesStart(err error) bool {
	return errors.Is(err, logstore.ErrLocked) || errors.Is(err, logstore.ErrForeign) || errors.Is(err, logstore.ErrUnsupported)
}

func broken(list []brokenDir) (errs []error) {
	for _, x := range list {
		errs = append(errs, x.err)
	}
	return errs
}

// usedFirst puts directories that have a meta.properties, and so a cluster, before those that are to join it.
func usedFirst(paths []string) []string {
	return slices.SortedStableFunc(slices.Values(paths), func(a, b string) int {
		return cmp.Compare(boolInt(isNew(a)), boolInt(isNew(b)))
	})
}

// isNew tells whether path has certainly no meta.properties.
func isNew(path string) bool {
	_, err := os.Stat(filepath.Join(path, "meta.properties"))
	return errors.Is(err, fs.ErrNotExist)
}
