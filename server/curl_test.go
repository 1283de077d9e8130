package server_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

// TestPlainJSON_everyMethodByItsPublishedNames holds the spelling scripts rely on: a plain POST and the fields that are
// always in the answer, also where they are empty.
func TestPlainJSON_everyMethodByItsPublishedNames(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept()
	b.webhooks = []*holdfast.Webhook{{ID: "wh_1", CreatedAt: 1, UpdatedAt: 2, URL: "http://h/", Events: []string{"job_failed"}, Active: true, RetryConfig: holdfast.DefaultRetryPolicy()}}
	b.received["r1"] = []server.ReceivedRequest{{ID: "req_1", Time: 1}}
	b.register = func(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
		require.Equal(t, []string{"job_failed"}, r.Webhook.Events)
		require.Equal(t, int64(1500), r.Webhook.RetryConfig.InitialDelayMS)
		return server.RegisterResult{Webhook: *b.webhooks[0], Secret: "new", Registration: confirmed("wh_1")}, nil
	}
	b.remove = func(context.Context, server.Requested) (holdfast.Registration, error) {
		return confirmed("wh_1"), nil
	}
	b.registration = func(context.Context, string) (holdfast.Registration, error) { return confirmed("wh_1"), nil }
	b.delivery = func(context.Context, string, string) (*holdfast.Delivery, error) { return failedDelivery(), nil }
	b.list = func(context.Context, server.DeliveryFilter, int, string) ([]*holdfast.Delivery, string, error) {
		return []*holdfast.Delivery{failedDelivery()}, "", nil
	}
	b.remember(b.webhooks[0])
	b.stats = map[string]server.WebhookStats{"wh_1": {LastAttemptAt: 1}}
	b.operations = memoryOperations{
		overview: server.Overview{Report: &holdfast.ConsistencyReport{}},
		reports:  []holdfast.ConsistencyReport{{StartedAt: 1, Drifts: []holdfast.Drift{{}}}},
		nodes:    []holdfast.NodeStatus{{ID: "n1"}}, alerts: []holdfast.Alert{{Kind: holdfast.AlertDrift, ResolvedAt: 2}},
	}
	webhook := []string{
		"id", "url", "eventTypes", "filters", "headerNames", "retryPolicy", "active", "static", "description", "state",
		"revision", "hasSecret", "consecutiveFailures", "createTime", "updateTime",
		"format", "handshake", "filterExpression", "rateLimit", "orderingKey", "hasAuthorization", "publicKey", "secretsRetiring",
	}
	registration := []string{
		"webhookId", "operation", "status", "state", "steps", "revision", "cachesConfirmed", "cachesTotal", "silentNodes", "reason",
	}
	delivery := []string{
		"id", "webhookId", "eventId", "eventType", "state", "reason", "createTime", "updateTime", "attempts",
		"nextAttemptTime", "workflowId", "runId", "temporalUrl",
	}
	for _, tc := range []struct {
		method, body string
		within       string // "" looks at the answer itself
		want         []string
	}{
		{"WebhookService/RegisterWebhook", `{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"initialDelay":"1.5s"}}}`, "", []string{"webhook", "secret", "registration"}},
		{"WebhookService/RegisterWebhook", `{"webhook":{"url":"http://h/","event_types":["job_failed"],"retry_policy":{"initial_delay":"1.5s"}},"idempotency_key":"k"}`, "webhook", webhook},
		{"WebhookService/GetWebhook", `{"id":"wh_1"}`, "webhook", webhook},
		{"WebhookService/ListWebhooks", `{}`, "", []string{"webhooks", "nextPageToken", "totalSize"}},
		{"WebhookService/UpdateWebhook", `{"id":"wh_1","webhook":{"url":"http://h/"},"updateMask":"url,static","requestId":"r","wait":"1s"}`, "webhook", webhook},
		{"WebhookService/UpdateWebhook", `{"id":"wh_1","webhook":{"description":"d"},"expectedRevision":"2"}`, "", []string{"webhook", "registration"}},
		{"WebhookService/DisconnectWebhook", `{"id":"wh_1","reason":"because"}`, "", []string{"webhook", "registration"}},
		{"WebhookService/GetWebhook", `{"id":"wh_1"}`, "webhook", append([]string{"disconnection"}, webhook...)},
		{"WebhookService/ReconnectWebhook", `{"id":"wh_1"}`, "webhook", webhook},
		{"WebhookService/RotateSecret", `{"id":"wh_1","overlap":"60s"}`, "", []string{"webhook", "registration", "secret"}},
		{"WebhookService/GetWebhookStats", `{"id":"wh_1"}`, "stats", []string{
			"attempts", "successfulAttempts", "failedAttempts", "delivered", "exhausted", "cancelled", "held", "consecutiveFailures",
			"lastAttemptTime", "averageResponse", "p50Response", "p95Response", "p99Response",
		}},
		{"WebhookService/GetWebhookStats", `{"id":"wh_1","series":{"step":"SERIES_STEP_DAY","from":"1970-01-01T00:00:00Z"}}`, "", []string{"stats", "series"}},
		{"WebhookService/DeleteWebhook", `{"id":"wh_1","wait":"5s","expectedRevision":"0","requestId":"d"}`, "registration", registration},
		{"WebhookService/GetRegistration", `{"webhookId":"wh_1"}`, "registration", registration},
		{"EventService/PublishEvent", `{"event":{"type":"job_failed","data":{}}}`, "", []string{"eventId", "duplicate", "deliveries"}},
		{"DeliveryService/GetDelivery", `{"id":"wh_1/evt_1"}`, "delivery", delivery},
		{"DeliveryService/ListDeliveries", `{"webhookId":"wh_1","state":"DELIVERY_STATE_RETRYING","pageSize":5}`, "", []string{"deliveries", "nextPageToken"}},
		{"OperationsService/GetOverview", `{}`, "overview", []string{"webhooks", "deliveries", "nodes", "openAlerts", "report", "components", "deliveriesExact", "totals", "series"}},
		{"OperationsService/GetConsistencyReport", `{"limit":2}`, "", []string{"report", "earlier"}},
		{"OperationsService/CheckConsistency", `{"wait":"5s"}`, "report", []string{
			"startTime", "duration", "consistent", "repaired", "revision", "webhooks", "active", "registrations", "nodes",
			"platformAsked", "platformKnown", "drifts", "workflowId", "runId", "temporalUrl",
		}},
		{"OperationsService/ListNodes", `{}`, "", []string{"nodes"}},
		{"OperationsService/ListAlerts", `{"includeResolved":true}`, "", []string{"alerts"}},
		{"ReceiverService/CreateReceiver", `{}`, "receiver", []string{"id", "url", "createTime", "expireTime", "requestCount"}},
		{"ReceiverService/ListReceivedRequests", `{"receiverId":"r1"}`, "", []string{"requests"}},
	} {
		status, _, answer := b.post(t, tc.method, tc.body)
		require.Equal(t, 200, status, "%s: %v", tc.method, answer)
		if tc.within != "" {
			answer = answer[tc.within].(map[string]any)
		}
		var got []string
		for name := range answer {
			got = append(got, name)
		}
		require.ElementsMatch(t, tc.want, got, "%s", tc.method)
	}
}
