//go:build !race

package logstore

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-mq/sluice/internal/sys"
	"github.com/sluice-mq/sluice/wire/batch"
)

// BenchmarkCommit is what waiting for the device costs at the log: 64 appends of 64 KiB in flight over 6 logs, with
// and without, and a lone append against a plain write and fdatasync. Only the ratios within one run mean anything.
func BenchmarkCommit(b *testing.B) {
	const size = 64 << 10
	open := func(b *testing.B, s Settings) (d *Dir, logs []*Log) {
		d = openTest(b, b.TempDir(), Options{TailBytes: -1})
		for i := range 6 {
			l := createTest(b, d, fmt.Sprint("t", i))
			l.Configure(s)
			logs = append(logs, l)
		}
		return d, logs
	}
	for name, s := range map[string]Settings{"os": {}, "fsync": fsyncClass()} {
		b.Run("64 in flight/"+name, func(b *testing.B) {
			d, logs := open(b, s)
			b.SetBytes(size)
			free := make(chan waiter, 64)
			batches := map[waiter]batch.Batch{}
			for range cap(free) {
				w := newWaiter()
				w <- nil
				batches[w] = makeBatch(1, size, 1, batch.None)
				free <- w
			}
			for i := range b.N {
				w := <-free
				<-w
				info := appendTest(b, logs[i%len(logs)], batches[w], nil)
				if info.Wait {
					logs[i%len(logs)].AwaitSync(info.Last+1, w)
				} else {
					w <- nil
				}
				free <- w
			}
			for range cap(free) {
				<-<-free
			}
			b.ReportMetric(float64(d.Commits().Syncs)/float64(b.N), "syncs/op")
		})
	}
	report := func(b *testing.B, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	}
	b.Run("one in flight/fsync", func(b *testing.B) {
		_, logs := open(b, fsyncClass())
		w, m := newWaiter(), makeBatch(1, size, 1, batch.None)
		var took []time.Duration
		for b.Loop() {
			began := time.Now()
			info := appendTest(b, logs[0], m, nil)
			logs[0].AwaitSync(info.Last+1, w)
			<-w
			took = append(took, time.Since(began))
		}
		report(b, took)
	})
	b.Run("one in flight/plain", func(b *testing.B) {
		_, logs := open(b, Settings{})
		s, m := logs[0].active, makeBatch(1, size, 1, batch.None)
		if err := s.hold(); err != nil {
			b.Fatal(err)
		}
		defer s.Release()
		var took []time.Duration
		pos := int64(0)
		for b.Loop() {
			began := time.Now()
			if err := sys.PwriteFull(s.file(), m, pos); err != nil {
				b.Fatal(err)
			}
			if err := sys.Fdatasync(s.file()); err != nil {
				b.Fatal(err)
			}
			pos += size
			took = append(took, time.Since(began))
		}
		report(b, took)
	})
}

// BenchmarkManyFiles has one append of 16 KiB under way on each of 16 logs, with the ways to sync them in turns: each file
// by itself; the same with write-back begun before.
func BenchmarkManyFiles(b *testing.B) {
	const n, size, slice = 16, 16 << 10, 100 * time.Millisecond
	options := []Options{{Sync: sys.Fdatasync, WriteBackBytes: -1}, {Sync: sys.Fdatasync}}
	rates := make([][]float64, len(options))
	dirs, logs := make([]*Dir, len(options)), make([][]*Log, len(options))
	for i, o := range options {
		dirs[i] = openTest(b, b.TempDir(), o)
		for k := range n {
			l := createTest(b, dirs[i], fmt.Sprint("t", k))
			l.Configure(fsyncClass())
			logs[i] = append(logs[i], l)
		}
	}
	for b.Loop() {
		for i := range options {
			var done atomic.Int64
			var wg sync.WaitGroup
			began := time.Now()
			for _, l := range logs[i] {
				wg.Go(func() {
					w, m := newWaiter(), makeBatch(1, size, 1, batch.None)
					for time.Since(began) < slice {
						info, err := l.Append(m, 0, nil)
						if err != nil {
							b.Error(err)
							return
						}
						l.AwaitSync(info.Last+1, w)
						<-w
						done.Add(1)
					}
				})
			}
			wg.Wait()
			rates[i] = append(rates[i], float64(done.Load()*size)/1e6/time.Since(began).Seconds())
		}
	}
	for i, unit := range []string{"each-MB/s", "written-first-MB/s"} {
		slices.Sort(rates[i])
		b.ReportMetric(rates[i][len(rates[i])/2], unit)
		c := dirs[i].Commits()
		b.Logf("%s: %.0f to %.0f, %d rounds, %d fdatasync", unit, rates[i][0], rates[i][len(rates[i])-1], c.Rounds, c.Syncs)
	}
}
