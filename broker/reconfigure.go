package broker

import (
	"github.com/sluice-mq/sluice/config"
)

// reconfigure makes settings count that were changed while running and that are not those of topics. The catalogue
// calls it, one change at a time.
func (b *Broker) reconfigure(cfg *config.Broker) {
	b.server.SetMaxConns(cfg.MaxConns, cfg.MaxConnsPerIP)
	for _, d := range b.dirs {
		d.SetProducerExpiration(cfg.ProducerExpiration)
	}
}

// wakeOffline ends the wait of fetches from partitions that have gone offline: they are answered with the error.
func (b *Broker) wakeOffline() {
	for _, t := range b.catalog.Image().Topics() {
		for _, p := range t.Partitions {
			if p != nil && p.offline() {
				p.waiters.wakeAll()
			}
		}
	}
}
