package admin

import (
	"strings"

	"github.com/sluice-mq/sluice/broker"
)

// membership is how the broker stands with its coordinator, nil for none: the beans of Kafka's SessionExpireListener, as
// it had them in ZooKeeper mode, and of the controller.
func (e *exposition) membership(c *broker.CoordinatorStats) {
	const k, p = "kafka_controller_kafkacontroller_", "kafka_server_sessionexpirelistener_"
	if c == nil {
		e.gauge(k+"activecontrollercount", "1 if this broker is the controller.", 1)
		e.gauge(k+"activebrokercount", "Brokers of the cluster.", 1)
		return
	}
	e.gauge(k+"activecontrollercount", "1 if this broker is the controller.", truth(c.Controller))
	e.gauge(k+"activebrokercount", "Brokers of the cluster.", float64(c.Brokers))
	e.gauge(p+"sessionstate", "1 for the state that the session with the coordinator is in.", 1, "state", strings.ToUpper(c.State.String()))
	e.counter(p+"zookeeperdisconnects_total", "Times that the connection to the coordinator was lost.", float64(c.Disconnects))
	e.counter(p+"zookeepersyncconnects_total", "Times that it was made.", float64(c.SyncConnects))
	e.counter(p+"zookeeperexpires_total", "Sessions that the coordinator has ended.", float64(c.Expires))
	e.gauge("sluice_coordination_registered", "1 while this broker is registered and leads what it is to lead.", truth(c.Registered))
	e.gauge("sluice_coordination_lost", "1 while the coordinator does not have what this broker has seen of it.", truth(c.Behind))
	e.gauge("sluice_coordination_fenced", "1 while requests are refused by coordination.on.loss=fence.", truth(c.Fenced))
	e.gauge("sluice_coordination_stray_logs", "Logs of topics that the coordinator does not know.", float64(c.Strays))
}
