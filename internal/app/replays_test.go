package app_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// 40 deliveries fail for good while their receiver is ill. A preview counts them; a replay sends each of them once more, with
// the same event id and body, and the counters stay exact.
func TestReplaySendsAgainWhatFailedAndCountsItOnce(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusInternalServerError)
	id := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(1, time.Millisecond), Static: new(true),
	}).GetWebhook().GetId()
	const events = 40
	for i := range events {
		_, err := n.tryPublish(t.Context(), fmt.Sprintf("e-%d", i), "complete_job", fmt.Sprintf(`{"n":%d}`, i))
		require.NoError(t, err)
	}
	for i := range events {
		n.awaitDelivery(t, fmt.Sprintf("%s/e-%d", id, i), exhausted)
	}
	filter := &holdfastv1.ReplayFilter{WebhookId: id}
	preview, err := n.deliveries.ReplayDeliveries(t.Context(), &holdfastv1.ReplayDeliveriesRequest{Filter: filter, Preview: true})
	require.NoError(t, err)
	require.Equal(t, int64(events), preview.GetMatching())
	bodies := map[string]string{}
	for _, r := range receiver.Requests() {
		bodies[r.Header.Get("X-Event-ID")] = string(r.Body)
	}

	receiver.Status(http.StatusOK)
	started, err := n.deliveries.ReplayDeliveries(t.Context(), &holdfastv1.ReplayDeliveriesRequest{Filter: filter, RequestId: "again"})
	require.NoError(t, err)
	twice, err := n.deliveries.ReplayDeliveries(t.Context(), &holdfastv1.ReplayDeliveriesRequest{Filter: filter, RequestId: "again"})
	require.NoError(t, err, "the request is repeated")
	require.Equal(t, started.GetReplay().GetId(), twice.GetReplay().GetId())
	done := await(t, "the replay to be done", func() (*holdfastv1.Replay, bool) {
		got, err := n.deliveries.GetReplay(t.Context(), &holdfastv1.GetReplayRequest{Id: started.GetReplay().GetId()})
		return got.GetReplay(), err == nil && got.GetReplay().GetState() == holdfastv1.ReplayState_REPLAY_STATE_DONE
	})
	require.Equal(t, []int64{events, events, 0}, []int64{done.GetExpected(), done.GetReplayed(), done.GetRefused()})
	for i := range events {
		d := n.awaitDelivery(t, fmt.Sprintf("%s/e-%d", id, i), delivered)
		require.Len(t, d.GetAttempts(), 2)
	}
	requireNoneOpen(t, c)
	sent := map[string]int{}
	for _, r := range receiver.Requests() {
		sent[r.Header.Get("X-Event-ID")]++
		require.Equal(t, bodies[r.Header.Get("X-Event-ID")], string(r.Body), "byte for byte")
	}
	require.Len(t, sent, events)
	for event, times := range sent {
		require.Equal(t, 2, times, event)
	}
	stats, err := n.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{Id: id})
	require.NoError(t, err)
	s := stats.GetStats()
	require.Equal(t, []int64{2 * events, events, events, events, 0}, []int64{
		s.GetAttempts(), s.GetSuccessfulAttempts(), s.GetFailedAttempts(), s.GetDelivered(), s.GetExhausted(),
	})
}

func TestRetryAndCancelByHand(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusServiceUnavailable)
	id := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(5, time.Hour),
	}).GetWebhook().GetId()
	watching, stop := context.WithCancel(t.Context())
	defer stop()
	stream, err := n.deliveries.WatchDeliveries(watching, &holdfastv1.WatchDeliveriesRequest{WebhookId: id})
	require.NoError(t, err)
	require.True(t, stream.Receive(), "%v", stream.Err())
	publish := func(event string) string {
		_, err := n.tryPublish(t.Context(), event, "complete_job", `{}`)
		require.NoError(t, err)
		n.awaitDelivery(t, id+"/"+event, retrying)
		return id + "/" + event
	}
	first, second := publish("a"), publish("b")
	off, err := n.deliveries.CancelDelivery(t.Context(), &holdfastv1.CancelDeliveryRequest{Id: second, Reason: "not wanted"})
	require.NoError(t, err)
	require.Equal(t, second, off.GetDelivery().GetId())
	gone := n.awaitDelivery(t, second, cancelled)
	require.Equal(t, "not wanted", gone.GetReason())
	requireCode := func(code connect.Code, err error) { t.Helper(); require.Equal(t, code, connect.CodeOf(err), "%v", err) }
	await(t, "the workflow to end", func() (struct{}, bool) {
		_, err := n.deliveries.CancelDelivery(t.Context(), &holdfastv1.CancelDeliveryRequest{Id: second})
		return struct{}{}, connect.CodeOf(err) == connect.CodeFailedPrecondition
	})

	receiver.Status(http.StatusOK)
	_, err = n.deliveries.RetryDelivery(t.Context(), &holdfastv1.RetryDeliveryRequest{Id: first})
	require.NoError(t, err)
	n.awaitDelivery(t, first, delivered) // an hour before it was due
	_, err = n.deliveries.RetryDelivery(t.Context(), &holdfastv1.RetryDeliveryRequest{Id: second})
	require.NoError(t, err, "one that was cancelled can be sent after all")
	require.Len(t, n.awaitDelivery(t, second, delivered).GetAttempts(), 2)
	_, err = n.deliveries.RetryDelivery(t.Context(), &holdfastv1.RetryDeliveryRequest{Id: id + "/nothing"})
	requireCode(connect.CodeNotFound, err)

	seen := map[string]bool{}
	for !(seen[first+" delivered"] && seen[second+" delivered"] && seen[second+" cancelled"]) {
		require.True(t, stream.Receive(), "%v %v", seen, stream.Err())
		d := stream.Msg().GetDelivery()
		switch d.GetState() {
		case delivered:
			seen[d.GetId()+" delivered"] = true
		case cancelled:
			seen[d.GetId()+" cancelled"] = true
		default: // on its way
		}
	}
}
