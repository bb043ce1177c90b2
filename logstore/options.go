package logstore

import (
	"cmp"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
)

// Options of a Dir; zero fields get the defaults, which are Kafka's where Kafka has the setting.
type Options struct {
	SegmentBytes       int64 // log.segment.bytes: 1 GiB. A larger batch is refused
	SegmentMillis      int64 // log.roll.ms: 7 days of message time
	IndexIntervalBytes int   // log.index.interval.bytes: 4096
	IndexMaxBytes      int   // log.index.size.max.bytes: 10 MiB

	// WriteBackBytes is how many new bytes of a segment the kernel is asked to write to the device before it would by
	// itself: 32 MiB. Negative: it is not asked.
	WriteBackBytes int64

	// TailBytes is how many of a log's newest bytes are held in memory while some reader is caught up: 256 KiB.
	// Negative: none.
	TailBytes int
	// TailTotalBytes bounds those of all logs of the Dir together: 32 MiB. A log that would exceed it gives up
	// its whole tail, and its readers get file spans.
	TailTotalBytes int64

	// CheckpointInterval is how often the recovery points are written: log.flush.offset.checkpoint.interval.ms,
	// 1 minute. Nothing is written when nothing changed.
	CheckpointInterval time.Duration
	// RetentionInterval is how often retention looks for segments to delete: log.retention.check.interval.ms, 5
	// minutes.
	RetentionInterval time.Duration
	// FlushCheckInterval is how often Flush.Every is looked at (log.flush.scheduler.interval.ms): 1 second.
	FlushCheckInterval time.Duration
	// HighWatermark is what replication-offset-checkpoint gets for a log, and the bound of what retention deletes.
	// Nil: its StableEnd. It is called from the Dir's background goroutine and from Close.
	HighWatermark func(l *Log) int64
	// GapsAllowed tells whether a topic's offsets may have gaps, because it is or was compacted; recovery cuts the
	// others at a gap. Logs in cleaner-offset-checkpoint may, and need not be told of: every log is there before it gets
	// its first gap. Nil: topics whose names begin with "__", Kafka's own, may.
	GapsAllowed func(topic string) bool

	// ProducerExpiration is producer.id.expiration.ms, 1 day: how long a producer is remembered after its last batch,
	// by that batch's time. ProducerExpirationCheck, 10 minutes, is how often that is looked at.
	ProducerExpiration, ProducerExpirationCheck time.Duration
	// MaxProducers bounds how many producers all logs of the Dir remember: 1,000,000, about 210 MB.
	MaxProducers int64

	// ScrubBytesPerSecond is how fast segments below the recovery point are read and checked in the background; 0: they
	// are not. ScrubInterval, 7 days, is the time from one such pass to the next.
	ScrubBytesPerSecond int64
	ScrubInterval       time.Duration

	Cleaner CleanerOptions

	// FreeBytes is the floor of free space below which appends are refused (ErrNoSpace); 0: none; negative: 256 MiB, but no
	// more than a twentieth of the file system.
	FreeBytes int64

	// Progress is told how far OpenDir has come; nil: nobody asks.
	Progress *Progress

	// RecoveryThreads is how many logs are opened at once (num.recovery.threads.per.data.dir): 2, or the number of
	// processors, up to 16. Each has a buffer of 256 KiB after an unclean stop.
	RecoveryThreads int

	// OpenFiles bounds how many .log files are kept open, besides those that are being read, synced or have bytes that
	// are not synced: three quarters of the descriptors that the process may have.
	OpenFiles int

	// Write replaces the write of record bytes, for such tests too.
	Write func(fd int, b []byte, off int64) (int, error)
	// Sync replaces fdatasync of a segment's file, for tests of devices that fail, or that are slow.
	Sync func(fd int) error

	Listener Listener
	Logger   *slog.Logger // nil: slog.Default

	// pwrite replaces the write of record bytes, so that tests can make it fail or count it.
	pwrite    func(fd int, b []byte, off int64) (int, error)
	fdatasync func(fd int) error // Sync, or the system call
	// startWriteback and reserve replace the system calls.
	startWriteback, reserve func(fd int, off, n int64) error
	// now replaces the clock that producers expire by.
	now func() time.Time
	// step is called between the steps of operations that a crash may interrupt.
	step func(at string)
	// freeSpace replaces the look at the file system.
	freeSpace func(path string) (free, total int64, err error)
	// clock replaces the two clocks.
	clock func() (wall time.Time, mono time.Duration)
	// rehearse opens .log files for reading only, and recovery shortens none (see rehearsal).
	rehearse bool
}

