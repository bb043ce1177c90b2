package logstore

import "fmt"

// order is what a batch has to agree with besides its own checksum, which does not cover base offset and leader
// epoch: where it stands. Recovery and verification share it.
type order struct {
	segment int64        // base offset of the segment
	next    int64        // offset the batch has to have
	epoch   int32        // leader epoch of the batch before it
	gaps    bool         // offsets may be left out, but never go back
	epochs  []epochStart // what leader-epoch-checkpoint says; nil: nothing is known
}

// misfit says why a header cannot belong to a batch in a file of size bytes; "" if it can. ok is parseHead's.
func misfit(h head, ok bool, size int64) string {
	switch {
	case !ok:
		return fmt.Sprintf("a batch of %d bytes", h.size)
	case h.pos+h.size > size:
		return fmt.Sprintf("a batch of %d bytes, the file has %d more", h.size, size-h.pos)
	}
	return ""
}

// misplaced says what of the batch's header does not fit its place (KindOffset or KindEpoch), and how; "" if all does.
func (o *order) misplaced(h head, epoch int32) (k Kind, why string) {
	switch {
	case o.outside(h):
		return KindOffset, fmt.Sprintf("offsets %d to %d", h.base, h.last)
	case h.base < o.next || h.base > o.next && !o.gaps:
		return KindOffset, fmt.Sprintf("offset %d where %d is due", h.base, o.next)
	case epoch < o.epoch:
		return KindEpoch, fmt.Sprintf("leader epoch %d after %d", epoch, o.epoch)
	case o.epochUnknown(epoch, h.base):
		return KindEpoch, fmt.Sprintf("leader epoch %d at offset %d, which had not begun", epoch, h.base)
	}
	return "", ""
}

// outside tells whether the segment can have no such offsets.
func (o *order) outside(h head) bool {
	return h.last < h.base || h.last-o.segment > maxRelative || h.base < o.segment
}

// epochUnknown: an epoch is in the epoch file before its first batch is in the log, so one that is not there, or
// begins later, is a flipped bit.
func (o *order) epochUnknown(epoch int32, base int64) bool {
	if o.epochs == nil || epoch < 0 {
		return false
	}
	for _, e := range o.epochs {
		if e.epoch >= epoch {
			return e.epoch == epoch && e.start > base
		}
	}
	return true
}
