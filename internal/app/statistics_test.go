package app_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// What happened is counted by hour and day for each webhook, and for all together, also when the webhook is gone.
func TestD40_D44_StatisticsByHourAndDayAndInTotal(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	good, bad := testkit.NewReceiver(t), testkit.NewReceiver(t)
	bad.Status(http.StatusInternalServerError)
	began := time.Now()
	well := n.register(t, good.URL(), "complete_job").GetWebhook().GetId()
	ill := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: bad.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(2, time.Millisecond),
	}).GetWebhook().GetId()
	const events = 3
	for range events {
		n.publish(t, "complete_job", `{"job_id":"j"}`)
	}
	c.stats(c.store(), well, events)
	c.stats(c.store(), ill, 2*events)
	requireNoneOpen(t, c)

	sum := func(buckets []*holdfastv1.StatsBucket) []int64 {
		total := make([]int64, 6)
		for _, b := range buckets {
			for i, v := range []int64{
				b.GetAttempts(), b.GetSuccessfulAttempts(), b.GetFailedAttempts(), b.GetDelivered(), b.GetExhausted(), b.GetCancelled(),
			} {
				total[i] += v
			}
		}
		return total
	}
	for step, kept := range map[holdfastv1.SeriesStep]int{
		holdfastv1.SeriesStep_SERIES_STEP_HOUR: 48, holdfastv1.SeriesStep_SERIES_STEP_DAY: 40,
	} {
		for id, want := range map[string][]int64{well: {3, 3, 0, 3, 0, 0}, ill: {6, 0, 6, 0, 3, 0}} {
			got, err := n.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{Id: id, Series: &holdfastv1.SeriesQuery{Step: step}})
			require.NoError(t, err)
			require.Len(t, got.GetSeries(), kept)
			require.Equal(t, want, sum(got.GetSeries()))
			got, err = n.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{
				Id: id, Series: &holdfastv1.SeriesQuery{Step: step, From: timestamppb.New(began)},
			})
			require.NoError(t, err)
			require.LessOrEqual(t, len(got.GetSeries()), 2, "the hour or day of the test, and the next one where it began meanwhile")
			require.Equal(t, want, sum(got.GetSeries()))
		}
	}

	_, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: well})
	require.NoError(t, err)
	got, err := n.operations.GetOverview(t.Context(), &holdfastv1.GetOverviewRequest{
		Series: &holdfastv1.SeriesQuery{Step: holdfastv1.SeriesStep_SERIES_STEP_DAY},
	})
	require.NoError(t, err)
	all := []int64{9, 3, 6, 3, 3, 0}
	require.Equal(t, all, sum([]*holdfastv1.StatsBucket{got.GetOverview().GetTotals()}))
	require.Positive(t, got.GetOverview().GetTotals().GetAverageResponse().AsDuration())
	require.Equal(t, all, sum(got.GetOverview().GetSeries()))
	require.True(t, got.GetOverview().GetDeliveriesExact())
	counts := map[holdfastv1.DeliveryState]int64{}
	for _, count := range got.GetOverview().GetDeliveries() {
		counts[count.GetState()] = count.GetCount()
	}
	require.Len(t, counts, 6, "every state is listed")
	require.EqualValues(t, 3, counts[holdfastv1.DeliveryState_DELIVERY_STATE_EXHAUSTED])
}
