package rest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

// outcomeWait is how long a request waits for its registration to be proved; past it the answer says that it is pending.
const outcomeWait = 10 * time.Second

// defaultActor stands in the audit trail for callers that do not say who they are.
const defaultActor = "rest"

// shown is a webhook as the API shows it: the fields of the original in its order, then what Holdfast adds.
type shown struct {
	holdfast.Webhook

	HasSecret    bool                  `json:"has_secret"`
	HeaderNames  []string              `json:"header_names,omitempty"`
	State        holdfast.WebhookState `json:"state"`
	Registration *shownRegistration    `json:"registration,omitempty"`
}

// shownRegistration is how far the change that was asked for has come.
type shownRegistration struct {
	Status holdfast.RegistrationStatus `json:"status"`
	Reason string                      `json:"reason,omitempty"`
}

// show leaves out what must not be read back, unless the original's way is asked for (D49).
func (a *api) show(w *holdfast.Webhook) shown {
	out := shown{Webhook: *w, HasSecret: w.Secret != "", State: w.State(), HeaderNames: slices.Sorted(maps.Keys(w.Headers))}
	out.TakeCredentials()
	if a.ShowSecrets {
		out.Secret, out.Headers = w.Secret, w.Headers
	}
	return out
}

// list answers the newest first, as server.Webhooks does.
func (a *api) list(r *http.Request) (answer, error) {
	all, err := a.Webhooks.List(r.Context())
	if err != nil {
		return answer{}, err
	}
	data := make([]shown, len(all))
	for i, w := range all {
		data[i] = a.show(w)
	}
	return ok(map[string]any{"data": data, "count": len(data)})
}

func (a *api) get(r *http.Request) (answer, error) {
	w, err := a.Webhooks.Webhook(r.Context(), r.PathValue("id"))
	if err != nil {
		return answer{}, ofWebhook(err)
	}
	return ok(map[string]any{"data": a.show(w)})
}

func ofWebhook(err error) error { return notFound(err, "Webhook not found") }

func (a *api) register(r *http.Request) (answer, error) {
	body, err := bodyOf(r)
	if err != nil {
		return answer{}, err
	}
	if isNull(body["active"]) { // as if it were not there (CONTRACT 1.3)
		delete(body, "active")
	}
	w, fields, violations := inputOf(body, a.RetryPolicy)
	switch {
	case !slices.Contains(fields, "url") || string(body["url"]) == `""` || isNull(body["url"]):
		return answer{}, badRequest("URL is required")
	case len(w.Events) == 0:
		return answer{}, badRequest("Events array is required and must not be empty")
	case !parseable(w.URL):
		return answer{}, badRequest("Invalid URL format")
	}
	w.Active = w.Active || !slices.Contains(fields, "active")
	if !slices.Contains(fields, "retryPolicy") {
		w.RetryConfig = a.RetryPolicy
	}
	if violations == nil {
		violations = w.Violations()
	}
	key := r.Header.Get("Idempotency-Key")
	if len(key) > holdfast.MaxIdempotencyKey {
		violations = append(violations, holdfast.Violation{
			Field: "Idempotency-Key", Description: fmt.Sprintf("must not be longer than %d bytes", holdfast.MaxIdempotencyKey),
		})
	}
	if err := holdfast.Invalid(violations); err != nil {
		return answer{}, err
	}
	got, err := a.Registrations.Register(r.Context(), server.RegisterRequest{
		Webhook: w, IdempotencyKey: key, Actor: server.Actor(r.Header, defaultActor), Wait: outcomeWait,
	})
	if err != nil {
		return answer{}, err
	}
	out, err := a.outcome(&got)
	if err != nil {
		return answer{}, err
	}
	return created(out)
}

