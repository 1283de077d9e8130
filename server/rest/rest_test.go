package rest_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
	"github.com/emprops/holdfast/server/rest"
)

// backend is what the API calls. A method that is not overridden is not to be called.
type backend struct {
	server.Registrations
	server.Webhooks
	server.DeliveryControl
	server.Operations

	hooks      []*holdfast.Webhook
	registered server.RegisterRequest
	changed    server.ChangeRequest
	status     holdfast.RegistrationStatus
	fail       error
	attempts   []holdfast.Attempt
}

func (b *backend) Register(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
	b.registered = r
	w := r.Webhook
	w.ID, w.CreatedAt = "wh_1_x", 1
	result := server.RegisterResult{Webhook: w, Registration: holdfast.Registration{Status: b.status, Reason: "no"}}
	if w.Secret == "" {
		result.Secret = "whsec_made"
	}
	return result, b.fail
}

func (b *backend) Change(_ context.Context, r server.ChangeRequest) (server.RegisterResult, error) {
	b.changed = r
	w := *b.hooks[0]
	return server.RegisterResult{Webhook: w, Registration: holdfast.Registration{Status: b.status}}, b.fail
}

func (b *backend) Delete(context.Context, server.Requested) (holdfast.Registration, error) {
	return holdfast.Registration{Status: b.status, Reason: "no"}, b.fail
}

func (b *backend) Webhook(_ context.Context, id string) (*holdfast.Webhook, error) {
	for _, w := range b.hooks {
		if w.ID == id && b.fail == nil {
			return w, nil
		}
	}
	if b.fail != nil {
		return nil, b.fail
	}
	return nil, holdfast.Errorf(holdfast.CodeNotFound, "there is no webhook %q", id)
}

func (b *backend) List(context.Context) ([]*holdfast.Webhook, error) { return b.hooks, b.fail }

func (b *backend) Overview(context.Context) (server.Overview, error) {
	return server.Overview{
		Webhooks:   map[holdfast.WebhookState]int{holdfast.WebhookActive: 2, holdfast.WebhookDisconnected: 1},
		Deliveries: map[holdfast.DeliveryState]int64{holdfast.DeliveryRetrying: 3, holdfast.DeliveryHeld: 4},
		Totals:     server.StatsBucket{Attempts: 8, SuccessfulAttempts: 6, FailedAttempts: 2, AverageResponseMS: 12.5},
	}, b.fail
}

func (b *backend) SeriesOverAll(context.Context, server.SeriesStep) ([]server.StatsBucket, error) {
	return []server.StatsBucket{{Start: 0, Attempts: 100}, {Start: time.Now().UnixMilli(), Attempts: 5, SuccessfulAttempts: 4, FailedAttempts: 1}}, nil
}

func (b *backend) Attempts(_ context.Context, _ string, limit int) ([]holdfast.Attempt, error) {
	return b.attempts[:min(limit, len(b.attempts))], b.fail
}

func (b *backend) Log(context.Context, int) ([]holdfast.LogEntry, error) { return nil, b.fail }

func setup(t *testing.T, b *backend, options ...func(*rest.Options)) *httptest.Server {
	t.Helper()
	if b.status == "" {
		b.status = holdfast.RegistrationConfirmed
	}
	var o rest.Options
	for _, option := range options {
		option(&o)
	}
	srv := httptest.NewServer(server.LenientPaths(rest.New(rest.Deps{
		Registrations: b, Webhooks: b, Control: b, Operations: b, History: b,
		Ingress: func() rest.IngressCounts { return rest.IngressCounts{Received: 9, Processed: 7, Skipped: 1, Failed: 1} },
	}, o)))
	t.Cleanup(srv.Close)
	return srv
}

// call sends a request, and reads the answer's envelope.
func call(t *testing.T, srv *httptest.Server, method, path, contentType, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "application/json; charset=utf-8", res.Header.Get("Content-Type"))
	var got map[string]any
	require.NoError(t, json.Unmarshal(raw, &got), "%s", raw)
	require.Equal(t, res.StatusCode < 300, got["success"], "%s", raw)
	return res.StatusCode, got
}

const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"