// Settings are what a log may have values of its own for. In the first four zero stands for the Dir's.
type Settings struct {
	SegmentBytes       int64
	SegmentMillis      int64
	IndexIntervalBytes int
	IndexMaxBytes      int

	Retention Retention
	Flush     Flush
	// Compaction, not nil, has the log compacted. With Retention.Delete it is both.
	Compaction *Compaction
	// DeleteDelay is file.delete.delay.ms: how long the files of a deleted segment stay, as .deleted. Zero: not at
	// all. Readers do not need it, their holds keep what they read.
	DeleteDelay time.Duration
	// Preallocate has space reserved behind the end of the active segment, ahead of the appends (preallocate).
	Preallocate bool
}

func (o *Options) settings() Settings {
	return Settings{SegmentBytes: o.SegmentBytes, SegmentMillis: o.SegmentMillis,
		IndexIntervalBytes: o.IndexIntervalBytes, IndexMaxBytes: o.IndexMaxBytes}
}

// Listener is a set of callbacks, each of which may be nil. None is called with a lock held; all may be called
// from several goroutines at once. What a callback does delays what it reports on.
type Listener struct {
	// Appended: a batch was written.
	Appended func(l *Log, bytes int)
	// SlowWrite: the write of a batch took longer than SlowWriteAfter. The clock is read only if this is set.
	SlowWrite func(l *Log, bytes int, took time.Duration)
	// Rolled: a new active segment begins at base.
	Rolled func(l *Log, base int64)
	// Flushed: everything below upTo is on the device.
	Flushed func(l *Log, upTo int64, took time.Duration)
	// Loading: of the Dir's n logs, done are loaded.
	Loading func(done, n int)
	// Recovered: after an unclean stop, a log's segments from the recovery point on were read and checked.
	Recovered func(l *Log, r Recovery)
	// Damaged: a segment below the recovery point is not what was written. Scrubbed: a whole pass over the log
	// directory at path is done, and has found so many.
	Damaged  func(l *Log, f Flaw)
	Scrubbed func(path string, damaged int64)
	// Cleaned: a log was compacted.
	Cleaned func(l *Log, c Cleaning)
	// Failed: the log takes no appends from now on.
	Failed func(l *Log, err error)
}

// SlowWriteAfter is from when on a write is reported to Listener.SlowWrite.
const SlowWriteAfter = time.Millisecond

// DefaultOpenFiles is for all Dirs of a process together: three quarters of the descriptors it may have. The rest is
// for sockets, indexes and whatever is open for a moment.
func DefaultOpenFiles() int {
	n, err := sys.MaxFiles()
	if err != nil {
		n = 1024
	}
	return n / 4 * 3
}

func (o Options) withDefaults() Options {
	def := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	defInt := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.SegmentBytes, 1<<30)
	// Positions in an index entry are int32, as in Kafka.
	o.SegmentBytes = min(o.SegmentBytes, math.MaxInt32)
	def(&o.SegmentMillis, 7*24*time.Hour.Milliseconds())
	defInt(&o.IndexIntervalBytes, 4096)
	defInt(&o.IndexMaxBytes, 10<<20)
	def(&o.WriteBackBytes, 32<<20)
	defInt(&o.TailBytes, 256<<10)
	def(&o.TailTotalBytes, 32<<20)
	defInt(&o.RecoveryThreads, min(max(2, runtime.GOMAXPROCS(0)), 16))
	if o.OpenFiles == 0 {
		o.OpenFiles = DefaultOpenFiles()
	}
	def(&o.MaxProducers, 1_000_000)
	o.ScrubInterval = cmp.Or(o.ScrubInterval, 7*24*time.Hour)
	o.Cleaner.withDefaults()
	o.ProducerExpiration = cmp.Or(o.ProducerExpiration, 24*time.Hour)
	o.ProducerExpirationCheck = cmp.Or(o.ProducerExpirationCheck, 10*time.Minute)
	if o.CheckpointInterval == 0 {
		o.CheckpointInterval = time.Minute
	}
	if o.FlushCheckInterval == 0 {
		o.FlushCheckInterval = time.Second
	}
	if o.RetentionInterval == 0 {
		o.RetentionInterval = 5 * time.Minute
	}
	if o.GapsAllowed == nil {
		o.GapsAllowed = func(topic string) bool { return strings.HasPrefix(topic, "__") }
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.clock == nil {
		began := time.Now()
		o.clock = func() (time.Time, time.Duration) {
			now := time.Now()
			return now, now.Sub(began)
		}
	}
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	if o.freeSpace == nil {
		o.freeSpace = sys.FreeSpace
	}
	if o.pwrite == nil {
		o.pwrite = o.Write
	}
	if o.pwrite == nil {
		o.pwrite = sys.Pwrite
	}
	if o.startWriteback == nil {
		o.startWriteback = sys.StartWriteback
	}
	if o.reserve == nil {
		o.reserve = sys.Reserve
	}
	if o.fdatasync == nil {
		o.fdatasync = o.Sync
	}
	if o.fdatasync == nil {
		o.fdatasync = sys.Fdatasync
	}
	return o
}
