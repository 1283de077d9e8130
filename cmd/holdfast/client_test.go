package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/server"
)

// memory is what stands behind the real handlers: one place that keeps webhooks, in memory.
type memory struct {
	mu       sync.Mutex
	webhooks []*holdfast.Webhook
	revision int64
	status   holdfast.RegistrationStatus
	actors   []string
	waited   time.Duration
	report   holdfast.ConsistencyReport
	checks   int
	alerts   []holdfast.Alert
	tested   []string // event types
}

func (m *memory) Register(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.revision++
	w := r.Webhook
	w.ID, w.CreatedAt, w.Revision = "wh_"+strings.Repeat("1", len(m.webhooks)+1), int64(1000+len(m.webhooks)), m.revision
	made := ""
	if w.Secret == "" {
		w.Secret, made = "whsec_made", "whsec_made"
	}
	m.webhooks = append(m.webhooks, &w)
	return server.RegisterResult{Webhook: w, Secret: made, Registration: m.registration(&w, holdfast.OperationRegister, "")}, nil
}

func (m *memory) registration(w *holdfast.Webhook, operation, actor string) holdfast.Registration {
	return holdfast.Registration{
		WebhookID: w.ID, Operation: operation, Status: m.status, State: w.State(), Revision: w.Revision, CachesConfirmed: 1, CachesTotal: 1,
		Reason: map[bool]string{true: "emprops_rejected"}[m.status == holdfast.RegistrationFailed],
		Steps:  []holdfast.Step{{Operation: operation, Name: holdfast.StepWrite, Status: holdfast.StepDone, StartedAt: 1000, Attempts: 2, Actor: actor}},
	}
}

func (m *memory) on(r server.Requested, operation string, change func(w *holdfast.Webhook) error) (server.RegisterResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actors, m.waited = append(m.actors, r.Actor), r.Wait
	for i, w := range m.webhooks {
		switch {
		case w.ID != r.ID:
			continue
		case r.ExpectedRevision != 0 && r.ExpectedRevision != w.Revision:
			return server.RegisterResult{}, holdfast.Errorf(holdfast.CodeAborted, "the revision is %d", w.Revision)
		}
		changed := *w
		if err := change(&changed); err != nil {
			return server.RegisterResult{}, err
		}
		m.revision++
		changed.Revision = m.revision
		m.webhooks[i] = &changed
		return server.RegisterResult{Webhook: changed, Registration: m.registration(&changed, operation, r.Actor)}, nil
	}
	return server.RegisterResult{}, holdfast.Errorf(holdfast.CodeNotFound, "there is no webhook %s", r.ID)
}

func (m *memory) Change(_ context.Context, r server.ChangeRequest) (server.RegisterResult, error) {
	return m.on(r.Requested, holdfast.OperationChange, func(w *holdfast.Webhook) error {
		if err := activities.ApplyChange(w, &r.Webhook, r.Fields); err != nil {
			return err
		}
		return holdfast.Invalid(w.Violations())
	})
}

func (m *memory) RotateSecret(_ context.Context, r server.RotateRequest) (server.RegisterResult, error) {
	made := map[bool]string{true: "whsec_rotated"}[r.Secret == ""]
	result, err := m.on(r.Requested, holdfast.OperationRotate, func(w *holdfast.Webhook) error {
		w.RetiringSecrets = []holdfast.RetiringSecret{{Secret: w.Secret, Until: time.Now().Add(r.Overlap).UnixMilli()}}
		w.Secret = r.Secret + made
		return nil
	})
	result.Secret = made
	return result, err
}

func (m *memory) Disconnect(_ context.Context, r server.SwitchRequest) (server.RegisterResult, error) {
	return m.on(r.Requested, holdfast.OperationDisconnect, func(w *holdfast.Webhook) error {
		w.Disconnected, w.Disconnection = true, &holdfast.Disconnection{Cause: holdfast.DisconnectedByOperator, Reason: r.Reason, Since: 1000, Actor: r.Actor}
		return nil
	})
}

