package eventstream_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventstream"
	"github.com/emprops/holdfast/internal/redisadapter"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	stream  = "webhooks:events"
	refused = "webhooks:events:refused"
)

// published counts what arrives, by event id.
type published struct {
	mu     sync.Mutex
	events map[string][]holdfast.Event
	fail   func(e *holdfast.Event) error // nil accepts
	tries  int
}

func (p *published) PublishMessage(_ context.Context, e *holdfast.Event) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tries++
	if p.fail != nil {
		if err := p.fail(e); err != nil {
			return err
		}
	}
	if p.events == nil {
		p.events = map[string][]holdfast.Event{}
	}
	p.events[e.ID] = append(p.events[e.ID], *e)
	return nil
}

func (p *published) refuseWith(fail func(*holdfast.Event) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = fail
}

func (p *published) snapshot() (events map[string][]holdfast.Event, tries int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.events), p.tries
}

type fixture struct {
	*testing.T
	redis *redis.Client
	store redisadapter.Events
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	client := testkit.Redis(t)
	return &fixture{t, client, redisadapter.Events{Store: redisstore.New(client, redisstore.Options{})}}
}

func (f *fixture) add(fields ...any) string {
	f.Helper()
	id, err := f.redis.XAdd(f.Context(), &redis.XAddArgs{Stream: stream, Values: fields}).Result()
	require.NoError(f, err)
	return id
}

// consumer starts one that is stopped with the test.
func (f *fixture) consumer(name string, p *published, idle time.Duration) *eventstream.Consumer {
	f.Helper()
	c := eventstream.New(f.store, p, eventstream.Options{Name: name, ClaimIdle: idle, Logger: testkit.Logger(f)})
	c.Start(f.Context())
	f.Cleanup(func() { require.NoError(f, c.Stop(context.WithoutCancel(f.Context()))) })
	return c
}

func (f *fixture) eventually(what string, is func() bool) {
	f.Helper()
	require.Eventually(f, is, 30*time.Second, 5*time.Millisecond, what)
}

// empty tells that nothing is left in the stream or in anybody's hands.
func (f *fixture) empty() bool {
	n, err := f.redis.XLen(f.Context(), stream).Result()
	require.NoError(f, err)
	groups, err := f.redis.XInfoGroups(f.Context(), stream).Result()
	return n == 0 && err == nil && len(groups) == 1 && groups[0].Pending == 0
}

func TestEventsAreTakenFromTheStream(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]*redis.Client{
		"redis-server": testkit.Redis(t),
		"in process":   redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()}), // of holdfast dev without redis-server
	} {
		t.Run(name, func(t *testing.T) {
			t.Cleanup(func() { _ = client.Close() })
			eventsAreTaken(t, client)
		})
	}
}

func eventsAreTaken(t *testing.T, client *redis.Client) {
	t.Helper()
	f := &fixture{t, client, redisadapter.Events{Store: redisstore.New(client, redisstore.Options{})}}
	p := &published{}
	before := f.add("type", "job_submitted", "data", `{"job_id":"j"}`, "id", "mine", "timestamp", "1757066400000")
	unnamed := f.add("type", "job_failed", "data", `{}`)
	f.add("channel", "complete_job", "message", `{"job_id":"j","timestamp":1757066400000}`)
	f.add("channel", "unknown", "message", `{}`)
	c := f.consumer("a", p, time.Minute)
	f.eventually("everything to be taken, also what was added before there was a consumer", func() bool {
		return c.Stats().Received == 4 && f.empty()
	})
	require.EqualValues(t, 3, c.Stats().Processed)
	require.EqualValues(t, 1, c.Stats().Skipped)
	require.NoError(t, c.Healthy())
	events, _ := p.snapshot()
	require.Len(t, events, 3)
	mine := events["mine"][0]
	require.Equal(t, "job_submitted", mine.Type)
	require.EqualValues(t, 1757066400000, mine.Timestamp)
	require.JSONEq(t, `{"job_id":"j"}`, string(mine.Data))
	require.NotEqual(t, before, unnamed)
	types := map[string]int64{}
	for id, got := range events {
		require.Len(t, got, 1)
		require.True(t, id == "mine" || strings.HasPrefix(id, "evt_"), id)
		types[got[0].Type] = got[0].Timestamp
	}
	require.ElementsMatch(t, []string{"job_submitted", "job_failed", "complete_job"}, slices.Collect(maps.Keys(types)))
	require.Equal(t, fmt.Sprint(types["job_failed"]), strings.Split(unnamed, "-")[0], "the time is that of the entry")
}

