package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"

	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// procedureScopes says what a key must be allowed for each procedure. One that is missing is for operators, and fails a test.
var procedureScopes = map[string]apikey.Scope{
	holdfastv1connect.WebhookServiceRegisterWebhookProcedure:   apikey.Write,
	holdfastv1connect.WebhookServiceGetWebhookProcedure:        apikey.Read,
	holdfastv1connect.WebhookServiceListWebhooksProcedure:      apikey.Read,
	holdfastv1connect.WebhookServiceUpdateWebhookProcedure:     apikey.Write,
	holdfastv1connect.WebhookServiceDisconnectWebhookProcedure: apikey.Operate,
	holdfastv1connect.WebhookServiceReconnectWebhookProcedure:  apikey.Operate,
	holdfastv1connect.WebhookServiceRotateSecretProcedure:      apikey.Write,
	holdfastv1connect.WebhookServiceTestWebhookProcedure:       apikey.Write,
	holdfastv1connect.WebhookServiceGetWebhookStatsProcedure:   apikey.Read,
	holdfastv1connect.WebhookServiceDeleteWebhookProcedure:     apikey.Write,
	holdfastv1connect.WebhookServiceGetRegistrationProcedure:   apikey.Read,

	holdfastv1connect.EventServicePublishEventProcedure:  apikey.Write,
	holdfastv1connect.EventServicePublishEventsProcedure: apikey.Write,

	holdfastv1connect.DeliveryServiceGetDeliveryProcedure:      apikey.Read,
	holdfastv1connect.DeliveryServiceListDeliveriesProcedure:   apikey.Read,
	holdfastv1connect.DeliveryServiceRetryDeliveryProcedure:    apikey.Operate,
	holdfastv1connect.DeliveryServiceCancelDeliveryProcedure:   apikey.Operate,
	holdfastv1connect.DeliveryServiceReplayDeliveriesProcedure: apikey.Operate,
	holdfastv1connect.DeliveryServiceGetReplayProcedure:        apikey.Read,
	holdfastv1connect.DeliveryServicePauseReplayProcedure:      apikey.Operate,
	holdfastv1connect.DeliveryServiceResumeReplayProcedure:     apikey.Operate,
	holdfastv1connect.DeliveryServiceCancelReplayProcedure:     apikey.Operate,
	holdfastv1connect.DeliveryServiceWatchDeliveriesProcedure:  apikey.Read,

	holdfastv1connect.OperationsServiceGetOverviewProcedure:          apikey.Read,
	holdfastv1connect.OperationsServiceGetConsistencyReportProcedure: apikey.Read,
	holdfastv1connect.OperationsServiceCheckConsistencyProcedure:     apikey.Operate,
	holdfastv1connect.OperationsServiceListNodesProcedure:            apikey.Read,
	holdfastv1connect.OperationsServiceListAlertsProcedure:           apikey.Read,

	holdfastv1connect.ReceiverServiceCreateReceiverProcedure:        apikey.Write,
	holdfastv1connect.ReceiverServiceListReceiversProcedure:         apikey.Read,
	holdfastv1connect.ReceiverServiceGetReceiverProcedure:           apikey.Read,
	holdfastv1connect.ReceiverServiceDeleteReceiverProcedure:        apikey.Write,
	holdfastv1connect.ReceiverServiceClearReceivedRequestsProcedure: apikey.Write,
	holdfastv1connect.ReceiverServiceWatchReceivedRequestsProcedure: apikey.Read,
	holdfastv1connect.ReceiverServiceListReceivedRequestsProcedure:  apikey.Read,

	"/" + grpcreflect.ReflectV1ServiceName + "/ServerReflectionInfo":      apikey.Read,
	"/" + grpcreflect.ReflectV1AlphaServiceName + "/ServerReflectionInfo": apikey.Read,
}

// openRoutes need no key, as patterns of http.ServeMux: health, which says nothing of the inside; what receives webhooks in
// place of somebody who has none; and the pages of the dashboard, whose scripts ask with the key of who looks at them.
var openRoutes = []string{
	"/livez", "/readyz", "/health", "/grpc.health.v1.Health/",
	"/test-receivers/{id}/webhook", "/webhook-monitor/{id}",
	"/{$}", "/ui/",
}