func (m *memory) Reconnect(_ context.Context, r server.SwitchRequest) (server.RegisterResult, error) {
	return m.on(r.Requested, holdfast.OperationReconnect, func(w *holdfast.Webhook) error {
		w.Disconnected, w.Disconnection = false, nil
		return nil
	})
}

func (m *memory) Delete(_ context.Context, r server.Requested) (holdfast.Registration, error) {
	result, err := m.on(r, holdfast.OperationDelete, func(*holdfast.Webhook) error { return nil })
	if err == nil {
		m.webhooks = nil
	}
	return result.Registration, err
}

func (m *memory) Registration(ctx context.Context, id string) (holdfast.Registration, error) {
	w, err := m.Webhook(ctx, id)
	if err != nil {
		return holdfast.Registration{}, err
	}
	return m.registration(w, holdfast.OperationRegister, "ada\x1b[31m"), nil
}

func (m *memory) Webhook(_ context.Context, id string) (*holdfast.Webhook, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.webhooks {
		if w.ID == id {
			return w, nil
		}
	}
	return nil, holdfast.Errorf(holdfast.CodeNotFound, "there is no webhook %s", id)
}

func (m *memory) List(context.Context) ([]*holdfast.Webhook, error) { return m.webhooks, nil }

func (m *memory) Stats(ctx context.Context, id string) (server.WebhookStats, error) {
	_, err := m.Webhook(ctx, id)
	return server.WebhookStats{Attempts: 3, SuccessfulAttempts: 2, FailedAttempts: 1, Delivered: 2, P95MS: 12.5}, err
}

func (m *memory) Series(_ context.Context, _ string, step server.SeriesStep) ([]server.StatsBucket, error) {
	width := map[server.SeriesStep]time.Duration{server.Hourly: time.Hour, server.Daily: 24 * time.Hour}[step].Milliseconds()
	return []server.StatsBucket{{Start: width}, {Start: 2 * width, Attempts: 5, SuccessfulAttempts: 3, FailedAttempts: 2, Delivered: 3, AverageResponseMS: 7.5}, {Start: 3 * width}}, nil
}

func (m *memory) SeriesOverAll(ctx context.Context, step server.SeriesStep) ([]server.StatsBucket, error) {
	return m.Series(ctx, "", step)
}

func (m *memory) Test(_ context.Context, id string, eventTypes []string, timeout time.Duration) ([]server.TestedEvent, error) {
	m.tested, m.waited = eventTypes, timeout
	if eventTypes[0] == "worker_status" {
		return nil, holdfast.Invalid([]holdfast.Violation{{Field: "eventTypes[0]", Description: "is not an event type that the webhook is subscribed to"}})
	}
	var tested []server.TestedEvent
	for _, eventType := range eventTypes {
		a := holdfast.Attempt{Success: true, ResponseStatus: 204, DurationMS: 1.5, Timestamp: 1000}
		if eventType == "job_failed" {
			a = holdfast.Attempt{ErrorClass: holdfast.ClassStatus, ErrorMessage: "HTTP 500", ResponseStatus: 500, ResponseBody: "\x1b[31m" + strings.Repeat("x", 100)}
		}
		tested = append(tested, server.TestedEvent{Event: &holdfast.Event{ID: "test_" + id, Type: eventType}, Payload: []byte("{}"), Attempt: a})
	}
	return tested, nil
}

func (m *memory) Overview(context.Context) (server.Overview, error) { return server.Overview{}, nil }

func (m *memory) ConsistencyReports(context.Context, int) ([]holdfast.ConsistencyReport, error) {
	if m.checks == 0 {
		return nil, nil
	}
	return []holdfast.ConsistencyReport{m.report}, nil
}

func (m *memory) CheckConsistency(_ context.Context, wait time.Duration) (holdfast.ConsistencyReport, error) {
	m.checks++
	m.waited = wait
	return m.report, nil
}

