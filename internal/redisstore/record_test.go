package redisstore

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	holdfast "github.com/emprops/holdfast"
)

// attempt is attempt n of a delivery, one second after the other.
func attempt(webhook, event string, n int, at int64, success bool) holdfast.Attempt {
	a := holdfast.Attempt{
		ID: fmt.Sprintf("%s/%s/%d", webhook, event, n), WebhookID: webhook, EventID: event, EventType: "job_failed", Number: n,
		Timestamp: at + int64(n)*1000, Success: success, ResponseStatus: 200, DurationMS: 12.5, URL: "https://example.com/hook",
	}
	if !success {
		a.ResponseStatus, a.ErrorMessage, a.ErrorClass = 503, "HTTP 503", holdfast.ClassStatus
	}
	return a
}

// record is the step that ends with n attempts, the last of them successful if the state is delivered.
func record(webhook, event string, at int64, n int, state holdfast.DeliveryState, isNew bool) Record {
	d := holdfast.Delivery{
		WebhookID: webhook, EventID: event, EventType: "job_failed", State: state, CreatedAt: at, UpdatedAt: at + int64(n)*1000,
		WorkflowID: "delivery/" + webhook + "/" + event, RunID: "run", Attempts: []holdfast.Attempt{},
	}
	for i := 1; i <= n; i++ {
		d.Attempts = append(d.Attempts, attempt(webhook, event, i, at, i == n && state == holdfast.DeliveryDelivered))
	}
	r := Record{Delivery: d, Terminal: state.Final()}
	if isNew {
		r.Attempt = &d.Attempts[n-1]
	}
	return r
}

func delivered(webhook, event string, at int64) Record {
	return record(webhook, event, at, 1, holdfast.DeliveryDelivered, true)
}

func exhausted(webhook, event string, at int64) Record {
	return record(webhook, event, at-1000, 1, holdfast.DeliveryExhausted, true)
}

func stats(t *testing.T, s *Store, id string) Stats {
	t.Helper()
	st, err := s.Stats(t.Context(), id)
	require.NoError(t, err)
	return st
}

func TestRecordALife(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	const at = 1700000000000
	steps := []Record{
		record("wh_1", "evt_1", at, 0, holdfast.DeliveryPending, false),
		record("wh_1", "evt_1", at, 1, holdfast.DeliveryRetrying, true),
		record("wh_1", "evt_1", at, 2, holdfast.DeliveryRetrying, true),
		record("wh_1", "evt_1", at, 3, holdfast.DeliveryDelivered, true),
	}
	for i := range steps {
		require.NoError(t, store.Record(ctx, steps[i:i+1]))
		got, err := store.Delivery(ctx, "wh_1", "evt_1")
		require.NoError(t, err)
		require.Equal(t, &steps[i].Delivery, got)
		states, err := store.Settled(ctx, []DeliveryKey{{"wh_2", "evt_1"}, {"wh_1", "evt_1"}, {"wh_1", "evt_2"}})
		require.NoError(t, err)
		require.Equal(t, []holdfast.DeliveryState{"", steps[i].Delivery.State, ""}, states)
	}
	got := stats(t, store, "wh_1")
	for _, percentile := range []*float64{&got.P50MS, &got.P95MS, &got.P99MS} {
		require.InEpsilon(t, 12.5, *percentile, 0.2)
		*percentile = 0
	}
	require.Equal(t, Stats{
		TotalDeliveries: 3, SuccessfulDeliveries: 1, FailedDeliveries: 2, Delivered: 1,
		LastDeliveryAt: at + 3000, LastSuccessAt: at + 3000, LastFailureAt: at + 2000, ResponseTimeTotalMS: 37.5, AverageMS: 12.5,
	}, got)

	attempts, err := store.Attempts(ctx, "wh_1", 2)
	require.NoError(t, err)
	require.Equal(t, []holdfast.Attempt{steps[3].Delivery.Attempts[2], steps[3].Delivery.Attempts[1]}, attempts)
	entries, err := store.Log(ctx, 0)
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, holdfast.LogEntry{
		WebhookID: "wh_1", EventID: "evt_1", EventType: "job_failed", Success: true, Timestamp: at + 3000, AttemptNumber: 3,
		ResponseStatus: 200, URL: "https://example.com/hook", DurationMS: 12.5,
	}, entries[0])
	raw, err := srv.client.LIndex(ctx, "webhooks:delivery_log", 1).Result()
	require.NoError(t, err)
	require.Equal(t, `{"webhook_id":"wh_1","event_id":"evt_1","event_type":"job_failed","success":false,"timestamp":1700000002000,`+
		`"attempt_number":2,"response_status":503,"error_message":"HTTP 503","url":"https://example.com/hook",`+
		`"response_time_ms":12.5,"error_class":"status"}`, raw)

	_, err = store.Delivery(ctx, "wh_1", "evt_9")
	requireCode(t, holdfast.CodeNotFound, err)
}

