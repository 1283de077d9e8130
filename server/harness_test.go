package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
	"github.com/emprops/holdfast/server"
)

// A server that refused a body that is too large waits half a second before it closes the connection.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// fakes answers every port from its fields; what is not set answers with what the port promises for nothing there.
type fakes struct {
	register     func(context.Context, server.RegisterRequest) (server.RegisterResult, error)
	change       func(context.Context, server.ChangeRequest) (server.RegisterResult, error)
	rotate       func(context.Context, server.RotateRequest) (server.RegisterResult, error)
	disconnect   func(context.Context, server.SwitchRequest) (server.RegisterResult, error)
	reconnect    func(context.Context, server.SwitchRequest) (server.RegisterResult, error)
	remove       func(context.Context, server.Requested) (holdfast.Registration, error)
	registration func(context.Context, string) (holdfast.Registration, error)
	publish      func(context.Context, *holdfast.Event) (server.PublishResult, error)
	list         func(context.Context, server.DeliveryFilter, int, string) ([]*holdfast.Delivery, string, error)
	delivery     func(context.Context, string, string) (*holdfast.Delivery, error)
	control      fakeControl
	test         func(ctx context.Context, webhookID string, eventTypes []string, timeout time.Duration) ([]server.TestedEvent, error)
	webhooks     []*holdfast.Webhook
	webhooksErr  error
	stats        map[string]server.WebhookStats
	seriesErr    error
	operations   memoryOperations
	components   map[string]string
	ready        bool

	mu       sync.Mutex
	arrivals chan struct{}                       // tells who watches a receiver
	received map[string][]server.ReceivedRequest // newest first, per receiver
	storeErr error
}

func (f *fakes) Register(ctx context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
	return f.register(ctx, r)
}

func (f *fakes) Change(ctx context.Context, r server.ChangeRequest) (server.RegisterResult, error) {
	return f.change(ctx, r)
}

func (f *fakes) RotateSecret(ctx context.Context, r server.RotateRequest) (server.RegisterResult, error) {
	return f.rotate(ctx, r)
}

func (f *fakes) Disconnect(ctx context.Context, r server.SwitchRequest) (server.RegisterResult, error) {
	return f.disconnect(ctx, r)
}

func (f *fakes) Reconnect(ctx context.Context, r server.SwitchRequest) (server.RegisterResult, error) {
	return f.reconnect(ctx, r)
}

func (f *fakes) Delete(ctx context.Context, r server.Requested) (holdfast.Registration, error) {
	return f.remove(ctx, r)
}

func (f *fakes) Stats(_ context.Context, id string) (server.WebhookStats, error) {
	stats, ok := f.stats[id]
	if !ok {
		return stats, holdfast.Errorf(holdfast.CodeNotFound, "webhook %s does not exist", id)
	}
	return stats, nil
}

func (f *fakes) Series(_ context.Context, _ string, step server.SeriesStep) ([]server.StatsBucket, error) {
	return threeBuckets(step), f.seriesErr
}

func (f *fakes) Registration(ctx context.Context, id string) (holdfast.Registration, error) {
	return f.registration(ctx, id)
}

func (f *fakes) Publish(ctx context.Context, e *holdfast.Event) (server.PublishResult, error) {
	return f.publish(ctx, e)
}

func (f *fakes) Delivery(ctx context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	return f.delivery(ctx, webhookID, eventID)
}

func (f *fakes) ListDeliveries(ctx context.Context, filter server.DeliveryFilter, size int, token string) ([]*holdfast.Delivery, string, error) {
	return f.list(ctx, filter, size, token)
}

func (f *fakes) Webhook(_ context.Context, id string) (*holdfast.Webhook, error) {
	for _, w := range f.webhooks {
		if w.ID == id {
			return w, nil
		}
	}
	return nil, holdfast.Errorf(holdfast.CodeNotFound, "webhook %s does not exist", id)
}

func (f *fakes) Test(ctx context.Context, webhookID string, eventTypes []string, timeout time.Duration) ([]server.TestedEvent, error) {
	return f.test(ctx, webhookID, eventTypes, timeout)
}

func (f *fakes) List(context.Context) ([]*holdfast.Webhook, error) { return f.webhooks, f.webhooksErr }

func (f *fakes) CreateReceiver(_ context.Context, id string) (server.Receiver, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.storeErr != nil {
		return server.Receiver{}, f.storeErr
	}
	f.received[id] = []server.ReceivedRequest{}
	return server.Receiver{ID: id, CreatedAt: 1_000, ExpiresAt: 86_401_000}, nil
}

func (f *fakes) Receiver(_ context.Context, id string) (server.Receiver, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests, ok := f.received[id]
	if !ok {
		return server.Receiver{}, holdfast.Errorf(holdfast.CodeNotFound, "receiver %s does not exist", id)
	}
	return server.Receiver{ID: id, RequestCount: int64(len(requests))}, nil
}

func (f *fakes) AddReceivedRequest(_ context.Context, id string, r server.ReceivedRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests, ok := f.received[id]
	switch {
	case f.storeErr != nil:
		return f.storeErr
	case !ok:
		return holdfast.Errorf(holdfast.CodeNotFound, "receiver %s does not exist", id)
	}
	requests = append([]server.ReceivedRequest{r}, requests...)
	f.received[id] = requests[:min(len(requests), server.MaxReceivedRequests)]
	return nil
}