func (m *memory) Nodes(context.Context) ([]holdfast.NodeStatus, error) {
	return []holdfast.NodeStatus{{ID: "node-a", Address: "10.0.0.1:3332", Alive: true, Revision: 5, Digest: "d1", Webhooks: 4}}, nil
}

func (m *memory) Alerts(_ context.Context, resolved bool) ([]holdfast.Alert, error) {
	var alerts []holdfast.Alert
	for _, a := range m.alerts {
		if resolved || a.ResolvedAt == 0 {
			alerts = append(alerts, a)
		}
	}
	return alerts, nil
}

// session runs client commands against the real handlers.
type session struct {
	*memory
	t   *testing.T
	env []string
}

func newSession(t *testing.T) *session {
	t.Helper()
	m := &memory{status: holdfast.RegistrationConfirmed}
	s := httptest.NewServer(server.New(server.Deps{Registrations: m, Webhooks: m, Tests: m, Operations: m}, server.Options{}))
	t.Cleanup(s.Close)
	return &session{m, t, []string{"HOLDFAST_SERVER=" + s.URL, "USER=ada"}}
}

func (s *session) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errs bytes.Buffer
	code = run(s.t.Context(), args, program{&out, &errs, s.env})
	return code, out.String(), errs.String()
}

// ok requires that a command does what it should and returns what it prints.
func (s *session) ok(args ...string) string {
	s.t.Helper()
	code, stdout, stderr := s.run(args...)
	require.Equal(s.t, exitOK, code, stderr)
	require.Empty(s.t, stderr)
	return stdout
}

