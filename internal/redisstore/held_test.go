package redisstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	holdfast "github.com/emprops/holdfast"
)

func TestHeldOldestFirst(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{Limits: Limits{OpenDeliveries: 5}})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	const at, n = 1700000000000, 120
	var records []Record
	var want []HeldDelivery
	for i := range n {
		event := fmt.Sprintf("evt_%03d", i)
		records = append(records, record("wh_1", event, at+int64(i/40), 0, holdfast.DeliveryHeld, false)) // many of the same ms
		want = append(want, HeldDelivery{event, at + int64(i/40)})
	}
	slices.Reverse(records)
	require.NoError(t, store.Record(ctx, records))
	all := func(limit int) (held []HeldDelivery) {
		for token := ""; ; {
			items, next, err := store.Held(ctx, "wh_1", token, limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(items), limit)
			held = append(held, items...)
			if next == "" {
				return held
			}
			require.NotEmpty(t, items)
			token = next
		}
	}
	for _, limit := range []int{1, 7, 40, 500} {
		require.Equal(t, want, all(limit))
	}
	// What is let go between two pages is not seen, and nothing else is left out.
	items, next, err := store.Held(ctx, "wh_1", "", 10)
	require.NoError(t, err)
	for _, d := range items {
		require.NoError(t, store.Record(ctx, []Record{record("wh_1", d.EventID, d.CreatedAt, 1, holdfast.DeliveryDelivered, true)}))
	}
	items, _, err = store.Held(ctx, "wh_1", next, 200)
	require.NoError(t, err)
	require.Equal(t, want[10:], items)
	require.Equal(t, want[10:], all(33))
	require.Equal(t, int64(n-10), stats(t, store, "wh_1").Held)
	require.Zero(t, stats(t, store, "wh_2").Held)
	for _, token := range []string{"?", mark{5, "wh/evt"}.token()} {
		_, _, err = store.Held(ctx, "wh_1", token, 10)
		requireCode(t, holdfast.CodeInvalid, err)
	}
}

// TestFiltersAgreeWithAModel lists in both orders, page by page, and counts, and compares with a plain loop.
func TestFiltersAgreeWithAModel(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	const at = 1700000000000
	var all []holdfast.Delivery
	var records []Record
	for i := range 240 {
		webhook := fmt.Sprintf("wh_%d", i%2)
		if i < 2 {
			write(t, store, testWebhook(webhook))
		}
		r := record(webhook, fmt.Sprintf("evt_%03d", i/2), at+int64(i%17)*10, 1, holdfast.DeliveryStates()[i%6], true)
		r.Delivery.EventType = []string{"a", `b"\é`, "a1"}[i%3]
		records = append(records, r)
	}
	require.NoError(t, store.Record(ctx, records))
	for i := range 2 {
		for token := ""; ; {
			items, next, err := store.ListDeliveries(ctx, DeliveryFilter{WebhookID: fmt.Sprintf("wh_%d", i)}, 500, token)
			require.NoError(t, err)
			for _, d := range items {
				all = append(all, *d)
			}
			if token = next; next == "" {
				break
			}
		}
	}
	require.Len(t, all, 240)
	rapid.Check(t, func(rt *rapid.T) {
		f := DeliveryFilter{
			WebhookID: rapid.SampledFrom([]string{"", "wh_0", "wh_1"}).Draw(rt, "webhook"),
			EventID:   rapid.SampledFrom([]string{"", "", "", "evt_007"}).Draw(rt, "event"),
			EventType: rapid.SampledFrom([]string{"", "", "a", `b"\é`, "none"}).Draw(rt, "type"),
			State:     rapid.SampledFrom(append(holdfast.DeliveryStates(), "", "")).Draw(rt, "state"),
			From:      rapid.SampledFrom([]int64{0, 0, at + 30, at + 45}).Draw(rt, "from"),
			To:        rapid.SampledFrom([]int64{0, 0, at + 100, at + 20}).Draw(rt, "to"), OldestFirst: rapid.Bool().Draw(rt, "oldest first"),
		}
		want := 0
		for _, d := range all {
			if (f.WebhookID == "" || f.WebhookID == d.WebhookID) && (f.EventID == "" || f.EventID == d.EventID) &&
				(f.EventType == "" || f.EventType == d.EventType) && (f.State == "" || f.State == d.State) &&
				d.CreatedAt >= f.From && (f.To == 0 || d.CreatedAt <= f.To) {
				want++
			}
		}
		var listed []string
		size := rapid.IntRange(1, 60).Draw(rt, "page")
		for token := ""; ; {
			items, next, err := store.ListDeliveries(ctx, f, size, token)
			require.NoError(rt, err)
			for _, d := range items {
				name := d.EventID
				if f.WebhookID == "" {
					name = d.ID()
				}
				listed = append(listed, fmt.Sprintf("%d/%s", d.CreatedAt, name))
			}
			if token = next; next == "" {
				break
			}
		}
		require.Len(rt, listed, want)
		for i := 1; i < len(listed); i++ {
			require.Equal(rt, f.OldestFirst, listed[i-1] < listed[i])
			require.NotEqual(rt, listed[i-1], listed[i])
		}
		count, exact, err := store.CountDeliveries(ctx, f)
		require.NoError(rt, err)
		require.True(rt, exact)
		require.Equal(rt, int64(want), count)
		counts, exact, err := store.CountByState(ctx, f)
		require.NoError(rt, err)
		require.True(rt, exact)
		for _, state := range holdfast.DeliveryStates() {
			f.State = state
			count, _, err := store.CountDeliveries(ctx, f)
			require.NoError(rt, err)
			require.Equal(rt, count, counts[state], state)
		}
	})
}

