package redisstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	holdfast "github.com/emprops/holdfast"
)

// TestD40_D44_TotalsAreExact records 1,500 deliveries from eight sides at once, with failed attempts, repetitions and calls
// that break off at any moment.
func TestD40_D44_TotalsAreExact(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	for i := range 3 {
		write(t, store, testWebhook(fmt.Sprintf("wh_%d", i)))
	}
	now := time.Now().UnixMilli()
	midnight := now - now%(24*time.Hour).Milliseconds()
	var wg sync.WaitGroup
	failures := make([]error, 8)
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < 1500 && failures[worker] == nil; i += 8 {
				webhook, event := fmt.Sprintf("wh_%d", i%3), fmt.Sprintf("evt_%d", i)
				records := []Record{delivered(webhook, event, midnight)}
				if i%5 == 0 {
					records = []Record{
						record(webhook, event, midnight, 1, holdfast.DeliveryRetrying, true),
						record(webhook, event, midnight, 2, holdfast.DeliveryExhausted, true),
					}
				}
				short, cancel := context.WithTimeout(ctx, time.Duration(i%7)*50*time.Microsecond)
				_ = store.Record(short, slices.Clone(records)) // may have been recorded or not: repeated
				cancel()
				failures[worker] = store.Record(ctx, records)
			}
		})
	}
	wg.Wait()
	for _, err := range failures {
		require.NoError(t, err)
	}
	want := Bucket{
		Attempts: 1800, Successful: 1200, Failed: 600, Delivered: 1200, Exhausted: 300, ResponseTimeTotalMS: 1800 * 12.5,
	}
	total, err := store.Totals(ctx)
	require.NoError(t, err)
	require.Equal(t, want, total)
	require.InDelta(t, 12.5, total.AverageMS(), 0.001)
	today, err := store.seriesAt(ctx, "", Daily, 1, time.UnixMilli(now))
	require.NoError(t, err)
	want.Start = midnight
	require.Equal(t, []Bucket{want}, today)
	var sum int64
	for i := range 3 {
		s := stats(t, store, fmt.Sprintf("wh_%d", i))
		require.Equal(t, int64(500), s.Delivered+s.Exhausted)
		require.Equal(t, s.TotalDeliveries, s.SuccessfulDeliveries+s.FailedDeliveries)
		sum += s.TotalDeliveries
	}
	require.Equal(t, int64(1800), sum)
}

func TestD36_FailuresAreCountedOneByOne(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	const n = 30
	told, failures := make([]int64, n), make([]error, n)
	all := make([][]Record, n)
	var wg sync.WaitGroup
	for i := range n {
		all[i] = []Record{exhausted("wh_1", fmt.Sprintf("evt_%d", i), 1700000000000)}
		wg.Go(func() {
			failures[i] = store.Record(ctx, all[i])
			told[i] = all[i][0].ConsecutiveFailures
		})
	}
	wg.Wait()
	slices.Sort(told)
	for i := range n {
		require.NoError(t, failures[i])
		require.Equal(t, int64(i+1), told[i], "each is told a number of its own")
	}
	for i := range n {
		require.NoError(t, store.Record(ctx, all[i]))
	}
	require.Equal(t, int64(n), stats(t, store, "wh_1").ConsecutiveFailures, "a late repetition counts once")
	require.NoError(t, store.Record(ctx, []Record{delivered("wh_1", "evt_ok", 1700000000000)}))
	require.Zero(t, stats(t, store, "wh_1").ConsecutiveFailures)
	require.NoError(t, store.Record(ctx, all[0]))
	require.Zero(t, stats(t, store, "wh_1").ConsecutiveFailures)
}