// guard lets only callers with a key through, whatever they speak: it stands before everything else, so that no handler
// can be forgotten (D49). Handlers of routes that are no procedures ask Permit what the key may do.
type guard struct {
	keys   apikey.Ring
	open   *http.ServeMux
	errors *connect.ErrorWriter
	next   http.Handler
}

// withKeys guards a handler; without keys everything is open.
func withKeys(keys apikey.Ring, next http.Handler, opts ...connect.HandlerOption) http.Handler {
	if len(keys) == 0 {
		return next
	}
	open := http.NewServeMux()
	for _, pattern := range openRoutes {
		open.Handle(pattern, next)
	}
	return &guard{keys, open, connect.NewErrorWriter(opts...), next}
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := g.open.Handler(r); pattern != "" {
		g.next.ServeHTTP(w, r)
		return
	}
	text := apikey.FromHeader(r.Header)
	key, known := g.keys.Find(text)
	if !known {
		w.Header().Set("WWW-Authenticate", `Bearer realm="holdfast"`)
		problem := "an API key is required, as Authorization: Bearer or " + apikey.Header
		if text != "" {
			problem = "the API key is not known here"
		}
		refuse(w, r, g.errors, connect.CodeUnauthenticated, problem)
		return
	}
	ctx := context.WithValue(r.Context(), callerKey{}, key)
	if err := Permit(ctx, scopeOf(r.URL.Path)); err != nil {
		refuse(w, r, g.errors, connect.CodePermissionDenied, err.Error())
		return
	}
	r = r.WithContext(ctx)
	r.Header = r.Header.Clone()
	r.Header.Del("Authorization") // nothing inside has a use for the key
	r.Header.Del(apikey.Header)
	r.Header.Set(ActorHeader, actorWith(key, r.Header))
	g.next.ServeHTTP(w, r)
}

// scopeOf is what a path needs at least.
func scopeOf(path string) apikey.Scope {
	if scope, ok := procedureScopes[path]; ok {
		return scope
	}
	if isProcedure(path) {
		return apikey.Operate
	}
	return apikey.Read // more is up to its handler
}

// isProcedure tells whether a path is that of an RPC, which begins with the full name of a service.
func isProcedure(path string) bool {
	return strings.HasPrefix(path, "/holdfast.v1.") || strings.HasPrefix(path, "/grpc.")
}

// refuse answers UNAUTHENTICATED or PERMISSION_DENIED in the form of the request's protocol, or as the original's REST API
// does (CONTRACT 1.1).
func refuse(w http.ResponseWriter, r *http.Request, errorWriter *connect.ErrorWriter, code connect.Code, problem string) {
	if isProcedure(r.URL.Path) {
		_ = errorWriter.Write(w, r, connect.NewError(code, errors.New(problem))) // an error here is the caller's broken connection
		return
	}
	status := http.StatusUnauthorized
	if code == connect.CodePermissionDenied {
		status = http.StatusForbidden
	}
	writeJSON(w, status, map[string]any{"success": false, "error": problem})
}

type callerKey struct{}

// Permit returns an error fit to show unless the caller may do what needs the scope. Where no keys are configured, everybody
// may do everything.
func Permit(ctx context.Context, scope apikey.Scope) error {
	key, ok := ctx.Value(callerKey{}).(apikey.Key)
	if !ok || key.Scope >= scope {
		return nil
	}
	return fmt.Errorf("the API key %s has the scope %s; this needs %s", key.Name, key.Scope, scope)
}

// actorWith is who the audit trail names: the key, which is proved, and whom the caller says to speak for.
func actorWith(key apikey.Key, h http.Header) string {
	actor := "key:" + key.Name
	if claimed := Actor(h, ""); claimed != "" {
		actor += " (as " + cutRunes(claimed, maxActorLength-len(actor)-len(" (as )")) + ")"
	}
	return actor
}

func cutRunes(text string, n int) string {
	runes := []rune(text)
	return string(runes[:min(n, len(runes))])
}
