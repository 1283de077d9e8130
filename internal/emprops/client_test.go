package emprops_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
	"github.com/emprops/holdfast/internal/emprops/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const apiKey = "key-that-must-not-leak"

func webhook() *holdfast.Webhook {
	return &holdfast.Webhook{
		ID: "wh_1_a", CreatedAt: 1757000000123, URL: "https://example.com/hook?a=1&b=2", Active: true,
		Events: []string{"job_failed", "complete_job"}, Secret: "s3cr3t", Headers: map[string]string{"X-Token": "t0ken"},
	}
}

// platform starts a stand-in and a client for it.
func platform(t *testing.T, mode emprops.Mode, timeout time.Duration) (*standin.Server, *emprops.Client) {
	t.Helper()
	s, err := standin.New(standin.Options{APIKey: apiKey})
	require.NoError(t, err)
	return s, clientOf(t, s, mode, timeout)
}

func clientOf(t *testing.T, h http.Handler, mode emprops.Mode, timeout time.Duration) *emprops.Client {
	t.Helper()
	c, srv := serve(t, h, mode, timeout)
	t.Cleanup(srv.Close)
	return c
}

// serve serves a platform, until the caller closes it, and returns a client of it.
func serve(t *testing.T, h http.Handler, mode emprops.Mode, timeout time.Duration) (*emprops.Client, *httptest.Server) {
	t.Helper()
	srv := httptest.NewServer(h)
	c, err := emprops.New(emprops.Config{BaseURL: srv.URL + "/", APIKey: apiKey, Mode: mode, Timeout: timeout, HTTPClient: srv.Client()})
	require.NoError(t, err)
	return c, srv
}

func requireCode(t *testing.T, code holdfast.Code, err error, text string) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, holdfast.ErrorCode(err), err.Error())
	require.Contains(t, holdfast.ErrorMessage(err), text)
	require.NotContains(t, err.Error(), apiKey)
}

func TestNewNamesTheSetting(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		cfg  emprops.Config
		text string
	}{
		"D55 no URL":       {emprops.Config{Mode: emprops.ModeRequired}, "EMPROPS_API_URL is required"},
		"relative URL":     {emprops.Config{Mode: emprops.ModeBestEffort, BaseURL: "emprops:8080"}, "EMPROPS_API_URL must be an absolute"},
		"broken URL":       {emprops.Config{Mode: emprops.ModeRequired, BaseURL: "http://u:pw@[::1"}, "EMPROPS_API_URL must be an absolute"},
		"password in URL":  {emprops.Config{Mode: emprops.ModeRequired, BaseURL: "http://u:pw@host"}, "EMPROPS_API_URL must not contain"},
		"query in URL":     {emprops.Config{Mode: emprops.ModeRequired, BaseURL: "http://host?x=1"}, "EMPROPS_API_URL must not have"},
		"key with newline": {emprops.Config{Mode: emprops.ModeRequired, BaseURL: "http://host", APIKey: apiKey + "\n"}, "EMPROPS_API_KEY"},
		"no mode":          {emprops.Config{BaseURL: "http://host"}, "is not an EMPROPS mode"},
		"negative timeout": {emprops.Config{Mode: emprops.ModeRequired, BaseURL: "http://host", Timeout: -1}, "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := emprops.New(tc.cfg)
			requireCode(t, holdfast.CodeInvalid, err, tc.text)
			require.NotContains(t, err.Error(), "pw@")
		})
	}
}

func TestModeOffCallsNothingAndConfirmsNothing(t *testing.T) {
	t.Parallel()
	c, err := emprops.New(emprops.Config{Mode: emprops.ModeOff})
	require.NoError(t, err)
	require.Equal(t, emprops.ModeOff, c.Mode())
	requireCode(t, holdfast.CodePrecondition, c.Confirm(t.Context(), webhook()), "off")
	require.NoError(t, c.Remove(t.Context(), "wh_1_a"))
	require.NoError(t, c.Health(t.Context()))
}

