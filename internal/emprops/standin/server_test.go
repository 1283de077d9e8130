package standin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops/standin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle is a listening stand-in and an HTTP client for it.
type bundle struct {
	*standin.Server
	client *http.Client
	key    string
}

func start(t *testing.T, options standin.Options) *bundle {
	t.Helper()
	s, err := standin.New(options)
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context(), "127.0.0.1:0"))
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Stop(ctx))
	})
	return &bundle{Server: s, client: &http.Client{Transport: transport}, key: options.APIKey}
}

func (b *bundle) do(ctx context.Context, method, path, body string, header ...string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.URL()+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if b.key != "" {
		req.Header.Set("Authorization", "Bearer "+b.key)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(raw)), err
}

func (b *bundle) expect(t *testing.T, method, path, body string, status int, answer string, header ...string) {
	t.Helper()
	code, got, err := b.do(t.Context(), method, path, body, header...)
	require.NoError(t, err)
	require.Equal(t, status, code, got)
	if answer == "" {
		require.Empty(t, got)
		return
	}
	require.JSONEq(t, answer, got)
}

const (
	one       = `{"id":"wh_1","url":"https://a.example/x","events":["job_failed"],"active":true,"source":"s","registered_at":"2025-09-04T15:33:20.123Z"}`
	oneShown  = `{"id":"wh_1","url":"https://a.example/x","events":["job_failed"],"active":true,"status":"registered","source":"s","registered_at":"2025-09-04T15:33:20.123Z"}`
	oneAnswer = `{"data":{"id":"wh_1","status":"registered","registered_at":"2025-09-04T15:33:20.123Z"},"error":null}`
	unknown   = `{"data":null,"error":"Webhook not found"}`
)

func data(v string) string { return `{"data":` + v + `,"error":null}` }

func TestLifeOfARegistration(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{})
	b.expect(t, "GET", "/webhooks/wh_1", "", 404, unknown)
	b.expect(t, "GET", "/webhooks", "", 200, data(`[]`))
	b.expect(t, "POST", "/webhooks", one, 201, oneAnswer, "Idempotency-Key", "k")
	b.expect(t, "POST", "/webhooks", strings.Replace(one, "a.example", "b.example", 1), 200, oneAnswer, "Idempotency-Key", "k")
	b.expect(t, "GET", "/webhooks/wh_1", "", 200, data(oneShown))
	b.expect(t, "POST", "/webhooks", one, 409, `{"data":null,"error":"Webhook already exists"}`)
	b.expect(t, "POST", "/webhooks", one, 409, `{"data":null,"error":"Webhook already exists"}`, "Idempotency-Key", "other")
	require.Equal(t, 1, b.Writes("wh_1"))

	b.expect(t, "PUT", "/webhooks/wh_1", `{"active":false}`, 200, data(strings.Replace(oneShown, "true", "false", 1)))
	b.expect(t, "PUT", "/webhooks/wh_1", `{"active":false}`, 200, data(strings.Replace(oneShown, "true", "false", 1)))
	b.expect(t, "GET", "/_standin/writes", "", 200, `{"wh_1":2}`)
	b.expect(t, "GET", "/webhooks", "", 200, data(`[`+strings.Replace(oneShown, "true", "false", 1)+`]`))

	b.expect(t, "DELETE", "/webhooks/wh_1", "", 204, "")
	b.expect(t, "DELETE", "/webhooks/wh_1", "", 404, unknown)
	b.expect(t, "PUT", "/webhooks/wh_1", `{"active":false}`, 404, unknown)
	b.expect(t, "POST", "/webhooks", one, 201, oneAnswer, "Idempotency-Key", "k")
}

func TestValidation(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{})
	b.expect(t, "POST", "/webhooks", one, 201, oneAnswer)
	for body, status := range map[string]int{
		``: 400, `{`: 400, `[]`: 400, `null`: 400, `{"id":1}`: 400, `{}`: 422,
		`{"id":"","url":"https://a","events":["x"],"active":true}`:   422,
		`{"id":"a","url":"https://a","events":["x"]}`:                422,
		`{"id":"a","url":"ftp://a","events":["x"],"active":true}`:    422,
		`{"id":"a","url":"https://a","events":[],"active":true}`:     422,
		`{"id":"a","url":"https://a","events":[""],"active":true}`:   422,
		`{"id":"a","url":"https://a","events":null,"active":true}`:   422,
		`{"id":"a","url":"` + strings.Repeat("x", 1<<20) + `"}`:      413,
		`{"id":"a","url":"https://a","events":["x"],"active":"yes"}`: 400,
	} {
		code, got, err := b.do(t.Context(), "POST", "/webhooks", body)
		require.NoError(t, err)
		require.Equal(t, status, code, body[:min(len(body), 80)])
		require.Contains(t, got, `{"data":null,"error":"`)
	}
	for body, status := range map[string]int{`nope`: 400, `{}`: 422, `{"id":"other","active":true}`: 422, `{"url":"x"}`: 422} {
		code, _, err := b.do(t.Context(), "PUT", "/webhooks/wh_1", body)
		require.NoError(t, err)
		require.Equal(t, status, code, body)
	}
	for _, path := range []string{"/", "/nothing", "/webhooks/a/b", "/webhooks//wh_1", "/_standin/nothing"} {
		b.expect(t, "GET", path, "", 404, `{"data":null,"error":"Not found"}`)
	}
	require.Equal(t, 1, b.Writes("wh_1"))
}

