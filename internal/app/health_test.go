package app_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/app"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// health is what the original's health route says, which is 200 whatever it says.
func (n *testNode) health(t *testing.T) map[string]any {
	t.Helper()
	status, got := n.rest(t, http.MethodGet, "/health", "")
	require.Equal(t, http.StatusOK, status)
	return got
}

func inside(t *testing.T, answer map[string]any, block string) map[string]any {
	t.Helper()
	got, ok := answer[block].(map[string]any)
	require.True(t, ok, "%s of %v", block, answer)
	return got
}

func TestD42_HealthCountsWhatThereIs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	good, bad := testkit.NewReceiver(t), testkit.NewReceiver(t)
	bad.Respond(func(int, *http.Request) (int, http.Header, string) { return http.StatusTeapot, nil, "" })
	id := n.register(t, good.URL(), "job_submitted").GetWebhook().GetId()
	other := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: bad.URL(), EventTypes: []string{"job_failed"}, RetryPolicy: retries(1, time.Millisecond),
	}).GetWebhook().GetId()
	for i := range 3 {
		n.awaitDelivery(t, n.publish(t, "job_submitted", fmt.Sprintf(`{"i":%d}`, i)).GetDeliveries()[0].GetId(), delivered)
	}
	n.awaitDelivery(t, n.publish(t, "job_failed", `{}`).GetDeliveries()[0].GetId(), holdfastv1.DeliveryState_DELIVERY_STATE_EXHAUSTED)
	_, err := n.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{Id: other})
	require.NoError(t, err)
	c.say(t, 1, "job_submitted", `{"job_id":"j","timestamp":1757066400000}`)
	c.say(t, 1, "job_submitted", `no JSON`)
	c.stats(c.store(), id, 4)

	got := awaitHealth(t, n, "four messages counted", func(h map[string]any) bool {
		return inside(t, h, "event_processing")["totalEvents"] == 2.0 && inside(t, h, "processor")["open_deliveries"] == 0.0
	})
	require.Equal(t, "ok", got["status"], got["problems"])
	require.Equal(t, "webhook-service", got["service"])
	require.Equal(t, "test", got["version"])
	require.Equal(t, map[string]any{"connected": true, "status": "ready"}, got["redis"])
	processor := inside(t, got, "processor")
	require.InDelta(t, 1, processor["active_webhooks"], 0, "the other one is disconnected")
	require.InDelta(t, 5, processor["total_deliveries"], 0)
	require.InDelta(t, 1, processor["failed_deliveries"], 0)
	require.InDelta(t, 2, inside(t, processor, "workflow_tracking")["total_tracked_workflows"], 0)
	require.Equal(t, map[string]any{"totalEvents": 2.0, "processedEvents": 1.0, "skippedEvents": 0.0, "failedEvents": 1.0}, got["event_processing"])
	require.Equal(t, map[string]any{"method": "GET", "path": "/health", "userAgent": "Go-http-client/1.1"}, got["request"])
}

func TestD43_HealthDegradesWithoutEMPROPS(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	for _, down := range []bool{true, false} {
		require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: down}))
		awaitTrue(t, "a check, which a busy machine may not end in time to be answered", func() bool {
			_, err := n.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{})
			return err == nil
		})
		want := map[bool]string{true: "degraded unreachable", false: "ok ok"}[down]
		awaitHealth(t, n, want, func(h map[string]any) bool {
			return fmt.Sprint(h["status"], " ", inside(t, h, "emprops")["status"]) == want
		})
	}
}

func awaitHealth(t *testing.T, n *testNode, what string, is func(map[string]any) bool) map[string]any {
	t.Helper()
	return await(t, what, func() (map[string]any, bool) {
		got := n.health(t)
		return got, is(got)
	})
}

func TestD43_HealthDegradesWithRedisAndRecovers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	n.register(t, testkit.NewReceiver(t).URL(), "job_submitted")
	awaitHealth(t, n, "a healthy node", func(h map[string]any) bool { return h["status"] == "ok" })

	require.NoError(t, c.redis.Kill())
	got := awaitHealth(t, n, "a degraded node", func(h map[string]any) bool { return h["status"] == "degraded" })
	require.Equal(t, map[string]any{"connected": false, "status": "unreachable"}, got["redis"])
	require.InDelta(t, 0, inside(t, got, "processor")["total_deliveries"], 0)
	status, _ := n.readiness(t)
	require.Equal(t, http.StatusServiceUnavailable, status, "readiness says the same")
	require.NotContains(t, fmt.Sprint(got), "127.0.0.1:", "an answer to everybody names no hosts")
	_, metrics := n.get(t, "/metrics")
	require.Contains(t, metrics, "\nholdfast_component_up{component=\"redis\"} 0\n")
	require.Contains(t, metrics, "\nholdfast_ready 0\n")
	require.NotContains(t, metrics, "\nholdfast_deliveries{", "what is not known is not zero")

	require.NoError(t, c.redis.Restart(t.Context()))
	awaitHealth(t, n, "a healthy node again", func(h map[string]any) bool {
		return h["status"] == "ok" && inside(t, h, "processor")["active_webhooks"] == 1.0
	})
}

// The original's port was closed until Redis answered, so that nobody could ask (D43).
func TestD43_HealthAnswersBeforeRedisDoes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	require.NoError(t, c.redis.Kill())
	n := c.start(func(cfg *config.Config) { cfg.EMPROPS.Mode = "off" })
	got := n.health(t)
	require.Equal(t, "degraded", got["status"])
	require.Equal(t, "off", inside(t, got, "emprops")["status"])
	require.True(t, strings.HasPrefix(fmt.Sprint(got["problems"].([]any)[0]), "redis: "), got["problems"])
	require.NoError(t, c.redis.Restart(t.Context()))
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, n.WaitReady(ready))
	awaitHealth(t, n, "a healthy node", func(h map[string]any) bool { return h["status"] == "ok" })
}

func TestD43_AWorkerHasTheSameHealth(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	n.register(t, testkit.NewReceiver(t).URL(), "job_submitted")
	worker := c.startAs(app.Roles{Worker: true})
	got := awaitHealth(t, worker, "a healthy worker", func(h map[string]any) bool { return h["status"] == "ok" })
	require.InDelta(t, 1, inside(t, got, "processor")["active_webhooks"], 0)
	require.NoError(t, c.redis.Kill())
	awaitHealth(t, worker, "a degraded worker", func(h map[string]any) bool { return h["status"] == "degraded" })
}
