package server_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/apikey"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
	"github.com/emprops/holdfast/server"
)

// guarded is a server with one key of each scope, and the keys.
func guarded(t *testing.T) (*bundle, map[apikey.Scope]string) {
	t.Helper()
	keys := map[apikey.Scope]string{}
	var entries []string
	for _, scope := range []apikey.Scope{apikey.Read, apikey.Write, apikey.Operate} {
		text, entry, err := apikey.New("the-"+scope.String(), scope)
		require.NoError(t, err)
		keys[scope], entries = text, append(entries, entry)
	}
	ring, err := apikey.ParseRing(entries)
	require.NoError(t, err)
	return setup(t, func(o *server.Options) { o.APIKeys, o.AllowedOrigins = ring, []string{"https://app.example.com"} }), keys
}

// withHeader sends a header with everything.
func withHeader(name, value string) connect.ClientOption {
	return connect.WithInterceptors(headerInterceptor{name, value})
}

type headerInterceptor struct{ name, value string }

func (h headerInterceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set(h.name, h.value)
		return next(ctx, req)
	}
}

func (h headerInterceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set(h.name, h.value)
		return conn
	}
}

func (h headerInterceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// Whatever the protocol, nobody does anything without a key, with one that is not known, or with one that may do less (D49).
func TestD49_EveryProtocolNeedsAKeyOfTheScope(t *testing.T) {
	t.Parallel()
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			b, keys := guarded(t)
			b.list = func(context.Context, server.DeliveryFilter, int, string) ([]*holdfast.Delivery, string, error) {
				return nil, "", nil
			}
			b.publish = func(context.Context, *holdfast.Event) (server.PublishResult, error) {
				return server.PublishResult{EventID: "e"}, nil
			}
			b.disconnect = func(_ context.Context, r server.SwitchRequest) (server.RegisterResult, error) {
				return server.RegisterResult{Webhook: holdfast.Webhook{ID: r.ID}}, nil
			}
			calls := []struct {
				needs apikey.Scope
				call  func(c clients) error
			}{
				{apikey.Read, func(c clients) error {
					_, err := c.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
					return err
				}},
				{apikey.Read, func(c clients) error {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					stream, err := c.deliveries.WatchDeliveries(ctx, &holdfastv1.WatchDeliveriesRequest{})
					if err != nil {
						return err
					}
					defer stream.Close()
					if !stream.Receive() && stream.Err() != nil {
						return stream.Err()
					}
					return nil
				}},
				{apikey.Write, func(c clients) error {
					_, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{
						Event: &holdfastv1.Event{Type: "job_failed", DataJson: []byte(`{"job_id":"1"}`)},
					})
					return err
				}},
				{apikey.Operate, func(c clients) error {
					_, err := c.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{Id: "wh_1"})
					return err
				}},
			}
			for i, call := range calls {
				require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(call.call(b.clients(p))), i)
				unknown := protocol{p.name, p.http2, append(p.options[:len(p.options):len(p.options)], withHeader("Authorization", "Bearer hf_unknown"))}
				require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(call.call(b.clients(unknown))), i)
				for scope, key := range keys {
					for name, value := range map[string]string{"Authorization": "Bearer " + key, apikey.Header: key} {
						as := protocol{p.name, p.http2, append(p.options[:len(p.options):len(p.options)], withHeader(name, value))}
						err := call.call(b.clients(as))
						if scope >= call.needs {
							require.NotEqual(t, connect.CodeUnauthenticated, connect.CodeOf(err), "%d %s", i, scope)
							require.NotEqual(t, connect.CodePermissionDenied, connect.CodeOf(err), "%d %s", i, scope)
							continue
						}
						require.Equal(t, connect.CodePermissionDenied, connect.CodeOf(err), "%d %s", i, scope)
						require.ErrorContains(t, err, "this needs "+call.needs.String())
					}
				}
			}
			for _, entry := range b.logs.All() {
				for _, key := range keys {
					require.NotContains(t, entry.Message, key)
					for _, field := range entry.Context {
						require.NotContains(t, field.String, key)
					}
				}
			}
		})
	}
}

func TestD49_ReflectionNeedsAKey(t *testing.T) {
	t.Parallel()
	b, keys := guarded(t)
	list := func(options ...connect.ClientOption) error {
		stream := grpcreflect.NewClient(b.http2, base, append(options, connect.WithGRPC())...).NewStream(t.Context())
		_, err := stream.ListServices()
		_, _ = stream.Close()
		return err
	}
	require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(list()))
	require.NoError(t, list(withHeader("Authorization", "Bearer "+keys[apikey.Read])))
}

