package logstore

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// offsetMap knows the last offset of each key, by 128 bits of the key's SHA-256 (Kafka's SkimpyOffsetMap, by MD5). Two
// keys that share them would cost one of them its record: with 5 million keys, as many as 128 MiB hold, the chance is
// 1 in 10^25.
//
// It is an open hash table without deletion. Its size is fixed when it is made.
type offsetMap struct {
	slots  []mapSlot
	n      int
	limit  int   // entries that it may take
	latest int64 // offset up to which the log is in the map; -1: nothing is
}

// mapSlot is 24 bytes.
type mapSlot struct {
	hash [16]byte
	next int64 // the offset plus 1, so that 0 is an empty slot
}

const mapSlotSize = 24

// newOffsetMap makes a map of at most bufferBytes for keys of so many offsets: no more than that many keys can come.
func newOffsetMap(o *CleanerOptions, offsets int64) *offsetMap {
	most := max(o.BufferBytes/mapSlotSize, 2)
	m := &offsetMap{latest: -1, limit: max(1, min(int(float64(most)*o.LoadFactor), int(most)-1))}
	m.slots = make([]mapSlot, min(most, offsets+offsets/3+2))
	return m
}

func hashKey(key []byte) (h [16]byte) {
	sum := sha256.Sum256(key)
	return [16]byte(sum[:16])
}

// slot finds the key's slot, or the empty one where it belongs. There always is an empty one.
func (m *offsetMap) slot(h [16]byte) *mapSlot {
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(h[:]), uint64(len(m.slots)))
	for i := int(hi); ; {
		s := &m.slots[i]
		if s.next == 0 || s.hash == h {
			return s
		}
		if i++; i == len(m.slots) {
			i = 0
		}
	}
}

// put notes that a record of key is at offset. It returns false, and notes nothing, when the map is full.
func (m *offsetMap) put(key []byte, offset int64) bool {
	if m.n >= m.limit || m.n >= len(m.slots)-1 {
		return false
	}
	h := hashKey(key)
	s := m.slot(h)
	if s.next == 0 {
		m.n++
		s.hash = h
	}
	s.next = offset + 1
	m.latest = offset
	return true
}

// last is the last offset of key, -1 if it is not known.
func (m *offsetMap) last(key []byte) int64 { return m.slot(hashKey(key)).next - 1 }

// utilization is how full the map is, of what it may take, 0 to 1.
func (m *offsetMap) utilization(o *CleanerOptions) float64 {
	return float64(m.n) / float64(max(o.BufferBytes/mapSlotSize, 1))
}
