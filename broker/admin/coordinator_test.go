package admin_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestCoordinator: a coordinator alone has ZooKeeper's names and is ready without a broker.
func TestCoordinator(t *testing.T) {
	b := testkit.StartCoordinator(t, t.TempDir())
	_, body := get(t, b, "/metrics")
	for _, want := range []string{
		"zk_znode_count 5", "zk_ephemerals_count 0", "zk_watch_count 0", "zk_num_alive_connections 0", "zk_outstanding_requests 0",
		"zk_global_sessions 0", "zk_approximate_data_size ", "zk_packets_received 0", "zk_stale_sessions_expired 0",
		`zk_readlatency{quantile="0.99"} 0`, "zk_updatelatency_count 0", "zk_fsynctime_sum 0", "sluice_coordinator_writes_total 0", "go_goroutines ",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no line %q", want)
		}
	}
	if strings.Contains(body, "kafka_") {
		t.Error("a broker's metrics")
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, text := get(t, b, path); code != http.StatusOK || !strings.Contains(text, `"ok"`) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	b.Terminate()
}
