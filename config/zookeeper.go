package config

import "time"

// ZooKeeper is how a broker uses its coordinator, whichever that is.
type ZooKeeper struct {
	Connect        string // host:port,host:port/chroot; empty: the embedded coordinator, or none
	SessionTimeout time.Duration
	ConnectTimeout time.Duration // of the start
	FenceOnLoss    bool          // coordination.on.loss=fence

	Clock func() time.Duration // not a key: for tests, what the session's deadline is measured by; nil: the system's
}

// Embedded tells whether the broker runs a coordinator of its own.
func (b *Broker) Embedded() bool {
	return b.ZooKeeper.Connect == "" && len(b.Coordinator.Listeners) > 0
}

func (r *reader) zooKeeper() ZooKeeper {
	z := ZooKeeper{
		Connect:        r.v.Get("zookeeper.connect").Text,
		SessionTimeout: Millis(r.integer("zookeeper.session.timeout.ms")),
		FenceOnLoss:    r.v.Get("coordination.on.loss").Text == "fence",
	}
	z.ConnectTimeout = z.SessionTimeout
	if r.v.IsSet("zookeeper.connection.timeout.ms") {
		z.ConnectTimeout = Millis(r.integer("zookeeper.connection.timeout.ms"))
	}
	return z
}
