package server_test

import (
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func TestSeriesOfAWebhook(t *testing.T) {
	t.Parallel()
	const hour, day = holdfastv1.SeriesStep_SERIES_STEP_HOUR, holdfastv1.SeriesStep_SERIES_STEP_DAY
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.UnixMilli(0).Add(d)) }
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.stats = map[string]server.WebhookStats{"wh_1": {}}
		for _, tc := range []struct {
			query *holdfastv1.SeriesQuery
			first int // in the steps since the epoch
			n     int
		}{
			{nil, 0, 0},
			{&holdfastv1.SeriesQuery{Step: hour}, 100, 3},
			{&holdfastv1.SeriesQuery{Step: day}, 100, 3},
			{&holdfastv1.SeriesQuery{Step: hour, From: at(101*time.Hour + time.Minute)}, 101, 2},
			{&holdfastv1.SeriesQuery{Step: hour, To: at(101 * time.Hour)}, 100, 1},
			{&holdfastv1.SeriesQuery{Step: hour, From: at(101 * time.Hour), To: at(101*time.Hour + time.Second)}, 101, 1},
			{&holdfastv1.SeriesQuery{Step: day, From: at(0), To: at(1_000_000 * time.Hour)}, 100, 3},
			{&holdfastv1.SeriesQuery{Step: day, From: at(500 * 24 * time.Hour)}, 0, 0},
		} {
			res, err := c.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{Id: "wh_1", Series: tc.query})
			require.NoError(t, err)
			require.Len(t, res.GetSeries(), tc.n, "%v", tc.query)
			width := map[holdfastv1.SeriesStep]time.Duration{hour: time.Hour, day: 24 * time.Hour}[tc.query.GetStep()]
			for i, got := range res.GetSeries() {
				require.Equal(t, at(time.Duration(tc.first+i)*width).AsTime(), got.GetStartTime().AsTime())
				if tc.first+i == 101 {
					require.Equal(t, []int64{7, 1, 6, 2, 3, 4}, []int64{
						got.GetAttempts(), got.GetSuccessfulAttempts(), got.GetFailedAttempts(), got.GetDelivered(), got.GetExhausted(), got.GetCancelled(),
					})
					require.Equal(t, 2500*time.Microsecond, got.GetAverageResponse().AsDuration())
				}
			}
		}
		for _, tc := range []struct {
			query  *holdfastv1.SeriesQuery
			fields []string
		}{
			{&holdfastv1.SeriesQuery{}, []string{"series.step"}},
			{&holdfastv1.SeriesQuery{Step: 9, From: at(time.Hour), To: at(time.Hour)}, []string{"series.step", "series.from"}},
		} {
			_, err := c.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{Id: "wh_1", Series: tc.query})
			require.Equal(t, tc.fields, fieldsOf(t, err))
			_, err = c.operations.GetOverview(t.Context(), &holdfastv1.GetOverviewRequest{Series: tc.query})
			require.Equal(t, tc.fields, fieldsOf(t, err))
		}
		b.seriesErr = holdfast.Errorf(holdfast.CodeUnavailable, "no")
		_, err := c.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{Id: "wh_1", Series: &holdfastv1.SeriesQuery{Step: day}})
		require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	})
}
