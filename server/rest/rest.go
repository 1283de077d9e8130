package rest

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
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

// New returns the handler of all routes. What it does not know it answers with the original's 404.
func New(d Deps, o Options) http.Handler {
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	o.RetryPolicy = o.RetryPolicy.Merged(holdfast.DefaultRetryPolicy())
	a := &api{d, o, time.Now}
	mux, words := http.NewServeMux(), map[string]bool{}
	for pattern, handle := range map[string]func(*http.Request) (answer, error){
		"POST /webhooks":                       a.register,
		"GET /webhooks":                        a.list,
		"GET /webhooks/{id}":                   a.get,
		"PUT /webhooks/{id}":                   a.change,
		"DELETE /webhooks/{id}":                a.remove,
		"POST /webhooks/{id}/test":             a.test,
		"GET /webhooks/{id}/stats":             a.stats,
		"GET /webhooks/{id}/deliveries":        a.attempts,
		"POST /webhooks/{id}/reconnect":        a.reconnect,
		"GET /stats/summary":                   a.summary,
		"GET /deliveries/recent":               a.recent,
		"POST /test-receivers":                 a.createReceiver,
		"GET /test-receivers":                  a.receivers,
		"DELETE /test-receivers/{id}":          a.deleteReceiver,
		"GET /test-receivers/{id}/requests":    a.received,
		"DELETE /test-receivers/{id}/requests": a.clearReceived,

		"GET /webhook-monitor/{id}/requests":    a.sessionRequests,
		"DELETE /webhook-monitor/{id}/requests": a.clearSession,
	} {
		mux.Handle(pattern, a.handler(handle))
		_, path, _ := strings.Cut(pattern, " ")
		for part := range strings.SplitSeq(path, "/") {
			words[part] = part != "{id}"
		}
	}
	mux.HandleFunc("GET /health", a.health)
	words["health"] = true
	mux.HandleFunc("/", a.unknown)
	return lenientPaths(mux, words)
}

// NewHealth returns the handler of /health alone, for processes without an API. Of d it needs Operations, Ingress and Checker.
func NewHealth(d Deps, o Options) http.Handler {
	return http.HandlerFunc((&api{d, o, time.Now}).health)
}

// lenientPaths has routes found whatever the case of their words and with a slash at their end (CONTRACT 1). Ids keep theirs.
func lenientPaths(next http.Handler, words map[string]bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(strings.TrimSuffix(r.URL.Path, "/"), "/")
		for i, p := range parts {
			if lower := strings.ToLower(p); words[lower] {
				parts[i] = lower
			}
		}
		path := strings.Join(parts, "/")
		if path == r.URL.Path || path == "" {
			next.ServeHTTP(w, r)
			return
		}
		same := r.Clone(r.Context())
		same.URL.Path, same.URL.RawPath = path, ""
		next.ServeHTTP(w, same)
	})
}
