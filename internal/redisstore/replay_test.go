package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	holdfast "github.com/emprops/holdfast"
)

// life draws every record of one delivery in the order in which they came about: changes of state, attempts, ends, and
// openings again, by an attempt or by itself.
func life(rt *rapid.T, event string, start int64) (records []Record) {
	d := holdfast.Delivery{WebhookID: "w", EventID: event, EventType: "t", CreatedAt: start, UpdatedAt: start, Attempts: []holdfast.Attempt{}}
	reopened := false
	step := func(state holdfast.DeliveryState, isAttempt bool) {
		d.State = state
		d.UpdatedAt += rapid.SampledFrom([]int64{1, 1000, 20 * 60_000, 90 * 60_000}).Draw(rt, "later")
		r := Record{Delivery: d, Reopen: reopened}
		if isAttempt {
			a := attempt("w", event, len(d.Attempts)+1, d.UpdatedAt, state == holdfast.DeliveryDelivered)
			a.Timestamp = d.UpdatedAt
			d.Attempts = append(d.Attempts[:len(d.Attempts):len(d.Attempts)], a)
			reopened = false
			r = Record{Delivery: d, Attempt: &a}
		}
		records = append(records, r)
	}
	step(rapid.SampledFrom([]holdfast.DeliveryState{holdfast.DeliveryPending, holdfast.DeliveryHeld}).Draw(rt, "first"), false)
	for range rapid.IntRange(0, 9).Draw(rt, "steps") {
		open := []holdfast.DeliveryState{holdfast.DeliveryPending, holdfast.DeliveryRetrying, holdfast.DeliveryHeld}
		if d.State.Final() && rapid.Bool().Draw(rt, "reopened by itself") {
			reopened = true
			step(rapid.SampledFrom(open).Draw(rt, "open"), false)
			continue
		}
		switch rapid.IntRange(0, 3).Draw(rt, "kind") {
		case 0:
			step(rapid.SampledFrom([]holdfast.DeliveryState{holdfast.DeliveryDelivered, holdfast.DeliveryExhausted}).Draw(rt, "end"), true)
		case 1:
			step(holdfast.DeliveryRetrying, true)
		case 2:
			if !d.State.Final() {
				step(rapid.SampledFrom(open).Draw(rt, "open"), false)
			}
		default:
			if !d.State.Final() {
				step(holdfast.DeliveryCancelled, false)
			}
		}
	}
	return records
}

// TestG06_ReplaysCountOnceInAnyOrder compares statistics, indexes and series with a model that knows only the last
// record of each delivery, after its records came late, repeated, in any order and in any batches.
func TestG06_ReplaysCountOnceInAnyOrder(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	ctx, run := t.Context(), 0
	const start = 1700000000000
	rapid.Check(t, func(rt *rapid.T) {
		run++
		store := New(srv.client, Options{Prefix: fmt.Sprintf("p%d", run)})
		_, err := store.WriteWebhook(ctx, testWebhook("w"))
		require.NoError(rt, err)
		var first, rest []Record
		last := map[string]holdfast.Delivery{}
		for i := range rapid.IntRange(1, 4).Draw(rt, "deliveries") {
			event := fmt.Sprintf("e%d", i)
			records := life(rt, event, start+int64(i))
			first, rest = append(first, records[0]), append(rest, records[1:]...)
			last[event] = records[len(records)-1].Delivery
		}
		all := append(append([]Record{}, first...), rest...)
		rest = append(rest, rapid.SliceOfN(rapid.SampledFrom(all), 0, 8).Draw(rt, "repeats")...)
		order := append(first, rapid.Permutation(rest).Draw(rt, "order")...)
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(rt, "batch")
			require.NoError(rt, store.Record(ctx, order[:n]))
			order = order[n:]
		}

		var want Bucket
		var held int64
		byHour := map[int64]Bucket{}
		count := func(at int64, add func(*Bucket)) {
			add(&want)
			b := byHour[hourOf(at)]
			add(&b)
			byHour[hourOf(at)] = b
		}
		for event, d := range last {
			got, err := store.Delivery(ctx, "w", event)
			require.NoError(rt, err)
			require.Equal(rt, d, *got)
			for _, a := range d.Attempts {
				count(a.Timestamp, func(b *Bucket) {
					b.Attempts++
					b.ResponseTimeTotalMS += a.DurationMS
					if a.Success {
						b.Successful++
					} else {
						b.Failed++
					}
				})
			}
			switch d.State {
			case holdfast.DeliveryDelivered:
				count(d.UpdatedAt, func(b *Bucket) { b.Delivered++ })
			case holdfast.DeliveryExhausted:
				count(d.UpdatedAt, func(b *Bucket) { b.Exhausted++ })
			case holdfast.DeliveryCancelled:
				count(d.UpdatedAt, func(b *Bucket) { b.Cancelled++ })
			case holdfast.DeliveryHeld:
				held++
			default: // still open
			}
		}
		got, err := store.Stats(ctx, "w")
		require.NoError(rt, err)
		require.Equal(rt, want, Bucket{
			Attempts: got.TotalDeliveries, Successful: got.SuccessfulDeliveries, Failed: got.FailedDeliveries,
			Delivered: got.Delivered, Exhausted: got.Exhausted, Cancelled: got.Cancelled, ResponseTimeTotalMS: got.ResponseTimeTotalMS,
		})
		require.Equal(rt, held, got.Held)
		total, err := store.Totals(ctx)
		require.NoError(rt, err)
		require.Equal(rt, want, total)
		var measured int64
		for _, n := range srv.client.HGetAll(ctx, store.keys.latencies("w")).Val() {
			measured += parseInt(n)
		}
		require.Equal(rt, want.Attempts, measured)
		for _, webhook := range []string{"", "w"} {
			hours, err := store.seriesAt(ctx, webhook, Hourly, hoursKept, time.UnixMilli(start).Add(40*time.Hour))
			require.NoError(rt, err)
			for _, b := range hours {
				expected := byHour[hourOf(b.Start)]
				expected.Start = b.Start
				require.Equal(rt, expected, b)
			}
		}
		finals := srv.client.ZCard(ctx, store.keys.finals("w")).Val()
		require.Equal(rt, want.Delivered+want.Exhausted+want.Cancelled, finals)
	})
}

