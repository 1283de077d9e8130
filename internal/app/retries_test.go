package app_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// Short names for what the tests compare most.
const (
	retrying  = holdfastv1.DeliveryState_DELIVERY_STATE_RETRYING
	delivered = holdfastv1.DeliveryState_DELIVERY_STATE_DELIVERED
	exhausted = holdfastv1.DeliveryState_DELIVERY_STATE_EXHAUSTED
	cancelled = holdfastv1.DeliveryState_DELIVERY_STATE_CANCELLED
)

func TestG4_G6_AFailedAttemptIsRepeatedWithTheSameBytes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Respond(func(n int, _ *http.Request) (int, http.Header, string) {
		if n == 1 {
			return http.StatusServiceUnavailable, nil, "come back later"
		}
		return http.StatusOK, nil, "thanks"
	})
	const delay = 1500 * time.Millisecond
	webhook := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"job_failed"}, RetryPolicy: retries(3, delay),
	})
	published := n.publish(t, "job_failed", `{"job_id":"j","error":"é<&>","2":1,"1":2}`)
	id := published.GetDeliveries()[0].GetId()

	between := n.awaitDelivery(t, id, retrying)
	require.Len(t, between.GetAttempts(), 1)
	first := between.GetAttempts()[0]
	require.EqualValues(t, http.StatusServiceUnavailable, first.GetResponseStatus())
	require.Equal(t, "come back later", first.GetResponseBody())
	require.Equal(t, "status", first.GetErrorClass())
	ended := first.GetTime().AsTime().Add(first.GetDuration().AsDuration())
	require.WithinDuration(t, ended.Add(delay), between.GetNextAttemptTime().AsTime(), 20*time.Millisecond)

	done := n.awaitDelivery(t, id, delivered)
	require.Len(t, done.GetAttempts(), 2)
	require.Nil(t, done.GetNextAttemptTime())
	for i, status := range []int32{503, 200} {
		require.EqualValues(t, i+1, done.GetAttempts()[i].GetNumber())
		require.Equal(t, status, done.GetAttempts()[i].GetResponseStatus())
		require.Equal(t, n.id, done.GetAttempts()[i].GetNode())
	}
	require.Equal(t, "thanks", done.GetAttempts()[1].GetResponseBody())
	require.Equal(t, "delivery/"+id, done.GetWorkflowId())
	require.NotEmpty(t, done.GetRunId())

	requests := arrived(t, receiver, 2)
	require.Len(t, requests, 2)
	require.Equal(t, requests[0].Body, requests[1].Body)
	require.GreaterOrEqual(t, requests[1].Time.Sub(requests[0].Time), delay)
	var all []received
	for _, r := range requests {
		require.Equal(t, published.GetEventId(), r.Header.Get("X-Event-Id"))
		all = append(all, received{webhook.GetSecret(), r})
	}
	requireSigned(t, all)
	stats := c.stats(c.store(), webhook.GetWebhook().GetId(), 2)
	require.Equal(t, []int64{2, 1, 1, 1, 0}, []int64{
		stats.TotalDeliveries, stats.SuccessfulDeliveries, stats.FailedDeliveries, stats.Delivered, stats.ConsecutiveFailures,
	})
}

func TestG4_AnExhaustedDeliverySaysSo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusInternalServerError)
	webhook := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"job_failed"}, RetryPolicy: retries(3, 30*time.Millisecond),
	}).GetWebhook().GetId()
	done := n.awaitDelivery(t, n.publish(t, "job_failed", `{}`).GetDeliveries()[0].GetId(), exhausted)
	require.Len(t, done.GetAttempts(), 3)
	require.Contains(t, done.GetReason(), "all 3 attempts failed")
	require.Contains(t, done.GetReason(), "500")
	require.Nil(t, done.GetNextAttemptTime())
	require.Len(t, receiver.Requests(), 3)
	stats := c.stats(c.store(), webhook, 3)
	require.Equal(t, []int64{3, 0, 3, 1, 1}, []int64{
		stats.TotalDeliveries, stats.SuccessfulDeliveries, stats.FailedDeliveries, stats.Exhausted, stats.ConsecutiveFailures,
	})
}

func TestG4_DeletingTheWebhookEndsAWaitingDelivery(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusServiceUnavailable)
	webhook := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"job_failed"}, RetryPolicy: retries(5, 2*time.Second),
	}).GetWebhook().GetId()
	id := n.publish(t, "job_failed", `{}`).GetDeliveries()[0].GetId()
	n.awaitDelivery(t, id, retrying)
	_, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: webhook, Wait: durationpb.New(patience)})
	require.NoError(t, err)
	done := n.awaitDelivery(t, id, cancelled)
	require.Contains(t, done.GetReason(), "deleted")
	require.Len(t, receiver.Requests(), 1, "nothing is sent to a deleted webhook")
	var status struct{ State string }
	run := c.temporal.Client.GetWorkflow(t.Context(), "delivery/"+id, "")
	require.NoError(t, run.Get(t.Context(), &status))
	require.Equal(t, "cancelled", status.State)
	redis := testkit.RedisClient(t, c.redis)
	require.Empty(t, redis.Exists(t.Context(), "webhooks:stats:"+webhook, "webhooks:attempts:"+webhook).Val(), "D10: no orphans")
}