func TestWebhookCommands_theWholeLife(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("t0ken\n"), 0o600))
	text := s.ok("webhook", "register", "--url", "https://example.com/hook", "--event-type", "job_failed", "--event-type", "complete_job",
		"--description", "mine", "--static", "--job-type", "a,b", "--priority", "1.5", "--header", "X-Team: blue: green", "--bearer-token", "@"+file,
		"--format", "cloudevents", "--rate-limit", "2.5", "--ordering-key", "job_id", "--filter-expression", "true", "--signing-key", "new",
		"--retry-preset", "days", "--retry-max-attempts", "5", "--retry-initial-delay", "2m", "--no-retry-status", "404", "--handshake")
	require.Regexp(t, `(?m)^status +confirmed$`, text)
	require.Regexp(t, `(?m)^secret +whsec_made$`, text)
	w := s.webhooks[0]
	require.Equal(t, holdfast.Webhook{
		ID: "wh_1", CreatedAt: 1000, Revision: 1, URL: "https://example.com/hook", Events: []string{"job_failed", "complete_job"},
		Description: "mine", Static: true, Active: true, Secret: "whsec_made", SigningKey: w.SigningKey,
		Filters: holdfast.Filters{JobTypes: []string{"a,b"}, Priorities: []float64{1.5}},
		Headers: map[string]string{"X-Team": "blue: green"}, Authorization: "Bearer t0ken", Format: holdfast.FormatCloudEvents,
		RateLimit: 2.5, OrderingKey: "job_id", Filter: "true", Handshake: true,
		RetryConfig: holdfast.RetryPolicy{
			MaxAttempts: 5, InitialDelayMS: 120_000, BackoffMultiplier: 6, MaxDelayMS: 8 * 3600 * 1000, Jitter: 0.2, NoRetryStatuses: []int{404},
		},
	}, *w)

	require.Regexp(t, `(?m)^wh_1 +active +1 +0 +job_failed,complete_job +https://example.com/hook$`, s.ok("webhook", "list"))
	text = s.ok("webhook", "get", "wh_1")
	require.Regexp(t, `(?m)^public key +whpk_`, text)
	require.Regexp(t, `(?m)^retries +5 attempts, 2m0s × 6 up to 8h0m0s, jitter 0.2$`, text)
	require.NotContains(t, text, "t0ken")
	require.NotContains(t, text, "blue")

	s.ok("webhook", "update", "wh_1", "--active=false", "--retry-max-attempts", "6", "--clear", "description", "--clear", "filters.jobTypes",
		"--clear", "authorization", "--expected-revision", "1", "--wait", "3s")
	require.Equal(t, 3*time.Second, s.waited)
	require.Equal(t, []string{"ada"}, s.actors)
	want := *w
	want.Active, want.Description, want.Filters.JobTypes, want.Authorization, want.RetryConfig.MaxAttempts, want.Revision = false, "", nil, "", 6, 2
	require.Equal(t, want, *s.webhooks[0])
	s.ok("webhook", "update", "wh_1", "--active")

	text = s.ok("webhook", "disconnect", "wh_1", "--reason", "maintenance")
	require.Regexp(t, `(?m)^disconnected by +operator ada$`, text)
	require.Regexp(t, `(?m)^reason +maintenance$`, text)
	require.Regexp(t, `(?m)^wh_1 +disconnected`, s.ok("webhook", "list", "--state", "disconnected", "--event-type", "job_failed"))
	require.NotContains(t, s.ok("webhook", "list", "--state", "active"), "wh_1")
	require.Regexp(t, `(?m)^state +active$`, s.ok("webhook", "reconnect", "wh_1"))

	text = s.ok("webhook", "rotate-secret", "wh_1", "--overlap", "1h")
	require.Regexp(t, `(?m)^secret +whsec_rotated$`, text)
	require.Regexp(t, `(?m)^signed +yes, and with 1 secret`, text)
	require.NotContains(t, s.ok("webhook", "rotate-secret", "wh_1", "--secret", "@"+file), "t0ken")
	require.Equal(t, "t0ken", s.webhooks[0].Secret)

	text = s.ok("webhook", "status", "wh_1")
	require.Regexp(t, `(?m)^register +write +done +2 +1970-01-01T00:00:01Z +ada \[31m +-$`, text, "what others wrote cannot steer the terminal")
	require.Regexp(t, `(?m)^attempts +3, 2 succeeded, 1 failed$`, text)
	require.Contains(t, text, "p95 12.5ms")
	var both map[string]any
	require.NoError(t, json.Unmarshal([]byte(s.ok("webhook", "status", "wh_1", "--json")), &both))
	require.Contains(t, both, "registration")
	require.Equal(t, "3", both["stats"].(map[string]any)["attempts"])

	require.Regexp(t, `(?m)^operation +delete$`, s.ok("webhook", "delete", "wh_1", "--wait", "0s"))
	require.Empty(t, s.webhooks)
}

func TestD35_WebhookTest_tellsWhatCameOfEachEventAndFailsWithAny(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	text := s.ok("webhook", "test", "wh_1", "--event-type", "complete_job", "--timeout", "3s")
	require.Regexp(t, `(?m)^complete_job +yes +204 +1.5ms +- +- +-$`, text)
	require.Equal(t, 3*time.Second, s.waited)

	code, text, stderr := s.run("webhook", "test", "wh_1", "--event-type", "complete_job", "--event-type", "job_failed")
	require.Equal(t, exitError, code)
	require.Regexp(t, `(?m)^job_failed +no +500 +0s +status +HTTP 500 +\[31mx{55}…$`, text)
	require.Contains(t, stderr, "1 of 2 test events were not delivered")

	code, text, _ = s.run("webhook", "test", "wh_1", "--event-type", "job_failed", "--json")
	require.Equal(t, exitError, code)
	var answer struct{ Results []map[string]any }
	require.NoError(t, json.Unmarshal([]byte(text), &answer))
	require.Equal(t, false, answer.Results[0]["delivered"])
	require.Equal(t, "{}", answer.Results[0]["payload"])

	code, _, stderr = s.run("webhook", "test", "wh_1", "--event-type", "worker_status")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--event-type is not an event type that the webhook is subscribed to")
	code, _, stderr = s.run("webhook", "test", "wh_1", "--timeout", "61s")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--timeout must be between 100ms and 1m0s")
}

