package logstore

import (
	"sync"
	"sync/atomic"
)

const (
	// chunkSize is the memory that small batches of one log are copied into: 160 batches of 100 bytes.
	chunkSize = 16 << 10
	// largeChunk is for batches above chunkSize, and the largest batch that is copied.
	largeChunk = 64 << 10
)

// chunk is pooled memory with counted holds (span.Ref). Its bytes are written once, by the tail that has it.
type chunk struct {
	refs atomic.Int32
	buf  []byte
}

var (
	chunks      = sync.Pool{New: func() any { return &chunk{buf: make([]byte, chunkSize)} }}
	largeChunks = sync.Pool{New: func() any { return &chunk{buf: make([]byte, largeChunk)} }}
)

// newChunk returns a chunk of chunkSize or largeChunk bytes for n of them, with one hold.
func newChunk(n int) *chunk {
	pool := &chunks
	if n > chunkSize {
		pool = &largeChunks
	}
	c := pool.Get().(*chunk)
	c.refs.Store(1)
	return c
}

// Retain takes another hold.
func (c *chunk) Retain() { c.refs.Add(1) }

// Release gives up a hold; the last one returns the memory to its pool.
func (c *chunk) Release() {
	switch n := c.refs.Add(-1); {
	case n < 0:
		panic("BUG: chunk released too often")
	case n > 0:
	case len(c.buf) == largeChunk:
		largeChunks.Put(c)
	default:
		chunks.Put(c)
	}
}