func hook() *holdfast.Webhook {
	return &holdfast.Webhook{
		ID: "wh_1_x", URL: "https://a.example", Events: []string{"job_failed"}, Active: true, Secret: "s3cr3t",
		Headers: map[string]string{"X-Key": "value"}, Authorization: "Bearer t", RetryConfig: holdfast.DefaultRetryPolicy(),
	}
}

// The original's requests register what they say, in JSON and as a form, and what it dropped at registration is taken (D57).
func TestD57_RegistrationTakesWhatTheOriginalsClientsSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ kind, body string }{
		"json": {asJSON, `{"url":"https://a.example/x","events":["job_failed"],"active":null,"filters":{"job_types":["t"],"priorities":["5"]},
			"retry_config":{"max_attempts":7},"headers":{"X-A":"b"},"static":true,"secret":"s","created_at":5,"unknown":1}`},
		"form": {asForm, "url=https%3A%2F%2Fa.example%2Fx&events[]=job_failed&filters[job_types][]=t&filters[priorities][]=5&retry_config[max_attempts]=7&headers[X-A]=b&static=true&secret=s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &backend{}
			status, got := call(t, setup(t, b), http.MethodPost, "/webhooks", c.kind, c.body)
			require.Equal(t, http.StatusCreated, status, got)
			policy := holdfast.DefaultRetryPolicy()
			policy.MaxAttempts = 7
			require.Equal(t, holdfast.Webhook{
				URL: "https://a.example/x", Events: []string{"job_failed"}, Active: true, Static: true, Secret: "s",
				Headers: map[string]string{"X-A": "b"}, Filters: holdfast.Filters{JobTypes: []string{"t"}, Priorities: []float64{5}},
				RetryConfig: policy,
			}, b.registered.Webhook)
			data := got["data"].(map[string]any)
			require.Equal(t, "wh_1_x", data["id"])
			require.Equal(t, map[string]any{"status": "confirmed", "reason": "no"}, data["registration"])
			require.NotContains(t, data, "secret", "known to the caller")
		})
	}
}

