package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-mq/sluice/broker"
	"github.com/sluice-mq/sluice/broker/admin"
	"github.com/sluice-mq/sluice/config"
	"github.com/sluice-mq/sluice/internal/testkit"
)

// TestOpening: until the broker is there, /readyz says how far the start has come: here after a kill, when the log has
// to be checked.
func TestOpening(t *testing.T) {
	dir := t.TempDir()
	b := testkit.Start(t, dir, "coordinator.listeners=")
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Kafka), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: make([]byte, 5000)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	b.Kill()
	values, err := config.Load(config.Input{Sets: []string{"log.dirs=" + dir + "/logs", "listeners=PLAINTEXT://127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := values.Broker()
	if err != nil {
		t.Fatal(err)
	}
	s, err := admin.Listen("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	type answer struct {
		Status  string
		Loading *struct {
			Logs    int64
			OfLogs  int64 `json:"of_logs"`
			Checked int64 `json:"checked_bytes"`
			OfBytes int64 `json:"of_bytes"`
		}
	}
	ready := func() (status int, a answer) {
		r, err := http.Get("http://" + s.Addr() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, a
	}
	if code, a := ready(); code != http.StatusServiceUnavailable || a.Status != "unavailable" || a.Loading == nil || a.Loading.OfLogs != 0 {
		t.Errorf("before: %d %+v", code, a)
	}
	started, err := broker.StartTelling(s.Opening(), cfg, values, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer started.Close()
	code, a := ready()
	if l := a.Loading; code != http.StatusServiceUnavailable || l == nil || l.Logs < 1 || l.Logs != l.OfLogs || l.Checked < 100 || l.Checked != l.OfBytes {
		t.Errorf("when all is read: %d %+v", code, l)
	}
	s.Attach(started)
	if code, a := ready(); code != http.StatusOK || a.Status != "ok" || a.Loading != nil {
		t.Errorf("afterwards: %d %+v", code, a)
	}
}