// outcome is a webhook after a change, with a secret that this change has made. One that was put back is an error.
func (a *api) outcome(got *server.RegisterResult) (shown, error) {
	if got.Registration.Status == holdfast.RegistrationFailed {
		return shown{}, &refusal{http.StatusBadGateway, "The webhook was not registered: " + got.Registration.Reason, nil}
	}
	out := a.show(&got.Webhook)
	out.Registration = &shownRegistration{got.Registration.Status, got.Registration.Reason}
	if got.Secret != "" {
		out.Secret = got.Secret
	}
	return out, nil
}

// change takes the fields that are given and leaves the others, and what no caller may write (D30), as they are.
func (a *api) change(r *http.Request) (answer, error) {
	body, err := bodyOf(r)
	if err != nil {
		return answer{}, err
	}
	w, fields, violations := inputOf(body, a.RetryPolicy)
	if slices.Contains(fields, "url") && w.URL != "" && !parseable(w.URL) {
		return answer{}, badRequest("Invalid URL format")
	}
	if violations == nil {
		violations = slices.DeleteFunc(w.Violations(), func(v holdfast.Violation) bool {
			return !slices.ContainsFunc(fields, func(f string) bool { return strings.HasPrefix(v.Field, f) })
		})
	}
	if err := holdfast.Invalid(violations); err != nil {
		return answer{}, err
	}
	if len(fields) == 0 {
		return a.get(r)
	}
	got, err := a.Registrations.Change(r.Context(), server.ChangeRequest{Requested: requested(r), Fields: fields, Webhook: w})
	if err != nil {
		return answer{}, ofWebhook(err)
	}
	out, err := a.outcome(&got)
	if err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"data": out})
}

func requested(r *http.Request) server.Requested {
	return server.Requested{
		ID: r.PathValue("id"), RequestID: r.Header.Get("Idempotency-Key"), Actor: server.Actor(r.Header, defaultActor), Wait: outcomeWait,
	}
}

func (a *api) remove(r *http.Request) (answer, error) {
	got, err := a.Registrations.Delete(r.Context(), requested(r))
	switch {
	case err != nil:
		return answer{}, ofWebhook(err)
	case got.Status == holdfast.RegistrationFailed:
		return answer{}, &refusal{http.StatusBadGateway, "The webhook was not deleted: " + got.Reason, nil}
	case got.Status == holdfast.RegistrationPending:
		return answer{http.StatusAccepted, map[string]any{"message": "The webhook is being deleted"}}, nil
	}
	return ok(map[string]any{"message": "Webhook deleted successfully"})
}

func (a *api) reconnect(r *http.Request) (answer, error) {
	got, err := a.Registrations.Reconnect(r.Context(), server.SwitchRequest{Requested: requested(r)})
	if err != nil {
		return answer{}, ofWebhook(err)
	}
	if _, err := a.outcome(&got); err != nil {
		return answer{}, err
	}
	return ok(map[string]any{"message": "Webhook " + r.PathValue("id") + " reconnected successfully"})
}

// testTimeout bounds a test of all of a webhook's events.
const testTimeout = 30 * time.Second

// testResult is what came of one test event, which the original kept to itself (D35).
type testResult struct {
	EventType      string  `json:"event_type"`
	EventID        string  `json:"event_id"`
	Success        bool    `json:"success"`
	ResponseStatus int     `json:"response_status,omitempty"`
	ErrorMessage   string  `json:"error_message,omitempty"`
	DurationMS     float64 `json:"response_time_ms"`
}

// test succeeds whatever the endpoint answers, as the original's did; the results tell.
func (a *api) test(r *http.Request) (answer, error) {
	sent, err := a.Tests.Test(r.Context(), r.PathValue("id"), nil, testTimeout)
	if err != nil {
		return answer{}, ofWebhook(err)
	}
	results := make([]testResult, len(sent))
	for i, s := range sent {
		results[i] = testResult{
			s.Event.Type, s.Event.ID, s.Attempt.Success, s.Attempt.ResponseStatus, s.Attempt.ErrorMessage, s.Attempt.DurationMS,
		}
	}
	return ok(map[string]any{"message": "Test webhook sent successfully", "data": results})
}