// What is wrong is refused before anything is written, with the original's texts where it has them.
func TestD60_WhatIsWrongIsTheCallersMistake(t *testing.T) {
	t.Parallel()
	b := &backend{}
	srv := setup(t, b)
	for body, want := range map[string]string{
		`{}`:                                 "URL is required",
		`{"url":"","events":["job_failed"]}`: "URL is required",
		`{"url":"https://a.example"}`:        "Events array is required and must not be empty",
		`{"url":"https://a.example","events":[]}`:                                                   "Events array is required and must not be empty",
		`{"url":"https://a.example","events":"x"}`:                                                  "Events array is required and must not be empty",
		`{"url":"nothing","events":["job_failed"]}`:                                                 "Invalid URL format",
		`{"url":7,"events":["job_failed"]}`:                                                         "Invalid URL format",
		`{"url":"https://a.example","events":["bogus"]}`:                                            `events[0] "bogus" is not an event type`,
		`{"url":"https://a.example","events":["job_failed"],"active":"no"}`:                         "active must be true or false",
		`{"url":"https://a.example","events":["job_failed"],"retry_config":{"max_attempts":0}}`:     "retry_config.max_attempts",
		`{"url":"https://a.example","events":["job_failed"],"filters":{"job_types":5}}`:             "filters must be an object",
		`{"url":"https://a.example","events":["job_failed"],"headers":{"X-Webhook-Signature":"x"}}`: "headers",
		`{"url":`: "not valid JSON",
		`null`:    "must be a JSON object",
		`"x"`:     "must be a JSON object",
		`[1]`:     "must be a JSON object",
	} {
		status, got := call(t, srv, http.MethodPost, "/webhooks", asJSON, body)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, got["error"], want, body)
	}
	status, _ := call(t, srv, http.MethodPost, "/webhooks", asJSON, `{"url":"`+strings.Repeat("x", 11<<20)+`"}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	status, _ = call(t, srv, http.MethodPost, "/webhooks", asForm, "a[b]=1&a=2")
	require.Equal(t, http.StatusBadRequest, status)
	require.Empty(t, b.registered.Webhook.URL, "nothing has been registered")
}

// A change names what is given and nothing else, and what no caller may write stays (D30, D48).
func TestD30_ChangeTouchesWhatIsGivenOnly(t *testing.T) {
	t.Parallel()
	b := &backend{hooks: []*holdfast.Webhook{hook()}}
	srv := setup(t, b)
	status, got := call(t, srv, http.MethodPut, "/webhooks/wh_1_x", asJSON,
		`{"id":"other","created_at":1,"consecutive_failures":0,"disconnected":false,"active":false,"secret":null,"retry_config":{"max_attempts":2}}`)
	require.Equal(t, http.StatusOK, status, got)
	require.Equal(t, "wh_1_x", b.changed.ID)
	require.Equal(t, []string{"active", "secret", "retryPolicy"}, b.changed.Fields)
	policy := holdfast.DefaultRetryPolicy()
	policy.MaxAttempts = 2
	require.Equal(t, holdfast.Webhook{RetryConfig: policy}, b.changed.Webhook)

	b.changed = server.ChangeRequest{}
	for body, want := range map[string]string{
		`{"url":"nothing"}`: "Invalid URL format", `{"url":""}`: "url ", `{"events":null}`: "events must name", `{"events":["job_failed","x"]}`: "events[1]",
	} {
		status, got = call(t, srv, http.MethodPut, "/webhooks/wh_1_x", asJSON, body)
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, got["error"], want)
	}
	status, _ = call(t, srv, http.MethodPut, "/webhooks/wh_1_x", asJSON, `{"unknown":1}`)
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, b.changed.Fields)
}

// No secret comes back, unless the original's way is asked for.
func TestD49_SecretsAreNotReadBack(t *testing.T) {
	t.Parallel()
	b := &backend{hooks: []*holdfast.Webhook{hook()}}
	for _, path := range []string{"/webhooks", "/webhooks/wh_1_x"} {
		_, got := call(t, setup(t, b), http.MethodGet, path, "", "")
		text, err := json.Marshal(got)
		require.NoError(t, err)
		require.NotContains(t, string(text), "s3cr3t")
		require.NotContains(t, string(text), "value")
		require.NotContains(t, string(text), "Bearer")
		require.Contains(t, string(text), `"has_secret":true`)
		require.Contains(t, string(text), `"header_names":["X-Key"]`)
		_, got = call(t, setup(t, b, func(o *rest.Options) { o.ShowSecrets = true }), http.MethodGet, path, "", "")
		text, err = json.Marshal(got)
		require.NoError(t, err)
		require.Contains(t, string(text), `"secret":"s3cr3t"`)
		require.Contains(t, string(text), `"headers":{"X-Key":"value"}`)
		require.NotContains(t, string(text), "Bearer")
	}
	_, got := call(t, setup(t, b), http.MethodPost, "/webhooks", asJSON, `{"url":"https://a.example","events":["job_failed"]}`)
	require.Equal(t, "whsec_made", got["data"].(map[string]any)["secret"], "told once, when it is made")
	require.Equal(t, "s3cr3t", b.hooks[0].Secret, "what is shown is a copy")
}

// A failure of the storage is neither an empty list nor a webhook that does not exist (D9).
func TestD09_StorageFailureIsNotNothing(t *testing.T) {
	t.Parallel()
	b := &backend{fail: holdfast.Errorf(holdfast.CodeUnavailable, "the storage is away")}
	srv := setup(t, b)
	for _, path := range []string{
		"/webhooks", "/webhooks/wh_1_x", "/webhooks/wh_1_x/deliveries", "/deliveries/recent", "/stats/summary",
	} {
		status, got := call(t, srv, http.MethodGet, path, "", "")
		require.Equal(t, http.StatusServiceUnavailable, status, path)
		require.Equal(t, "the storage is away", got["message"])
	}
	b.fail = holdfast.Wrap(holdfast.CodeInternal, io.ErrUnexpectedEOF, "something broke")
	status, got := call(t, srv, http.MethodGet, "/webhooks", "", "")
	require.Equal(t, http.StatusInternalServerError, status)
	require.Equal(t, "Internal server error", got["error"])
	require.NotContains(t, got["message"], "EOF")
}

// A registration or deletion that was put back is no success, and one that goes on says so.
func TestD11_AnswerIsTheOutcome(t *testing.T) {
	t.Parallel()
	b := &backend{hooks: []*holdfast.Webhook{hook()}}
	srv := setup(t, b)
	const body = `{"url":"https://a.example","events":["job_failed"]}`
	b.status = holdfast.RegistrationFailed
	status, got := call(t, srv, http.MethodPost, "/webhooks", asJSON, body)
	require.Equal(t, http.StatusBadGateway, status)
	require.Equal(t, "The webhook was not registered: no", got["error"])
	status, _ = call(t, srv, http.MethodDelete, "/webhooks/wh_1_x", "", "")
	require.Equal(t, http.StatusBadGateway, status)
	b.status = holdfast.RegistrationPending
	status, got = call(t, srv, http.MethodPost, "/webhooks", asJSON, body)
	require.Equal(t, http.StatusCreated, status)
	require.Equal(t, "pending", got["data"].(map[string]any)["registration"].(map[string]any)["status"])
	status, _ = call(t, srv, http.MethodDelete, "/webhooks/wh_1_x", "", "")
	require.Equal(t, http.StatusAccepted, status)
	b.status = holdfast.RegistrationConfirmed
	status, got = call(t, srv, http.MethodDelete, "/webhooks/wh_1_x", "", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "Webhook deleted successfully", got["message"])
}

// The summary's numbers are those of what happened, today's among them (D40, D41).
func TestD40_SummaryIsTrue(t *testing.T) {
	t.Parallel()
	_, got := call(t, setup(t, &backend{}), http.MethodGet, "/stats/summary", "", "")
	require.Equal(t, map[string]any{
		"delivery_stats": map[string]any{
			"total_deliveries": 8.0, "successful_deliveries": 6.0, "failed_deliveries": 2.0, "retry_queue_size": 3.0,
			"pending_deliveries": 0.0, "held_deliveries": 4.0, "success_rate": 75.0, "avg_response_time_ms": 12.5,
		},
		"webhook_summary": map[string]any{
			"total_webhooks": 3.0, "active_webhooks": 2.0, "disconnected_webhooks": 1.0, "total_deliveries_today": 5.0,
			"successful_deliveries_today": 4.0, "failed_deliveries_today": 1.0,
		},
		"event_processing": map[string]any{"totalEvents": 9.0, "processedEvents": 7.0, "skippedEvents": 1.0, "failedEvents": 1.0},
	}, got["data"])
}

// Limits are read as leniently as by the original, within what is kept.
func TestLimitsAreLenient(t *testing.T) {
	t.Parallel()
	b := &backend{hooks: []*holdfast.Webhook{hook()}, attempts: make([]holdfast.Attempt, 80)}
	srv := setup(t, b)
	for limit, want := range map[string]float64{
		"": 50, "3": 3, "3abc": 3, "2.9": 2, "0": 50, "x": 50, "-5": 50, "99999999999999999999": 100,
	} {
		_, got := call(t, srv, http.MethodGet, "/webhooks/wh_1_x/deliveries?limit="+limit, "", "")
		require.InDelta(t, want, got["limit"], 0, limit)
		data := got["data"].(map[string]any)
		require.InDelta(t, 80, data["total_count"], 0)
		require.Len(t, data["attempts"], int(min(want, 80)))
	}
}

// Routes are found as the original found them, ids keep their case, and what is not one has the original's answer.
func TestRoutesAreFoundWhateverTheirCase(t *testing.T) {
	t.Parallel()
	w := hook()
	w.ID = "wh_1_Test"
	srv := setup(t, &backend{hooks: []*holdfast.Webhook{w}})
	for _, path := range []string{"/WebHooks/wh_1_Test", "/webhooks/wh_1_Test/", "/Webhooks/wh_1_Test/Deliveries/"} {
		status, _ := call(t, srv, http.MethodGet, path, "", "")
		require.Equal(t, http.StatusOK, status, path)
	}
	for _, c := range [][2]string{{http.MethodPatch, "/webhooks/wh_1_Test"}, {http.MethodGet, "/"}, {http.MethodGet, "/nothing?x=1"}, {http.MethodPost, "/stats/summary"}} {
		status, got := call(t, srv, c[0], c[1], "", "")
		require.Equal(t, http.StatusNotFound, status, c)
		require.Equal(t, "Endpoint not found", got["error"])
		require.Equal(t, c[1], got["path"])
		require.Contains(t, got, "timestamp")
	}
	status, got := call(t, srv, http.MethodGet, "/webhooks/wh_other", "", "")
	require.Equal(t, http.StatusNotFound, status)
	require.Equal(t, "Webhook not found", got["error"])
}
