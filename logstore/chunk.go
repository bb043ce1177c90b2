package logstore

import (
	"sync"
	"sync/atomic"
)

// chunkSize is the memory that small batches of one log are copied into: 16 KiB holds 160 batches of 100 bytes.
const chunkSize = 16 << 10

// chunk is pooled memory with counted holds (span.Ref). Its bytes are written once, by the tail that has it.
type chunk struct {
	refs atomic.Int32
	buf  [chunkSize]byte
}

var chunkPool = sync.Pool{New: func() any { return new(chunk) }}

// newChunk returns a chunk with one hold.
func newChunk() *chunk {
	c := chunkPool.Get().(*chunk)
	c.refs.Store(1)
	return c
}

// Retain takes another hold.
func (c *chunk) Retain() { c.refs.Add(1) }

// Release gives up a hold; the last one returns the memory to the pool.
func (c *chunk) Release() {
	switch n := c.refs.Add(-1); {
	case n == 0:
		chunkPool.Put(c)
	case n < 0:
		panic("BUG: chunk released too often")
	}
}