// TestSeriesKeepsWhatItMovesOut records over half a year, in any order: the number of fields stays bounded, totals and the
// last days stay exact.
func TestSeriesKeepsWhatItMovesOut(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	ctx, run := t.Context(), 0
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		run++
		store := New(srv.client, Options{Prefix: fmt.Sprintf("p%d", run)})
		_, err := store.WriteWebhook(ctx, testWebhook("w"))
		require.NoError(rt, err)
		days := rapid.SampledFrom([]int{1, 3, 60, 180}).Draw(rt, "days")
		n := rapid.SampledFrom([]int{1, 40, 120, 250}).Draw(rt, "deliveries") // left to itself rapid draws few
		hours := rapid.SliceOfN(rapid.SampledFrom(seq(days*24)), n, n).Draw(rt, "hours")
		byDay, byHour := map[int]int64{}, map[int]int64{}
		var records []Record
		for i, hour := range hours {
			r := delivered("w", fmt.Sprintf("e%d", i), start.Add(time.Duration(hour)*time.Hour).UnixMilli())
			records = append(records, r)
			byDay[hour/24]++
			byHour[hour]++
		}
		require.NoError(rt, store.Record(ctx, records))
		for i := range hours { // opened again: taken back from wherever it was moved to
			if i%3 == 0 {
				r := record("w", fmt.Sprintf("e%d", i), records[i].Delivery.CreatedAt, 1, holdfast.DeliveryPending, false)
				r.Reopen = true
				require.NoError(rt, store.Record(ctx, []Record{r}))
			}
		}
		total, err := store.Totals(ctx)
		require.NoError(rt, err)
		all := int64(n)
		require.Equal(rt, Bucket{Attempts: all, Successful: all, Delivered: all - (all+2)/3, ResponseTimeTotalMS: float64(n) * 12.5}, total)
		for _, key := range []string{store.keys.series(), store.keys.seriesOf("w")} {
			require.LessOrEqual(rt, srv.client.HLen(ctx, key).Val(), int64(hoursKept+daysKept+1))
			for field, stored := range srv.client.HGetAll(ctx, key).Val() {
				var b Bucket
				b.add(stored)
				require.GreaterOrEqual(rt, b.Delivered, int64(0), "%s: taken back where it was not counted", field)
			}
		}
		end := start.Add(time.Duration(days)*24*time.Hour - time.Millisecond)
		series, err := store.seriesAt(ctx, "w", Daily, 1000, end)
		require.NoError(rt, err)
		require.Len(rt, series, daysKept)
		for _, b := range series {
			day := int(time.UnixMilli(b.Start).Sub(start) / (24 * time.Hour))
			require.Equal(rt, byDay[day], b.Attempts, "day %d", day)
		}
		series, err = store.seriesAt(ctx, "", Hourly, 1000, end)
		require.NoError(rt, err)
		require.Len(rt, series, hoursKept)
		for _, b := range series {
			hour := int(time.UnixMilli(b.Start).Sub(start) / time.Hour)
			require.Equal(rt, byHour[hour], b.Attempts, "hour %d", hour)
		}
	})
}

func TestSeriesOfNothing(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	before := time.Now().UnixMilli()
	series, err := store.Series(ctx, "", Hourly, 3)
	require.NoError(t, err)
	require.Len(t, series, 3)
	for i := range series {
		require.Zero(t, series[i].Start%time.Hour.Milliseconds())
		require.Equal(t, Bucket{Start: series[i].Start}, series[i])
		require.Zero(t, series[i].AverageMS())
	}
	require.GreaterOrEqual(t, series[2].Start, before-before%time.Hour.Milliseconds())
	series, err = store.Series(ctx, "wh_1", Daily, -1)
	require.NoError(t, err)
	require.Empty(t, series)
	// What somebody else put there does not spoil the rest.
	require.NoError(t, srv.client.HSet(ctx, "webhooks:series", "h:x", "1 2", "y", "1 1 1 1 1 1 1 1", "t", "2 1 0 0 0 0 0").Err())
	total, err := store.Totals(ctx)
	require.NoError(t, err)
	require.Equal(t, Bucket{Attempts: 2, Successful: 2, Delivered: 2, ResponseTimeTotalMS: 1}, total)
}

// seq is 0 to n-1: drawn from, it is drawn from evenly, where a range is drawn from near its beginning.
func seq(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}