// Counting by state reads the index once, whatever the number of states: for each 500 deliveries a part of it and, together,
// what is asked about them.
func TestCountByState_onePassOverTheIndex(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	write(t, store, testWebhook("wh_2"))
	const n = 1200
	want := map[holdfast.DeliveryState]int64{}
	var records []Record
	for i := range n {
		state := holdfast.DeliveryStates()[i%len(holdfast.DeliveryStates())]
		want[state]++
		records = append(records, record(fmt.Sprintf("wh_%d", i%2+1), fmt.Sprintf("evt_%d", i), 1700000000000+int64(i), 1, state, true))
	}
	require.NoError(t, store.Record(ctx, records))
	_, _, err := store.CountByState(ctx, DeliveryFilter{To: 1}) // the script is known from now on
	require.NoError(t, err)
	before := timesCalled(t, srv, "zrevrangebyscore")
	counts, exact, err := store.CountByState(ctx, DeliveryFilter{State: holdfast.DeliveryHeld})
	require.NoError(t, err)
	require.True(t, exact)
	require.Equal(t, want, counts)
	require.Equal(t, int64(3), timesCalled(t, srv, "zrevrangebyscore")-before)
}

// timesCalled is how often the server has carried a command out.
func timesCalled(t *testing.T, srv *server, command string) int64 {
	t.Helper()
	info, err := srv.client.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	_, stats, _ := strings.Cut(info, "cmdstat_"+command+":calls=")
	count, _, _ := strings.Cut(stats, ",")
	return parseInt(count)
}

func TestCountIsBounded(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{Limits: Limits{Count: 600, GlobalDeliveries: 900}})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	records := make([]Record, 1000)
	for i := range records {
		records[i] = record("wh_1", fmt.Sprintf("evt_%04d", i), 1700000000000+int64(i), 1, holdfast.DeliveryRetrying, true)
	}
	require.NoError(t, store.Record(ctx, records))
	for _, c := range []struct {
		f     DeliveryFilter
		count int64
		exact bool
	}{
		{DeliveryFilter{WebhookID: "wh_1"}, 1000, true},
		{DeliveryFilter{WebhookID: "wh_1", State: holdfast.DeliveryHeld}, 0, true},
		{DeliveryFilter{WebhookID: "wh_1", State: holdfast.DeliveryRetrying}, 600, false},
		{DeliveryFilter{WebhookID: "wh_1", State: holdfast.DeliveryRetrying, From: 1700000000900}, 100, true},
		{DeliveryFilter{WebhookID: "wh_1", EventID: "evt_0007"}, 1, true},
		{DeliveryFilter{}, 600, false},
		{DeliveryFilter{From: 1700000000900}, 100, false}, // the list over all is full
	} {
		count, exact, err := store.CountDeliveries(ctx, c.f)
		require.NoError(t, err)
		require.Equal(t, c.count, count, "%+v", c.f)
		require.Equal(t, c.exact, exact, "%+v", c.f)
	}
}

