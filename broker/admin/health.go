package admin

import (
	"encoding/json"
	"net/http"

	"github.com/sluice-mq/sluice/broker"
)

// health is an answer of /livez or /readyz; the names are stable. The status is "ok"; "degraded" (with 200), when the
// broker serves but problems says what it cannot; or "unavailable" (with 503) for the reason.
type health struct {
	Status   string   `json:"status"`
	Reason   string   `json:"reason,omitempty"`
	Problems []string `json:"problems,omitempty"`
	Loading  *loading `json:"loading,omitempty"`
}

// loading is how far the start has come: logs loaded of those found so far, and after an unclean stop bytes checked of
// those to be checked.
type loading struct {
	Logs         int64 `json:"logs"`
	OfLogs       int64 `json:"of_logs"`
	CheckedBytes int64 `json:"checked_bytes"`
	OfBytes      int64 `json:"of_bytes"`
}

// live says no only where a new start is what helps.
func (s *Server) live() health {
	b := s.broker.Load()
	if b == nil {
		return health{Status: "ok"} // on its way up, or a coordinator, which ends where a new start helps
	}
	return judge(b, b.Live())
}

func (s *Server) ready() health {
	if s.alone {
		if s.coordinator.Load() == nil {
			return health{Status: "unavailable", Reason: "the coordinator is reading its log"}
		}
		return health{Status: "ok"}
	}
	b := s.broker.Load()
	if b == nil {
		r := s.opening.Read()
		return health{Status: "unavailable", Reason: "the broker is opening its log directories",
			Loading: &loading{r.Logs, r.OfLogs, r.Bytes, r.OfBytes}}
	}
	return judge(b, b.Ready())
}

func judge(b *broker.Broker, err error) health {
	h := health{Status: "ok", Problems: b.Problems()}
	switch {
	case err != nil:
		h.Status, h.Reason = "unavailable", err.Error()
	case len(h.Problems) > 0:
		h.Status = "degraded"
	}
	return h
}

func (h health) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	if h.Status == "unavailable" {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h) // the client has gone: nobody to tell
}
