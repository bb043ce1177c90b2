package zk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// DefaultMaxPacket is jute.maxbuffer: a longer packet of a client closes the connection.
const DefaultMaxPacket = 0xfffff

// ErrPacketSize says that a packet announces more bytes than are allowed, or fewer than none.
var ErrPacketSize = errors.New("zookeeper: packet length out of range")

// BeginPacket appends room for a packet's length; EndPacket fills it in.
func BeginPacket(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

// EndPacket writes the length of the packet that began at start.
func EndPacket(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// ReadPacket reads one packet of at most limit bytes into buf, which grows as bytes come, not as they are announced.
// It returns the packet without its length. io.EOF: the stream ended between packets.
func ReadPacket(r io.Reader, buf []byte, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return buf[:0], err
	}
	return ReadBody(r, buf, int32(binary.BigEndian.Uint32(head[:])), limit)
}

// ReadBody reads the n bytes of a packet whose length was read already.
func ReadBody(r io.Reader, buf []byte, n int32, limit int) ([]byte, error) {
	if n < 0 || int(n) > limit {
		return buf[:0], fmt.Errorf("%w: %d, at most %d", ErrPacketSize, n, limit)
	}
	buf = buf[:0]
	for left := int(n); left > 0; {
		step := min(left, max(cap(buf)-len(buf), readStep))
		at := len(buf)
		buf = append(buf, make([]byte, step)...)
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return buf[:0], err
		}
		left -= step
	}
	return buf, nil
}

// readStep is how far a buffer grows ahead of the bytes that came.
const readStep = 64 << 10
