package config

import (
	"fmt"
	"math"
	"net"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Broker is the typed and checked form of the broker keys. A zero duration or a
// negative number means what the field says; Forever stands for no limit.
type Broker struct {
	NodeID        int32
	Rack          string     // empty for none
	Listeners     []Listener // at least one, all PLAINTEXT
	Advertised    []Listener // one per listener, same order. Port 0: the port that was bound; empty Host: this host's name
	AdminListener string     // host:port, empty for none
	LogDirs       []string   // at least one, cleaned, all different
	Adopt         bool       // take over log directories of a Kafka broker; not a key: set by who starts the broker

	NumPartitions     int32
	ReplicationFactor int16
	MinInSyncReplicas int32
	AutoCreateTopics  bool
	DeleteTopics      bool
	MessageMaxBytes   int32

	Loops           int // num.network.threads, never 0
	RequestMaxBytes int
	SendBuffer      int // -1: leave it to the kernel
	RecvBuffer      int // -1: leave it to the kernel
	ListenBacklog   int
	FrameTimeout    time.Duration
	MaxRequests     int           // per connection
	MaxPendingBytes int64         // per connection
	FrameBudget     int64         // queued.max.request.bytes resolved: at least RequestMaxBytes
	IdleTimeout     time.Duration // 0 for never
	MaxConns        int
	MaxConnsPerIP   int
	DrainTimeout    time.Duration
	FetchMaxBytes   int32
	FetchSessions   int
	TailBytes       int
	FreeBytes       int64 // log.dir.free.bytes.min; negative: by the file system's size
	// Producers are remembered for so long after their last batch; how often that is looked at; how many at the most.
	ProducerExpiration, ProducerExpirationCheck time.Duration
	MaxProducers                                int64
	RetentionCheck                              time.Duration // log.retention.check.interval.ms
	WriteBackBytes                              int64         // log.writeback.bytes, 0 for none
	ScrubBytesPerSecond                         int64         // log.scrub.bytes.per.second, 0 for never
	ScrubInterval                               time.Duration // log.scrub.interval.ms
	FlushCheck                                  time.Duration // log.flush.scheduler.interval.ms; 0 where it is not set
	Cleaner                                     Cleaner
	Coordinator                                 Coordinator // the embedded one, where ZooKeeper.Connect is empty
	ZooKeeper                                   ZooKeeper
	TopicDefaults                               TopicConfig // of a topic without settings of its own
}

// Cleaner are the log.cleaner.* settings that are not a topic's.
type Cleaner struct {
	Enable         bool
	BufferBytes    int64 // of all log directories
	LoadFactor     float64
	BytesPerSecond float64 // of all log directories; 0: no limit
	Backoff        time.Duration
}

// Forever is the duration that stands for never: Kafka's Long.MAX_VALUE in ms does
// not fit a time.Duration.
const Forever = time.Duration(math.MaxInt64)

// minFrameBudget is the memory for requests when queued.max.request.bytes is -1:
// room for a default producer's batches of 16 KiB to 1 MiB from a hundred or more
// connections, twice over.
const minFrameBudget = 128 << 20

// Broker builds the typed form. Its error is Problems, about values that are right
// alone but not together.
func (v *Values) Broker() (*Broker, error) {
	r := reader{v: v}
	b := &Broker{
		NodeID:            r.nodeID(),
		Rack:              r.v.Get("broker.rack").Text,
		AdminListener:     r.address("admin.listener"),
		LogDirs:           r.logDirs(),
		NumPartitions:     int32(r.integer("num.partitions")),
		ReplicationFactor: int16(min(r.integer("default.replication.factor"), math.MaxInt16)),
		MinInSyncReplicas: int32(r.integer("min.insync.replicas")),
		AutoCreateTopics:  r.boolean("auto.create.topics.enable"),
		DeleteTopics:      r.boolean("delete.topic.enable"),
		MessageMaxBytes:   int32(r.integer("message.max.bytes")),
		Loops:             r.loops(runtime.NumCPU()),
		RequestMaxBytes:   int(r.integer("socket.request.max.bytes")),
		SendBuffer:        int(r.integer("socket.send.buffer.bytes")),
		RecvBuffer:        int(r.integer("socket.receive.buffer.bytes")),
		ListenBacklog:     int(r.integer("socket.listen.backlog.size")),
		FrameTimeout:      Millis(r.integer("socket.frame.timeout.ms")),
		MaxRequests:       int(r.integer("socket.max.requests")),
		MaxPendingBytes:   r.integer("socket.max.pending.bytes"),
		IdleTimeout:       orZero(Millis(r.integer("connections.max.idle.ms"))),
		MaxConns:          int(r.integer("max.connections")),
		MaxConnsPerIP:     int(r.integer("max.connections.per.ip")),
		DrainTimeout:      Millis(r.integer("shutdown.drain.timeout.ms")),
		FetchMaxBytes:     int32(r.integer("fetch.max.bytes")),
		FetchSessions:     int(r.integer("max.incremental.fetch.session.cache.slots")),
		TailBytes:         int(r.integer("log.tail.bytes")),
		FreeBytes:         r.integer("log.dir.free.bytes.min"),
		MaxProducers:      r.integer("producer.id.max.count"),
		RetentionCheck:    Millis(r.integer("log.retention.check.interval.ms")),
		WriteBackBytes:    r.integer("log.writeback.bytes"),
		ScrubInterval:     Millis(r.integer("log.scrub.interval.ms")),

		ScrubBytesPerSecond: r.integer("log.scrub.bytes.per.second"),

		ProducerExpiration:      Millis(r.integer("producer.id.expiration.ms")),
		ProducerExpirationCheck: Millis(r.integer("producer.id.expiration.check.interval.ms")),
	}
	b.Cleaner = r.cleaner(len(b.LogDirs))
	b.Coordinator, b.ZooKeeper = r.coordinator(), r.zooKeeper()
	if v.IsSet("log.flush.scheduler.interval.ms") {
		b.FlushCheck = Millis(r.integer("log.flush.scheduler.interval.ms"))
	}
	b.FrameBudget = r.frameBudget(int64(b.RequestMaxBytes))
	b.Listeners, b.Advertised = r.listeners()
	var err error
	if b.TopicDefaults, err = Topic(nil, v); err != nil {
		r.fail("log.", "%v", err)
	}
	if b.TopicDefaults.RetentionMillis == 0 { // a topic of its own may have 0, a broker not, as in Kafka
		r.fail("log.retention.ms", "log.retention.ms must be unlimited (-1) or, equal or greater than 1")
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return b, nil
}

// Millis turns Kafka's milliseconds into a duration: negative and what does not fit
// is Forever.
func Millis(n int64) time.Duration {
	if n < 0 || n > math.MaxInt64/int64(time.Millisecond) {
		return Forever
	}
	return time.Duration(n) * time.Millisecond
}

// orZero is d, or 0 for Forever.
func orZero(d time.Duration) time.Duration {
	if d == Forever {
		return 0
	}
	return d
}

// reader takes typed values out of Values and collects problems.
type reader struct {
	v        *Values
	problems Problems
}

func (r *reader) fail(key, format string, args ...any) {
	r.problems = append(r.problems, Problem{Key: key, Source: r.v.Get(key).Source, Message: fmt.Sprintf(format, args...)})
}

// integer reads a number that Load has checked; what Load refused reads as 0.
func (r *reader) integer(key string) int64 {
	n, _ := strconv.ParseInt(r.v.Get(key).Text, 10, 64)
	return n
}

func (r *reader) float(key string) float64 {
	f, _ := strconv.ParseFloat(r.v.Get(key).Text, 64)
	return f
}

// cleaner reads log.cleaner.*. Every log directory gets its share of the memory, and a share has Kafka's minimum.
func (r *reader) cleaner(dirs int) Cleaner {
	c := Cleaner{Enable: r.boolean("log.cleaner.enable"), BufferBytes: r.integer("log.cleaner.dedupe.buffer.size"),
		LoadFactor:     r.float("log.cleaner.io.buffer.load.factor"),
		BytesPerSecond: r.float("log.cleaner.io.max.bytes.per.second"), Backoff: Millis(r.integer("log.cleaner.backoff.ms"))}
	if c.BytesPerSecond == math.MaxFloat64 {
		c.BytesPerSecond = 0
	} else if c.BytesPerSecond <= 0 {
		r.fail("log.cleaner.io.max.bytes.per.second", "log.cleaner.io.max.bytes.per.second must be above 0")
	}
	if c.BufferBytes/int64(max(dirs, 1)) <= 1<<20 {
		r.fail("log.cleaner.dedupe.buffer.size", "log.cleaner.dedupe.buffer.size must be more than 1 MiB for each of %d log directories", dirs)
	}
	if c.LoadFactor <= 0 || c.LoadFactor > 1 {
		r.fail("log.cleaner.io.buffer.load.factor", "log.cleaner.io.buffer.load.factor must be above 0 and at most 1")
	}
	return c
}

func (r *reader) boolean(key string) bool { return strings.EqualFold(r.v.Get(key).Text, "true") }

func (r *reader) nodeID() int32 {
	node, broker := r.v.IsSet("node.id"), r.v.IsSet("broker.id")
	if !broker {
		return int32(r.integer("node.id"))
	}
	id := int32(r.integer("broker.id"))
	if node && id != int32(r.integer("node.id")) {
		r.fail("broker.id", "broker.id=%d and node.id=%d (%s) differ; they are two names of one thing",
			id, r.integer("node.id"), r.v.Get("node.id").Source)
	}
	return id
}

// logDirsKey is the key that names the log directories.
func (v *Values) logDirsKey() string {
	if v.IsSet("log.dirs") {
		return "log.dirs"
	}
	return "log.dir"
}

func (r *reader) logDirs() []string {
	key := r.v.logDirsKey()
	dirs := splitList(r.v.Get(key).Text)
	if len(dirs) == 0 {
		r.fail(key, "%s names no directory", key)
	}
	seen := map[string]bool{}
	for i, d := range dirs {
		dirs[i] = filepath.Clean(d)
		if seen[dirs[i]] {
			r.fail(key, "%s names %s twice", key, dirs[i])
		}
		seen[dirs[i]] = true
	}
	return dirs
}

func (r *reader) loops(cpus int) int {
	if r.v.IsSet("num.network.threads") {
		return int(r.integer("num.network.threads"))
	}
	return max(1, cpus/2)
}

func (r *reader) frameBudget(requestMax int64) int64 {
	n := r.integer("queued.max.request.bytes")
	if n <= 0 {
		return max(minFrameBudget, requestMax)
	}
	if n < requestMax {
		r.fail("queued.max.request.bytes", "queued.max.request.bytes=%d is less than socket.request.max.bytes=%d (%s)",
			n, requestMax, r.v.Get("socket.request.max.bytes").Source)
	}
	return n
}

// address reads host:port, or nothing.
func (r *reader) address(key string) string {
	text := r.v.Get(key).Text
	if text == "" {
		return ""
	}
	if _, port, err := net.SplitHostPort(text); err != nil || !validPort(port) {
		r.fail(key, "%s=%s is not host:port", key, text)
	}
	return text
}

func validPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}