func TestD11_ConfirmIsReadBackAndRepeatable(t *testing.T) {
	t.Parallel()
	for _, mode := range []emprops.Mode{emprops.ModeBestEffort, emprops.ModeRequired} {
		s, c := platform(t, mode, time.Minute)
		w := webhook()
		require.NoError(t, c.Confirm(t.Context(), w))
		require.NoError(t, c.Confirm(t.Context(), w))
		require.Equal(t, 1, s.Writes(w.ID), "a repeated confirmation changes nothing")

		w.URL, w.Events, w.Active = "https://example.com/new", []string{"job_submitted"}, false
		require.NoError(t, c.Confirm(t.Context(), w))
		got, ok := s.Webhook(w.ID)
		require.True(t, ok)
		require.Equal(t, standin.Webhook{
			ID: w.ID, URL: w.URL, Events: w.Events, Active: false,
			Status: "registered", Source: "emp-webhook-service", RegisteredAt: "2025-09-04T15:33:20.123Z",
		}, got)
		require.Equal(t, 2, s.Writes(w.ID))

		require.NoError(t, c.Remove(t.Context(), w.ID))
		_, ok = s.Webhook(w.ID)
		require.False(t, ok)
		require.NoError(t, c.Remove(t.Context(), w.ID), "one that is not there counts as removed")
		require.NoError(t, c.Confirm(t.Context(), w), "a removed webhook can be registered again")
		require.NoError(t, c.Health(t.Context()))
	}
}

func TestG8_NoCredentialsReachThePlatform(t *testing.T) {
	t.Parallel()
	s, c := platform(t, emprops.ModeRequired, time.Minute)
	require.NoError(t, c.Confirm(t.Context(), webhook()))
	require.NoError(t, c.Confirm(t.Context(), webhook()))
	log, err := json.Marshal(s.Log())
	require.NoError(t, err)
	for _, secret := range []string{"s3cr3t", "X-Token", "t0ken", apiKey} {
		require.NotContains(t, string(log), secret)
	}
	first := s.Log()[0]
	require.Equal(t, "wh_1_a", first.IdempotencyKey)
	require.JSONEq(t, `{"id":"wh_1_a","url":"https://example.com/hook?a=1&b=2","events":["job_failed","complete_job"],"active":true,
		"source":"emp-webhook-service","registered_at":"2025-09-04T15:33:20.123Z"}`, string(first.Body))
}

func TestEveryFaultInEachMode(t *testing.T) {
	t.Parallel()
	for _, mode := range []emprops.Mode{emprops.ModeBestEffort, emprops.ModeRequired} {
		for name, tc := range map[string]struct {
			faults  standin.Faults
			timeout time.Duration // 0: generous
			code    holdfast.Code
			text    string
			after   bool // a second try succeeds with the fault still set
		}{
			"down":        {standin.Faults{Down: true}, 0, holdfast.CodeUnavailable, "HTTP 503", false},
			"hang":        {standin.Faults{Hang: true}, 100 * time.Millisecond, holdfast.CodeUnavailable, "POST /webhooks: no answer within 100ms", false},
			"slow":        {standin.Faults{DelayMS: 5000}, 100 * time.Millisecond, holdfast.CodeUnavailable, "no answer within 100ms", false},
			"reject":      {standin.Faults{Reject: "url is on the deny list"}, 0, holdfast.CodeRejected, "url is on the deny list", false},
			"forget":      {standin.Faults{Forget: true}, 0, holdfast.CodeUnavailable, "accepted but does not know the webhook", false},
			"stale reads": {standin.Faults{StaleReads: 1}, 0, holdfast.CodeUnavailable, "accepted but does not know the webhook", true},
			"fail next":   {standin.Faults{FailNext: 1}, 0, holdfast.CodeUnavailable, "HTTP 500", true},
		} {
			t.Run(string(mode)+" "+name, func(t *testing.T) {
				t.Parallel()
				timeout := tc.timeout
				if timeout == 0 {
					timeout = time.Minute
				}
				s, c := platform(t, mode, timeout)
				require.NoError(t, s.SetFaults(tc.faults))
				requireCode(t, tc.code, c.Confirm(t.Context(), webhook()), tc.text)
				if !tc.after {
					requireCode(t, tc.code, c.Confirm(t.Context(), webhook()), tc.text)
					require.NoError(t, s.SetFaults(standin.Faults{}))
				}
				patient := clientOf(t, s, mode, time.Minute)
				require.NoError(t, patient.Confirm(t.Context(), webhook()))
				require.Equal(t, 1, s.Writes("wh_1_a"), "however often it was tried, it was applied once")
			})
		}
	}
}

