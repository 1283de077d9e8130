package standin

import (
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	journalLength   = 200
	journalBodySize = 64 << 10
)

// Request is one request to the platform's routes, as GET /_standin/log shows it.
type Request struct {
	Time           time.Time `json:"time"`
	Method         string    `json:"method"`
	Path           string    `json:"path"`
	IdempotencyKey string    `json:"idempotency_key,omitempty"`
	Status         int       `json:"status"` // 0 when the client left before an answer
	// Body is what a write carried: JSON as it came, anything else (or more than 64 KiB) as a JSON string of its start.
	Body json.RawMessage `json:"body,omitempty"`
}

// journal is a ring of the last requests.
type journal struct {
	mu       sync.Mutex
	requests []Request
}

func (j *journal) add(r Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.requests) == journalLength {
		j.requests = slices.Delete(j.requests, 0, 1)
	}
	j.requests = append(j.requests, r)
}

func (j *journal) list() []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Request{}, j.requests...)
}

func journalBody(body []byte) json.RawMessage {
	switch {
	case len(body) == 0:
		return nil
	case len(body) <= journalBodySize && json.Valid(body):
		return json.RawMessage(body)
	}
	quoted, err := json.Marshal(string(body[:min(len(body), journalBodySize)]))
	if err != nil {
		return nil
	}
	return quoted
}

// Log returns the last 200 requests, oldest first.
func (s *Server) Log() []Request { return s.journal.list() }