func TestKeyIsRequired(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{APIKey: "k"})
	b.expect(t, "GET", "/webhooks", "", 200, data(`[]`))
	for _, header := range []string{"", "Bearer ", "Bearer kk", "k"} {
		b.expect(t, "GET", "/webhooks", "", 401, `{"data":null,"error":"Invalid API key"}`, "Authorization", header)
		b.expect(t, "GET", "/jobs/j", "", 401, `{"data":null,"error":"Invalid API key"}`, "Authorization", header)
	}
	b.expect(t, "GET", "/health", "", 200, data(`{"status":"ok"}`), "Authorization", "")
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "emprops.json")
	b := start(t, standin.Options{Path: path})
	b.expect(t, "POST", "/webhooks", one, 201, oneAnswer, "Idempotency-Key", "k")
	b.expect(t, "PUT", "/jobs/wf", `{"id":"wf","data":{"outputs":[1]}}`, 200, data(`{"id":"wf","data":{"outputs":[1]}}`))

	again := start(t, standin.Options{Path: path})
	again.expect(t, "GET", "/webhooks/wh_1", "", 200, data(oneShown))
	again.expect(t, "POST", "/webhooks", one, 200, oneAnswer, "Idempotency-Key", "k")
	again.expect(t, "GET", "/jobs/wf", "", 200, data(`{"id":"wf","data":{"outputs":[1]}}`))
	again.expect(t, "GET", "/jobs/other", "", 404, `{"data":null,"error":"Job not found"}`)
	require.Equal(t, 1, again.Writes("wh_1"))

	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}

func TestWhatCannotBeKeptIsNotAnswered(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	b := start(t, standin.Options{Path: filepath.Join(dir, "emprops.json")})
	b.expect(t, "POST", "/webhooks", one, 500, `{"data":null,"error":"Internal server error"}`)
	_, ok := b.Webhook("wh_1")
	require.False(t, ok)
}

func TestAForeignDataFileIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "emprops.json")
	require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600))
	_, err := standin.New(standin.Options{Path: path})
	require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
	_, err = standin.New(standin.Options{Path: filepath.Dir(path)})
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
}

func TestFaultsOverHTTP(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{})
	const healthy = `{"down":false,"hang":false,"delay_ms":0,"reject":"","forget":false,"stale_reads":0,"fail_next":0}`
	set := func(fault string) {
		t.Helper()
		code, got, err := b.do(t.Context(), "PUT", "/_standin/faults", fault)
		require.NoError(t, err)
		require.Equal(t, 200, code, got)
	}
	b.expect(t, "GET", "/_standin/faults", "", 200, healthy)

	set(`{"down":true}`)
	b.expect(t, "GET", "/health", "", 503, `{"data":null,"error":"Service unavailable"}`)
	set(`{"fail_next":2}`)
	b.expect(t, "POST", "/webhooks", one, 500, `{"data":null,"error":"Internal server error"}`)
	b.expect(t, "GET", "/_standin/faults", "", 200, strings.Replace(healthy, `"fail_next":0`, `"fail_next":1`, 1))
	b.expect(t, "GET", "/health", "", 500, `{"data":null,"error":"Internal server error"}`)
	b.expect(t, "GET", "/health", "", 200, data(`{"status":"ok"}`))
	set(`{"forget":true}`)
	b.expect(t, "POST", "/webhooks", one, 201, oneAnswer, "Idempotency-Key", "k")
	b.expect(t, "GET", "/webhooks/wh_1", "", 404, unknown)
	set(`{"stale_reads":2}`)
	b.expect(t, "POST", "/webhooks", one, 201, oneAnswer, "Idempotency-Key", "k")
	b.expect(t, "GET", "/webhooks/wh_1", "", 404, unknown)
	b.expect(t, "GET", "/webhooks", "", 200, data(`[]`))
	b.expect(t, "GET", "/webhooks/wh_1", "", 200, data(oneShown))
	set(`{"reject":"no more"}`)
	b.expect(t, "PUT", "/webhooks/wh_1", `{"active":false}`, 422, `{"data":null,"error":"no more"}`)
	b.expect(t, "POST", "/webhooks", one, 422, `{"data":null,"error":"no more"}`)
	set(`{"forget":true}`)
	b.expect(t, "PUT", "/webhooks/wh_1", `{"active":false}`, 200, data(strings.Replace(oneShown, "true", "false", 1)))
	b.expect(t, "GET", "/webhooks/wh_1", "", 200, data(oneShown))
	b.expect(t, "DELETE", "/_standin/faults", "", 204, "")
	b.expect(t, "GET", "/_standin/faults", "", 200, healthy)

	for body, status := range map[string]int{
		`{"dwon":true}`: 400, `{"down":1}`: 400, `{"down":true} {}`: 400, `x`: 400, ``: 400,
		`{"delay_ms":-1}`: 422, `{"delay_ms":600001}`: 422, `{"stale_reads":-1}`: 422, `{"fail_next":-1}`: 422,
	} {
		code, _, err := b.do(t.Context(), "PUT", "/_standin/faults", body)
		require.NoError(t, err)
		require.Equal(t, status, code, body)
	}
	b.expect(t, "GET", "/_standin/faults", "", 200, healthy)
}

