package server

import (
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"go.uber.org/zap"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// DefaultMaxBodyBytes bounds a request: the largest event (holdfast.MaxEventBytes) in any spelling, with room.
const DefaultMaxBodyBytes = 4 << 20

// compressMinBytes is the size from which answers are compressed. Most answers are small and most callers near, where
// compressing costs more than it saves.
const compressMinBytes = 16 << 10

// Deps is what the handlers call. Every field is required except Operations, without which its service is not served,
// Metrics, Logger and REST.
type Deps struct {
	Registrations Registrations
	Webhooks      Webhooks
	Tests         Tests
	Events        Events
	Deliveries    Deliveries
	Control       DeliveryControl
	Receivers     Receivers
	Sessions      Sessions
	Operations    Operations
	Checker       Checker
	Metrics       http.Handler // answers GET /metrics; nil: nothing does
	Logger        *zap.Logger
	// REST serves what the routes here do not, if it is there.
	REST http.Handler
}

// Options is what can be chosen.
type Options struct {
	MaxBodyBytes      int      // bound of a request after decompression, in bytes; 0 means DefaultMaxBodyBytes
	AllowedOrigins    []string // origins, compared exactly, whose scripts may call; none by default
	PublicURL         string   // how the outside reaches this server; begins the URLs of test receivers
	TemporalUIBase    string   // where the Temporal UI is; "" leaves links to it out
	TemporalNamespace string   // the namespace in those links
	// RetryPolicy is for webhooks that set none, or only a part of one; what is zero is the original's (CONTRACT 3.4).
	RetryPolicy holdfast.RetryPolicy
	// APIKeys are the keys that callers must have one of; without any, everything is open.
	APIKeys apikey.Ring
	// Interceptors run inside error mapping and logging and before the handlers, the first one outermost. What guards
	// access must implement all three methods: connect.UnaryInterceptorFunc does nothing on streams.
	Interceptors []connect.Interceptor
}

// New returns the handler of everything this package serves.
func New(d Deps, o Options) http.Handler {
	if d.Logger == nil {
		d.Logger = zap.NewNop()
	}
	if o.MaxBodyBytes <= 0 {
		o.MaxBodyBytes = DefaultMaxBodyBytes
	}
	mux := http.NewServeMux()
	opts := handlerOptions(d.Logger, o)
	retry := o.RetryPolicy.Merged(holdfast.DefaultRetryPolicy())
	mux.Handle(holdfastv1connect.NewWebhookServiceHandler(&webhooks{d.Registrations, d.Webhooks, d.Tests, retry}, opts...))
	mux.Handle(holdfastv1connect.NewEventServiceHandler(&events{d.Events, &errorMapping{d.Logger}}, opts...))
	links := temporalLinks{o.TemporalUIBase, o.TemporalNamespace}
	mux.Handle(holdfastv1connect.NewDeliveryServiceHandler(&deliveries{d.Deliveries, d.Control, links}, opts...))
	mux.Handle(holdfastv1connect.NewReceiverServiceHandler(&receivers{d.Receivers, d.Webhooks, o.PublicURL}, opts...))
	services := serviceNames()
	if d.Operations != nil {
		mux.Handle(holdfastv1connect.NewOperationsServiceHandler(&operations{d.Operations, links}, opts...))
		services = append(services, holdfastv1connect.OperationsServiceName)
	}

	limit := connect.WithReadMaxBytes(o.MaxBodyBytes)
	reflector := grpcreflect.NewStaticReflector(services...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, limit))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, limit))
	mountHealth(mux, d.Checker, services, limit)
	mountMetrics(mux, d.Metrics)
	mux.Handle("/test-receivers/{id}/webhook", &testReceiver{d.Receivers, d.Logger})
	mux.Handle("/webhook-monitor/{id}", &monitorSession{d.Sessions, d.Logger})
	if d.REST != nil {
		mux.Handle("/", d.REST)
	}
	return LenientPaths(withCORS(o, withKeys(o.APIKeys, mux, opts...)))
}

// handlerOptions are the options of every RPC handler. The order of interceptors is part of the security: error mapping
// is outermost, so that no other text than it lets through reaches a caller.
func handlerOptions(log *zap.Logger, o Options) []connect.HandlerOption {
	return []connect.HandlerOption{
		connect.WithInterceptors(&errorMapping{log}),
		connect.WithRecover(recovered(log)),
		connect.WithInterceptors(append([]connect.Interceptor{&requestLog{log}}, o.Interceptors...)...),
		connect.WithReadMaxBytes(o.MaxBodyBytes),
		connect.WithCompressMinBytes(compressMinBytes),
		connect.WithCodec(jsonCodec{"json"}),
		connect.WithCodec(jsonCodec{"json; charset=utf-8"}),
	}
}

// serviceNames are the services of every API.
func serviceNames() []string {
	return []string{
		holdfastv1connect.WebhookServiceName, holdfastv1connect.EventServiceName,
		holdfastv1connect.DeliveryServiceName, holdfastv1connect.ReceiverServiceName,
	}
}
