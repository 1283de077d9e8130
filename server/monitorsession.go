package server

import (
	"net/http"
	"regexp"
	"time"

	"go.uber.org/zap"

	holdfast "github.com/emprops/holdfast"
)

// sessionID is what names a monitor session: the original took any text, and its user interface session_<ms>_<random>.
var sessionID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// CheckSessionID returns CodeInvalid for what cannot name a monitor session.
func CheckSessionID(id string) error {
	if !sessionID.MatchString(id) {
		return holdfast.Errorf(holdfast.CodeInvalid, "The session id must be 1 to 100 letters, digits, dots, hyphens or underscores")
	}
	return nil
}

// monitorSession is the route /webhook-monitor/{id}. It records any request of any session and answers 200 (CONTRACT 6.2).
type monitorSession struct {
	sessions Sessions
	log      *zap.Logger
}

type sessionAnswer struct {
	Success   bool   `json:"success"`
	Error     string `json:"error,omitempty"`
	Message   string `json:"message,omitempty"`
	SessionID string `json:"session_id,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	Timestamp int64  `json:"timestamp"` // ms since the epoch
}

// ServeHTTP implements http.Handler.
func (s *monitorSession) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	if r.Method == http.MethodOptions { // as the original: answered, not recorded
		w.WriteHeader(http.StatusNoContent)
		return
	}
	id := r.PathValue("id")
	answer := sessionAnswer{SessionID: id, Timestamp: now.UnixMilli()}
	if err := CheckSessionID(id); err != nil {
		answer.Error = holdfast.ErrorMessage(err)
		writeJSON(w, http.StatusBadRequest, answer)
		return
	}
	request, status, err := readRequest(w, r, now)
	if err != nil {
		answer.Error = holdfast.ErrorMessage(err)
		writeJSON(w, status, answer)
		return
	}
	if err := s.sessions.AddSessionRequest(r.Context(), id, request); err != nil {
		s.log.Warn("a monitor session could not record a request", zap.Error(err))
		answer.Error = "Failed to record the request"
		writeJSON(w, http.StatusServiceUnavailable, answer)
		return
	}
	answer.Success, answer.Message, answer.RequestID = true, "Webhook request captured for monitoring", request.ID
	writeJSON(w, http.StatusOK, answer)
}
