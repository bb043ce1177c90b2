// Package span describes bytes on their way to a socket: a piece of memory or
// a range of an open file, together with the hold that keeps either alive.
//
// The log answers reads with spans, the network layer sends them; neither has
// to know the other. A Span is a plain value. Whoever owns it owns exactly one
// hold on its Ref and must call Release once, after the bytes were sent or the
// connection was given up.
package span

// Ref is a counted hold on what backs a Span: a received frame, a log segment.
// Both methods are safe for concurrent use. The last Release gives the memory
// back to its pool, or closes (and, where it was deleted, removes) the file.
type Ref interface {
	Retain()
	Release()
}

// Span is Len bytes: Mem when Mem is not nil, else the range of the open file
// FD that starts at Off. FD and Mem are valid while the hold on Ref lasts.
type Span struct {
	Mem []byte
	FD  int
	Off int64
	Len int64
	Ref Ref // nil when nothing has to be released
}

// Memory returns a span over b, taking over one hold on ref (which may be nil).
func Memory(b []byte, ref Ref) Span { return Span{Mem: b, Len: int64(len(b)), Ref: ref} }

// File returns a span over n bytes of fd at off, taking over one hold on ref.
func File(fd int, off, n int64, ref Ref) Span { return Span{FD: fd, Off: off, Len: n, Ref: ref} }

// Release gives up the span's hold; a second call does nothing.
func (s *Span) Release() {
	if r := s.Ref; r != nil {
		s.Ref, s.Mem = nil, nil
		r.Release()
	}
}
