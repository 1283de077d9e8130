package server_test

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/httpsend"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func bodyOf(s string) io.Reader { return strings.NewReader(s) }

func TestReceivers_recordWhatIsSentToThem(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		created, err := c.receivers.CreateReceiver(t.Context(), &holdfastv1.CreateReceiverRequest{})
		require.NoError(t, err)
		r := created.GetReceiver()
		require.Len(t, r.GetId(), 16)
		require.Equal(t, base+"/test-receivers/"+r.GetId()+"/webhook", r.GetUrl())
		require.Equal(t, int64(86_401_000), r.GetExpireTime().AsTime().UnixMilli())

		body := "\x00not JSON \xff"
		status, _, answer := b.do(t, http.MethodPut, strings.TrimPrefix(r.GetUrl(), base)+"?a=1&a=2", bodyOf(body),
			http.Header{"X-Two": {"a", "b"}, "X-Webhook-Signature": {"sha256=00"}})
		require.Equal(t, 200, status)
		require.Equal(t, true, answer["success"])
		require.Equal(t, "Test webhook received successfully", answer["message"])
		require.Equal(t, r.GetId(), answer["receiver_id"])
		require.Regexp(t, `^req_\d{13}_[0-9a-z]{9}$`, answer["request_id"])
		require.NotZero(t, answer["timestamp"])

		res, err := c.receivers.ListReceivedRequests(t.Context(), &holdfastv1.ListReceivedRequestsRequest{ReceiverId: r.GetId()})
		require.NoError(t, err)
		require.Len(t, res.GetRequests(), 1)
		got := res.GetRequests()[0]
		require.Equal(t, []any{answer["request_id"], "PUT", body, "a=1&a=2"},
			[]any{got.GetId(), got.GetMethod(), string(got.GetBody()), got.GetQuery()})
		require.Equal(t, "a, b", got.GetHeaders()["x-two"])
		require.Equal(t, "holdfast.test", got.GetHeaders()["host"])
		require.Equal(t, "unknown", got.GetSignature().GetLegacy())
		require.Equal(t, "absent", got.GetSignature().GetStandard())

		_, err = c.receivers.ListReceivedRequests(t.Context(), &holdfastv1.ListReceivedRequestsRequest{ReceiverId: "nobody"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		_, err = c.receivers.ListReceivedRequests(t.Context(), &holdfastv1.ListReceivedRequestsRequest{PageSize: -1})
		require.Equal(t, []string{"receiverId", "pageSize"}, fieldsOf(t, err))
		b.storeErr = &holdfast.Error{Code: holdfast.CodeExhausted, Message: "too many receivers"}
		_, err = c.receivers.CreateReceiver(t.Context(), &holdfastv1.CreateReceiverRequest{})
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
	})
}

func TestReceivers_checkSignatures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.received["r1"] = []server.ReceivedRequest{}
	body := `{"a":1}`
	b.do(t, http.MethodPost, "/test-receivers/r1/webhook", bodyOf(body), http.Header{"X-Webhook-Signature": {httpsend.Legacy("right", []byte(body))}})
	verdicts := func(request string) any {
		status, _, answer := b.post(t, "ReceiverService/ListReceivedRequests", request)
		require.Equal(t, 200, status, "%v", answer)
		return answer["requests"].([]any)[0].(map[string]any)["signature"].(map[string]any)["legacy"]
	}
	elsewhere := &holdfast.Webhook{ID: "wh_0", Secret: "right", URL: "https://example.com/?u=/test-receivers/r1/webhook"}
	unsigned := &holdfast.Webhook{ID: "wh_1", URL: base + "/test-receivers/r1/webhook"}
	b.webhooks = []*holdfast.Webhook{elsewhere, unsigned}
	require.Equal(t, "unknown", verdicts(`{"receiverId":"r1"}`))
	require.Equal(t, "valid", verdicts(`{"receiverId":"r1","webhookId":"wh_0"}`))
	require.Equal(t, "unknown", verdicts(`{"receiverId":"r1","webhookId":"wh_1"}`))
	b.webhooks = append(b.webhooks, &holdfast.Webhook{ID: "wh_2", Secret: "wrong", URL: "http://other/test-receivers/r1/webhook"})
	require.Equal(t, "invalid", verdicts(`{"receiverId":"r1"}`))
	b.webhooks = append(b.webhooks, &holdfast.Webhook{ID: "wh_3", Secret: "right", URL: base + "/test-receivers/r1/webhook?fail_first=2"})
	require.Equal(t, "valid", verdicts(`{"receiverId":"r1"}`))
	status, _, _ := b.post(t, "ReceiverService/ListReceivedRequests", `{"receiverId":"r1","webhookId":"wh_9"}`)
	require.Equal(t, 404, status)
}