func TestStaleReadOfAChangeIsNotAConfirmation(t *testing.T) {
	t.Parallel()
	s, c := platform(t, emprops.ModeRequired, time.Minute)
	a, b := webhook(), webhook()
	b.URL = "https://example.com/other"
	require.NoError(t, c.Confirm(t.Context(), a))
	require.NoError(t, c.Confirm(t.Context(), b))
	// Going back to a: a stale read shows neither b as a, nor the a of before as proof that a is stored now.
	require.NoError(t, s.SetFaults(standin.Faults{StaleReads: 1}))
	requireCode(t, holdfast.CodeUnavailable, c.Confirm(t.Context(), a), "[url] differ")
	require.NoError(t, c.Confirm(t.Context(), a))
	got, _ := s.Webhook(a.ID)
	require.Equal(t, a.URL, got.URL)
}

func TestRemoveAndHealthReportFaults(t *testing.T) {
	t.Parallel()
	s, c := platform(t, emprops.ModeRequired, time.Minute)
	require.NoError(t, s.SetFaults(standin.Faults{FailNext: 2}))
	requireCode(t, holdfast.CodeUnavailable, c.Remove(t.Context(), "wh_1_a"), "DELETE /webhooks/wh_1_a: failed (HTTP 500)")
	requireCode(t, holdfast.CodeUnavailable, c.Health(t.Context()), "GET /health")
	requireCode(t, holdfast.CodeInvalid, c.Remove(t.Context(), ""), "without an id")
}

// scripted answers as each test says, for what a stand-in of a working platform never does.
func scripted(t *testing.T, answers map[string]http.HandlerFunc) *emprops.Client {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, h := range answers {
		mux.HandleFunc(pattern, h)
	}
	return clientOf(t, mux, emprops.ModeRequired, time.Minute)
}

func say(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestStatusesOfRegistration(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		code   holdfast.Code
		text   string
		retry  time.Duration
	}{
		"400": {say(400, `{"data":null,"error":"bad"}`), holdfast.CodeRejected, "refused (HTTP 400): bad", 0},
		"401": {say(401, `{"data":null,"error":"Invalid API key `+apiKey+`"}`), holdfast.CodeUnavailable, "check EMPROPS_API_KEY (HTTP 401): Invalid API key [redacted]", 0},
		"403": {say(403, ``), holdfast.CodeUnavailable, "check EMPROPS_API_KEY", 0},
		"404": {say(404, `<html>`), holdfast.CodeUnavailable, "has no webhook API", 0},
		"408": {say(408, ``), holdfast.CodeUnavailable, "HTTP 408", 0},
		"410": {say(410, ``), holdfast.CodeRejected, "HTTP 410", 0},
		"422": {say(422, `{"data":null,"error":{"code":"E7"}}`), holdfast.CodeRejected, `{"code":"E7"}`, 0},
		"425": {say(425, ``), holdfast.CodeUnavailable, "HTTP 425", 0},
		"429": {say(429, ``, "Retry-After", "17"), holdfast.CodeUnavailable, "too many requests", 17 * time.Second},
		"503": {say(503, ``, "Retry-After", "999999"), holdfast.CodeUnavailable, "HTTP 503", time.Hour},
		"302": {say(302, ``, "Location", "/elsewhere"), holdfast.CodeUnavailable, "redirect, check EMPROPS_API_URL", 0},
		"long and wild reason": {say(400, `{"error":"a\n\u0007b`+strings.Repeat("é", 500)+`"}`), holdfast.CodeRejected,
			"a b" + strings.Repeat("é", 197) + "…", 0},
		"endless": {say(201, strings.Repeat(" ", 1<<20+1)), holdfast.CodeUnavailable, "larger than 1048576 bytes", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := scripted(t, map[string]http.HandlerFunc{"POST /webhooks": tc.answer}).Confirm(t.Context(), webhook())
			requireCode(t, tc.code, err, tc.text)
			var e *holdfast.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.retry, e.RetryAfter)
			require.Equal(t, name == "404", errors.Is(err, emprops.ErrNoWebhookAPI))
		})
	}
}

