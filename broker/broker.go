package broker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/logstore"
	"github.com/sluice-mq/sluice/netpoll"
)

// Broker is one running broker.
type Broker struct {
	log        *slog.Logger
	advertised []config.Listener
	limits     limits

	apis  []api
	byKey []*api // by key; nil where not served

	logDirs     []string        // log.dirs
	dirs        []*logstore.Dir // those that could be opened, in the order of log.dirs
	broken      []brokenDir     // the others
	catalog     Catalog
	coordinated *coordCatalog // catalog, if there is a coordinator
	producerIDs producerIDs
	sessions    *fetchSessions
	workers     *workers
	creating    sync.Map     // names of topics being auto-created
	waiting     atomic.Int64 // how many those are

	server   *netpoll.Server
	started  time.Time
	draining atomic.Bool
	ended    sync.Once

	// Counters that are not on the data path.
	parked     atomic.Int64 // fetches waiting
	slowWrites atomic.Int64 // appends whose write took more than logstore.SlowWriteAfter

	hungUp atomic.Int64 // connections closed for what they sent

	adjustLogs func(*logstore.Options) // nil: nothing; tests have devices that fail

	mu    sync.Mutex
	loops []*loop // guarded by mu; grows as loops see their first connection
}

// limits are the settings that requests are checked against.
type limits struct {
	fetchMaxBytes int64
	autoCreate    bool
	deleteTopics  bool
	drain         time.Duration
}

// workerCount is how many requests that block run at once: one that waits for a disk and one that does not.
const workerCount = 2

// Start opens the log directories, recovers what is in them and listens. On return clients are served. The broker
// owns everything it started until Drain or Close.
func Start(cfg *config.Broker, values *config.Values, log *slog.Logger) (*Broker, error) {
	return start(cfg, values, log, nil)
}

// Progress is how far the opening of the log directories has come.
type Progress = logstore.Progress

// StartTelling is Start with p told meanwhile how far it has come.
func StartTelling(p *Progress, cfg *config.Broker, values *config.Values, log *slog.Logger) (*Broker, error) {
	return start(cfg, values, log, func(o *logstore.Options) { o.Progress = p })
}

