// Package netpoll serves TCP connections that carry frames, a four-byte big-endian length and so many bytes, and
// answers each frame in the order in which the frames came. It knows nothing of Kafka.
//
// Entry points: Listen, Handler, Request with its Out, Loop.Post.
//
// # Threads
//
// A few event loops (gnet's; see below) own the connections: everything of a connection happens on the goroutine of
// its loop, without locks. Work that a handler does elsewhere comes back by Loop.Post. Besides there are one goroutine
// for each listener, one that waits for full sockets to take bytes again, and one that ticks.
//
// # A turn
//
// Readiness of a connection, or posted tasks, begin a turn. Bytes are read into a pooled Frame and handed over as a
// Request, frame by frame (reader.go). Then Handler.TurnEnd is called once, and then all finished replies leave, in
// one sendmsg where they are in memory, by sendfile where they are file ranges (transmit.go). A request and its reply
// that fit into 1 KiB cost one read and one sendmsg; requests sent ahead share them.
//
// # Bounds
//
// What clients can make the server hold: frame buffers (Config.FrameBudget), unanswered frames (MaxRequests) and
// unsent replies (MaxPending) per connection, connections (MaxConns). At a bound a connection is not read; TCP then
// slows the client down. Nobody is answered with an error for it, and nothing is thrown away. Slow clients are cut by
// FrameTimeout, silent ones by IdleTimeout.
//
// A peer that has ended its side (FIN) still gets what it is owed, within FrameTimeout, and then the connection is
// closed (halfclose.go).
//
// # What is gnet's and what is not
//
// gnet runs the epoll loops, tells of readable sockets and reads their first KiB, and closes. Accepting, further
// reading, all writing, the wait for writability, posting to a loop and the pausing of a connection are done here,
// because gnet's acceptor gives up on errors that pass, its writes are buffered without bound, and it has neither a
// callback for writability, nor allocation-free tasks, nor a way to stop reading. See accept.go, tasks.go, writable.go
// and sys.Watch.
package netpoll