func TestASlowAnswerComesAfterTheEffect(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{})
	require.NoError(t, b.SetFaults(standin.Faults{DelayMS: 600000}))
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, _, err := b.do(ctx, "POST", "/webhooks", one)
		result <- err
	}()
	require.Eventually(t, func() bool { return b.Writes("wh_1") == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-result, context.Canceled)
	require.Eventually(t, func() bool { return len(b.Log()) == 1 && b.Log()[0].Status == 0 }, 5*time.Second, time.Millisecond)
}

func TestAHangEndsWithTheFaultAndWithTheServer(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{})
	result := make(chan string, 1)
	// hang sends a request into the fault and returns once it is on its way.
	hang := func(b *bundle) {
		t.Helper()
		require.NoError(t, b.SetFaults(standin.Faults{Hang: true}))
		written := make(chan struct{})
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { close(written) },
		})
		go func() {
			code, _, err := b.do(ctx, "POST", "/webhooks", one)
			result <- fmt.Sprint(code, err)
		}()
		<-written
		b.expect(t, "GET", "/_standin/writes", "", 200, `{}`)
		require.Empty(t, result)
	}
	hang(b)
	require.NoError(t, b.SetFaults(standin.Faults{}))
	require.Equal(t, "201 <nil>", <-result)

	b = start(t, standin.Options{})
	hang(b)
	require.NoError(t, b.Stop(t.Context()))
	require.NotContains(t, <-result, "201")
	require.NoError(t, b.Stop(t.Context()), "stopping twice is fine")
	require.Empty(t, b.URL())
	require.NoError(t, b.Start(t.Context(), "127.0.0.1:0"), "it can be started again")
	require.Equal(t, holdfast.CodePrecondition, holdfast.ErrorCode(b.Start(t.Context(), "127.0.0.1:0")))
}

func TestStartNamesABusyAddress(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{})
	other, err := standin.New(standin.Options{})
	require.NoError(t, err)
	require.Empty(t, other.URL())
	require.NoError(t, other.Stop(t.Context()), "stopping one that never started is fine")
	addr := strings.TrimPrefix(b.URL(), "http://")
	err = other.Start(t.Context(), addr)
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	require.Contains(t, holdfast.ErrorMessage(err), addr)
}

func TestURLOfAListenerOnEveryAddress(t *testing.T) {
	t.Parallel()
	s, err := standin.New(standin.Options{})
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context(), ":0"))
	require.Regexp(t, `^http://127\.0\.0\.1:\d+$`, s.URL())
	require.NoError(t, s.Stop(t.Context()))
}

func TestLogKeepsTheLast200(t *testing.T) {
	t.Parallel()
	b := start(t, standin.Options{})
	for range 205 {
		b.expect(t, "GET", "/health", "", 200, data(`{"status":"ok"}`))
	}
	b.expect(t, "POST", "/webhooks", one, 201, oneAnswer, "Idempotency-Key", "k")
	b.expect(t, "POST", "/webhooks", "no json", 400, `{"data":null,"error":"Invalid JSON"}`)
	code, raw, err := b.do(t.Context(), "GET", "/_standin/log", "")
	require.NoError(t, err)
	require.Equal(t, 200, code)
	var log []standin.Request
	require.NoError(t, json.Unmarshal([]byte(raw), &log))
	require.Len(t, log, 200)
	require.Equal(t, []any{"GET", "/health", 200}, []any{log[0].Method, log[0].Path, log[0].Status})
	require.Equal(t, []any{"POST", "/webhooks", "k", 201}, []any{log[198].Method, log[198].Path, log[198].IdempotencyKey, log[198].Status})
	require.JSONEq(t, one, string(log[198].Body))
	require.Equal(t, `"no json"`, string(log[199].Body))
}
