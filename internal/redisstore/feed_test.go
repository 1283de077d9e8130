package redisstore

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	holdfast "github.com/emprops/holdfast"
)

// node is a model of a process that holds a copy of the registry and applies feeds to it.
type node struct {
	at       Position
	webhooks map[string]*holdfast.Webhook
	poisoned map[string]Poisoned
}

func (n *node) apply(f Feed) {
	if f.Full {
		n.webhooks, n.poisoned = map[string]*holdfast.Webhook{}, map[string]Poisoned{}
	}
	for id := range f.Removed {
		delete(n.webhooks, id)
		delete(n.poisoned, id)
	}
	for _, w := range f.Webhooks {
		delete(n.poisoned, w.ID)
		n.webhooks[w.ID] = w
	}
	for _, p := range f.Poisoned {
		delete(n.webhooks, p.ID)
		n.poisoned[p.ID] = p
	}
	n.at = f.Position
}

func (n *node) refresh(tb require.TestingT, ctx context.Context, s *Store) Feed {
	f, err := s.Changes(ctx, n.at.Revision)
	require.NoError(tb, err)
	n.apply(f)
	return f
}

// covered is what the position must say of the copy.
func (n *node) covered() (int64, string) {
	var count int64
	var digest uint64
	for id, w := range n.webhooks {
		if w.Revision > 0 {
			count, digest = count+1, digest^DigestOf(id, w.Revision)
		}
	}
	for id, p := range n.poisoned {
		if p.Revision > 0 {
			count, digest = count+1, digest^DigestOf(id, p.Revision)
		}
	}
	return count, DigestText(digest)
}

func (n *node) verify(tb require.TestingT) {
	count, digest := n.covered()
	require.Equal(tb, n.at.Count, count)
	require.Equal(tb, n.at.Digest, digest)
}

func TestFeedsKeepANodeEqualToRedis(t *testing.T) {
	t.Parallel()
	srv := startRedis(t, "--stream-node-max-entries", "10")
	ctx := t.Context()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		prefix := fmt.Sprintf("p%d", run)
		store := New(srv.client, Options{Prefix: prefix, Limits: Limits{Changes: rapid.SampledFrom([]int{1, 20, 10_000}).Draw(rt, "cap")}})
		nodes := []*node{{}, {}}
		model := map[string]*holdfast.Webhook{}
		ids := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
		rt.Repeat(map[string]func(*rapid.T){
			"write": func(rt *rapid.T) {
				w := testWebhook(ids.Draw(rt, "id"))
				w.URL = fmt.Sprintf("https://example.com/%d", rapid.IntRange(0, 9).Draw(rt, "url"))
				w.Active = rapid.Bool().Draw(rt, "active")
				_, err := store.WriteWebhook(ctx, w)
				require.NoError(rt, err)
				model[w.ID] = w
			},
			"write many": func(rt *rapid.T) {
				for i := range 25 { // enough for the stream to be trimmed
					w := testWebhook(fmt.Sprintf("m%d", i%7))
					_, err := store.WriteWebhook(ctx, w)
					require.NoError(rt, err)
					model[w.ID] = w
				}
			},
			"remove": func(rt *rapid.T) {
				id := ids.Draw(rt, "id")
				_, existed, err := store.RemoveWebhook(ctx, id)
				require.NoError(rt, err)
				require.Equal(rt, model[id] != nil, existed)
				delete(model, id)
			},
			"refresh": func(rt *rapid.T) {
				n := nodes[rapid.IntRange(0, 1).Draw(rt, "node")]
				n.refresh(rt, ctx, store)
				require.Empty(rt, n.poisoned)
				require.Equal(rt, model, n.webhooks)
				if n.at != (Position{}) {
					n.verify(rt)
				}
				at, err := store.Position(ctx)
				require.NoError(rt, err)
				require.Equal(rt, at, n.at)
			},
			"lose a key": func(rt *rapid.T) {
				key := rapid.SampledFrom([]string{store.keys.changes(), store.keys.digest()}).Draw(rt, "key")
				require.NoError(rt, srv.client.Del(ctx, key).Err())
				w := testWebhook("a") // the next write puts the digest right
				_, err := store.WriteWebhook(ctx, w)
				require.NoError(rt, err)
				model["a"] = w
			},
		})
	})
}

