package app_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/grpc"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// span is one that a collector got, with its attributes and those of its resource.
type span struct {
	name                 string
	attributes, resource map[string]string
}

// collected is an OTLP collector.
type collected struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []span
}

func newCollector(t *testing.T) (c *collected, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c = &collected{}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c, listener.Addr().String()
}

// Export implements the collector's service.
func (c *collected) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range in.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			for _, one := range s.GetSpans() {
				c.spans = append(c.spans, span{one.GetName(), texts(one.GetAttributes()), texts(r.GetResource().GetAttributes())})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func texts(attributes []*commonpb.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attributes {
		out[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return out
}

// await waits for a span of the name that has the attributes.
func (c *collected) await(t *testing.T, name string, with map[string]string) span {
	t.Helper()
	return await(t, "a span "+name, func() (span, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.IndexFunc(c.spans, func(s span) bool {
			for k, v := range with {
				if s.attributes[k] != v {
					return false
				}
			}
			return s.name == name
		})
		if i < 0 {
			return span{}, false
		}
		return c.spans[i], true
	})
}

func TestD46_ACollectorSeesWhatHappens(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	got, address := newCollector(t)
	n := c.node(func(cfg *config.Config) {
		cfg.Telemetry.OTLPEndpoint, cfg.Telemetry.Environment = address, "production"
		cfg.Delivery.DisconnectThreshold = 1
	})
	receiver := testkit.NewReceiver(t)
	id := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"job_submitted", "job_failed"}, RetryPolicy: retries(2, time.Millisecond),
	}).GetWebhook().GetId()
	got.await(t, "webhook.registration", map[string]string{"operation": "register", "outcome": "confirmed", "webhook_id": id})

	event := n.publish(t, "job_submitted", `{"job_id":"j1","workflow_id":"w1","customer_id":7}`)
	n.awaitDelivery(t, event.GetDeliveries()[0].GetId(), delivered)
	s := got.await(t, "webhook.delivered", nil)
	require.Equal(t, map[string]string{
		"event_type": "job_submitted", "job_id": "w1", "step_id": "j1", "service": "Job_Q_Webhook", "deployment.platform": "railway",
		"webhook_id": id, "customer_id": "7", "http_status": "200",
	}, s.attributes)
	require.Equal(t, map[string]string{"service.name": "emp-webhook", "service.version": "test", "deployment.environment": "production"}, s.resource)

	receiver.Respond(func(int, *http.Request) (int, http.Header, string) { return http.StatusBadGateway, nil, "" })
	n.publish(t, "job_failed", `{}`)
	for _, attempt := range []string{"1", "2"} {
		s = got.await(t, "webhook.delivery.failure", map[string]string{"attempt_number": attempt})
		require.Equal(t, "502", s.attributes["http_status"])
		require.Equal(t, "status", s.attributes["error_type"])
		require.Equal(t, "unknown", s.attributes["job_id"])
	}
	got.await(t, "webhook.status.disconnected", map[string]string{"webhook_id": id})
	_, err := n.webhooks.ReconnectWebhook(t.Context(), &holdfastv1.ReconnectWebhookRequest{Id: id})
	require.NoError(t, err)
	got.await(t, "webhook.status.reconnected", map[string]string{"webhook_id": id})

	metrics := await(t, "what happened in the metrics", func() (string, bool) {
		_, body := n.get(t, "/metrics")
		return body, strings.Contains(body, `holdfast_alerts_open{kind="webhook_disconnected"} `) == false &&
			strings.Contains(body, `holdfast_deliveries_ended_total{state="exhausted"} 1`)
	})
	for _, line := range []string{
		`holdfast_attempts_total{result="delivered"} 1`, `holdfast_attempts_total{result="status_5xx"} 2`,
		`holdfast_attempt_duration_seconds_count{success="true"} 1`, `holdfast_deliveries_ended_total{state="delivered"} 1`,
		`holdfast_events_total{result="accepted",source="api"} 2`, `holdfast_publish_duration_seconds_count{source="api"} 2`,
		`holdfast_started_deliveries_count{kind="delivery"} 2`, `holdfast_alerts_raised_total{kind="webhook_disconnected"} 1`,
		`holdfast_registration_duration_seconds_count{operation="register",outcome="confirmed"} 1`,
		`holdfast_registration_duration_seconds_count{operation="reconnect",outcome="confirmed"} 1`,
		`holdfast_emprops_request_duration_seconds_count{method="POST",status="201"} 1`, `holdfast_webhooks{state="active"} 1`,
		`holdfast_deliveries{state="exhausted"} 1`, `holdfast_nodes_alive 1`, `holdfast_ready 1`, `holdfast_component_up{component="redis"} 1`,
		`holdfast_job_messages_total{result="processed",source="broker"} 0`, `holdfast_build_info{version="test"} 1`,
		`holdfast_registry_degraded 0`,
	} {
		require.Contains(t, metrics, line+"\n")
	}
	require.NotContains(t, metrics, id, "labels hold no ids")
}

// Telemetry that cannot be handed over is no reason to do anything else worse (D25).
func TestD25_ACollectorThatIsAwayHarmsNothing(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	for name, collector := range map[string]net.Listener{"closed": closed, "silent": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t)
			n := c.node(func(cfg *config.Config) { cfg.Telemetry.OTLPEndpoint = "http://" + collector.Addr().String() })
			receiver := testkit.NewReceiver(t)
			id := n.register(t, receiver.URL(), "job_submitted").GetWebhook().GetId()
			for range 20 {
				n.publish(t, "job_submitted", `{}`)
			}
			arrived(t, receiver, 20)
			c.stats(c.store(), id, 20)
			requireNoneOpen(t, c)
			require.Len(t, receiver.Requests(), 20, "nothing was sent again")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			require.NoError(t, n.Stop(ctx))
		})
	}
}

// Each metric that the rules and the dashboard name is one that a node serves.
func TestRulesAndDashboardNameMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	id := n.register(t, testkit.NewReceiver(t).URL(), "job_submitted").GetWebhook().GetId()
	n.publish(t, "job_submitted", `{}`)
	require.NoError(t, testkit.RedisClient(t, c.redis).Del(t.Context(), "webhooks:active").Err())
	_, err := n.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{}) // which finds drift
	require.NoError(t, err)
	_, err = n.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{Id: id}) // which is an alert
	require.NoError(t, err)
	for file, least := range map[string]int{"prometheus-rules.yaml": 8, "grafana-dashboard.json": 14} {
		text, err := os.ReadFile("../../deploy/" + file)
		require.NoError(t, err)
		names := regexp.MustCompile(`\b(holdfast|process|go)_\w+`).FindAllString(string(text), -1)
		require.Greater(t, len(names), least)
		for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
			awaitTrue(t, name+" of "+file, func() bool {
				_, metrics := n.get(t, "/metrics")
				return strings.Contains(metrics, "\n"+name+"{") || strings.Contains(metrics, "\n"+name+" ")
			})
		}
	}
}
