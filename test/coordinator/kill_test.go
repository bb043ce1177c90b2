package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/coordination/zk"
	"github.com/sluice-mq/sluice/internal/testkit"
)

const (
	killWorkers = 8
	killKeys    = 4
	// killTimeout is the sessions': longer than any start takes.
	killTimeout = 40 * time.Second
)

// TestKill kills the coordinator at random times under load, sometimes again while it starts. Every acknowledged write
// is there afterwards, no transaction is there in part, every session and its ephemeral goes on, and what clients saw
// of each key, before and after, is linearizable. SLUICE_TEST_KILLS is how often, 10 times unless set.
func TestKill(t *testing.T) {
	kills := 10
	if text := os.Getenv("SLUICE_TEST_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	k := &killing{T: t, dir: t.TempDir(), began: time.Now(), rnd: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))}
	k.start()
	k.prepare()
	slowest := time.Duration(0)
	for range kills {
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for _, w := range k.workers {
			wg.Go(func() { w.work(ctx, k.Coordinator()) })
		}
		pass(time.Duration(20+k.rnd.IntN(200)) * time.Millisecond)
		k.broker.Kill()
		dead := k.now()
		cancel()
		wg.Wait()
		if k.rnd.IntN(3) == 0 {
			k.startAndKill()
		}
		began := time.Now()
		k.start()
		slowest = max(slowest, time.Since(began))
		k.check(dead)
	}
	t.Logf("%d kills, %d operations acknowledged, %d pairs, %d in doubt; the slowest start took %v",
		kills, k.acked, len(k.pairs), k.doubtful, slowest.Round(time.Millisecond))
	k.broker.Terminate()
}

// pass lets time go by: the load is what happens meanwhile.
func pass(d time.Duration) { <-time.After(d) }

type killing struct {
	*testing.T
	dir     string
	rnd     *rand.Rand
	began   time.Time
	broker  *testkit.Broker
	workers []*worker
	state   [killKeys]register // at the beginning of a round

	acked, doubtful int
	pairs           map[string]bool // acknowledged
}

func (k *killing) Coordinator() string { return k.broker.Coordinator }

func (k *killing) now() int64 { return time.Since(k.began).Nanoseconds() }

// settings have snapshots and new log files come often.
var settings = []string{"coordinator.max.client.cnxns=0", "coordinator.snap.count=1000"}

func (k *killing) start() { k.broker = testkit.StartCoordinator(k, k.dir, settings...) }

// startAndKill begins a start that comes to nothing.
func (k *killing) startAndKill() {
	cmd := exec.Command(testkit.Binary(k), "coordinator", "--data", k.dir, "--set", "coordinator.listeners=127.0.0.1:0",
		"--set", "coordinator.admin.listener=")
	if err := cmd.Start(); err != nil {
		k.Fatal(err)
	}
	pass(time.Duration(k.rnd.IntN(60_000)) * time.Microsecond)
	cmd.Process.Kill()
	cmd.Wait() // says that it was killed
}

func (k *killing) prepare() {
	k.pairs = map[string]bool{}
	s := mustDial(k.T, k.Coordinator(), killTimeout, nil)
	for i := range killKeys {
		s.must(k.T, zk.OpCreate, create(key(i), []byte("0"), zk.Persistent))
	}
	s.must(k.T, zk.OpCreate, create("/pairs", nil, zk.Persistent))
	for i := range killWorkers {
		w := &worker{k: k, id: i, rnd: rand.New(rand.NewPCG(k.rnd.Uint64(), 2)), pairs: map[string]bool{}}
		w.s = mustDial(k.T, k.Coordinator(), killTimeout, nil)
		w.s.must(k.T, zk.OpCreate, create(w.mine(), nil, zk.Ephemeral))
		k.workers = append(k.workers, w)
	}
}

func key(i int) string { return fmt.Sprint("/key", i) }

// check looks at what is there after a kill at the time dead.
func (k *killing) check(dead int64) {
	k.Helper()
	var history []operation
	for _, w := range k.workers {
		if w.err != nil {
			k.Fatal(w.err)
		}
		for i := range w.done {
			if o := &w.done[i]; o.end == 0 { // in doubt: until then, or never
				o.end = dead
				k.doubtful++
			}
		}
		history = append(history, w.done...)
		w.done = w.done[:0]
		for pair := range w.pairs {
			k.pairs[pair] = true
		}
		w.resume()
	}
	s := k.workers[0].s
	for i := range killKeys {
		o := operation{key: i, kind: read, begin: k.now()}
		o.do(s)
		if o.end = k.now(); o.code != zk.OK {
			k.Fatal(o.code)
		}
		history = append(history, o)
	}
	for i := range killKeys {
		of := slices.DeleteFunc(slices.Clone(history), func(o operation) bool { return o.key != i })
		k.acked += len(of)
		if !linearizable(k.state[i], of) {
			k.Fatalf("what was seen of %s is not linearizable, from %+v:\n%s", key(i), k.state[i], describe(of))
		}
		last := of[len(of)-1]
		k.state[i] = register{last.value, last.version}
	}
	k.checkPairs(s)
}

// checkPairs: both nodes of a pair are there, or none; and all that were acknowledged.
func (k *killing) checkPairs(s *session) {
	names := s.must(k.T, zk.OpGetChildren, &zk.ReadRequest{Path: "/pairs"}).Strings()
	there := map[string]int{}
	for _, name := range names {
		there[strings.TrimRight(name, "ab")]++
	}
	for pair, n := range there {
		if n != 2 {
			k.Fatalf("half of the transaction %s is there", pair)
		}
	}
	for pair := range k.pairs {
		if there[pair] == 0 {
			k.Fatalf("%s was acknowledged and is gone", pair)
		}
	}
}

// worker is a client that works until its connection breaks.
type worker struct {
	k     *killing
	id    int
	rnd   *rand.Rand
	s     *session
	n     int
	done  []operation
	pairs map[string]bool
	err   error
}

func (w *worker) mine() string { return fmt.Sprint("/ephemeral", w.id) }

// resume connects again with the same session, whose ephemeral has to be there.
func (w *worker) resume() {
	w.k.Helper()
	s, err := dial(w.k.Coordinator(), killTimeout, w.s)
	if err != nil {
		w.k.Fatalf("worker %d: %v", w.id, err)
	}
	w.s.nc.Close()
	w.k.Cleanup(func() { s.nc.Close() })
	w.s = s
	d := s.must(w.k.T, zk.OpExists, &zk.ReadRequest{Path: w.mine()})
	var stat zk.Stat
	if stat.Decode(d); stat.EphemeralOwner != s.id {
		w.k.Fatalf("%s is of session %#x, want %#x", w.mine(), stat.EphemeralOwner, s.id)
	}
}

func (w *worker) work(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		w.n++
		if w.rnd.IntN(5) == 0 {
			if !w.pair() {
				return
			}
			continue
		}
		o := operation{key: w.rnd.IntN(killKeys), kind: kind(w.rnd.IntN(3)), want: int64(w.id+1)<<32 | int64(w.n)}
		if o.kind == swap {
			o.expected = int32(w.rnd.IntN(3)) + w.seen(o.key)
		}
		o.begin = w.k.now()
		if !o.do(w.s) {
			w.done = append(w.done, o)
			return
		}
		o.end = w.k.now()
		w.done = append(w.done, o)
	}
}

// seen is the version of a key as this worker last saw it.
func (w *worker) seen(key int) int32 {
	for _, o := range slices.Backward(w.done) {
		if o.key == key && o.code == zk.OK {
			return o.version
		}
	}
	return w.k.state[key].version
}

// pair creates two nodes in one transaction.
func (w *worker) pair() bool {
	name := fmt.Sprintf("w%d-%d-", w.id, w.n)
	m := &zk.MultiRequest{Parts: []zk.Part{
		{Op: zk.OpCreate, Request: create("/pairs/"+name+"a", make([]byte, w.rnd.IntN(2000)), zk.Persistent)},
		{Op: zk.OpCreate, Request: create("/pairs/"+name+"b", nil, zk.Persistent)},
	}}
	d, code, err := w.s.call(zk.OpMulti, m)
	if err != nil {
		return false
	}
	var resp zk.MultiResponse
	if resp.Decode(d); code != zk.OK || len(resp.Results) != 2 || resp.Results[0].Err != zk.OK {
		w.err = errors.Join(errors.New("a transaction failed"), code)
		return false
	}
	w.pairs[name] = true
	return true
}
