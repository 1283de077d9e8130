package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// Traces sends what happens to webhooks to an OTLP collector, as spans without length under the original's names
// (CONTRACT 8.3). It queues a bounded number and drops what a collector that is away or slow does not take: nothing waits
// for it. The zero of the type, a nil pointer, sends nothing.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// The names that the collectors of the original know, and their like.
const (
	SpanDelivered    = "webhook.delivered"
	SpanFailed       = "webhook.delivery.failure"
	SpanDisconnected = "webhook.status.disconnected"
	SpanReconnected  = "webhook.status.reconnected"
	SpanOperation    = "webhook.registration"
	SpanAlert        = "webhook.alert"
)

// service is the service's name in traces.
const service = "emp-webhook"

// TracesConfig says where traces go.
type TracesConfig struct {
	Endpoint    string // host:port or http://… without TLS, https://… with; "" sends nothing
	Environment string // deployment.environment
	Version     string
}

// NewTraces makes the sender; nothing is connected yet, and a collector that cannot be reached is no error. An error is about
// the endpoint.
func NewTraces(cfg TracesConfig, logger *zap.Logger) (*Traces, error) {
	if cfg.Endpoint == "" {
		return nil, nil //nolint:nilnil // a nil sender sends nothing, which its methods allow
	}
	endpoint := cfg.Endpoint
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
	}
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("telemetry.otlp_endpoint: not host:port, an http or an https URL (flag --otlp-endpoint)")
	}
	exporter, err := otlptracegrpc.New(context.Background(), otlptracegrpc.WithEndpointURL(endpoint), otlptracegrpc.WithTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("telemetry.otlp_endpoint: %w (flag --otlp-endpoint)", err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(quiet{exporter, logger}, sdktrace.WithBatchTimeout(time.Second)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", service), attribute.String("service.version", cfg.Version),
			attribute.String("deployment.environment", cfg.Environment),
		)),
	)
	return &Traces{provider: provider, tracer: provider.Tracer("github.com/emprops/holdfast")}, nil
}

// Attempt tells of a request to a receiver: webhook.delivered with exactly the original's attributes, all of them text, or
// webhook.delivery.failure with those and the attempt's.
func (t *Traces) Attempt(e *holdfast.Event, a *holdfast.Attempt) {
	if t == nil {
		return
	}
	ids := idsOf(e.Data)
	attributes := []attribute.KeyValue{
		attribute.String("event_type", e.Type),
		attribute.String("job_id", ids.workflow), // EMPROPS calls a workflow a job, and a job a step
		attribute.String("step_id", ids.job),
		attribute.String("service", "Job_Q_Webhook"),
		attribute.String("deployment.platform", "railway"),
		attribute.String("webhook_id", a.WebhookID),
		attribute.String("customer_id", ids.customer),
		attribute.String("http_status", strconv.Itoa(a.ResponseStatus)),
	}
	if a.Success {
		t.emit(SpanDelivered, attributes...)
		return
	}
	t.emit(SpanFailed, append(attributes,
		attribute.String("attempt_number", strconv.Itoa(a.Number)), attribute.String("error_type", string(a.ErrorClass)))...)
}

// Operation tells of an operation on a webhook that was answered.
func (t *Traces) Operation(webhookID, operation, outcome string) {
	t.emit(SpanOperation, attribute.String("webhook_id", webhookID), attribute.String("operation", operation),
		attribute.String("outcome", outcome))
}

// Alert tells of an alert that began or ended. That a webhook is disconnected is one, and has names of its own.
func (t *Traces) Alert(kind holdfast.AlertKind, subject string, over bool) {
	switch {
	case kind != holdfast.AlertWebhookDisconnected:
		t.emit(SpanAlert, attribute.String("kind", string(kind)), attribute.String("subject", subject),
			attribute.String("over", strconv.FormatBool(over)))
	case over:
		t.emit(SpanReconnected, attribute.String("webhook_id", subject))
	default:
		t.emit(SpanDisconnected, attribute.String("webhook_id", subject))
	}
}

func (t *Traces) emit(name string, attributes ...attribute.KeyValue) {
	if t == nil {
		return
	}
	now := time.Now()
	_, span := t.tracer.Start(context.Background(), name, trace.WithTimestamp(now), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(now))
}

// stopTimeout is how long a stop waits for a collector.
const stopTimeout = 2 * time.Second

// Stop sends what is queued, for two seconds or until ctx ends. What could not be sent is not an error of the node.
func (t *Traces) Stop(ctx context.Context) {
	if t != nil {
		ctx, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		_ = t.provider.Shutdown(ctx) // see quiet
	}
}
