package standin

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"
)

// form is the body of a write. A nil field was not sent.
type form struct {
	ID           *string   `json:"id"`
	URL          *string   `json:"url"`
	Events       *[]string `json:"events"`
	Active       *bool     `json:"active"`
	Source       string    `json:"source"`
	RegisteredAt string    `json:"registered_at"`
}

// problem names the first thing wrong with the fields that were sent.
func (f *form) problem() string {
	if f.URL != nil {
		u, err := url.Parse(*f.URL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "url must be an absolute http or https URL"
		}
	}
	if f.Events != nil && (len(*f.Events) == 0 || slices.Contains(*f.Events, "")) {
		return "events must be a non-empty list of names"
	}
	return ""
}

// register is POST /webhooks.
func (s *Server) register(r *http.Request, body []byte, f Faults) reply {
	var in form
	if !decodeObject(body, &in) {
		return failed(http.StatusBadRequest, "Invalid JSON")
	}
	switch {
	case f.Reject != "":
		return failed(http.StatusUnprocessableEntity, f.Reject)
	case in.ID == nil || *in.ID == "" || in.URL == nil || in.Events == nil || in.Active == nil:
		return failed(http.StatusUnprocessableEntity, "id, url, events and active are required")
	case in.problem() != "":
		return failed(http.StatusUnprocessableEntity, in.problem())
	}
	out := receipt{ID: *in.ID, Status: "registered", RegisteredAt: cmp.Or(in.RegisteredAt, time.Now().UTC().Format(time.RFC3339Nano))}
	answer := reply{status: http.StatusCreated, data: out}
	key := r.Header.Get("Idempotency-Key")
	err := s.store.update(func(c *content) (string, bool) {
		if earlier, repeated := c.Receipts[key]; repeated && key != "" {
			answer = reply{status: http.StatusOK, data: earlier}
			return "", false
		}
		if _, exists := c.Webhooks[out.ID]; exists {
			answer = failed(http.StatusConflict, "Webhook already exists")
			return "", false
		}
		if f.Forget {
			return "", false
		}
		c.Webhooks[out.ID] = Webhook{
			ID: out.ID, URL: *in.URL, Events: *in.Events, Active: *in.Active,
			Status: out.Status, Source: in.Source, RegisteredAt: out.RegisteredAt,
		}
		if key != "" {
			c.Receipts[key] = out
		}
		return out.ID, true
	})
	return s.durable(err, answer)
}

// changeWebhook is PUT /webhooks/{id} with the fields that change.
func (s *Server) changeWebhook(r *http.Request, body []byte, f Faults) reply {
	var in form
	if !decodeObject(body, &in) {
		return failed(http.StatusBadRequest, "Invalid JSON")
	}
	id := r.PathValue("id")
	switch {
	case f.Reject != "":
		return failed(http.StatusUnprocessableEntity, f.Reject)
	case in.ID != nil && *in.ID != id:
		return failed(http.StatusUnprocessableEntity, "id cannot be changed")
	case in.URL == nil && in.Events == nil && in.Active == nil:
		return failed(http.StatusUnprocessableEntity, "url, events or active is required")
	case in.problem() != "":
		return failed(http.StatusUnprocessableEntity, in.problem())
	}
	var answer reply
	err := s.store.update(func(c *content) (string, bool) {
		w, ok := c.Webhooks[id]
		if !ok {
			answer = failed(http.StatusNotFound, "Webhook not found")
			return "", false
		}
		if in.URL != nil {
			w.URL = *in.URL
		}
		if in.Events != nil {
			w.Events = *in.Events
		}
		if in.Active != nil {
			w.Active = *in.Active
		}
		answer = reply{status: http.StatusOK, data: w}
		c.Webhooks[id] = w
		return id, !f.Forget
	})
	return s.durable(err, answer)
}

// deleteWebhook is DELETE /webhooks/{id}. The receipts go too, so that the id can be registered again.
func (s *Server) deleteWebhook(r *http.Request, _ []byte, _ Faults) reply {
	id := r.PathValue("id")
	answer := reply{status: http.StatusNoContent}
	err := s.store.update(func(c *content) (string, bool) {
		if _, ok := c.Webhooks[id]; !ok {
			answer = failed(http.StatusNotFound, "Webhook not found")
			return "", false
		}
		delete(c.Webhooks, id)
		for key, earlier := range c.Receipts {
			if earlier.ID == id {
				delete(c.Receipts, key)
			}
		}
		return id, true
	})
	return s.durable(err, answer)
}

func (s *Server) getWebhook(r *http.Request, _ []byte, _ Faults) reply {
	w, ok := s.store.webhook(r.PathValue("id"), s.faults.staleRead())
	if !ok {
		return failed(http.StatusNotFound, "Webhook not found")
	}
	return reply{status: http.StatusOK, data: w}
}

func (s *Server) listWebhooks(*http.Request, []byte, Faults) reply {
	return reply{status: http.StatusOK, data: s.store.webhooks(s.faults.staleRead())}
}

// getJob is GET /jobs/{id}, where the outputs of a workflow are (CONTRACT 7.2).
func (s *Server) getJob(r *http.Request, _ []byte, _ Faults) reply {
	job, ok := s.store.job(r.PathValue("id"))
	if !ok {
		return failed(http.StatusNotFound, "Job not found")
	}
	return reply{status: http.StatusOK, data: job}
}

// putJob seeds a job: the body is what GET /jobs/{id} answers as data. The platform has no such route.
func (s *Server) putJob(r *http.Request, body []byte, _ Faults) reply {
	var job json.RawMessage
	if !decodeObject(body, &job) {
		return failed(http.StatusBadRequest, "Invalid JSON")
	}
	err := s.store.update(func(c *content) (string, bool) {
		c.Jobs[r.PathValue("id")] = job
		return "", true
	})
	return s.durable(err, reply{status: http.StatusOK, data: job})
}

// durable answers only when the data file was written.
func (s *Server) durable(err error, answer reply) reply {
	if err != nil {
		s.log.Error("EMPROPS stand-in cannot keep its data", zap.Error(err))
		return failed(http.StatusInternalServerError, "Internal server error")
	}
	return answer
}