func TestWebhookStats_byHourAndDay(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.ok("webhook", "register", "--url", "https://example.com/", "--event-type", "job_failed")
	require.NotContains(t, s.ok("webhook", "stats", "wh_1"), "SUCCEEDED")
	text := s.ok("webhook", "stats", "wh_1", "--by", "hour")
	require.Regexp(t, `(?m)^attempts +3, 2 succeeded, 1 failed$`, text)
	require.Regexp(t, `(?m)^1970-01-01T02:00:00Z +5 +3 +2 +3 +0 +0 +7.5ms\n1970-01-01T03:00:00Z +0 +0`, text)
	require.NotContains(t, text, "1970-01-01T01:00:00Z", "nothing had happened yet")
	var answer struct{ Series []map[string]any }
	require.NoError(t, json.Unmarshal([]byte(s.ok("webhook", "stats", "wh_1", "--by", "day", "--json")), &answer))
	require.Len(t, answer.Series, 3)
	require.Equal(t, "1970-01-03T00:00:00Z", answer.Series[1]["startTime"])
	code, _, stderr := s.run("webhook", "stats", "wh_1", "--by", "week")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "--by must be hour or day")
}

func TestWebhookList_readsEveryPage(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for i := range 1203 {
		s.webhooks = append(s.webhooks, &holdfast.Webhook{ID: fmt.Sprintf("wh_%d", i), CreatedAt: int64(i), Active: true})
	}
	require.Len(t, strings.Split(strings.TrimSpace(s.ok("webhook", "list")), "\n"), 1204)
	var answer struct{ Webhooks []map[string]any }
	require.NoError(t, json.Unmarshal([]byte(s.ok("webhook", "list", "--json")), &answer))
	require.Len(t, answer.Webhooks, 1203)
}

// A command that did not come true in time, or failed, does not end like one that did.
func TestOutcomes_endWithTheirCode(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	register := []string{"webhook", "register", "--url", "http://h/", "--event-type", "job_failed"}
	s.status = holdfast.RegistrationPending
	code, stdout, stderr := s.run(append(register, "--wait", "1s")...)
	require.Equal(t, exitError, code)
	require.Regexp(t, `(?m)^status +pending$`, stdout)
	require.Contains(t, stdout, "whsec_made", "the secret is shown once, so it is shown now")
	require.Contains(t, stderr, "not done within 1s; it goes on by itself: holdfast webhook status wh_1")
	s.ok(append(register, "--wait", "0s")...)
	s.status = holdfast.RegistrationFailed
	code, stdout, stderr = s.run(append(register, "--wait", "0s", "--json")...)
	require.Equal(t, exitError, code)
	require.Contains(t, stdout, `"REGISTRATION_STATUS_FAILED"`)
	require.Contains(t, stderr, "emprops_rejected")
}

func TestCheck(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	code, _, stderr := s.run("check", "--last")
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "no check yet")
	s.report = holdfast.ConsistencyReport{StartedAt: 1000, DurationMS: 250, Consistent: true, Webhooks: 3, Active: 2, Nodes: 1}
	text := s.ok("check", "--wait", "7s")
	require.Equal(t, 7*time.Second, s.waited)
	require.Regexp(t, `(?m)^result +consistent$`, text)
	require.Regexp(t, `(?m)^webhooks +3 in Redis, 2 active, 0 registrations$`, text)
	drift := holdfast.Drift{Kind: holdfast.DriftMissing, Count: 7, IDs: strings.Split("a b c d e f g", " "), Action: "restored"}
	s.report.Consistent, s.report.Repaired, s.report.Drifts = false, true, []holdfast.Drift{drift}
	require.Regexp(t, `(?m)^missing_in_redis +7 +0 +restored +a,b,c,d,e and 2 more +-$`, s.ok("check"))
	s.report.Repaired, s.report.Drifts[0].Failed = false, 1
	code, stdout, stderr := s.run("check", "--last")
	require.Equal(t, exitError, code)
	require.Regexp(t, `(?m)^result +inconsistent$`, stdout)
	require.Contains(t, stderr, "not everything could be repaired")
	require.Equal(t, 2, s.checks, "asking for the last report checks nothing")
}