func TestReceivers_checkStandardSignaturesAgainstTheTimeOfArrival(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.received["r1"] = []server.ReceivedRequest{}
	b.webhooks = []*holdfast.Webhook{{ID: "wh_1", Secret: "s", URL: base + "/test-receivers/r1/webhook"}}
	now := time.Now().Unix()
	for _, at := range []int64{now - 600, now} {
		b.do(t, http.MethodPost, "/test-receivers/r1/webhook", bodyOf("{}"), http.Header{
			"Webhook-Id": {"evt_1"}, "Webhook-Timestamp": {strconv.FormatInt(at, 10)},
			"Webhook-Signature": {httpsend.Standard("s", "evt_1", at, []byte("{}"))},
		})
	}
	_, _, answer := b.post(t, "ReceiverService/ListReceivedRequests", `{"receiverId":"r1"}`)
	var verdicts []any
	for _, r := range answer["requests"].([]any) {
		verdicts = append(verdicts, r.(map[string]any)["signature"])
	}
	require.Equal(t, []any{
		map[string]any{"legacy": "absent", "standard": "valid"}, map[string]any{"legacy": "absent", "standard": "invalid"},
	}, verdicts, "the newest first; a signature that was old when it came is not valid")
}

func TestTestReceiver_acceptsEveryMethodButOptions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.received["r1"] = []server.ReceivedRequest{}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"} {
		status, _, _ := b.do(t, method, "/test-receivers/r1/webhook", nil, nil)
		require.Equal(t, 200, status, method)
	}
	require.Len(t, b.received["r1"], 6)
	status, _, _ := b.do(t, http.MethodOptions, "/test-receivers/r1/webhook", nil, nil)
	require.Equal(t, 204, status)
	require.Len(t, b.received["r1"], 6, "OPTIONS is not recorded")
}

func TestTestReceiver_refusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.received["r1"] = []server.ReceivedRequest{}
	status, _, answer := b.do(t, "POST", "/test-receivers/nobody/webhook", bodyOf("{}"), nil)
	require.Equal(t, 404, status)
	require.Equal(t, []any{false, "Test receiver not found"}, []any{answer["success"], answer["error"]})
	require.NotEmpty(t, answer["message"])

	large := strings.Repeat("x", holdfast.MaxEventBytes)
	status, _, _ = b.do(t, "POST", "/test-receivers/r1/webhook", bodyOf(large), nil)
	require.Equal(t, 200, status, "the largest event arrives")
	status, _, answer = b.do(t, "POST", "/test-receivers/r1/webhook", bodyOf(large+large), nil)
	require.Equal(t, 413, status)
	require.Equal(t, false, answer["success"])

	for _, query := range []string{"fail_first=x", "fail_first=-1", "fail_first=101", "status=99", "fail_first=1&status=600", "status="} {
		status, _, answer = b.do(t, "POST", "/test-receivers/r1/webhook?"+query, bodyOf("{}"), nil)
		require.Equal(t, 400, status, query)
		require.Contains(t, answer["error"], "must be a number")
	}
	require.Len(t, b.received["r1"], 1)

	b.storeErr = holdfast.Wrap(holdfast.CodeUnavailable, errors.New(inside), "storage is unavailable")
	status, _, answer = b.do(t, "POST", "/test-receivers/r1/webhook", bodyOf("{}"), nil)
	require.Equal(t, 503, status, "a storage failure is not an unknown receiver")
	require.Equal(t, "Failed to record the request", answer["error"])
	require.Equal(t, 1, b.logs.FilterLevelExact(zap.WarnLevel).Len())
}

func TestTestReceiver_failsAsToldPerEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.received["r1"] = []server.ReceivedRequest{}
	send := func(query, event string) int {
		status, _, answer := b.do(t, "POST", "/test-receivers/r1/webhook"+query, bodyOf("{}"), http.Header{"X-Event-Id": {event}})
		require.Equal(t, status < 300, answer["success"])
		require.NotEmpty(t, answer["request_id"])
		return status
	}
	var statuses []int
	for range 3 {
		statuses = append(statuses, send("?fail_first=2", "a"), send("?fail_first=1&status=429", "b"))
	}
	require.Equal(t, []int{503, 429, 503, 200, 200, 200}, statuses)
	require.Equal(t, 410, send("?status=410", "a"))
	require.Equal(t, 200, send("?fail_first=0&status=410", "c"))
	require.Equal(t, 200, send("", "c"))
	require.Len(t, b.received["r1"], 9, "failed requests are recorded too")
}