// A consumer that dies between publishing and acknowledging leaves its entries to another, which gives the events the same
// ids, so that they are known.
func TestG3_EntriesOfADeadConsumerGoToAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range 20 {
		f.add("type", "job_submitted", "data", fmt.Sprintf(`{"i":%d}`, i))
	}
	dead, err := f.store.ReadEntries(t.Context(), "dead", 100, time.Second)
	require.NoError(t, err)
	require.Len(t, dead, 20)
	first, second := &published{}, &published{}
	f.consumer("a", first, 10*time.Millisecond)
	f.eventually("the entries to be claimed", f.empty)
	events, _ := first.snapshot()
	require.Len(t, events, 20)

	// The same entries once more, as for a node that published and died before it could say so.
	for _, e := range dead {
		f.redis.XAdd(t.Context(), &redis.XAddArgs{Stream: stream + "x", ID: e.ID, Values: e.Fields})
	}
	require.NoError(t, f.redis.Rename(t.Context(), stream+"x", stream).Err())
	f.consumer("b", second, 10*time.Millisecond)
	f.eventually("the entries to be published again", func() bool {
		one, _ := first.snapshot()
		two, _ := second.snapshot()
		n := 0
		for _, got := range one {
			n += len(got)
		}
		for _, got := range two {
			n += len(got)
		}
		return n == 40 && f.empty()
	})
	again, _ := second.snapshot()
	for id := range again {
		require.Contains(t, events, id, "an entry has one id whoever takes it")
	}
	f.eventually("the dead consumer to be forgotten once it holds nothing", func() bool {
		require.NoError(t, f.store.TidyConsumers(t.Context(), time.Millisecond))
		consumers, err := f.redis.XInfoConsumers(t.Context(), stream, "holdfast").Result()
		require.NoError(t, err)
		return !slices.ContainsFunc(consumers, func(c redis.XInfoConsumer) bool { return c.Name == "dead" })
	})
}

func TestAConsumerThatHoldsEntriesIsNotForgotten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.add("type", "x", "data", `{}`)
	got, err := f.store.ReadEntries(t.Context(), "dead", 1, time.Second)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.NoError(t, f.store.TidyConsumers(t.Context(), -1))
	consumers, err := f.redis.XInfoConsumers(t.Context(), stream, "holdfast").Result()
	require.NoError(t, err)
	require.Len(t, consumers, 1)
}

func TestEntriesThatCanNeverBeAcceptedAreMovedAside(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := &published{fail: func(e *holdfast.Event) error {
		if e.ID == "invalid" {
			return holdfast.Invalid([]holdfast.Violation{{Field: "event.data", Description: "must be an object"}})
		}
		return nil
	}}
	c := f.consumer("a", p, time.Minute)
	for reason, fields := range map[string][]any{
		"data: is required":                {"type", "job_failed"},
		"type: is required":                {"data", `{}`, "note", strings.Repeat("n", 1<<20)},
		"timestamp: must be":               {"type", "t", "data", `{}`, "timestamp", "yesterday"},
		"not a JSON object":                {"channel", "job_failed", "message", "null"},
		"event.data: must be an object":    {"id", "invalid", "type", "t", "data", strings.Repeat("[", 1<<20)},
		"data: is required, a JSON object": {"type", "t", "data", ""},
	} {
		id := f.add(fields...)
		f.eventually("the entry to be refused", f.empty)
		moved, err := f.redis.XRevRangeN(t.Context(), refused, "+", "-", 1).Result()
		require.NoError(t, err)
		require.Len(t, moved, 1)
		require.Equal(t, id, moved[0].Values["entry"])
		require.Contains(t, moved[0].Values["reason"], reason)
		require.NotContains(t, moved[0].Values, "note")
		for _, v := range moved[0].Values {
			require.LessOrEqual(t, len(v.(string)), 16<<10, "what is kept is bounded")
		}
	}
	require.EqualValues(t, 6, c.Stats().Failed)
}