func TestNodesAndAlerts(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	require.Regexp(t, `(?m)^node-a +yes +5 +4 +d1 +- +10.0.0.1:3332 +-$`, s.ok("nodes"))
	s.alerts = []holdfast.Alert{
		{Kind: holdfast.AlertNodeSilent, Subject: "node-b", Message: "does not\nanswer", RaisedAt: 1000, Count: 3},
		{Kind: holdfast.AlertPlatformUnreachable, RaisedAt: 1000, ResolvedAt: 2000},
	}
	text := s.ok("alerts")
	require.Regexp(t, `(?m)^node_silent +node-b +1970-01-01T00:00:01Z +3 +- +does not answer$`, text)
	require.NotContains(t, text, "emprops")
	require.Regexp(t, `(?m)^emprops_unreachable +- `, s.ok("alerts", "--all"))
	var answer struct{ Alerts []map[string]any }
	require.NoError(t, json.Unmarshal([]byte(s.ok("alerts", "--json")), &answer))
	require.Equal(t, "node_silent:node-b", answer.Alerts[0]["id"])
}

// What is wrong is named with its flag, and the text says how to get on.
func TestClientErrors_nameTheFlagAndTheWayOut(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.ok("webhook", "register", "--url", "http://h/", "--event-type", "job_failed")
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for line, want := range map[string]struct {
		code int
		says []string
	}{
		"webhook":                                                         {exitUsage, []string{"say what to do", "webhook list"}},
		"webhook lst":                                                     {exitUsage, []string{`"webhook lst" is not a command`, "webhook list"}},
		"webhook get":                                                     {exitUsage, []string{"takes one argument, ID", "--help"}},
		"webhook get a b":                                                 {exitUsage, []string{"takes one argument, ID"}},
		"webhook list a":                                                  {exitUsage, []string{"takes no argument"}},
		"webhook list --stat x":                                           {exitUsage, []string{"--stat"}},
		"webhook list --state asleep":                                     {exitUsage, []string{"--state must be active"}},
		"webhook list --event-type nope":                                  {exitUsage, []string{"--event-type is not an event type", "job_failed"}},
		"webhook list --wait 1s":                                          {exitUsage, []string{"--wait"}},
		"webhook list --server localhost":                                 {exitUsage, []string{"--server", "HOLDFAST_SERVER", "http://localhost:3332"}},
		"nodes --server " + closed.URL:                                    {exitError, []string{"cannot be reached", "holdfast dev", "--server"}},
		"nodes --server " + other.URL:                                     {exitError, []string{"does not answer like a Holdfast", "--server"}},
		"check --wait 61s":                                                {exitUsage, []string{"--wait must be between 0s and 1m0s"}},
		"webhook get wh_9":                                                {exitError, []string{"there is no webhook wh_9", "webhook list"}},
		"webhook update wh_1":                                             {exitUsage, []string{"nothing to change", "--clear"}},
		"webhook update wh_1 --clear uri":                                 {exitUsage, []string{`--clear "uri" is not a field`, "filterExpression"}},
		"webhook update wh_1 --clear url":                                 {exitUsage, []string{"--url (webhook.url) is required"}},
		"webhook update wh_1 --url ftp://h":                               {exitUsage, []string{"--url (webhook.url) must begin with http"}},
		"webhook update wh_1 --url= --static":                             {exitUsage, []string{"--url"}},
		"webhook update wh_1 --secret=":                                   {exitUsage, []string{"--secret is empty; --clear"}},
		"webhook update wh_1 --secret @/none":                             {exitUsage, []string{"--secret cannot be read"}},
		"webhook update wh_1 --static --expected-revision 9":              {exitError, []string{"the revision is 1", "read again", "webhook get", "--expected-revision"}},
		"webhook update wh_1 --static --clear static":                     {exitUsage, []string{"--clear static contradicts"}},
		"webhook update wh_1 --basic u":                                   {exitUsage, []string{"--basic must be USER:PASSWORD"}},
		"webhook update wh_1 --basic u:p --bearer-token t":                {exitUsage, []string{"--bearer-token goes not together with --basic"}},
		"webhook update wh_1 --rate-limit fast":                           {exitUsage, []string{"--rate-limit must be a number"}},
		"webhook update wh_1 --format xml":                                {exitUsage, []string{"--format must be envelope"}},
		"webhook update wh_1 --header X":                                  {exitUsage, []string{"--header must be NAME: VALUE"}},
		"webhook update wh_1 --header Host:x":                             {exitUsage, []string{"--header (webhook.headers.Host) is set by Holdfast"}},
		"webhook update wh_1 --retry-max-delay long":                      {exitUsage, []string{"--retry-max-delay must be a duration"}},
		"webhook update wh_1 --retry-preset weeks":                        {exitUsage, []string{"--retry-preset (webhook.retryPolicy.preset) is not a preset", "days"}},
		"webhook update wh_1 --retry-max-attempts x":                      {exitUsage, []string{"--retry-max-attempts must be a whole number"}},
		"webhook update wh_1 --no-retry-status 200":                       {exitUsage, []string{"--no-retry-status (webhook.retryPolicy.noRetryStatuses) must be statuses"}},
		"webhook update wh_1 --priority high":                             {exitUsage, []string{"--priority must be a number"}},
		"webhook register --url http://h/ --event-type nope":              {exitUsage, []string{"--event-type (webhook.eventTypes[0])"}},
		"webhook rotate-secret wh_1 --overlap 1000h":                      {exitUsage, []string{"--overlap must be between 0s and 30 days"}},
		"webhook rotate-secret wh_1 --secret @/none":                      {exitUsage, []string{"--secret cannot be read"}},
		"webhook disconnect wh_1 --reason " + strings.Repeat("x", 1025):   {exitUsage, []string{"--reason must not be longer"}},
		"webhook reconnect wh_1 --request-id " + strings.Repeat("x", 256): {exitUsage, []string{"--request-id must not be longer"}},
	} {
		code, stdout, stderr := s.run(strings.Fields(line)...)
		require.Equal(t, want.code, code, "%s: %s", line, stderr)
		require.Empty(t, stdout, line)
		for _, text := range want.says {
			require.Contains(t, stderr, text, line)
		}
	}
	require.Equal(t, int64(1), s.webhooks[0].Revision, "none of it changed anything")
}

func TestClientHelp(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, c := range clientCommands {
		require.Contains(t, s.ok(), "  "+strings.TrimSpace(c.name+" "+c.takes))
		text := s.ok(append(strings.Fields(c.name), "--help")...)
		require.Contains(t, text, "Usage: holdfast "+c.name)
		require.Contains(t, text, "--server URL")
		require.Contains(t, text, "Exit codes: 0")
		require.Equal(t, c.waits, strings.Contains(text, "--wait"), c.name)
	}
	require.Contains(t, s.ok("webhook", "--help"), "webhook rotate-secret ID")
}

// Every flag of a webhook's field sets a field that a change can name.
func TestEveryWebhookFlagNamesAField(t *testing.T) {
	t.Parallel()
	for _, setting := range webhookSettings {
		if setting.path == "retryPolicy.preset" {
			continue // a whole policy
		}
		require.NoError(t, activities.ApplyChange(&holdfast.Webhook{}, &holdfast.Webhook{}, []string{setting.path}), setting.flag)
	}
}