func TestReadBackDecides(t *testing.T) {
	t.Parallel()
	const same = `{"data":{"id":"wh_1_a","url":"https://example.com/hook?a=1&b=2","events":["complete_job","job_failed","job_failed"],"active":true}}`
	for name, tc := range map[string]struct {
		post, put, get http.HandlerFunc
		code           holdfast.Code
		text           string
	}{
		"events as a set":              {say(201, ``), nil, say(200, same), "", ""},
		"conflict, no PUT route":       {say(409, ``), say(405, ``), say(200, same), "", ""},
		"repeated answer, PUT refused": {say(200, ``), say(422, `{"error":"no"}`), say(200, same), holdfast.CodeRejected, "no"},
		"repeated answer, PUT fails":   {say(200, ``), say(502, ``), say(200, same), holdfast.CodeUnavailable, "502"},
		"conflict but unknown":         {say(409, ``), say(404, ``), say(404, ``), holdfast.CodeUnavailable, "does not know"},
		"PUT conflicts":                {say(409, ``), say(409, ``), say(200, same), holdfast.CodeUnavailable, "409"},
		"no data":                      {say(201, ``), nil, say(200, `{"data":null}`), holdfast.CodeUnavailable, "no data"},
		"a web page":                   {say(201, ``), nil, say(200, `<html>`), holdfast.CodeUnavailable, "no data"},
		"something else":               {say(201, ``), nil, say(200, `{"data":[1]}`), holdfast.CodeUnavailable, "not a webhook"},
		"other webhook":                {say(201, ``), nil, say(200, strings.Replace(same, "wh_1_a", "wh_2", 1)), holdfast.CodeUnavailable, "[id]"},
		"fewer events":                 {say(201, ``), nil, say(200, strings.Replace(same, `"complete_job",`, ``, 1)), holdfast.CodeUnavailable, "[events]"},
		"activeness not told":          {say(201, ``), nil, say(200, strings.Replace(same, `,"active":true`, ``, 1)), holdfast.CodeUnavailable, "[active]"},
		"a refused read is no refusal": {say(201, ``), nil, say(400, ``), holdfast.CodeUnavailable, "400"},
		"a read without the right":     {say(201, ``), nil, say(403, ``), holdfast.CodeUnavailable, "check EMPROPS_API_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			routes := map[string]http.HandlerFunc{"POST /webhooks": tc.post, "GET /webhooks/{id}": tc.get}
			if tc.put != nil {
				routes["PUT /webhooks/{id}"] = tc.put
			}
			err := scripted(t, routes).Confirm(t.Context(), webhook())
			if tc.code == "" {
				require.NoError(t, err)
				return
			}
			requireCode(t, tc.code, err, tc.text)
		})
	}
}

func TestUnreachableTellsNoAddress(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	url := srv.URL
	srv.Close()
	c, err := emprops.New(emprops.Config{BaseURL: url, Mode: emprops.ModeRequired, APIKey: apiKey})
	require.NoError(t, err)
	err = c.Confirm(t.Context(), webhook())
	requireCode(t, holdfast.CodeUnavailable, err, "unreachable")
	require.NotContains(t, holdfast.ErrorMessage(err), strings.TrimPrefix(url, "http://"))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = c.Health(ctx)
	requireCode(t, holdfast.CodeUnavailable, err, "given up")
	require.ErrorIs(t, err, context.Canceled)
}
