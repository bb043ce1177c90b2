// Package clock waits more precisely than timers do.
//
// Go serves its timers when some thread polls the network, up to a millisecond late on a quiet machine, and the
// kernel adds 50 µs of slack of its own. Whoever has to be on time takes a thread for itself: OwnThread once, then
// Sleep.
package clock
