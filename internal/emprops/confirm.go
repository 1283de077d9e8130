package emprops

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/emprops/holdfast"
)

// source is how EMPROPS tells our registrations from those of others (CONTRACT 7.5).
const source = "emp-webhook-service"

// registration is the body of POST /webhooks. Secrets and headers are left out on purpose: the platform has no use for
// them (CONTRACT 7.5).
type registration struct {
	ID           string   `json:"id"`
	URL          string   `json:"url"`
	Events       []string `json:"events"`
	Active       bool     `json:"active"`
	Source       string   `json:"source"`
	RegisteredAt string   `json:"registered_at"` // ISO 8601 with milliseconds, as all times of the platform
}

// change is the body of PUT /webhooks/{id}.
type change struct {
	URL    string   `json:"url"`
	Events []string `json:"events"`
	Active bool     `json:"active"`
}

// Confirm makes EMPROPS know the webhook as it is, and proves it by reading it back: nil means that a read which
// followed our write showed the same id, url, set of events and active. Repeating it is harmless.
//
// A webhook that EMPROPS knew already (409, or a 200 that may repeat an earlier answer) is written with PUT even when it
// looks right: otherwise a stale read could show an older state that happens to equal the wanted one.
//
// Errors: CodeRejected when EMPROPS definitely refuses; its text names EMPROPS' reason. CodeUnavailable for everything a
// repetition may cure: unreachable, timeouts, 5xx, 408, 425, 429 (with RetryAfter), a wrong key, a platform without
// webhook routes (ErrNoWebhookAPI in the chain), a read-back that misses the webhook or shows another state.
// CodePrecondition in mode off, since nothing can be confirmed then. CodeInvalid for a webhook without an id.
func (c *Client) Confirm(ctx context.Context, w *holdfast.Webhook) error {
	if c.mode == ModeOff {
		return holdfast.Errorf(holdfast.CodePrecondition, "EMPROPS mode is off; there is nothing to confirm with")
	}
	path, err := webhookPath(w.ID)
	if err != nil {
		return err
	}
	known, err := c.post(ctx, w)
	if err != nil {
		return err
	}
	if known {
		if err := c.put(ctx, path, w); err != nil {
			return err
		}
	}
	return c.compare(ctx, path, w)
}

// post registers the webhook; known tells that EMPROPS may have had it before, so that nothing was written now.
func (c *Client) post(ctx context.Context, w *holdfast.Webhook) (known bool, err error) {
	a, err := c.call(ctx, http.MethodPost, "/webhooks", w.ID, registration{
		ID: w.ID, URL: w.URL, Events: events(w), Active: w.Active, Source: source,
		RegisteredAt: time.UnixMilli(w.CreatedAt).UTC().Format("2006-01-02T15:04:05.000Z"),
	})
	switch {
	case err != nil:
		return false, err
	case a.status == http.StatusCreated:
		return false, nil
	case a.ok() || a.status == http.StatusConflict:
		return true, nil
	case a.status == http.StatusNotFound:
		return false, holdfast.Wrap(holdfast.CodeUnavailable, ErrNoWebhookAPI,
			"EMPROPS POST /webhooks: this EMPROPS has no webhook API (HTTP 404)")
	}
	return false, a.failure()
}

// put writes the webhook's present state. A platform without that route is no failure here: the read-back decides.
func (c *Client) put(ctx context.Context, path string, w *holdfast.Webhook) error {
	a, err := c.call(ctx, http.MethodPut, path, "", change{URL: w.URL, Events: events(w), Active: w.Active})
	if err != nil || a.ok() {
		return err
	}
	switch a.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return nil
	}
	return a.failure()
}

func (c *Client) compare(ctx context.Context, path string, w *holdfast.Webhook) error {
	a, err := c.call(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if a.status == http.StatusNotFound {
		return holdfast.Errorf(holdfast.CodeUnavailable, "EMPROPS accepted but does not know the webhook %s", w.ID)
	}
	different, err := a.differences(w)
	if err == nil && len(different) > 0 {
		err = holdfast.Errorf(holdfast.CodeUnavailable, "EMPROPS shows another state of the webhook %s: %v differ from what was written", w.ID, different)
	}
	return err
}

// Shows reads the webhook and tells whether EMPROPS knows it as it is; otherwise detail says what is wrong. In mode off
// there is nobody to know it otherwise. The error is CodeUnavailable when EMPROPS did not say, CodeInvalid for a webhook
// without an id.
func (c *Client) Shows(ctx context.Context, w *holdfast.Webhook) (same bool, detail string, err error) {
	if c.mode == ModeOff {
		return true, "", nil
	}
	path, err := webhookPath(w.ID)
	if err != nil {
		return false, "", err
	}
	a, err := c.call(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return false, "", err
	}
	if a.status == http.StatusNotFound {
		return false, "not known", nil
	}
	different, err := a.differences(w)
	if err != nil || len(different) == 0 {
		return err == nil, "", err
	}
	return false, fmt.Sprintf("%v differ", different), nil
}

// differences names the fields in which the answer to a read differs from the webhook.
func (a *answer) differences(w *holdfast.Webhook) ([]string, error) {
	if !a.ok() {
		return nil, a.unavailable()
	}
	var got *struct {
		ID     string   `json:"id"`
		URL    string   `json:"url"`
		Events []string `json:"events"`
		Active *bool    `json:"active"`
	}
	switch err := json.Unmarshal(a.data, &got); {
	case a.data == nil:
		return nil, holdfast.Errorf(holdfast.CodeUnavailable, "EMPROPS accepted but shows no data for the webhook %s", w.ID)
	case err != nil:
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, err, "EMPROPS %s: the answer is not a webhook", a.operation)
	}
	var different []string
	for field, equal := range map[string]bool{
		"id": got.ID == w.ID, "url": got.URL == w.URL, "events": maps.Equal(set(got.Events), set(w.Events)),
		"active": got.Active != nil && *got.Active == w.Active,
	} {
		if !equal {
			different = append(different, field)
		}
	}
	slices.Sort(different)
	return different, nil
}

// events never gives null, which a validating server refuses.
func events(w *holdfast.Webhook) []string {
	if w.Events == nil {
		return []string{}
	}
	return w.Events
}

func set(names []string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}
