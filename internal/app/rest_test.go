package app_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
)

// rest calls the original's API and returns the answer.
func (n *testNode) rest(t *testing.T, method, path, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.base+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(raw, &got), "%s", raw)
	return res.StatusCode, got
}

func data(answer map[string]any) map[string]any { return answer["data"].(map[string]any) }

// A client of the original lives its life with Holdfast: it registers, gets events, reads what became of them, changes,
// tests and deletes, without knowing the difference.
func TestClientOfTheOriginalFindsItsAPI(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	status, made := n.rest(t, http.MethodPost, "/test-receivers", "")
	require.Equal(t, http.StatusCreated, status, made)
	receiver := data(made)["id"].(string)

	target := testkit.NewReceiver(t)
	status, got := n.rest(t, http.MethodPost, "/webhooks", `{"url":"`+target.URL()+`","events":["job_failed","complete_job"],"secret":"s3cr3t"}`)
	require.Equal(t, http.StatusCreated, status, got)
	id := data(got)["id"].(string)
	require.Equal(t, "confirmed", data(got)["registration"].(map[string]any)["status"])
	status, got = n.rest(t, http.MethodGet, "/webhooks", "")
	require.Equal(t, http.StatusOK, status)
	require.InDelta(t, 1.0, got["count"], 0, "seen as soon as it is confirmed")

	event := n.publish(t, "job_failed", `{"job_id":"j","error":"x"}`)
	n.awaitDelivery(t, event.GetDeliveries()[0].GetId(), delivered)
	requireSigned(t, []received{{"s3cr3t", arrived(t, target, 1)[0]}})
	_, got = n.rest(t, http.MethodGet, "/webhooks/"+id+"/deliveries", "")
	attempt := data(got)["attempts"].([]any)[0].(map[string]any)
	require.Equal(t, event.GetEventId(), attempt["event_id"])
	require.Equal(t, true, attempt["success"])
	_, got = n.rest(t, http.MethodGet, "/deliveries/recent?limit=1", "")
	require.Equal(t, event.GetEventId(), got["data"].([]any)[0].(map[string]any)["event_id"])
	_, got = n.rest(t, http.MethodGet, "/webhooks/"+id+"/stats", "")
	require.InDelta(t, 1.0, data(got)["successful_deliveries"], 0, got)
	require.InDelta(t, 0.0, data(got)["retry_queue_size"], 0)
	_, got = n.rest(t, http.MethodGet, "/stats/summary", "")
	require.InDelta(t, 100.0, data(got)["delivery_stats"].(map[string]any)["success_rate"], 0)
	require.InDelta(t, 1.0, data(got)["webhook_summary"].(map[string]any)["total_deliveries_today"], 0)

	url := data(made)["url"].(string)
	status, got = n.rest(t, http.MethodPut, "/webhooks/"+id, `{"url":"`+url+`"}`)
	require.Equal(t, http.StatusOK, status, got)
	require.Equal(t, url, data(got)["url"])
	status, got = n.rest(t, http.MethodPost, "/webhooks/"+id+"/test", "")
	require.Equal(t, http.StatusOK, status, got)
	require.Len(t, got["data"], 2, "one for each event it is subscribed to")
	_, got = n.rest(t, http.MethodGet, "/test-receivers/"+receiver+"/requests", "")
	require.InDelta(t, 2.0, data(got)["total_requests"], 0, got)
	require.Equal(t, true, data(got)["requests"].([]any)[0].(map[string]any)["body"].(map[string]any)["metadata"].(map[string]any)["test_event"])
	_, got = n.rest(t, http.MethodGet, "/test-receivers", "")
	require.InDelta(t, 1.0, got["total"], 0)
	_, got = n.rest(t, http.MethodDelete, "/test-receivers/"+receiver+"/requests", "")
	require.Equal(t, "Cleared 2 test receiver requests", got["message"])

	status, got = n.rest(t, http.MethodPut, "/webhooks/"+id, `{"active":false}`)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "paused", data(got)["state"])
	status, got = n.rest(t, http.MethodPost, "/webhooks/"+id+"/reconnect", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "Webhook "+id+" reconnected successfully", got["message"])
	status, got = n.rest(t, http.MethodDelete, "/webhooks/"+id, "")
	require.Equal(t, http.StatusOK, status, got)
	for _, call := range [][2]string{
		{http.MethodGet, ""}, {http.MethodPut, ""}, {http.MethodDelete, ""}, {http.MethodGet, "/stats"},
		{http.MethodGet, "/deliveries"}, {http.MethodPost, "/test"}, {http.MethodPost, "/reconnect"},
	} {
		status, got = n.rest(t, call[0], "/webhooks/"+id+call[1], `{"active":true}`)
		require.Equal(t, http.StatusNotFound, status, "%v %v", call, got)
		require.Equal(t, "Webhook not found", got["error"], call)
	}
}

// A monitor session is made by what is sent to it, is the same on every node, and outlives them (D54, D62).
func TestD62_MonitorSessionsAreOneForAllNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, second := c.node(), c.node()
	const session = "session_1757066400000_abcdefghi"
	_, got := first.rest(t, http.MethodGet, "/webhook-monitor/"+session+"/requests", "")
	require.Equal(t, []any{}, data(got)["requests"])

	id := first.register(t, first.base+"/webhook-monitor/"+session, "job_failed").GetWebhook().GetId()
	event := first.publish(t, "job_failed", `{"job_id":"j"}`)
	first.awaitDelivery(t, event.GetDeliveries()[0].GetId(), delivered)
	status, got := second.rest(t, http.MethodPut, "/webhook-monitor/"+session+"?a=1&a=2", `{"x":1}`)
	require.Equal(t, http.StatusOK, status, got)
	require.Equal(t, "Webhook request captured for monitoring", got["message"])
	require.Equal(t, session, got["session_id"])

	_, got = second.rest(t, http.MethodGet, "/webhook-monitor/"+session+"/requests?limit=1", "")
	require.InDelta(t, 2, data(got)["total_requests"], 0)
	require.InDelta(t, 1, data(got)["returned_count"], 0)
	one := data(got)["requests"].([]any)[0].(map[string]any)
	require.Equal(t, "PUT", one["method"])
	require.Equal(t, map[string]any{"x": 1.0}, one["body"])
	require.Equal(t, map[string]any{"a": "1,2"}, one["query"])
	_, got = second.rest(t, http.MethodGet, "/webhook-monitor/"+session+"/requests", "")
	hook := data(got)["requests"].([]any)[1].(map[string]any)
	require.Equal(t, id, hook["headers"].(map[string]any)["x-webhook-id"])
	require.Equal(t, map[string]any{"legacy": "valid", "standard": "valid"}, hook["signature"])
	require.Equal(t, map[string]any{"legacy": "absent", "standard": "absent"}, one["signature"])
	require.Equal(t, base64.StdEncoding.EncodeToString([]byte(`{"x":1}`)), one["raw_body"], "byte for byte")

	status, got = second.rest(t, http.MethodDelete, "/webhook-monitor/"+session+"/requests", "")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "Cleared 2 requests for session "+session, got["message"])
	status, got = second.rest(t, http.MethodPost, "/webhook-monitor/a%20b", "{}")
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, false, got["success"])
}