// TestD33_ARecordIsBoundedWhateverReceiversSend gives a hundred and more attempts bodies that grow sixfold as JSON.
func TestD33_ARecordIsBoundedWhateverReceiversSend(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	for name, content := range map[string]string{"plain": "x", "control": "\x01", "wide": "é", "invalid": "\xff"} {
		long := strings.Repeat(content, 100_000)
		for _, n := range []int{1, 30, 150} {
			r := record("wh_1", fmt.Sprintf("%s_%d", name, n), 1700000000000, n, holdfast.DeliveryExhausted, false)
			for i := range r.Delivery.Attempts {
				a := &r.Delivery.Attempts[i]
				a.ResponseBody, a.ErrorMessage, a.URL = long, long, "https://example.com/"+long[:2000]
			}
			r.Attempt = &r.Delivery.Attempts[n-1]
			require.NoError(t, store.Record(ctx, []Record{r}))
			size := srv.client.Do(ctx, "HSTRLEN", "webhooks:records:wh_1", r.Delivery.EventID).Val()
			require.LessOrEqual(t, size, int64(256<<10)+64, r.Delivery.EventID)
			d, err := store.Delivery(ctx, "wh_1", r.Delivery.EventID)
			require.NoError(t, err)
			require.Equal(t, n, d.Attempts[len(d.Attempts)-1].Number)
			require.NotEmpty(t, d.Attempts[len(d.Attempts)-1].ErrorMessage)
		}
	}
	// Ordinary attempts are all kept, the first and the last twenty with their bodies.
	r := record("wh_1", "ordinary", 1700000000000, 100, holdfast.DeliveryExhausted, true)
	for i := range r.Delivery.Attempts {
		r.Delivery.Attempts[i].ResponseBody = "busy"
	}
	require.NoError(t, store.Record(ctx, []Record{r}))
	d, err := store.Delivery(ctx, "wh_1", "ordinary")
	require.NoError(t, err)
	require.Len(t, d.Attempts, 100)
	for i, a := range d.Attempts {
		require.Equal(t, i == 0 || i >= 80, a.ResponseBody == "busy", i)
		require.Equal(t, "HTTP 503", a.ErrorMessage)
	}
}

// TestInProcessStandIn runs everything on the in-process Redis of dev mode, whose Lua is not Redis' own.
func TestInProcessStandIn(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	store := New(client, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	for _, name := range []string{
		"Record", "Record", "Settled", "Held", "CountDeliveries", "CountDeliveries of a state", "CountByState", "Admit", "Pause", "Paused", "Admit",
		"Series", "Totals", "Stats",
	} {
		require.NoError(t, operations[name](ctx, store), name)
	}
	reopened := record("wh_1", "e", 5, 1, holdfast.DeliveryHeld, false)
	reopened.Reopen, reopened.Delivery.UpdatedAt = true, 9000
	require.NoError(t, store.Record(ctx, []Record{reopened, record("wh_1", "f", 100*24*3600*1000, 2, holdfast.DeliveryExhausted, true)}))
	total, err := store.Totals(ctx)
	require.NoError(t, err)
	require.Equal(t, Bucket{Attempts: 3, Successful: 1, Failed: 2, Exhausted: 1, ResponseTimeTotalMS: 37.5}, total)
	count, exact, err := store.CountDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1", State: holdfast.DeliveryExhausted})
	require.NoError(t, err)
	require.True(t, exact)
	require.Equal(t, int64(1), count)
	require.Equal(t, int64(1), stats(t, store, "wh_1").Held)
}