func (f *fakes) ReceivedRequests(_ context.Context, id string, limit int) ([]server.ReceivedRequest, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests, ok := f.received[id]
	if !ok {
		return nil, holdfast.Errorf(holdfast.CodeNotFound, "receiver %s does not exist", id)
	}
	return append([]server.ReceivedRequest(nil), requests[:min(limit, len(requests))]...), nil
}

func (f *fakes) Receivers(context.Context) ([]server.Receiver, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []server.Receiver
	for id, requests := range f.received {
		all = append(all, server.Receiver{ID: id, RequestCount: int64(len(requests))})
	}
	return all, f.storeErr
}

func (f *fakes) DeleteReceiver(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.received[id]; !ok {
		return holdfast.Errorf(holdfast.CodeNotFound, "receiver %s does not exist", id)
	}
	delete(f.received, id)
	return nil
}

func (f *fakes) ClearReceivedRequests(_ context.Context, id string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.received[id])
	f.received[id] = []server.ReceivedRequest{}
	return int64(n), nil
}

func (f *fakes) WatchReceiver(context.Context, string) (<-chan struct{}, error) {
	return f.arrivals, f.storeErr
}

func (f *fakes) Ready(context.Context) (map[string]string, bool) { return f.components, f.ready }

// bundle is a server in memory and what a test needs to talk to it.
type bundle struct {
	*fakes
	http1, http2 *http.Client
	logs         *observer.ObservedLogs
}

const base = "http://holdfast.test"

func setup(t *testing.T, options ...func(*server.Options)) *bundle {
	t.Helper()
	f := &fakes{ready: true, components: map[string]string{"redis": "ok"}, received: map[string][]server.ReceivedRequest{}}
	core, logs := observer.New(zapcore.DebugLevel)
	o := server.Options{
		PublicURL: base + "/", TemporalUIBase: "http://ui.test/", TemporalNamespace: "default",
	}
	for _, option := range options {
		option(&o)
	}
	handler := server.New(server.Deps{
		Registrations: f, Webhooks: f, Tests: f, Events: f, Deliveries: f, Control: &f.control, Receivers: f, Operations: &f.operations, Checker: f, Logger: zap.New(core),
	}, o)
	listener := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	httpServer := server.NewHTTPServer(handler, zap.NewNop())
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	b := &bundle{fakes: f, http1: listener.client(false), http2: listener.client(true), logs: logs}
	t.Cleanup(func() {
		b.http1.CloseIdleConnections()
		b.http2.CloseIdleConnections()
		require.NoError(t, httpServer.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return b
}

// protocol is a way of calling: every handler is tested through each.
type protocol struct {
	name    string
	http2   bool
	options []connect.ClientOption
}

func protocols() []protocol {
	return []protocol{
		{"connect JSON", false, []connect.ClientOption{connect.WithProtoJSON()}},
		{"connect proto", false, nil},
		{"connect JSON by GET", true, []connect.ClientOption{connect.WithProtoJSON(), connect.WithHTTPGet()}},
		{"gRPC", true, []connect.ClientOption{connect.WithGRPC()}},
		{"gRPC JSON", true, []connect.ClientOption{connect.WithGRPC(), connect.WithProtoJSON()}},
		{"gRPC-Web", false, []connect.ClientOption{connect.WithGRPCWeb()}},
	}
}

type clients struct {
	webhooks   holdfastv1connect.WebhookServiceClient
	events     holdfastv1connect.EventServiceClient
	deliveries holdfastv1connect.DeliveryServiceClient
	receivers  holdfastv1connect.ReceiverServiceClient
	operations holdfastv1connect.OperationsServiceClient
}

// each runs the test once per protocol, each time against a server of its own.
func each(t *testing.T, test func(t *testing.T, b *bundle, c clients)) {
	t.Helper()
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			test(t, b, b.clients(p))
		})
	}
}

func (b *bundle) clients(p protocol) clients {
	client := b.http1
	if p.http2 {
		client = b.http2
	}
	return clients{
		holdfastv1connect.NewWebhookServiceClient(client, base, p.options...),
		holdfastv1connect.NewEventServiceClient(client, base, p.options...),
		holdfastv1connect.NewDeliveryServiceClient(client, base, p.options...),
		holdfastv1connect.NewReceiverServiceClient(client, base, p.options...),
		holdfastv1connect.NewOperationsServiceClient(client, base, p.options...),
	}
}

// post sends a JSON body as curl would and returns status, header and the decoded answer.
func (b *bundle) post(t *testing.T, method, body string) (int, http.Header, map[string]any) {
	t.Helper()
	return b.do(t, http.MethodPost, "/holdfast.v1."+method, strings.NewReader(body), http.Header{"Content-Type": {"application/json"}})
}

func (b *bundle) do(t *testing.T, method, path string, body io.Reader, header http.Header) (int, http.Header, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, base+path, body)
	require.NoError(t, err)
	req.Header = header
	if req.Header == nil {
		req.Header = http.Header{}
	}
	res, err := b.http1.Do(req)
	require.NoError(t, err)
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	var answer map[string]any
	if bytes.HasPrefix(raw, []byte("{")) {
		require.NoError(t, json.Unmarshal(raw, &answer))
	}
	return res.StatusCode, res.Header, answer
}

// pipeListener is a listener without a network.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "pipe"} }

func (l *pipeListener) client(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{
		Protocols:          protocols,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			near, far := net.Pipe()
			select {
			case l.conns <- far:
				return near, nil
			case <-l.closed:
				return nil, net.ErrClosed
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		},
	}}
}
