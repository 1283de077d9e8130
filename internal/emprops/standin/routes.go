package standin

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

const maxBodyBytes = 1 << 20

// handler answers one request of the platform; body is what it carried.
type handler func(r *http.Request, body []byte, f Faults) reply

// routes maps the platform's routes.
func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"POST /webhooks":        s.register,
		"GET /webhooks":         s.listWebhooks,
		"GET /webhooks/{id}":    s.getWebhook,
		"PUT /webhooks/{id}":    s.changeWebhook,
		"DELETE /webhooks/{id}": s.deleteWebhook,
		"GET /jobs/{id}":        s.getJob,
		"PUT /jobs/{id}":        s.putJob,
		"GET /health":           health,
	} {
		mux.Handle(pattern, h)
	}
	return mux
}

// exchange carries a request through the mux to its handler and the reply back.
type exchange struct {
	http.ResponseWriter
	body   []byte
	faults Faults
	reply  reply
}

// ServeHTTP implements http.Handler on top of an exchange.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x, ok := w.(*exchange); ok {
		x.reply = h(r, x.body, x.faults)
	}
}

// platform answers as EMPROPS: faults first, then the key, then the route; the answer last, perhaps late.
func (s *Server) platform(w http.ResponseWriter, r *http.Request) {
	entry := Request{
		Time: time.Now().UTC(), Method: r.Method, Path: r.URL.Path, IdempotencyKey: r.Header.Get("Idempotency-Key"),
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBodyBytes+1))
	entry.Body = journalBody(body)
	answer := failed(http.StatusBadRequest, "the request body could not be read")
	if err == nil {
		answer = s.answer(r, body)
	}
	if r.Context().Err() == nil {
		entry.Status = answer.status
	}
	s.journal.add(entry)
	s.log.Debug("EMPROPS stand-in answered", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Int("status", entry.Status))
	answer.write(w)
}

func (s *Server) answer(r *http.Request, body []byte) reply {
	f, fail, err := s.faults.admit(r.Context())
	if err != nil {
		return failed(http.StatusServiceUnavailable, "the request was given up")
	}
	answer := s.healthy(r, body, f, fail)
	delay(r.Context(), f.DelayMS)
	return answer
}

func (s *Server) healthy(r *http.Request, body []byte, f Faults, fail bool) reply {
	switch {
	case fail:
		return failed(http.StatusInternalServerError, "Internal server error")
	case f.Down:
		return failed(http.StatusServiceUnavailable, "Service unavailable")
	case len(body) > maxBodyBytes:
		return failed(http.StatusRequestEntityTooLarge, "Request body too large")
	}
	found, pattern := s.mux.Handler(r)
	if _, ours := found.(handler); !ours { // the mux's own answers: no such route, or a redirect to a cleaner path
		return failed(http.StatusNotFound, "Not found")
	}
	if pattern != "GET /health" && !s.authorized(r) {
		return failed(http.StatusUnauthorized, "Invalid API key")
	}
	x := &exchange{body: body, faults: f}
	s.mux.ServeHTTP(x, r)
	return x.reply
}

// authorized compares in constant time, as a server that guards something would.
func (s *Server) authorized(r *http.Request) bool {
	return s.options.APIKey == "" ||
		subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+s.options.APIKey)) == 1
}

func health(*http.Request, []byte, Faults) reply {
	return reply{status: http.StatusOK, data: map[string]string{"status": "ok"}}
}

// controlRoutes maps the stand-in's own routes.
func (s *Server) controlRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_standin/faults", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Faults())
	})
	mux.HandleFunc("DELETE /_standin/faults", func(w http.ResponseWriter, _ *http.Request) {
		s.faults.set(Faults{})
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /_standin/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		if err := decodeStrict(http.MaxBytesReader(w, r.Body, maxBodyBytes), &f); err != nil {
			failed(http.StatusBadRequest, err.Error()).write(w)
			return
		}
		if err := s.SetFaults(f); err != nil {
			failed(http.StatusUnprocessableEntity, err.Error()).write(w)
			return
		}
		writeJSON(w, http.StatusOK, s.Faults())
	})
	mux.HandleFunc("GET /_standin/log", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Log())
	})
	mux.HandleFunc("GET /_standin/writes", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.store.writes())
	})
	return mux
}

// decodeStrict takes exactly one JSON value without unknown fields.
func decodeStrict(r io.Reader, v any) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return holdfast.Wrap(holdfast.CodeInvalid, err, "not a JSON object of faults")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return holdfast.Errorf(holdfast.CodeInvalid, "there is something after the JSON object of faults")
	}
	return nil
}

// decodeObject takes a JSON object with fields of any name, as the platform does.
func decodeObject(body []byte, v any) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) && json.Unmarshal(body, v) == nil
}
