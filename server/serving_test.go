package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
	"github.com/emprops/holdfast/server"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	b := setup(t)
	check := func(service string) (int, any) {
		status, _, answer := b.do(t, "POST", "/grpc.health.v1.Health/Check", bodyOf(`{"service":"`+service+`"}`),
			http.Header{"Content-Type": {"application/json"}})
		return status, answer["status"]
	}
	status, text := check(holdfastv1connect.EventServiceName)
	require.Equal(t, 200, status)
	require.Contains(t, text, "SERVING")
	require.NotContains(t, text, "NOT")
	status, _ = check("nonsense")
	require.Equal(t, 404, status)
	status, _, answer := b.do(t, "GET", "/readyz", nil, nil)
	require.Equal(t, 200, status)
	require.Equal(t, map[string]any{"status": "ok", "components": map[string]any{"redis": "ok"}}, answer)

	b.ready, b.components = false, map[string]string{"redis": "unavailable"}
	_, text = check("")
	require.Contains(t, text, "NOT_SERVING")
	status, _, answer = b.do(t, "GET", "/readyz", nil, nil)
	require.Equal(t, 503, status)
	require.Equal(t, map[string]any{"status": "unavailable", "components": map[string]any{"redis": "unavailable"}}, answer)
	status, _, _ = b.do(t, "GET", "/livez", nil, nil)
	require.Equal(t, 200, status, "a process that is not ready is alive")
}

func TestReflection_listsEveryService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	stream := grpcreflect.NewClient(b.http2, base, connect.WithGRPC()).NewStream(t.Context())
	names, err := stream.ListServices()
	require.NoError(t, err)
	_, err = stream.Close()
	require.NoError(t, err)
	require.Len(t, names, 5)
	require.Contains(t, names, protoreflect.FullName(holdfastv1connect.EventServiceName))
}

func TestOperations_areNotServedWithoutThem(t *testing.T) {
	t.Parallel()
	f := &fakes{}
	handler := server.New(server.Deps{Registrations: f, Webhooks: f, Events: f, Deliveries: f, Receivers: f, Checker: f}, server.Options{})
	answer := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/holdfast.v1.OperationsService/ListNodes", strings.NewReader("{}"))
	req.Header.Set("Content-Type", "application/json")
	handler.ServeHTTP(answer, req)
	require.Equal(t, http.StatusNotFound, answer.Code)
}

func TestCORS_isByExactOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *server.Options) { o.AllowedOrigins = []string{"https://app.example.com"} })
	preflight := func(origin string) string {
		_, header, _ := b.do(t, http.MethodOptions, "/holdfast.v1.EventService/PublishEvent", nil, http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"POST"},
			"Access-Control-Request-Headers": {"authorization,connect-protocol-version,content-type,x-holdfast-actor"},
		})
		return header.Get("Access-Control-Allow-Origin")
	}
	require.Equal(t, "https://app.example.com", preflight("https://app.example.com"))
	for _, origin := range []string{
		"https://app.example.com.evil.net", "http://app.example.com", "https://APP.example.com", "http://localhost:3000", "null",
	} {
		require.Empty(t, preflight(origin), origin)
	}
	closed := setup(t)
	_, header, _ := closed.do(t, http.MethodGet, "/livez", nil, http.Header{"Origin": {"https://app.example.com"}})
	require.Empty(t, header.Get("Access-Control-Allow-Origin"), "no origin is allowed by default")
}

func TestCORS_asteriskIsEveryOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *server.Options) { o.AllowedOrigins = []string{"*"} })
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		_, header, _ := b.do(t, http.MethodOptions, "/webhooks/wh_1", nil, http.Header{
			"Origin": {"https://any.example"}, "Access-Control-Request-Method": {method},
			"Access-Control-Request-Headers": {"content-type"},
		})
		require.Equal(t, "https://any.example", header.Get("Access-Control-Allow-Origin"), method)
		require.Equal(t, method, header.Get("Access-Control-Allow-Methods"))
	}
}

func TestNewHTTPServer_boundsEveryPhase(t *testing.T) {
	t.Parallel()
	s := server.NewHTTPServer(http.NotFoundHandler(), nil)
	for _, d := range []time.Duration{s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout} {
		require.Positive(t, d)
	}
	require.Greater(t, s.WriteTimeout, server.MaxWait, "an answer that was waited for can still be written")
	require.Positive(t, s.MaxHeaderBytes)
	require.True(t, s.Protocols.HTTP1() && s.Protocols.UnencryptedHTTP2())
}
