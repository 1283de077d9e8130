package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/emprops/holdfast"
)

// Metrics count what a node does. No label holds an id or an address, so that their number is bounded. Make it with
// NewMetrics; it is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	attempts       *prometheus.CounterVec
	attemptSeconds *prometheus.HistogramVec
	ended          *prometheus.CounterVec
	published      *prometheus.CounterVec
	publishSeconds *prometheus.HistogramVec
	started        *prometheus.HistogramVec
	operations     *prometheus.HistogramVec
	platform       *prometheus.HistogramVec
	alerts         *prometheus.CounterVec
}

const prefix = "holdfast_"

// NewMetrics makes the metrics of a node. state is asked at each scrape.
func NewMetrics(version string, state StateFunc) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.attempts = counter("attempts_total",
		"Requests to receivers by result: delivered, the status class of another answer, or the class of the error.", "result")
	m.attemptSeconds = histogram("attempt_duration_seconds", "Time from the beginning of a request to the end of its answer.",
		prometheus.ExponentialBuckets(0.001, 2.5, 13), "success")
	m.ended = counter("deliveries_ended_total", "Deliveries that ended, by their last state.", "state")
	m.published = counter("events_total",
		"Events by where they came from and what became of them: accepted, duplicate, or the code of the error.", "source", "result")
	m.publishSeconds = histogram("publish_duration_seconds", "Time until an event was durable.",
		prometheus.ExponentialBuckets(0.001, 2, 13), "source")
	m.started = histogram("started_deliveries", "Deliveries that one start of a workflow carried, by its kind.",
		prometheus.ExponentialBuckets(1, 4, 8), "kind")
	m.operations = histogram("registration_duration_seconds",
		"Time until an operation on a webhook was answered, by operation and outcome: confirmed, pending, failed or the code of the error.",
		prometheus.ExponentialBuckets(0.01, 2.5, 9), "operation", "outcome")
	m.platform = histogram("emprops_request_duration_seconds", "Calls of EMPROPS by method and status; status 0 is no answer.",
		prometheus.ExponentialBuckets(0.005, 2.5, 9), "method", "status")
	m.alerts = counter("alerts_raised_total", "Alerts that began, by kind.", "kind")
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newStateCollector(version, state),
	)
	return m
}

// scrapesAtOnce bounds scrapes under way, each of which asks for the state; one more is answered 503.
const scrapesAtOnce = 4

// Handler answers scrapes in the formats of Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, EnableOpenMetrics: true, MaxRequestsInFlight: scrapesAtOnce,
	})
}

// Attempt counts a request to a receiver.
func (m *Metrics) Attempt(a *holdfast.Attempt) {
	m.attempts.WithLabelValues(attemptResult(a)).Inc()
	m.attemptSeconds.WithLabelValues(strconv.FormatBool(a.Success)).Observe(a.DurationMS / 1000)
}

// attemptResult is one of a few words: what went wrong, where something did.
func attemptResult(a *holdfast.Attempt) string {
	switch {
	case a.Success:
		return string(holdfast.DeliveryDelivered)
	case a.ErrorClass == holdfast.ClassStatus:
		return "status_" + strconv.Itoa(a.ResponseStatus/100) + "xx"
	}
	return string(a.ErrorClass)
}

// DeliveryEnded counts the end of a delivery as this node recorded it. One that is recorded again, because the first
// answer of Redis was lost, counts again; the statistics in Redis do not.
func (m *Metrics) DeliveryEnded(state holdfast.DeliveryState) {
	m.ended.WithLabelValues(string(state)).Inc()
}

// Published counts an event that came from a source; result is "accepted", "duplicate" or the code of an error.
func (m *Metrics) Published(source, result string, took time.Duration) {
	m.published.WithLabelValues(source, result).Inc()
	m.publishSeconds.WithLabelValues(source).Observe(took.Seconds())
}

// Started counts the start of a workflow that carries deliveries.
func (m *Metrics) Started(kind string, deliveries int) {
	m.started.WithLabelValues(kind).Observe(float64(deliveries))
}

// Operation counts an operation on a webhook that was answered.
func (m *Metrics) Operation(operation, outcome string, took time.Duration) {
	m.operations.WithLabelValues(operation, outcome).Observe(took.Seconds())
}

// Platform counts a call of EMPROPS; status 0 is no answer.
func (m *Metrics) Platform(method string, status int, took time.Duration) {
	m.platform.WithLabelValues(method, strconv.Itoa(status)).Observe(took.Seconds())
}

// AlertRaised counts an alert that began.
func (m *Metrics) AlertRaised(kind holdfast.AlertKind) { m.alerts.WithLabelValues(string(kind)).Inc() }
