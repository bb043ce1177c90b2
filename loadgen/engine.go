package loadgen

import "fmt"

// engine sends records. The franz-go client is one; the tests put a stub with known
// delays in its place.
type engine interface {
	// send takes s over. It never waits. series.done(s, err) is called exactly once
	// afterwards, by any goroutine; those of one producer come one at a time.
	send(s *slot)
	// close fails what is outstanding and frees everything; done has been called for
	// each record, or will be soon, when it returns.
	close()
	// batches returns what was written in the measured window.
	batches() batchCounts
}

type batchCounts struct{ count, records, bytes, compressed int64 }

// producer is one client's side of a series.
type producer struct {
	id       uint16
	recorder *recorder

	// Of the schedule's thread.
	partition int32
	room      int     // bytes until the partition changes
	sequence  []int64 // next, per partition

	// Of the goroutine that completes the producer's records, then of the verdict.
	acked []int64 // per partition
}

// stickyBytes is how much a producer writes to one partition before it takes the
// next, as the default partitioners of franz-go and of the Java client do for records
// without a key. The generator chooses, so that every partition gets the same share
// and the order can be checked by counters.
const stickyBytes = 64 << 10

// newProducers makes n producers that start at different partitions.
func newProducers(n, partitions int, recorders []*recorder) []*producer {
	out := make([]*producer, n)
	for i := range out {
		out[i] = &producer{
			id: uint16(i), recorder: recorders[i%len(recorders)], partition: int32(i % partitions), room: stickyBytes,
			sequence: make([]int64, partitions), acked: make([]int64, partitions),
		}
	}
	return out
}

// pick chooses the partition of the next record of size bytes.
func (p *producer) pick(size int) (partition int32, sequence int64) {
	if p.room < size && p.room < stickyBytes {
		p.partition = (p.partition + 1) % int32(len(p.sequence))
		p.room = stickyBytes
	}
	p.room -= size
	sequence = p.sequence[p.partition]
	p.sequence[p.partition]++
	return p.partition, sequence
}

func describe(what string, partition int32, offset int64) string {
	return fmt.Sprintf("%s: partition %d, offset %d", what, partition, offset)
}