func TestRecordStateChanges(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	const at = 1700000000000
	state := func() holdfast.DeliveryState {
		d, err := store.Delivery(ctx, "wh_1", "evt_1")
		require.NoError(t, err)
		return d.State
	}
	step := func(n int, s holdfast.DeliveryState, later int64, isNew bool) int64 {
		r := []Record{record("wh_1", "evt_1", at, n, s, isNew)}
		r[0].Delivery.UpdatedAt += later
		require.NoError(t, store.Record(ctx, r))
		return r[0].ConsecutiveFailures
	}
	step(1, holdfast.DeliveryRetrying, 0, true)
	step(1, holdfast.DeliveryHeld, 10, false)
	require.Equal(t, holdfast.DeliveryHeld, state())
	step(1, holdfast.DeliveryRetrying, 5, false)
	require.Equal(t, holdfast.DeliveryHeld, state(), "an earlier change arrives late")
	step(1, holdfast.DeliveryRetrying, 20, false)
	require.Equal(t, holdfast.DeliveryRetrying, state())
	require.Equal(t, int64(1), step(2, holdfast.DeliveryExhausted, 0, true))
	require.Equal(t, int64(1), step(2, holdfast.DeliveryExhausted, 0, true), "a repetition is told again and counts once")
	step(2, holdfast.DeliveryHeld, 99, false)
	require.Equal(t, holdfast.DeliveryExhausted, state(), "never back from a final state")
	step(3, holdfast.DeliveryRetrying, 0, true)
	require.Equal(t, holdfast.DeliveryRetrying, state(), "an operator's retry raises the attempt number")
	step(4, holdfast.DeliveryDelivered, 0, true)
	require.Equal(t, holdfast.DeliveryDelivered, state())
	require.Equal(t, []int64{4, 1, 3, 1, 0, 0}, func(s Stats) []int64 {
		return []int64{s.TotalDeliveries, s.SuccessfulDeliveries, s.FailedDeliveries, s.Delivered, s.Exhausted, s.ConsecutiveFailures}
	}(stats(t, store, "wh_1")))
}

func TestG06_RecordsCountOnceInAnyOrder(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	ctx := t.Context()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		store := New(srv.client, Options{Prefix: fmt.Sprintf("p%d", run)})
		_, err := store.WriteWebhook(ctx, testWebhook("w"))
		require.NoError(rt, err)
		var all []Record
		want := Stats{}
		attempts := 0
		for d := range rapid.IntRange(1, 4).Draw(rt, "deliveries") {
			event := fmt.Sprintf("e%d", d)
			at := 1700000000000 + int64(d)*10_000
			n := rapid.IntRange(1, 4).Draw(rt, "attempts")
			end := rapid.SampledFrom([]holdfast.DeliveryState{holdfast.DeliveryDelivered, holdfast.DeliveryExhausted, holdfast.DeliveryCancelled}).Draw(rt, "end")
			for i := 1; i < n; i++ {
				all = append(all, record("w", event, at, i, holdfast.DeliveryRetrying, true))
			}
			all = append(all, record("w", event, at, n, end, rapid.Bool().Draw(rt, "end with its attempt")))
			attempts += n
			want.TotalDeliveries += int64(n)
			want.FailedDeliveries += int64(n)
			switch end {
			case holdfast.DeliveryDelivered:
				want.Delivered++
				want.SuccessfulDeliveries++
				want.FailedDeliveries--
			case holdfast.DeliveryExhausted:
				want.Exhausted++
			default:
				want.Cancelled++
			}
		}
		repeated := append(append([]Record{}, all...), rapid.SliceOfN(rapid.SampledFrom(all), 0, 6).Draw(rt, "repeats")...)
		shuffled := rapid.Permutation(repeated).Draw(rt, "order")
		for len(shuffled) > 0 {
			batch := rapid.IntRange(1, len(shuffled)).Draw(rt, "batch")
			require.NoError(rt, store.Record(ctx, shuffled[:batch]))
			shuffled = shuffled[batch:]
		}
		got, err := store.Stats(ctx, "w")
		require.NoError(rt, err)
		require.InDelta(rt, 12.5*float64(attempts), got.ResponseTimeTotalMS, 0.001)
		require.Equal(rt, want, Stats{
			TotalDeliveries: got.TotalDeliveries, SuccessfulDeliveries: got.SuccessfulDeliveries, FailedDeliveries: got.FailedDeliveries,
			Delivered: got.Delivered, Exhausted: got.Exhausted, Cancelled: got.Cancelled,
		})
		list, err := store.Attempts(ctx, "w", 0)
		require.NoError(rt, err)
		seen := map[string]bool{}
		for _, a := range list {
			require.False(rt, seen[a.ID], a.ID)
			seen[a.ID] = true
		}
		require.Len(rt, list, attempts)
		items, _, err := store.ListDeliveries(ctx, DeliveryFilter{}, 0, "")
		require.NoError(rt, err)
		for _, d := range items {
			require.True(rt, d.State.Final())
		}
	})
}