// What cannot be published now waits in the stream, and nothing more is taken meanwhile.
func TestEntriesWaitForAPublisherThatIsFull(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := &published{fail: func(*holdfast.Event) error { return holdfast.Errorf(holdfast.CodeExhausted, "full") }}
	const entries = 200
	for i := range entries {
		f.add("type", "job_submitted", "data", fmt.Sprintf(`{"i":%d}`, i))
	}
	c := f.consumer("a", p, time.Minute)
	f.eventually("tries", func() bool { _, tries := p.snapshot(); return tries > 100 })
	pending, err := f.redis.XPending(t.Context(), stream, "holdfast").Result()
	require.NoError(t, err)
	require.LessOrEqual(t, pending.Count, int64(64))
	require.Zero(t, c.Stats().Received)
	p.refuseWith(nil)
	f.eventually("everything to be taken", func() bool { return c.Stats().Processed == entries && f.empty() })
}

// A node that cannot publish does not keep its entries from one that can. When it can again it publishes them under the same
// ids, by which they are known.
func TestG7_EntriesOfAConsumerThatIsStuckGoToAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const entries = 20
	for i := range entries {
		f.add("type", "job_submitted", "data", fmt.Sprintf(`{"i":%d}`, i))
	}
	stuck := &published{fail: func(*holdfast.Event) error { return holdfast.Errorf(holdfast.CodeUnavailable, "away") }}
	a := f.consumer("a", stuck, time.Minute)
	f.eventually("the first to try them all", func() bool { _, tries := stuck.snapshot(); return tries >= entries })

	well := &published{}
	b := f.consumer("b", well, 50*time.Millisecond)
	f.eventually("the second to take them", func() bool { return b.Stats().Processed == entries && f.empty() })
	require.Zero(t, a.Stats().Received)

	stuck.refuseWith(nil)
	f.eventually("the first to be done with them", func() bool { return a.Stats().Processed == entries })
	late, _ := stuck.snapshot()
	taken, _ := well.snapshot()
	require.ElementsMatch(t, slices.Collect(maps.Keys(taken)), slices.Collect(maps.Keys(late)), "the ids are the same")
	require.True(t, f.empty())
}

func TestAStreamThatIsWipedIsReadOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := &published{}
	c := f.consumer("a", p, time.Minute)
	f.add("type", "t", "data", `{"n":1}`)
	f.eventually("the first", func() bool { return c.Stats().Processed == 1 })
	require.NoError(t, f.redis.FlushAll(t.Context()).Err())
	f.add("type", "t", "data", `{"n":2}`)
	f.eventually("the second", func() bool { return c.Stats().Processed == 2 && f.empty() })
	require.NoError(t, c.Healthy())
}

func TestG6_TwoConsumersShareTenThousandEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := &published{}
	a, b := f.consumer("a", p, time.Minute), f.consumer("b", p, time.Minute)
	const entries = 10_000
	for n := 0; n < entries; n += 500 {
		pipe := f.redis.Pipeline()
		for i := range 500 {
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{"type", "t", "data", fmt.Sprintf(`{"n":%d}`, n+i)}})
		}
		_, err := pipe.Exec(t.Context())
		require.NoError(t, err)
	}
	f.eventually("all entries", func() bool { return a.Stats().Processed+b.Stats().Processed >= entries && f.empty() })
	events, _ := p.snapshot()
	require.Len(t, events, entries)
	for id, got := range events {
		require.Len(t, got, 1, id)
	}
	require.Positive(t, a.Stats().Processed)
	require.Positive(t, b.Stats().Processed)
}