func TestFeedWhileTheRegistryChanges(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	for i := range 2500 { // several pages
		write(t, store, testWebhook(fmt.Sprintf("wh_%04d", i)))
	}
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			id := fmt.Sprintf("wh_%04d", i*37%3000)
			var err error
			if i%3 == 0 {
				_, _, err = store.RemoveWebhook(ctx, id)
			} else {
				_, err = store.WriteWebhook(ctx, testWebhook(id))
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	follower := &node{}
	for range 8 {
		fresh := &node{}
		require.True(t, fresh.refresh(t, ctx, store).Full)
		fresh.verify(t)
		follower.refresh(t, ctx, store)
		follower.verify(t)
	}
	close(stop)
	require.NoError(t, <-done)
	fresh := &node{}
	fresh.refresh(t, ctx, store)
	require.False(t, follower.refresh(t, ctx, store).Full)
	require.Equal(t, fresh, follower)
}

func TestChangesAreFullWhenTheStreamCannotTell(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{Limits: Limits{Changes: 100}})
	ctx := t.Context()
	first := write(t, store, testWebhook("wh_1"))
	second := write(t, store, testWebhook("wh_2"))
	changes := func(since int64) Feed {
		f, err := store.Changes(ctx, since)
		require.NoError(t, err)
		return f
	}
	require.True(t, changes(0).Full)
	require.True(t, changes(second+1000).Foreign, "ahead of Redis")
	require.True(t, changes(second-1).Foreign, "not of this history")
	require.True(t, changes(first-1).Full, "older than the stream")
	f := changes(first)
	require.False(t, f.Full)
	require.Len(t, f.Webhooks, 1)
	require.Empty(t, changes(second).Webhooks)
	require.False(t, changes(second).Full)

	var last int64
	for range 400 {
		last = write(t, store, testWebhook("wh_1"))
	}
	require.True(t, changes(second).Full, "trimmed")
	_, existed, err := store.RemoveWebhook(ctx, "wh_2")
	require.NoError(t, err)
	require.True(t, existed)
	f = changes(last)
	require.False(t, f.Full)
	require.Equal(t, map[string]int64{"wh_2": f.Position.Revision}, f.Removed)

	require.NoError(t, srv.client.Del(ctx, "webhooks:revision").Err())
	f = changes(last)
	require.True(t, f.Full)
	require.Len(t, f.Webhooks, 1)
}

func TestD31_BrokenEntriesAreIsolated(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("good"))
	entries := map[string]string{
		"not_json":      `{"id":`,
		"events_null":   `{"id":"events_null","url":"https://a.example","events":null,"active":true}`,
		"filter_number": `{"id":"filter_number","url":"https://a.example","events":["job_failed"],"active":true,"filters":{"machine_ids":5}}`,
		"filter_text":   `{"id":"filter_text","url":"https://a.example","events":["job_failed"],"active":true,"filters":{"worker_ids":"w1"}}`,
		"priority_text": `{"id":"priority_text","url":"https://a.example","events":["job_failed"],"active":true,"filters":{"priorities":["high"]}}`,
		"url_scheme":    `{"id":"url_scheme","url":"ftp://a.example","events":["job_failed"],"active":true}`,
		"secret_number": `{"id":"secret_number","url":"https://a.example","events":["job_failed"],"active":true,"secret":918273645}`,
		"array":         `[1]`,
		"expression":    `{"id":"expression","url":"https://a.example","events":["job_failed"],"active":true,"filter_expression":5}`,
		"bearer":        `{"id":"bearer","url":"https://a.example","events":["job_failed"],"active":true,"authorization":["918273645"]}`,
		"only_bogus":    `{"id":"only_bogus","url":"https://a.example","events":["bogus_event"],"active":true}`,
	}
	for id, encoded := range entries {
		require.NoError(t, srv.client.HSet(ctx, "webhooks:registry", id, encoded).Err())
	}
	feed, err := store.Changes(ctx, 0)
	require.NoError(t, err)
	require.Len(t, feed.Webhooks, 1)
	require.Equal(t, "good", feed.Webhooks[0].ID)
	require.Len(t, feed.Poisoned, len(entries))
	for _, p := range feed.Poisoned {
		require.Contains(t, entries, p.ID)
		require.Error(t, p.Err)
		require.NotContains(t, p.Err.Error(), "918273645")
	}
	require.Equal(t, int64(1), feed.Position.Count)
	n := &node{}
	n.apply(feed)
	n.verify(t)
	_, _, err = store.ReadWebhook(ctx, "not_json")
	requireCode(t, holdfast.CodeInternal, err)

	// What Holdfast once wrote and somebody then took out by other means is told, and the digest still fits.
	require.NoError(t, srv.client.HDel(ctx, "webhooks:registry", "good").Err())
	feed, err = store.Changes(ctx, 0)
	require.NoError(t, err)
	require.Empty(t, feed.Webhooks)
	n.apply(feed)
	n.verify(t)
	require.ErrorIs(t, n.poisoned["good"].Err, errOrphan)
	_, existed, err := store.RemoveWebhook(ctx, "good")
	require.NoError(t, err)
	require.True(t, existed)
	n.refresh(t, ctx, store)
	n.verify(t)
	require.NotContains(t, n.poisoned, "good")
}