func TestD10_NothingUnderARemovedWebhook(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	require.NoError(t, store.Record(ctx, []Record{
		delivered("wh_1", "evt_1", 1700000000000), record("wh_1", "evt_0", 1700000000000, 0, holdfast.DeliveryHeld, false),
	}))
	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(time.Minute)))
	_, err := store.Admit(ctx, "wh_1", 0.1)
	require.NoError(t, err)
	require.Len(t, keysOf(t, srv.client), 21)
	_, _, err = store.RemoveWebhook(ctx, "wh_1")
	require.NoError(t, err)
	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(time.Minute)))
	wait, err := store.Admit(ctx, "wh_1", 0.1)
	require.NoError(t, err)
	require.Zero(t, wait)
	late := []Record{delivered("wh_1", "evt_2", 1700000000000), record("wh_1", "evt_3", 1700000000000, 1, holdfast.DeliveryCancelled, false),
		record("wh_1", "evt_4", 1700000000000, 0, holdfast.DeliveryHeld, false),
	}
	for range 2 {
		require.NoError(t, store.Record(ctx, late))
	}
	require.ElementsMatch(t, []string{
		"webhooks:revision", "webhooks:digest", "webhooks:changes", "webhooks:delivery_log", "webhooks:deliveries",
		"webhooks:incarnation", "webhooks:removed",
		"webhooks:series",
	}, keysOf(t, srv.client))
	entries, err := store.Log(ctx, 0)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	items, next, err := store.ListDeliveries(ctx, DeliveryFilter{}, 0, "")
	require.NoError(t, err)
	require.Empty(t, items)
	require.Empty(t, next)
}

func TestD33_ResponsesAreBounded(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	r := record("wh_1", "evt_1", 1700000000000, 3, holdfast.DeliveryExhausted, true)
	for i := range r.Delivery.Attempts {
		r.Delivery.Attempts[i].ResponseBody = strings.Repeat("é", 1_500_000)
		r.Delivery.Attempts[i].ErrorMessage = "HTTP 503: " + strings.Repeat("x", 3_000_000)
	}
	require.NoError(t, store.Record(ctx, []Record{r}))
	require.Len(t, r.Delivery.Attempts[0].ResponseBody, 3_000_000, "the caller's record is not changed")
	var total int64
	for _, key := range keysOf(t, srv.client) {
		n, err := srv.client.MemoryUsage(ctx, key, 0).Result()
		require.NoError(t, err)
		total += n
	}
	require.Less(t, total, int64(1<<20))
	attempts, err := store.Attempts(ctx, "wh_1", 1)
	require.NoError(t, err)
	require.LessOrEqual(t, len(attempts[0].ResponseBody), 64<<10)
	require.True(t, strings.HasSuffix(attempts[0].ResponseBody, "é"+holdfast.TruncationMark))
	require.True(t, strings.HasSuffix(attempts[0].ErrorMessage, "x"+holdfast.TruncationMark))
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	require.Equal(t, "abc", truncated("abc", 100))
	rapid.Check(t, func(rt *rapid.T) {
		s, bound := rapid.String().Draw(rt, "s"), rapid.IntRange(len(holdfast.TruncationMark), 60).Draw(rt, "bound")
		got := truncated(s, bound)
		require.LessOrEqual(rt, len(got), bound)
		require.Equal(rt, got, truncated(got, bound))
		require.True(rt, strings.HasPrefix(s, strings.TrimSuffix(got, holdfast.TruncationMark)) || len(s) <= bound)
		require.True(rt, json.Valid(mustMarshal(rt, got)))
	})
}

