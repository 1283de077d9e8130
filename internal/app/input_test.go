package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// post calls a method of WebhookService as curl does.
func (n *testNode) post(tb testing.TB, method, body string) (status int, answer map[string]any) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, n.base+"/holdfast.v1.WebhookService/"+method, strings.NewReader(body))
	require.NoError(tb, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(tb, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, &answer), "%s", text)
	return res.StatusCode, answer
}

// named lists what a refusal names: its text, and its violations with their fields in brackets.
func named(answer map[string]any) string {
	names := []string{fmt.Sprint(answer["message"])}
	details, _ := answer["details"].([]any)
	for _, d := range details {
		debug, _ := d.(map[string]any)["debug"].(map[string]any)
		violations, _ := debug["fieldViolations"].([]any)
		for _, v := range violations {
			v := v.(map[string]any)
			names = append(names, fmt.Sprintf("[%s] %s", v["field"], v["description"]))
		}
	}
	return strings.Join(names, "\n")
}

// Priorities are filtered whichever name the filter came under: in the API, and in what the original has stored, where its
// user interface wrote texts under the name that its matching never read.
func TestD28_PrioritiesAreFilteredUnderBothNames(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	redis := testkit.RedisClient(t, c.redis)
	receivers := map[string]*testkit.Receiver{}
	receiver := func(filters string) *testkit.Receiver {
		receivers[filters] = testkit.NewReceiver(t)
		return receivers[filters]
	}
	for i, filters := range []string{`{"priorities":["5"]}`, `{"job_priorities":[5]}`, `{"job_priorities":[5],"priorities":["7"]}`} {
		id := fmt.Sprintf("wh_1700000000000_original%d", i)
		stored := fmt.Sprintf(`{"id":%q,"created_at":1700000000000,"updated_at":1700000000000,"consecutive_failures":0,"disconnected":false,`+
			`"url":%q,"events":["job_submitted","job_failed"],"active":true,"filters":%s}`, id, receiver("stored "+filters).URL(), filters)
		require.NoError(t, redis.HSet(t.Context(), "webhooks:registry", id, stored).Err())
		require.NoError(t, redis.SAdd(t.Context(), "webhooks:active", id).Err())
	}
	n := c.node(checking)
	for _, filters := range []string{`{"priorities":[5]}`, `{"priorities":["5"]}`, `{"job_priorities":[5]}`, `{"jobPriorities":["5"]}`} {
		status, answer := n.post(t, "RegisterWebhook", fmt.Sprintf(
			`{"webhook":{"url":%q,"eventTypes":["job_submitted","job_failed"],"filters":%s},"wait":"60s"}`, receiver("api "+filters).URL(), filters))
		require.Equal(t, http.StatusOK, status, "%v", answer)
		require.Equal(t, "REGISTRATION_STATUS_CONFIRMED", answer["registration"].(map[string]any)["status"])
	}
	for channel, messages := range map[string][]string{
		"job_submitted": {`"priority":5`, `"priority":7`, `"customer_id":"without one"`}, // without one it counts as 50
		"job_failed":    {`"error":"no priority is told"`},
	} {
		for i, message := range messages {
			heard, err := redis.Publish(t.Context(), channel, fmt.Sprintf(`{"job_id":"j","timestamp":%d,%s}`, 1757066400000+i, message)).Result()
			require.NoError(t, err)
			require.EqualValues(t, 1, heard)
		}
	}
	for filters, r := range receivers {
		var got []string
		for _, request := range arrived(t, r, 2) {
			got = append(got, request.Header.Get("X-Webhook-Event")+fmt.Sprint(strings.Contains(string(request.Body), `"priority":5,`)))
		}
		require.ElementsMatch(t, []string{"job_submittedtrue", "job_failedfalse"}, got, filters)
	}
	requireNoneOpen(t, c)
	for filters, r := range receivers {
		require.Len(t, r.Requests(), 2, filters)
	}
}