func TestReadsWhatTheOriginalStored(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	base := holdfast.Webhook{
		ID: "w", URL: "https://a.example", Events: []string{"job_failed"}, Active: true, RetryConfig: holdfast.DefaultRetryPolicy(),
	}
	with := func(change func(*holdfast.Webhook)) holdfast.Webhook {
		w := base
		change(&w)
		return w
	}
	const head = `{"id":"w","url":"https://a.example","events":["job_failed"],"active":true`
	for name, c := range map[string]struct {
		stored string
		want   holdfast.Webhook
	}{
		"nothing else":        {head + `}`, base},
		"nulls":               {head + `,"filters":null,"retry_config":null,"headers":null,"secret":null,"last_failure_at":null,"static":null}`, base},
		"other id inside":     {`{"id":"x","url":"https://a.example","events":["job_failed"],"active":true}`, base},
		"unknown fields":      {head + `,"revision":7,"foo":{"a":1},"filters":{"custom_filters":{"x":1}}}`, base},
		"partial retry":       {head + `,"retry_config":{"max_attempts":5}}`, with(func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts = 5 })},
		"retry as text":       {head + `,"retry_config":{"max_attempts":"5"}}`, with(func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts = 5 })},
		"retry below bounds":  {head + `,"retry_config":{"max_attempts":-1,"initial_delay_ms":-5}}`, with(func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts, w.RetryConfig.InitialDelayMS = 1, 1 })},
		"D28 priorities":      {head + `,"filters":{"priorities":["5","7.5"]}}`, with(func(w *holdfast.Webhook) { w.Filters.Priorities = []float64{5, 7.5} })},
		"job_priorities":      {head + `,"filters":{"job_priorities":[5],"priorities":["1"]}}`, with(func(w *holdfast.Webhook) { w.Filters.Priorities = []float64{5} })},
		"empty filter":        {head + `,"filters":{"worker_ids":[]}}`, with(func(w *holdfast.Webhook) { w.Filters.WorkerIDs = []string{} })},
		"active as text":      {`{"id":"w","url":"https://a.example","events":["job_failed"],"active":"false"}`, base},
		"active missing":      {`{"id":"w","url":"https://a.example","events":["job_failed"]}`, with(func(w *holdfast.Webhook) { w.Active = false })},
		"disconnected zero":   {head + `,"disconnected":0,"static":1}`, with(func(w *holdfast.Webhook) { w.Static = true })},
		"odd events":          {`{"id":"w","url":"https://a.example","events":["bogus_event","job_failed","job_failed"],"active":true}`, base},
		"reserved header":     {head + `,"headers":{"User-Agent":"x","X-Ok":5}}`, with(func(w *holdfast.Webhook) { w.Headers = map[string]string{"X-Ok": "5"} })},
		"fields of ours, odd": {head + `,"disconnection":"x","format":"xml","handshake":"yes","rate_limit":"5","ordering_key":7}`, with(func(w *holdfast.Webhook) { w.Handshake = true })},
		"fields of ours, bad": {head + `,"rate_limit":-1,"ordering_key":"a b","format":5,"disconnection":null}`, base},
		"times": {head + `,"created_at":1700000000000,"last_success_at":1.7e12,"consecutive_failures":3}`, with(func(w *holdfast.Webhook) {
			w.CreatedAt, w.LastSuccessAt, w.ConsecutiveFailures = 1700000000000, 1700000000000, 3
		})},
	} {
		require.NoError(t, srv.client.HSet(ctx, "webhooks:registry", "w", c.stored).Err(), name)
		feed, err := store.Changes(ctx, 0)
		require.NoError(t, err, name)
		require.Empty(t, feed.Poisoned, name)
		require.Equal(t, []*holdfast.Webhook{&c.want}, feed.Webhooks, name)
		require.Zero(t, feed.Position, name)
	}
}

func FuzzDecodeWebhook(f *testing.F) {
	f.Add(`{"id":"w","url":"https://a.example","events":["job_failed"],"active":true,"filters":{"priorities":["5"]}}`)
	f.Add(`{"headers":{"a":null},"retry_config":{"max_attempts":1e309}}`)
	f.Fuzz(func(t *testing.T, stored string) {
		w, err := decodeWebhook("w", stored, 1, nil)
		if err != nil {
			return
		}
		if usable(w) != nil {
			return
		}
		encoded, err := encodeWebhook(w, nil)
		require.NoError(t, err)
		again, err := decodeWebhook("w", string(encoded), 1, nil)
		require.NoError(t, err)
		require.Empty(t, again.Violations())
		require.Equal(t, w.URL, again.URL)
	})
}