func mustMarshal(tb require.TestingT, v any) []byte {
	b, err := marshal(v)
	require.NoError(tb, err)
	return b
}

func TestRecordCaps(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{Limits: Limits{Attempts: 5, Log: 7, Deliveries: 4, OpenDeliveries: 6, GlobalDeliveries: 9}})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	open := record("wh_1", "evt_open", 1600000000000, 1, holdfast.DeliveryRetrying, true)
	require.NoError(t, store.Record(ctx, []Record{open}))
	var records []Record
	for i := range 20 {
		records = append(records, delivered("wh_1", fmt.Sprintf("evt_%02d", i), 1700000000000+int64(i)))
	}
	require.NoError(t, store.Record(ctx, records))
	require.NoError(t, store.Record(ctx, []Record{open}))
	require.Equal(t, int64(5), srv.client.LLen(ctx, "webhooks:attempts:wh_1").Val())
	require.Equal(t, int64(7), srv.client.LLen(ctx, "webhooks:delivery_log").Val())
	require.Equal(t, int64(21), stats(t, store, "wh_1").TotalDeliveries)

	list := func(webhook string) (events []string) {
		items, next, err := store.ListDeliveries(ctx, DeliveryFilter{WebhookID: webhook}, 0, "")
		require.NoError(t, err)
		require.Empty(t, next)
		for _, d := range items {
			events = append(events, d.EventID)
		}
		return events
	}
	require.Equal(t, []string{"evt_19", "evt_18", "evt_17", "evt_16", "evt_open"}, list("wh_1"), "open ones stay")
	require.Equal(t, []string{"evt_19", "evt_18", "evt_17", "evt_16", "evt_open"}, list(""))
	require.Equal(t, int64(5), srv.client.HLen(ctx, "webhooks:records:wh_1").Val())

	// An ended one that an operator retries is open again and ends again as the newest.
	require.NoError(t, store.Record(ctx, []Record{record("wh_1", "evt_16", 1700000000016, 2, holdfast.DeliveryRetrying, true)}))
	require.Equal(t, int64(3), srv.client.ZCard(ctx, "webhooks:finals:wh_1").Val())
	require.NoError(t, store.Record(ctx, []Record{record("wh_1", "evt_16", 1700000000016, 3, holdfast.DeliveryDelivered, true)}))
	require.NoError(t, store.Record(ctx, []Record{delivered("wh_1", "evt_20", 1700000000020)}))
	require.Equal(t, []string{"evt_20", "evt_19", "evt_18", "evt_16", "evt_open"}, list("wh_1"))

	// Open ones are never dropped, however many. Past their cap their records are short.
	for i := range 30 {
		r := record("wh_1", fmt.Sprintf("evt_held_%02d", i), 1700000001000+int64(i), 2, holdfast.DeliveryHeld, true)
		r.Delivery.Attempts[1].ResponseBody = "busy"
		require.NoError(t, store.Record(ctx, []Record{r}))
	}
	require.Len(t, list("wh_1"), 35)
	require.Equal(t, int64(4), srv.client.ZCard(ctx, "webhooks:finals:wh_1").Val())
	require.Equal(t, int64(9), srv.client.ZCard(ctx, "webhooks:deliveries").Val())
	require.Equal(t, int64(30), stats(t, store, "wh_1").Held)
	whole, err := store.Delivery(ctx, "wh_1", "evt_held_00")
	require.NoError(t, err)
	require.Len(t, whole.Attempts, 2)
	require.Equal(t, "busy", whole.Attempts[1].ResponseBody)
	short, err := store.Delivery(ctx, "wh_1", "evt_held_29")
	require.NoError(t, err)
	require.Len(t, short.Attempts, 1)
	require.Equal(t, 2, short.Attempts[0].Number)
	require.Empty(t, short.Attempts[0].ResponseBody)
	require.NoError(t, store.Record(ctx, []Record{record("wh_1", "evt_held_29", 1700000001029, 3, holdfast.DeliveryDelivered, true)}))
	short, err = store.Delivery(ctx, "wh_1", "evt_held_29")
	require.NoError(t, err)
	require.Len(t, short.Attempts, 3, "what ends is kept whole again")
	require.Equal(t, int64(85), stats(t, store, "wh_1").TotalDeliveries)
}