// What has no procedures answers in the original's form; health, what receives webhooks, and preflights need no key.
func TestD49_PlainRoutesNeedAKeyButForHealthAndReceivers(t *testing.T) {
	t.Parallel()
	b, keys := guarded(t)
	b.received["r"] = []server.ReceivedRequest{}
	for _, path := range []string{"/livez", "/readyz", "/test-receivers/r/webhook", "/Test-Receivers/r/Webhook/"} {
		status, _, _ := b.do(t, http.MethodGet, path, nil, nil)
		require.Equal(t, http.StatusOK, status, path)
	}
	for _, path := range []string{
		"/metrics", "/webhooks", "/WebHooks/", "/nothing", "/livez/../webhooks", "/test-receivers/r/requests", "/webhook-monitor/s/requests",
		"/holdfast.v1.WebhookService/ListWebhooks", "/holdfast.v1.Nothing/At", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	} {
		status, header, answer := b.do(t, http.MethodPut, path, strings.NewReader("x"), http.Header{"Origin": {"https://app.example.com"}})
		if path == "/livez/../webhooks" && status == http.StatusTemporaryRedirect {
			continue
		}
		require.Equal(t, http.StatusUnauthorized, status, path)
		require.Equal(t, `Bearer realm="holdfast"`, header.Get("WWW-Authenticate"))
		require.Equal(t, "https://app.example.com", header.Get("Access-Control-Allow-Origin"), "a page can read why")
		if !strings.HasPrefix(path, "/holdfast") && !strings.HasPrefix(path, "/grpc") {
			require.Equal(t, false, answer["success"])
		}
	}
	status, header, _ := b.do(t, http.MethodOptions, "/webhooks", nil, http.Header{
		"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,x-api-key"},
	})
	require.Equal(t, http.StatusNoContent, status)
	require.Equal(t, "https://app.example.com", header.Get("Access-Control-Allow-Origin"))

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/holdfast.v1.Nothing/At", nil)
	require.NoError(t, err)
	req.Header.Set(apikey.Header, keys[apikey.Write])
	res, err := b.http1.Do(req)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusForbidden, res.StatusCode, "what is in no table is for operators")
}

// The audit trail names the key, which is proved, before whom the caller claims to be.
func TestD49_TheKeyIsTheActor(t *testing.T) {
	t.Parallel()
	b, keys := guarded(t)
	var actors []string
	b.register = func(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
		actors = append(actors, r.Actor)
		return server.RegisterResult{Webhook: r.Webhook}, nil
	}
	for _, claimed := range []string{"", "ops@example.com", "key:the-operate", strings.Repeat("ü", 100)} {
		status, _, answer := b.do(t, http.MethodPost, "/holdfast.v1.WebhookService/RegisterWebhook",
			strings.NewReader(`{"webhook":{"url":"https://a.example","eventTypes":["job_failed"]}}`),
			http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + keys[apikey.Write]}, server.ActorHeader: {claimed}})
		require.Equal(t, http.StatusOK, status, answer)
	}
	require.Equal(t, []string{
		"key:the-write", "key:the-write (as ops@example.com)", "key:the-write (as key:the-operate)",
		"key:the-write (as " + strings.Repeat("ü", 45) + ")",
	}, actors)
}

// Each procedure of each service, and nothing else, has a scope.
func TestEveryProcedureHasAScope(t *testing.T) {
	t.Parallel()
	procedures := server.ProcedureScopes()
	found := 0
	for _, service := range []string{
		holdfastv1connect.WebhookServiceName, holdfastv1connect.EventServiceName, holdfastv1connect.DeliveryServiceName,
		holdfastv1connect.OperationsServiceName, holdfastv1connect.ReceiverServiceName,
	} {
		d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
		require.NoError(t, err)
		methods := d.(protoreflect.ServiceDescriptor).Methods()
		for i := range methods.Len() {
			name := string(methods.Get(i).Name())
			scope, ok := procedures["/"+service+"/"+name]
			require.True(t, ok, name)
			looks := strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || strings.HasPrefix(name, "Watch")
			require.Equal(t, looks, scope == apikey.Read, name)
			found++
		}
	}
	services := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("holdfast.v1", func(f protoreflect.FileDescriptor) bool {
		services += f.Services().Len()
		return true
	})
	require.Equal(t, 5, services, "a new service belongs into this test")
	require.Len(t, procedures, found+2, "and both versions of reflection")
}

// A page of another origin is refused before anything is done, where the original failed, or let in what looked alike (D60, D64).
func TestD60_RefusedOriginIsForbidden(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *server.Options) {
		o.AllowedOrigins, o.PublicURL = []string{"http://localhost:3333"}, "https://hooks.example.com"
	})
	for origin, want := range map[string]int{
		"http://localhost:3333": 200, "": 200, base: 200, "https://hooks.example.com": 200,
		"https://localhost.evil.example": 403, "http://localhost": 403, "http://hooks.example.com": 403, "null": 403,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		status, _, answer := b.do(t, http.MethodGet, "/readyz", nil, header)
		require.Equal(t, want, status, origin)
		if want == http.StatusForbidden {
			require.Equal(t, map[string]any{"success": false, "error": "Not allowed by CORS: " + origin}, answer)
		}
	}
}
