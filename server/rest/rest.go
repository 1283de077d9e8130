package rest

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/server"
)

// Deps is what the handlers call. Every field but Logger is required.
type Deps struct {
	Registrations server.Registrations
	Webhooks      server.Webhooks
	Tests         server.Tests
	Control       server.DeliveryControl
	Operations    server.Operations
	History       History
	Receivers     server.Receivers
	Sessions      server.Sessions
	Ingress       func() IngressCounts
	Checker       server.Checker
	Logger        *zap.Logger
}

// History reads attempts, the newest first. Every method returns CodeUnavailable.
type History interface {
	// Attempts returns those kept of a webhook, at most limit.
	Attempts(ctx context.Context, webhookID string, limit int) ([]holdfast.Attempt, error)
	// Log returns those kept over all webhooks, at most limit.
	Log(ctx context.Context, limit int) ([]holdfast.LogEntry, error)
}

// IngressCounts counts the messages of the job broker since this node's start.
type IngressCounts struct {
	Received, Processed, Skipped, Failed int64
}

// Options is what can be chosen.
type Options struct {
	PublicURL string // how the outside reaches this server; begins the URLs of test receivers
	// RetryPolicy is for webhooks that set none, or only a part of one (D29); what is zero is the original's.
	RetryPolicy holdfast.RetryPolicy
	// ShowSecrets has webhooks shown with their secrets and the values of their headers, as the original did (D49).
	ShowSecrets bool
	// Version and PlatformMode are shown in /health: the program's version, and how EMPROPS is asked.
	Version, PlatformMode string
}

// api is the handlers.
type api struct {
	Deps
	Options
	now func() time.Time
}

// New returns the handler of all routes, which stands behind server.LenientPaths. What it does not know it answers with the
// original's 404.
func New(d Deps, o Options) http.Handler {
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	o.RetryPolicy = o.RetryPolicy.Merged(holdfast.DefaultRetryPolicy())
	a := &api{d, o, time.Now}
	mux := http.NewServeMux()
	for _, route := range a.routes() {
		mux.Handle(route.pattern, a.handler(route))
	}
	mux.HandleFunc("GET /health", a.health)
	mux.HandleFunc("/", a.unknown)
	return mux
}

// NewHealth returns the handler of /health alone, for processes without an API. Of d it needs Operations, Ingress and Checker.
func NewHealth(d Deps, o Options) http.Handler {
	return http.HandlerFunc((&api{d, o, time.Now}).health)
}

// route is a method with a path, what it needs a key to be allowed, and who answers.
type route struct {
	pattern string
	scope   apikey.Scope
	handle  func(*http.Request) (answer, error)
}

// routes are all of them, except /health, which needs no key.
func (a *api) routes() []route {
	return []route{
		{"POST /webhooks", apikey.Write, a.register},
		{"GET /webhooks", apikey.Read, a.list},
		{"GET /webhooks/{id}", apikey.Read, a.get},
		{"PUT /webhooks/{id}", apikey.Write, a.change},
		{"DELETE /webhooks/{id}", apikey.Write, a.remove},
		{"POST /webhooks/{id}/test", apikey.Write, a.test},
		{"GET /webhooks/{id}/stats", apikey.Read, a.stats},
		{"GET /webhooks/{id}/deliveries", apikey.Read, a.attempts},
		{"POST /webhooks/{id}/reconnect", apikey.Operate, a.reconnect},
		{"GET /stats/summary", apikey.Read, a.summary},
		{"GET /deliveries/recent", apikey.Read, a.recent},
		{"POST /test-receivers", apikey.Write, a.createReceiver},
		{"GET /test-receivers", apikey.Read, a.receivers},
		{"DELETE /test-receivers/{id}", apikey.Write, a.deleteReceiver},
		{"GET /test-receivers/{id}/requests", apikey.Read, a.received},
		{"DELETE /test-receivers/{id}/requests", apikey.Write, a.clearReceived},
		{"GET /webhook-monitor/{id}/requests", apikey.Read, a.sessionRequests},
		{"DELETE /webhook-monitor/{id}/requests", apikey.Write, a.clearSession},
	}
}
