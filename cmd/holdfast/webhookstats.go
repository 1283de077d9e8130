package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/pflag"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

func webhookStats(fs *pflag.FlagSet) operation {
	by := fs.String("by", "", "the counters of each `hour` or `day` besides, as far back as they are kept")
	return func(ctx context.Context, c *client, id string) error {
		req := &holdfastv1.GetWebhookStatsRequest{Id: id}
		if *by != "" {
			step := holdfastv1.SeriesStep_value["SERIES_STEP_"+strings.ToUpper(*by)]
			if step == 0 {
				return usageError{"--by must be hour or day"}
			}
			req.Series = &holdfastv1.SeriesQuery{Step: holdfastv1.SeriesStep(step)}
		}
		got, err := c.webhooks.GetWebhookStats(ctx, req)
		if err != nil {
			return err
		}
		return c.show(got, func(t *table) {
			statsFacts(t, got.GetStats())
			if *by != "" {
				t.gap()
				seriesRows(t, strings.ToUpper(*by), got.GetSeries())
			}
		})
	}
}

// seriesRows begins with the first hour or day in which something happened.
func seriesRows(t *table, by string, buckets []*holdfastv1.StatsBucket) {
	t.row(by, "ATTEMPTS", "SUCCEEDED", "FAILED", "DELIVERED", "EXHAUSTED", "CANCELLED", "MEAN")
	begun := false
	for _, b := range buckets {
		begun = begun || b.GetAttempts()+b.GetDelivered()+b.GetExhausted()+b.GetCancelled() > 0
		if begun {
			t.row(stamp(b.GetStartTime()), b.GetAttempts(), b.GetSuccessfulAttempts(), b.GetFailedAttempts(), b.GetDelivered(),
				b.GetExhausted(), b.GetCancelled(), b.GetAverageResponse().AsDuration().Round(time.Microsecond))
		}
	}
}