func start(cfg *config.Broker, values *config.Values, log *slog.Logger, adjustLogs func(*logstore.Options)) (*Broker, error) {
	b := &Broker{
		adjustLogs: adjustLogs,
		log:        log, logDirs: cfg.LogDirs, advertised: cfg.Advertised, started: time.Now(),
		limits: limits{
			fetchMaxBytes: int64(cfg.FetchMaxBytes), autoCreate: cfg.AutoCreateTopics,
			deleteTopics: cfg.DeleteTopics, drain: cfg.DrainTimeout,
		},
		sessions: newFetchSessions(cfg.FetchSessions),
	}
	b.register(registered())
	adopted, err := planAdoption(cfg)
	if err != nil {
		return nil, err
	}
	b.workers = startWorkers(workerCount)
	if err := b.open(cfg, values, adopted); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// open does what a start may fail in. Close gives back what it has got by then.
func (b *Broker) open(cfg *config.Broker, values *config.Values, adopted *adoption) error {
	cluster := ""
	if cfg.ZooKeeper.Connect != "" {
		b.coordinated = newCoordCatalog(cfg, values, b.log)
		b.catalog = b.coordinated
		if err := b.coordinated.connect(); err != nil {
			return err
		}
		var err error
		if cluster, err = b.coordinated.cluster(adopted.cluster()); err != nil {
			return err
		}
	}
	if err := b.openDirs(cfg, adopted, cluster); err != nil {
		return err
	}
	if err := adopted.register(b.dirs, b.log); err != nil {
		return err
	}
	if b.coordinated != nil {
		if err := b.coordinated.open(b.dirs); err != nil {
			return err
		}
	} else {
		catalog, err := openDirCatalog(cfg, values, b.dirs, b.log)
		if err != nil {
			return err
		}
		b.catalog = catalog
	}
	b.producerIDs.catalog = b.catalog
	for _, d := range b.dirs {
		d.OnOffline(b.wakeOffline)
	}
	var err error
	if b.server, err = netpoll.Listen(netConfig(cfg, b.log), b); err != nil {
		return err
	}
	b.catalog.onChange(b.reconfigure)
	if b.coordinated != nil {
		return b.coordinated.join(cfg.Advertised, b.server.Addrs())
	}
	return nil
}

func netConfig(cfg *config.Broker, log *slog.Logger) netpoll.Config {
	n := netpoll.Config{
		Loops: cfg.Loops, MaxFrame: cfg.RequestMaxBytes, MaxRequests: cfg.MaxRequests, MaxPending: cfg.MaxPendingBytes,
		FrameBudget: cfg.FrameBudget, MaxConns: cfg.MaxConns, MaxConnsPerIP: cfg.MaxConnsPerIP,
		IdleTimeout: cfg.IdleTimeout, FrameTimeout: cfg.FrameTimeout,
		SendBuffer: cfg.SendBuffer, RecvBuffer: cfg.RecvBuffer, Logger: log,
	}
	for _, l := range cfg.Listeners {
		n.Listeners = append(n.Listeners, l.Address())
	}
	return n
}

func (b *Broker) register(apis []api) {
	b.apis = apis
	for i := range apis {
		a := &apis[i]
		a.index = i
		for len(b.byKey) <= int(a.key) {
			b.byKey = append(b.byKey, nil)
		}
		b.byKey[a.key] = a
	}
}

func (b *Broker) closeDirs() error {
	var errs []error
	for _, d := range b.dirs {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// Addrs are the addresses that the broker listens on, one for each listener in order.
func (b *Broker) Addrs() []string { return b.server.Addrs() }

// ClusterID is the id that clients are told.
func (b *Broker) ClusterID() string { return b.catalog.Image().ClusterID }

// Drain stops in good order: no new connections or requests, answers for what is under way, everything on disk.
// It takes at most shutdown.drain.timeout.ms, or until ctx ends; what is not answered by then is cut off. The
// error says what could not be written.
func (b *Broker) Drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.limits.drain)
	defer cancel()
	b.draining.Store(true)
	for _, t := range b.catalog.Image().Topics() {
		for _, p := range t.Partitions {
			if p != nil {
				p.waiters.wakeAll()
			}
		}
	}
	if err := b.server.Drain(ctx); err != nil {
		b.log.Warn("not all requests were answered", "error", err)
	}
	return b.Close()
}

// Close stops at once. What was acknowledged is in the log and is flushed.
func (b *Broker) Close() (err error) {
	b.ended.Do(func() {
		if b.server != nil {
			err = b.server.Close()
		}
		if b.catalog != nil {
			b.catalog.Close()
		}
		b.workers.close()
		err = errors.Join(err, b.closeDirs())
	})
	return err
}

func (b *Broker) addLoop(lp *loop) {
	b.mu.Lock()
	b.loops = append(b.loops, lp)
	b.mu.Unlock()
}

// clock is the time since the start; unlike the wall clock it never jumps.
func (b *Broker) clock() time.Duration { return time.Since(b.started) }

// image is the state of the cluster now; a request that needs one state throughout keeps it.
func (lp *loop) image() *Image { return lp.b.catalog.Image() }

// endpoint is what this client is told of n's address: the advertised one of the listener that it came through,
// where port 0 stands for the port that was bound. ok is false for a member that has no listener of that name.
func (c *call) endpoint(im *Image, n *Node) (host string, port int32, ok bool) {
	nc := c.net.Conn()
	a := c.b.advertised[nc.Listener()]
	if n.ID != im.Node {
		for _, e := range n.Endpoints {
			if e.Listener == a.Name {
				return e.Host, e.Port, true
			}
		}
		return "", -1, false
	}
	local, localPort, _ := net.SplitHostPort(nc.LocalAddr())
	if a.Host == "" {
		a.Host = local
	}
	if a.Port == 0 {
		a.Port, _ = strconv.Atoi(localPort)
	}
	return a.Host, int32(a.Port), true
}