func TestListDeliveriesPages(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{Limits: Limits{Scan: 120}})
	ctx := t.Context()
	var records []Record
	for _, id := range []string{"wh_1", "wh_2"} {
		write(t, store, testWebhook(id))
		for i := range 300 { // many within the same millisecond
			r := delivered(id, fmt.Sprintf("evt_%03d", i), 1700000000000+int64(i/100))
			if i%50 == 7 {
				r = record(id, fmt.Sprintf("evt_%03d", i), 1700000000000+int64(i/100), 1, holdfast.DeliveryRetrying, true)
				r.Delivery.EventType = "complete_job"
			}
			records = append(records, r)
		}
	}
	require.NoError(t, store.Record(ctx, records))
	all := func(f DeliveryFilter, size int) (ids []string, calls int) {
		for token := ""; ; {
			items, next, err := store.ListDeliveries(ctx, f, size, token)
			require.NoError(t, err)
			require.LessOrEqual(t, len(items), size)
			for _, d := range items {
				ids = append(ids, fmt.Sprintf("%d/%s", d.CreatedAt, d.ID()))
			}
			if calls++; next == "" {
				return ids, calls
			}
			require.Less(t, calls, 1000)
			token = next
		}
	}
	for _, size := range []int{1, 7, 50, 300} {
		ids, _ := all(DeliveryFilter{}, size)
		require.Len(t, ids, 600)
		for i := 1; i < len(ids); i++ {
			require.Less(t, ids[i], ids[i-1])
		}
	}
	ids, calls := all(DeliveryFilter{WebhookID: "wh_2"}, 100)
	require.Len(t, ids, 300)
	require.LessOrEqual(t, calls, 4)
	for _, f := range []DeliveryFilter{{State: holdfast.DeliveryRetrying}, {EventType: "complete_job"}} {
		ids, calls = all(f, 50)
		require.Len(t, ids, 12)
		require.Equal(t, 5, calls, "each call looks at a bounded number")
	}
	ids, _ = all(DeliveryFilter{EventID: "evt_007"}, 50)
	require.Equal(t, []string{"1700000000000/wh_2/evt_007", "1700000000000/wh_1/evt_007"}, ids)
	ids, _ = all(DeliveryFilter{WebhookID: "wh_1", EventID: "evt_007", State: holdfast.DeliveryRetrying}, 50)
	require.Len(t, ids, 1)
	ids, _ = all(DeliveryFilter{WebhookID: "wh_1", EventID: "evt_007", State: holdfast.DeliveryHeld}, 50)
	require.Empty(t, ids)

	// A token stays good when the entry it stands on is gone.
	items, next, err := store.ListDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1"}, 10, "")
	require.NoError(t, err)
	require.NoError(t, srv.client.ZRem(ctx, "webhooks:deliveries:wh_1", items[9].EventID).Err())
	more, _, err := store.ListDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1"}, 10, next)
	require.NoError(t, err)
	require.Equal(t, "evt_289", more[0].EventID)
	// A record that cannot be read does not hide the others.
	require.NoError(t, srv.client.HSet(ctx, "webhooks:records:wh_1", "evt_289", "1|delivered|5|{").Err())
	more, _, err = store.ListDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1"}, 10, next)
	require.NoError(t, err)
	require.Equal(t, "evt_288", more[0].EventID)
	_, err = store.Delivery(ctx, "wh_1", "evt_289")
	requireCode(t, holdfast.CodeInternal, err)

	for _, token := range []string{"?", "bm9wZQ", mark{5, "wh/evt"}.token(), mark{-5, "evt"}.token(), strings.Repeat("A", 5000)} {
		_, _, err = store.ListDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1"}, 10, token)
		requireCode(t, holdfast.CodeInvalid, err, token)
	}
	_, _, err = store.ListDeliveries(ctx, DeliveryFilter{}, 10, next)
	requireCode(t, holdfast.CodeInvalid, err)
}

func FuzzPageToken(f *testing.F) {
	f.Add("MTcwMDAwMDAwMDAwMDplMQ", true)
	f.Fuzz(func(t *testing.T, token string, global bool) {
		m, err := parsePageToken(token, global)
		if err != nil {
			requireCode(t, holdfast.CodeInvalid, err)
			return
		}
		if m.member != "" {
			again, err := parsePageToken(m.token(), global)
			require.NoError(t, err)
			require.Equal(t, m, again)
		}
	})
}

func TestRecordRefusesADeliveryWithoutIDs(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	requireCode(t, holdfast.CodeInvalid, store.Record(t.Context(), []Record{{Delivery: holdfast.Delivery{WebhookID: "w"}}}))
	require.NoError(t, store.Record(t.Context(), nil))
}
