package app_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/httpsend"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

func (n *testNode) test(tb testing.TB, id string, eventTypes ...string) []*holdfastv1.TestResult {
	tb.Helper()
	got, err := n.webhooks.TestWebhook(tb.Context(), &holdfastv1.TestWebhookRequest{WebhookId: id, EventTypes: eventTypes})
	require.NoError(tb, err)
	return got.GetResults()
}

// violationsOf lists the fields that an answer names.
func violationsOf(err error) []string {
	var answer *connect.Error
	var fields []string
	if !errors.As(err, &answer) {
		return nil
	}
	for _, d := range answer.Details() {
		if m, err := d.Value(); err == nil {
			for _, v := range m.(*errdetails.BadRequest).GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

// One click on a dead endpoint that is subscribed to everything used to disconnect it. Here it tells the truth about every
// event and leaves nothing behind.
func TestD35_TestingTellsTheTruthAndHarmsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) { cfg.Delivery.ReconnectDelay = time.Hour })
	receiver := testkit.NewReceiver(t)
	registered := n.register(t, receiver.URL(), holdfast.EventTypes...)
	id := registered.GetWebhook().GetId()
	n.publish(t, "complete_job", `{"job_id":"real"}`)
	before, webhook := c.stats(c.store(), id, 1), n.webhook(t, id)
	requireUntouched := func() {
		t.Helper()
		requireNoneOpen(t, c)
		now, err := c.store().Stats(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, before, now, "no counter has moved")
		require.Equal(t, webhook.String(), n.webhook(t, id).String())
		listed, err := n.deliveries.ListDeliveries(t.Context(), &holdfastv1.ListDeliveriesRequest{WebhookId: id})
		require.NoError(t, err)
		require.Len(t, listed.GetDeliveries(), 1, "no record was made")
	}

	receiver.Close()
	for _, r := range n.test(t, id) {
		require.False(t, r.GetDelivered())
		require.Contains(t, []string{"connect", "reset"}, r.GetErrorClass(), "a connection of before may be tried first")
		require.NotEmpty(t, r.GetError())
		require.Positive(t, r.GetDuration().AsDuration())
		require.True(t, strings.HasPrefix(r.GetEventId(), "test_wh_"), r.GetEventId())
	}
	requireUntouched()

	receiver.Reopen()
	receiver.Respond(func(_ int, r *http.Request) (int, http.Header, string) {
		if r.Header.Get("X-Webhook-Event") == "job_failed" {
			return http.StatusTeapot, nil, strings.Repeat("short and stout ", 4096)
		}
		return http.StatusAccepted, nil, "thanks"
	})
	seen := len(receiver.Requests())
	results := n.test(t, id)
	require.Len(t, results, len(holdfast.EventTypes))
	for i, r := range results {
		require.Equal(t, holdfast.EventTypes[i], r.GetEventType())
		require.Contains(t, r.GetPayload(), `"event_id":"`+r.GetEventId()+`"`)
		if r.GetEventType() == "job_failed" {
			require.False(t, r.GetDelivered())
			require.EqualValues(t, http.StatusTeapot, r.GetResponseStatus())
			require.Equal(t, "status", r.GetErrorClass())
			require.True(t, strings.HasSuffix(r.GetResponseBody(), holdfast.TruncationMark))
			continue
		}
		require.True(t, r.GetDelivered(), r.GetError())
		require.EqualValues(t, http.StatusAccepted, r.GetResponseStatus())
		require.Equal(t, "thanks", r.GetResponseBody())
	}
	requests := receiver.Requests()[seen:]
	require.Len(t, requests, len(holdfast.EventTypes), "each was sent, and none again")
	for _, r := range requests {
		require.Equal(t, httpsend.Legacy(registered.GetSecret(), r.Body), r.Header.Get("X-Webhook-Signature"), "signed like any other")
	}
	requireUntouched()
}

// A webhook that takes no events is tested like any other, and stays as it is.
func TestD35_ADisconnectedOrPausedWebhookCanBeTested(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	id := n.register(t, receiver.URL(), "complete_job", "job_failed").GetWebhook().GetId()
	_, err := n.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{Id: id})
	require.NoError(t, err)
	results := n.test(t, id, "job_failed")
	require.Len(t, results, 1)
	require.True(t, results[0].GetDelivered(), results[0].GetError())
	require.Equal(t, disconnected, n.webhook(t, id).GetState())

	inactive := false
	paused := n.registerInput(t, &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"worker_status"}, Active: &inactive})
	results = n.test(t, paused.GetWebhook().GetId())
	require.True(t, results[0].GetDelivered(), results[0].GetError())
	require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_PAUSED, n.webhook(t, paused.GetWebhook().GetId()).GetState())

	_, err = n.webhooks.TestWebhook(t.Context(), &holdfastv1.TestWebhookRequest{WebhookId: "wh_1757066400000_unknown00"})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	_, err = n.webhooks.TestWebhook(t.Context(), &holdfastv1.TestWebhookRequest{WebhookId: id, EventTypes: []string{"worker_status"}})
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
	require.Contains(t, violationsOf(err), "eventTypes[0]")
	require.NoError(t, c.redis.Kill())
	_, err = n.webhooks.TestWebhook(t.Context(), &holdfastv1.TestWebhookRequest{WebhookId: id})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
}
