// Package client is a client of Sluice's coordinator and of ZooKeeper ensembles, which speak the same protocol.
//
// A Session is one session of the server's, a lease. It reconnects and resumes by itself, gives the server its watches
// again, and knows by its own clock until when the lease is surely held. Once it has expired or is closed it is over:
// what is under way fails and nothing is ever sent again under another session. Who wants a new one calls Open.
//
// A request that was sent when its connection broke fails with ErrConnectionLoss: it may have been executed or not.
// One that was not sent yet waits for the next connection, as long as its context lasts. So every write has to be
// safe to repeat, or to be looked at afterwards; the recipes do so: Election, Lock, Group, Counter.
//
// Goroutines of a session: one that connects and then writes to the connection, all that has gathered at once; one
// that reads; one that watches the lease. All of its methods are for any goroutine. Requests of one goroutine are
// executed in order; many under way at the same time are had by calling from many goroutines.
//
// Bounds: maxPending requests and maxPendingBytes of them are unsent or unanswered, who has one more waits; a reply has
// at most Config.MaxReply bytes; a persistent watch keeps watchQueue events.
//
// The package knows znodes and not what they mean.
package client
