package telemetry

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/emprops/holdfast"
)

// scrapeTimeout bounds what a scrape waits for. Who does not answer by then is missing in it.
const scrapeTimeout = 2 * time.Second

// State is what there is at the moment of a scrape. A nil map is unknown, and none of its values are shown.
type State struct {
	Components map[string]bool // by name, whether they work
	Ready      bool
	Degraded   bool  // events are matched on a snapshot that may be behind
	Revision   int64 // of the node's copy of the registry

	Webhooks   map[holdfast.WebhookState]int
	Deliveries map[holdfast.DeliveryState]int64 // those kept, by state
	Alerts     map[holdfast.AlertKind]int       // open
	Nodes      int                              // alive
	Report     *holdfast.ConsistencyReport      // the last one

	Messages map[string]map[string]int64 // of each ingress, by what became of them
}

// StateFunc asks for the state. What cannot be had in time is left out.
type StateFunc func(context.Context) State

// stateCollector turns a State into metrics.
type stateCollector struct {
	state StateFunc
	build prometheus.Metric

	component, ready, degraded, revision, webhooks, deliveries, alerts, nodes, checkedAt, drift, messages *prometheus.Desc
}

func newStateCollector(version string, state StateFunc) *stateCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prefix+name, help, labels, nil)
	}
	return &stateCollector{
		state:      state,
		build:      prometheus.MustNewConstMetric(desc("build_info", "The program's version.", "version"), prometheus.GaugeValue, 1, version),
		component:  desc("component_up", "Whether a part that this node needs works.", "component"),
		ready:      desc("ready", "Whether the node can do its work, as /readyz says."),
		degraded:   desc("registry_degraded", "Whether events are matched on a snapshot that may be behind."),
		revision:   desc("registry_revision", "Revision of the node's copy of the registry."),
		webhooks:   desc("webhooks", "Webhooks by state.", "state"),
		deliveries: desc("deliveries", "Deliveries that are kept, by state; those that are pending, retrying and held are open.", "state"),
		alerts:     desc("alerts_open", "Open alerts by kind.", "kind"),
		nodes:      desc("nodes_alive", "Nodes with a heartbeat."),
		checkedAt:  desc("consistency_checked_timestamp_seconds", "When the last consistency check began."),
		drift:      desc("consistency_drift", "What the last consistency check found, by kind and whether it was repaired.", "kind", "repaired"),
		messages:   desc("job_messages_total", "Messages that this node took, by where they came from and what became of them.", "source", "result"),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.build.Desc()
	for _, d := range []*prometheus.Desc{
		c.component, c.ready, c.degraded, c.revision, c.webhooks, c.deliveries, c.alerts, c.nodes, c.checkedAt, c.drift, c.messages,
	} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	s := c.state(ctx)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	out <- c.build
	gauge(c.ready, number(s.Ready))
	gauge(c.degraded, number(s.Degraded))
	gauge(c.revision, float64(s.Revision))
	for name, up := range s.Components {
		gauge(c.component, number(up), name)
	}
	for source, results := range s.Messages {
		for result, n := range results {
			out <- prometheus.MustNewConstMetric(c.messages, prometheus.CounterValue, float64(n), source, result)
		}
	}
	for state, n := range s.Webhooks {
		gauge(c.webhooks, float64(n), string(state))
	}
	for state, n := range s.Deliveries {
		gauge(c.deliveries, float64(n), string(state))
	}
	for kind, n := range s.Alerts {
		gauge(c.alerts, float64(n), string(kind))
	}
	if s.Webhooks != nil {
		gauge(c.nodes, float64(s.Nodes))
	}
	if s.Report == nil {
		return
	}
	gauge(c.checkedAt, float64(s.Report.StartedAt)/1000)
	for _, d := range s.Report.Drifts {
		gauge(c.drift, float64(d.Count-d.Failed), string(d.Kind), "true")
		gauge(c.drift, float64(d.Failed), string(d.Kind), "false")
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