func TestReopen(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	const at = 1700000000000
	step := func(n int, s holdfast.DeliveryState, updated int64, reopen bool) {
		r := record("wh_1", "evt_1", at, n, s, false)
		r.Delivery.UpdatedAt, r.Reopen = at+updated, reopen
		require.NoError(t, store.Record(ctx, []Record{r}))
	}
	requireState := func(want holdfast.DeliveryState, delivered, cancelled, held int64) {
		t.Helper()
		d, err := store.Delivery(ctx, "wh_1", "evt_1")
		require.NoError(t, err)
		require.Equal(t, want, d.State)
		st := stats(t, store, "wh_1")
		require.Equal(t, []int64{delivered, cancelled, held}, []int64{st.Delivered, st.Cancelled, st.Held})
		states, err := store.Settled(ctx, []DeliveryKey{{"wh_1", "evt_1"}})
		require.NoError(t, err)
		require.Equal(t, []holdfast.DeliveryState{want}, states)
	}
	step(1, holdfast.DeliveryDelivered, 1000, false)
	requireState(holdfast.DeliveryDelivered, 1, 0, 0)
	step(1, holdfast.DeliveryPending, 2000, false)
	requireState(holdfast.DeliveryDelivered, 1, 0, 0)
	step(1, holdfast.DeliveryPending, 2000, true)
	requireState(holdfast.DeliveryPending, 0, 0, 0)
	step(1, holdfast.DeliveryDelivered, 1000, false)
	requireState(holdfast.DeliveryPending, 0, 0, 0) // the end of the life before comes once more
	step(1, holdfast.DeliveryHeld, 3000, false)
	requireState(holdfast.DeliveryHeld, 0, 0, 1)
	step(1, holdfast.DeliveryCancelled, 3000, false)
	requireState(holdfast.DeliveryCancelled, 0, 1, 0)
	step(1, holdfast.DeliveryPending, 2000, true)
	requireState(holdfast.DeliveryCancelled, 0, 1, 0)
	step(1, holdfast.DeliveryPending, 4000, true)
	requireState(holdfast.DeliveryPending, 0, 0, 0)
	step(2, holdfast.DeliveryDelivered, 5000, false)
	requireState(holdfast.DeliveryDelivered, 1, 0, 0)

	// One whose record made room for others is opened again without counting its attempts once more.
	require.NoError(t, srv.client.HDel(ctx, "webhooks:records:wh_1", "evt_1").Err())
	before := stats(t, store, "wh_1").TotalDeliveries
	step(2, holdfast.DeliveryPending, 6000, true)
	step(2, holdfast.DeliveryHeld, 7000, false)
	require.Equal(t, before, stats(t, store, "wh_1").TotalDeliveries)
	step(3, holdfast.DeliveryDelivered, 8000, false)
	require.Equal(t, before+1, stats(t, store, "wh_1").TotalDeliveries)
}