// What the original took and broke on is refused with the name of what is wrong, and nothing has changed afterwards: not
// in Redis, not at EMPROPS, not in what is delivered.
func TestD30_BadInputIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	id := n.register(t, receiver.URL(), "job_failed").GetWebhook().GetId()
	redis := testkit.RedisClient(t, c.redis)
	stored := redis.HGetAll(t.Context(), "webhooks:registry").Val()
	before, asked, steps := n.webhook(t, id), len(c.askedOfEMPROPS()), len(n.registration(t, id).GetSteps())

	bad := []struct{ field, value, named string }{
		{"eventTypes", `null`, "eventTypes"},
		{"eventTypes", `[]`, "eventTypes"},
		{"eventTypes", `"job_failed"`, `"job_failed"`},
		{"eventTypes", `[null]`, "null"},
		{"eventTypes", `[5]`, "5"},
		{"eventTypes", `["job.failed"]`, "eventTypes[0]"},
		{"eventTypes", `["job_failed","job_failed"]`, "eventTypes[1]"},
		{"url", `""`, "url"},
		{"url", `null`, "url"},
		{"url", `5`, "5"},
		{"url", `"nonsense"`, "url"},
		{"url", `"ftp://example.com/"`, "url"},
		{"url", `"file:///etc/passwd"`, "url"},
		{"url", `"javascript:alert(1)"`, "url"},
		{"url", `"http://user:password@example.com/"`, "url"},
		{"url", `"http://169.254.169.254/latest/meta-data"`, "url"},
		{"active", `"false"`, `"false"`},
		{"active", `0`, "active"},
		{"static", `"yes"`, `"yes"`},
		{"secret", `5`, "5"},
		{"secret", `"` + strings.Repeat("x", 513) + `"`, "secret"},
		{"headers", `["X-A"]`, "["},
		{"headers", `{"X-A":5}`, "5"},
		{"headers", `{"X-Webhook-Event":"spoof"}`, "headers.X-Webhook-Event"},
		{"headers", `{"X A":"b"}`, "headers.X A"},
		{"filters", `[]`, "["},
		{"filters", `{"jobTypes":5}`, "5"},
		{"filters", `{"custom_filters":{}}`, "custom_filters"},
		{"retryPolicy", `{"maxAttempts":0}`, "retryPolicy.maxAttempts"},
		{"retryPolicy", `{"maxAttempts":101}`, "retryPolicy.maxAttempts"},
		{"retryPolicy", `{"initialDelay":"-1s"}`, "retryPolicy.initialDelay"},
		{"retryPolicy", `{"backoffMultiplier":0.5}`, "retryPolicy.backoffMultiplier"},
		{"retryPolicy", `{"max_attempts":"many"}`, "many"},
		{"filterExpression", `"data.priority >"`, "filterExpression] 1:"},
		// What Holdfast alone decides about, in the API's spelling and in the original's.
		{"id", `"wh_1_mine"`, "id"},
		{"createTime", `"2020-01-01T00:00:00Z"`, "createTime"},
		{"created_at", `1`, "created_at"},
		{"updated_at", `1`, "updated_at"},
		{"consecutiveFailures", `0`, "consecutiveFailures"},
		{"consecutive_failures", `-5`, "consecutive_failures"},
		{"disconnected", `true`, "disconnected"},
		{"disconnection", `null`, "disconnection"},
		{"last_failure_at", `0`, "last_failure_at"},
		{"state", `"WEBHOOK_STATE_ACTIVE"`, "state"},
		{"revision", `"9"`, "revision"},
		{"hasSecret", `false`, "hasSecret"},
		{"anything", `1`, "anything"},
	}
	requests := map[string][]string{ // by what must be named
		"[webhook]":  {`RegisterWebhook {}`, `RegisterWebhook {"webhook":null}`, `UpdateWebhook {"id":"` + id + `"}`},
		"updateMask": {`UpdateWebhook {"id":"` + id + `","webhook":{}}`, `UpdateWebhook {"id":"` + id + `","webhook":{},"updateMask":"consecutiveFailures"}`, `UpdateWebhook {"id":"` + id + `","webhook":{},"updateMask":"created_at"}`},
		"[id]":       {`UpdateWebhook {"webhook":{"url":"http://example.com/"}}`},
		"[":          {`RegisterWebhook []`, `RegisterWebhook {"webhook":[]}`, `UpdateWebhook []`, `UpdateWebhook [{"id":"` + id + `"}]`},
		"null":       {`RegisterWebhook null`, `UpdateWebhook null`},
	}
	for _, b := range bad {
		input := map[string]string{"url": `"` + receiver.URL() + `"`, "eventTypes": `["job_failed"]`}
		input[b.field] = b.value
		var members []string
		for name, value := range input {
			members = append(members, fmt.Sprintf("%q:%s", name, value))
		}
		requests[b.named] = append(requests[b.named], `RegisterWebhook {"webhook":{`+strings.Join(members, ",")+`}}`,
			fmt.Sprintf(`UpdateWebhook {"id":%q,"webhook":{%q:%s},"updateMask":%q}`, id, b.field, b.value, b.field))
	}
	for what, list := range requests {
		for _, request := range list {
			method, body, _ := strings.Cut(request, " ")
			status, answer := n.post(t, method, body)
			require.Equal(t, http.StatusBadRequest, status, "%s: %v", request, answer)
			require.Equal(t, "invalid_argument", answer["code"], request)
			require.Contains(t, named(answer), what, request)
		}
	}

	require.Equal(t, stored, redis.HGetAll(t.Context(), "webhooks:registry").Val(), "nothing was written")
	require.Equal(t, before.String(), n.webhook(t, id).String())
	for _, s := range n.registration(t, id).GetSteps()[steps:] { // what only the registration itself can judge
		require.Equal(t, []any{"check", holdfastv1.StepStatus_STEP_STATUS_FAILED}, []any{s.GetName(), s.GetStatus()}, "%v", s)
	}
	require.Len(t, c.askedOfEMPROPS(), asked)
	listed, err := n.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 1, listed.GetTotalSize())
	n.publish(t, "job_failed", `{"job_id":"j"}`)
	require.Equal(t, "/hook", arrived(t, receiver, 1)[0].Path)
}
