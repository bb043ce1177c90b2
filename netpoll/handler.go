package netpoll

// A Handler is what a server does with its connections. Every method is called on the loop of the connection and
// must not block. A panic in Opened, Request or Closed costs that connection and is counted, unless its message
// begins with "BUG:" or "FATAL:"; any other panic, and those in TurnEnd and in tasks, end the process, since no single
// connection could pay for them.
type Handler interface {
	// Opened announces a connection before its first frame.
	Opened(c *Conn)
	// Request hands over one whole frame. r must be finished by exactly one Send or Drop, now or later, on the
	// same loop, also when the connection has closed meanwhile.
	Request(r *Request)
	// TurnEnd comes after all frames read in one turn were handed over, or after posted tasks ran, and before
	// replies are sent. A turn is what one readiness of one connection brought, at most about 2 MiB.
	TurnEnd(l *Loop)
	// Closed comes once per opened connection, after its last Request. Replies not yet sent are lost, their spans
	// released. Requests that are unanswered still have to be finished, which then only releases them. A peer that
	// closes while requests of it are unanswered is seen when they are answered, or after FrameTimeout: half closed
	// and closed look the same from here.
	Closed(c *Conn, err error)
}

// A Task is work for a loop.
type Task interface{ Run() }