func TestListDeliveriesFiltersAndPages(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	good, bad := testkit.NewReceiver(t), testkit.NewReceiver(t)
	bad.Status(http.StatusInternalServerError)
	fine := n.register(t, good.URL(), "job_submitted", "complete_job").GetWebhook().GetId()
	broken := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: bad.URL(), EventTypes: []string{"job_submitted"}, RetryPolicy: retries(1, time.Second),
	}).GetWebhook().GetId()
	var events []string
	for i := range 6 {
		events = append(events, n.publish(t, []string{"job_submitted", "complete_job"}[i%2], fmt.Sprintf(`{"i":%d}`, i)).GetEventId())
	}
	ids := func(f *holdfastv1.ListDeliveriesRequest) []string {
		var all []string
		for {
			got, err := n.deliveries.ListDeliveries(t.Context(), f)
			require.NoError(t, err)
			for _, d := range got.GetDeliveries() {
				all = append(all, d.GetId())
			}
			if f.PageToken = got.GetNextPageToken(); f.GetPageToken() == "" {
				return all
			}
		}
	}
	awaitTrue(t, "nine records", func() bool { return len(ids(&holdfastv1.ListDeliveriesRequest{})) == 9 })
	of := func(webhook string, which ...int) []string {
		var want []string
		for _, i := range which {
			want = append(want, webhook+"/"+events[i])
		}
		return want
	}
	for name, tc := range map[string]struct {
		filter *holdfastv1.ListDeliveriesRequest
		want   []string
	}{
		"webhook, newest first": {&holdfastv1.ListDeliveriesRequest{WebhookId: fine}, of(fine, 5, 4, 3, 2, 1, 0)},
		"pages of two":          {&holdfastv1.ListDeliveriesRequest{WebhookId: fine, PageSize: 2}, of(fine, 5, 4, 3, 2, 1, 0)},
		"state":                 {&holdfastv1.ListDeliveriesRequest{State: exhausted}, of(broken, 4, 2, 0)},
		"event type":            {&holdfastv1.ListDeliveriesRequest{EventType: "complete_job"}, of(fine, 5, 3, 1)},
		"webhook and event":     {&holdfastv1.ListDeliveriesRequest{WebhookId: broken, EventId: events[2]}, of(broken, 2)},
		"state and type":        {&holdfastv1.ListDeliveriesRequest{State: delivered, EventType: "job_submitted", PageSize: 1}, of(fine, 4, 2, 0)},
		"nothing":               {&holdfastv1.ListDeliveriesRequest{WebhookId: broken, State: delivered}, nil},
	} {
		require.Equal(t, tc.want, ids(tc.filter), name)
	}
	require.ElementsMatch(t, append(of(fine, 0), of(broken, 0)...), ids(&holdfastv1.ListDeliveriesRequest{EventId: events[0]}))
	require.ElementsMatch(t, append(of(fine, 0, 1, 2, 3, 4, 5), of(broken, 0, 2, 4)...), ids(&holdfastv1.ListDeliveriesRequest{PageSize: 4}))
}

func TestD56_TheConfiguredRetryPolicyIsTheDefault(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) {
		cfg.Delivery.Retry = config.Retry{MaxAttempts: 2, InitialDelay: 20 * time.Millisecond, Multiplier: 3, MaxDelay: time.Minute}
	})
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusServiceUnavailable)
	none := n.register(t, receiver.URL(), "job_failed").GetWebhook().GetRetryPolicy()
	require.EqualValues(t, 2, none.GetMaxAttempts())
	require.Equal(t, 20*time.Millisecond, none.GetInitialDelay().AsDuration())
	require.InDelta(t, 3, none.GetBackoffMultiplier(), 0)
	require.Equal(t, time.Minute, none.GetMaxDelay().AsDuration())
	part := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"cancel_job"}, RetryPolicy: &holdfastv1.RetryPolicy{InitialDelay: durationpb.New(time.Second)},
	}).GetWebhook().GetRetryPolicy()
	require.EqualValues(t, 2, part.GetMaxAttempts())
	require.Equal(t, time.Second, part.GetInitialDelay().AsDuration())
	done := n.awaitDelivery(t, n.publish(t, "job_failed", `{}`).GetDeliveries()[0].GetId(), exhausted)
	require.Len(t, done.GetAttempts(), 2)
}
