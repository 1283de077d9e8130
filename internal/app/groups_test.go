package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// Events published all at once go in groups. A receiver that fails and one that is slow share theirs with three good ones.
func TestG7_AGroupIsNotHeldUpByItsWorstReceivers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	const events, slowness = 16, 2 * time.Second
	good := []*testkit.Receiver{testkit.NewReceiver(t), testkit.NewReceiver(t), testkit.NewReceiver(t)}
	for _, r := range good {
		n.register(t, r.URL(), "complete_job")
	}
	failing := testkit.NewReceiver(t)
	var attempted sync.Map // by event: a second attempt may come before the first one of another event
	failing.Respond(func(_ int, r *http.Request) (int, http.Header, string) {
		if _, again := attempted.LoadOrStore(r.Header.Get("X-Event-Id"), true); !again {
			return http.StatusServiceUnavailable, nil, ""
		}
		return http.StatusOK, nil, ""
	})
	failingID := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: failing.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(8, 300*time.Millisecond),
	}).GetWebhook().GetId()
	// The slow one gets a single event: a webhook with many waiting would leave the fast lane before the last began.
	slow := testkit.NewReceiver(t)
	slow.Slow(slowness)
	slowID := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: slow.URL(), EventTypes: []string{"complete_job"}, Filters: &holdfastv1.Filters{JobTypes: []string{"slow"}},
	}).GetWebhook().GetId()

	answers := make([]*holdfastv1.PublishEventResponse, events)
	errs := make([]error, events)
	var publishing sync.WaitGroup
	for i := range events {
		jobType := "quick"
		if i == events/2 {
			jobType = "slow"
		}
		publishing.Go(func() {
			answers[i], errs[i] = n.tryPublish(t.Context(), "", "complete_job", fmt.Sprintf(`{"job_id":"j%d","job_type":%q}`, i, jobType))
		})
	}
	publishing.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	for _, r := range good {
		arrived(t, r, events)
	}
	groups := 0
	for _, a := range answers {
		for _, d := range a.GetDeliveries() {
			done := n.awaitDelivery(t, d.GetId(), delivered)
			switch d.GetWebhookId() {
			case failingID:
				require.GreaterOrEqual(t, len(done.GetAttempts()), 2)
				require.Equal(t, "delivery/"+d.GetId(), done.GetWorkflowId(), "handed over to a workflow of its own")
			case slowID:
				require.Len(t, done.GetAttempts(), 1, "joined, not repeated")
				require.GreaterOrEqual(t, done.GetAttempts()[0].GetDuration().AsDuration(), slowness)
			default:
				require.Len(t, done.GetAttempts(), 1)
				require.Less(t, done.GetAttempts()[0].GetDuration().AsDuration(), slowness)
				if strings.HasPrefix(done.GetWorkflowId(), "group/"+n.id+"/") {
					groups++
				}
			}
		}
	}
	require.Positive(t, groups, "events that come together go in groups")
	require.Len(t, slow.Requests(), 1)
	for _, r := range good {
		require.Len(t, r.Requests(), events)
	}
	store := c.store()
	require.EqualValues(t, 1, c.stats(store, slowID, 1).TotalDeliveries)
	stats := c.stats(store, failingID, 2*events)
	require.EqualValues(t, events, stats.Delivered)
	require.EqualValues(t, events, stats.SuccessfulDeliveries)
	require.Len(t, failing.Requests(), int(stats.TotalDeliveries), "each attempt is counted once")
	requireNoneOpen(t, c)
}
