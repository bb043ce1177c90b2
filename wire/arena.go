package wire

// keepElements is how many elements of one kind a reused message keeps between two uses: 256 KiB of the
// largest kind of a request (64 bytes), 640 KiB of the largest a client decodes (152). A request has at most
// three kinds. A message above that is served from memory that the next Reset gives back.
const keepElements = 4096

// arena gives out the nested arrays of one message, one after the other, from one block that is used again
// for the next message. When the block is full a larger one takes its place; slices given out before keep
// the old one alive until the message is reset. All blocks together have room for at most about four times
// the elements given out, since each is at least twice the one before, which was at least half used.
type arena[T any] struct{ buf []T }

// take returns n zeroed elements. Its capacity ends with it.
func (a *arena[T]) take(n int) []T {
	if a.buf == nil || cap(a.buf)-len(a.buf) < n { // never nil: an empty array is not a null one
		a.buf = make([]T, 0, max(n, min(2*cap(a.buf), MaxElements), 8))
	}
	at := len(a.buf)
	a.buf = a.buf[:at+n]
	return a.buf[at : at+n : at+n]
}

// extend returns s with one zeroed element more. s must be what was taken or extended last.
func (a *arena[T]) extend(s []T) []T {
	var zero T
	at := len(a.buf) - len(s)
	if at < 0 || len(s) > 0 && &a.buf[at] != &s[0] {
		at = len(a.buf)
		a.buf = append(a.buf, s...)
	}
	a.buf = append(a.buf, zero)
	return a.buf[at:len(a.buf):len(a.buf)]
}

// reset forgets all that was given out and lets go of what it pointed to.
func (a *arena[T]) reset() { a.buf = emptied(a.buf) }

// emptied returns s with no elements and no references, or nil if it is larger than keepElements.
func emptied[T any](s []T) []T {
	if cap(s) > keepElements {
		return nil
	}
	clear(s)
	return s[:0]
}

// sized returns n zeroed elements, in s's memory if that is large enough.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}
