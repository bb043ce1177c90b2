package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-mq/sluice/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func get(t *testing.T, b *testkit.Broker, path string) (status int, body string) {
	t.Helper()
	r, err := http.Get("http://" + b.Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// TestMetrics reads what a scraper reads: names that dashboards for Kafka know are there from the start, and
// every line has Prometheus' form.
func TestMetrics(t *testing.T) {
	b := testkit.Start(t, t.TempDir())
	_, body := get(t, b, "/metrics")
	for _, want := range []string{
		"kafka_server_brokertopicmetrics_messagesin_total 0", "kafka_server_brokertopicmetrics_bytesin_total 0",
		"kafka_server_brokertopicmetrics_totalproducerequests_total 0", "kafka_server_brokertopicmetrics_totalfetchrequests_total 0",
		"kafka_server_brokertopicmetrics_failedproducerequests_total 0", "kafka_server_replicamanager_partitioncount 0",
		"kafka_server_replicamanager_leadercount 0", "kafka_controller_kafkacontroller_activecontrollercount 1",
		`kafka_network_requestmetrics_requests_total{request="Produce"} 0`, "kafka_server_socket_server_metrics_connection_count 0",
		`sluice_request_duration_seconds_bucket{request="Fetch",le="+Inf"} 0`, "process_open_fds ", "go_goroutines ",
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no line %q", want)
		}
	}
	line := regexp.MustCompile(`^[a-z_:]+[a-z0-9_:]*(\{[^{}]*\})? [-+0-9.eInfNa]+$`)
	for l := range strings.Lines(body) {
		if l = strings.TrimSuffix(l, "\n"); !strings.HasPrefix(l, "#") && !line.MatchString(l) {
			t.Errorf("not a sample: %q", l)
		}
	}
}

func TestHealthAndProfiles(t *testing.T) {
	b := testkit.Start(t, t.TempDir())
	for _, path := range []string{"/livez", "/readyz"} {
		status, body := get(t, b, path)
		var answer struct{ Status string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.Status != "ok" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/heap": 200, "/debug/pprof/cmdline": 200, "/nothing": 404,
	} {
		if status, _ := get(t, b, path); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
	r, err := http.Post("http://"+b.Admin+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: status %d", r.StatusCode)
	}
}
