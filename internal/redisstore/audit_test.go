package redisstore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

func audit(tb testing.TB, s *Store) Audit {
	tb.Helper()
	a, err := s.Audit(tb.Context())
	require.NoError(tb, err)
	return a
}

func TestD03_ActiveSetDriftIsFoundAndRepaired(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	for _, id := range []string{"wh_1", "wh_2", "wh_off", "wh_text", "wh_torn"} {
		w := testWebhook(id)
		w.Active = id != "wh_off"
		write(t, store, w)
	}
	clean := audit(t, store)
	require.Equal(t, []any{5, 4}, []any{clean.Webhooks, clean.Active})
	require.Empty(t, clean.ActiveSetWrong)

	require.NoError(t, srv.client.SRem(ctx, "webhooks:active", "wh_1", "wh_text").Err())
	require.NoError(t, srv.client.SAdd(ctx, "webhooks:active", "wh_off", "wh_nowhere").Err())
	require.NoError(t, srv.client.HSet(ctx, "webhooks:registry", // the original meant true by that
		"wh_text", `{"id":"wh_text","url":"https://a.example","events":["job_failed"],"active":"false"}`, "wh_torn", `{"id":`).Err())
	require.NoError(t, srv.client.SRem(ctx, "webhooks:active", "wh_torn").Err())
	found := audit(t, store)
	require.Equal(t, []string{"wh_1", "wh_nowhere", "wh_off", "wh_text"}, found.ActiveSetWrong)
	require.Equal(t, []string{"wh_text", "wh_torn"}, found.Changed)
	require.Len(t, found.Poisoned, 1)
	require.Equal(t, "wh_torn", found.Poisoned[0].ID)

	fixed, err := store.RepairActiveSet(ctx, append(found.ActiveSetWrong, "wh_2", "wh_torn"))
	require.NoError(t, err)
	require.Equal(t, 4, fixed)
	require.Empty(t, audit(t, store).ActiveSetWrong)
	ids, err := store.ActiveIDs(ctx)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"wh_1", "wh_2", "wh_text"}, ids)
}

func TestAuditFindsWhatOthersChanged(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	for _, id := range []string{"wh_1", "wh_2", "wh_3"} {
		write(t, store, testWebhook(id))
	}
	stored, err := srv.client.HGet(ctx, "webhooks:registry", "wh_1").Result()
	require.NoError(t, err)
	require.NoError(t, srv.client.HSet(ctx, "webhooks:registry",
		"wh_1", strings.Replace(stored, "example.com", "example.org", 1), "wh_original", strings.ReplaceAll(stored, "wh_1", "wh_original")).Err())
	require.NoError(t, srv.client.SAdd(ctx, "webhooks:active", "wh_original").Err())
	require.NoError(t, srv.client.HDel(ctx, "webhooks:registry", "wh_3").Err())
	require.NoError(t, srv.client.SRem(ctx, "webhooks:active", "wh_3").Err())
	a := audit(t, store)
	require.Equal(t, []string{"wh_1"}, a.Changed)
	require.Equal(t, []string{"wh_3"}, a.Orphans)
	require.Empty(t, a.ActiveSetWrong)
	require.Empty(t, a.Poisoned)
	require.True(t, a.DigestOK)
	require.Equal(t, int64(0), a.Revisions["wh_original"])
	require.Positive(t, a.Revisions["wh_1"])
	require.Len(t, a.Revisions, 3)
	at, err := store.Position(ctx)
	require.NoError(t, err)
	require.Equal(t, at, a.Position)

	write(t, store, testWebhook("wh_1"))
	_, _, err = store.RemoveWebhook(ctx, "wh_3")
	require.NoError(t, err)
	a = audit(t, store)
	require.Empty(t, a.Changed)
	require.Empty(t, a.Orphans)
}

func TestAuditOfAnEmptyRedis(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	require.Equal(t, Audit{Revisions: map[string]int64{}, DigestOK: true}, audit(t, store))
}

func TestAuditWhileTheRegistryChangesFindsNoDrift(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	for i := range 1500 {
		write(t, store, testWebhook(fmt.Sprintf("wh_%04d", i)))
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			w := testWebhook(fmt.Sprintf("wh_%04d", i*37%2000))
			w.Active = i%2 == 0
			_, err := store.WriteWebhook(ctx, w)
			if i%3 == 0 && err == nil {
				_, _, err = store.RemoveWebhook(ctx, w.ID)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range 10 {
		a := audit(t, store)
		require.Empty(t, a.ActiveSetWrong)
		require.Empty(t, a.Changed)
		require.Empty(t, a.Orphans)
		require.Empty(t, a.Poisoned)
		require.True(t, a.DigestOK)
	}
	require.NoError(t, store.RebuildDigest(ctx))
	close(stop)
	require.NoError(t, <-done)
	require.True(t, audit(t, store).DigestOK)
}

func TestDigestIsRebuilt(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	write(t, store, testWebhook("wh_2"))
	want, err := store.Position(ctx)
	require.NoError(t, err)
	for _, spoiled := range []string{"2:0123456789abcdef", "1:0000000000000000", "nonsense", ""} {
		require.NoError(t, srv.client.Set(ctx, "webhooks:digest", spoiled, 0).Err())
		require.False(t, audit(t, store).DigestOK)
		require.NoError(t, store.RebuildDigest(ctx))
		require.True(t, audit(t, store).DigestOK)
		at, err := store.Position(ctx)
		require.NoError(t, err)
		require.Equal(t, want, at, "the revision stays")
	}
}

func TestIncarnations(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	position := func() Position {
		at, err := store.Position(ctx)
		require.NoError(t, err)
		return at
	}
	require.NoError(t, store.MarkComplete(ctx, ""))
	fresh := position()
	require.True(t, fresh.Complete)
	require.Positive(t, fresh.Revision)
	require.Equal(t, fresh.Revision, fresh.Born)
	requireCode(t, holdfast.CodeAborted, store.MarkComplete(ctx, ""))
	require.NoError(t, store.MarkComplete(ctx, fresh.Incarnation))
	require.Equal(t, fresh, position(), "complete already")
	write(t, store, testWebhook("wh_1"))
	require.True(t, position().Complete)

	require.NoError(t, srv.client.FlushAll(ctx).Err())
	require.Zero(t, position())
	requireCode(t, holdfast.CodeAborted, store.MarkComplete(ctx, fresh.Incarnation))
	require.Zero(t, position(), "nothing is marked that was wiped")
	write(t, store, testWebhook("wh_1"))
	second := position()
	require.False(t, second.Complete)
	require.NotEqual(t, fresh.Incarnation, second.Incarnation)
	require.Greater(t, second.Born, fresh.Born)
	_, _, err := store.RemoveWebhook(ctx, "wh_9")
	require.NoError(t, err)
	feed, err := store.Everything(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"wh_9": feed.Position.Revision}, feed.Removed)

	require.NoError(t, store.MarkIncomplete(ctx, "a test"))
	require.Equal(t, second.Incarnation, position().Incarnation, "it is not complete already")
	require.NoError(t, store.MarkComplete(ctx, second.Incarnation))
	complete := position()
	require.True(t, complete.Complete)
	require.Equal(t, second.Born, complete.Born)
	require.Zero(t, srv.client.Exists(ctx, "webhooks:removed").Val())

	for range 3 { // three find the same backup restored
		require.NoError(t, store.Distrust(ctx, complete.Incarnation, "it was: restored"))
	}
	third := position()
	require.False(t, third.Complete)
	require.NotEqual(t, complete.Incarnation, third.Incarnation)
	require.Equal(t, third.Revision, third.Born)
	require.Equal(t, []any{complete.Count, complete.Digest}, []any{third.Count, third.Digest})
	require.Contains(t, srv.client.Get(ctx, "webhooks:incarnation").Val(), "it was: restored")
	require.Equal(t, third, position())
	require.NoError(t, store.MarkComplete(ctx, third.Incarnation))
	require.NoError(t, store.MarkIncomplete(ctx, "a test"))
	require.NotEqual(t, third.Incarnation, position().Incarnation)
}

// rotating is a sealer whose sealing key can be changed.
type rotating struct {
	reverser
	current string
}

func (r rotating) Stale(s string) bool {
	return !strings.HasPrefix(s, "sealed:") || !strings.HasSuffix(s, r.current)
}
func (r rotating) Seal(plain string) (string, error) { return "sealed:" + flip(plain) + r.current, nil }
func (r rotating) Open(s string) (string, error) {
	s = strings.TrimPrefix(s, "sealed:")
	return flip(s[:len(s)-1]), nil
}

func TestAuditFindsCredentialsUnderAnOldKey(t *testing.T) {
	t.Parallel()
	old, srv := setup(t, Options{Sealer: rotating{current: "1"}})
	for id, change := range map[string]func(*holdfast.Webhook){
		"none":     func(*holdfast.Webhook) {},
		"secret":   func(w *holdfast.Webhook) { w.Secret = "s" },
		"header":   func(w *holdfast.Webhook) { w.Headers = map[string]string{"X-A": "b"} },
		"retiring": func(w *holdfast.Webhook) { w.RetiringSecrets = []holdfast.RetiringSecret{{Secret: "x", Until: 5}} },
		"bearer":   func(w *holdfast.Webhook) { w.Authorization = "Bearer x" },
	} {
		w := testWebhook(id)
		change(w)
		write(t, old, w)
	}
	require.Empty(t, audit(t, old).OldKey)
	store := New(srv.client, Options{Sealer: rotating{current: "2"}})
	found := audit(t, store)
	require.Equal(t, []string{"bearer", "header", "retiring", "secret"}, found.OldKey)
	require.Empty(t, found.Poisoned)
	for _, id := range found.OldKey {
		write(t, store, read(t, store, id))
	}
	require.Empty(t, audit(t, store).OldKey)
	require.Equal(t, "Bearer x", read(t, store, "bearer").Authorization)
	require.Empty(t, audit(t, New(srv.client, Options{})).OldKey, "without a key nothing is sealed")
}

// dev mode without a redis-server runs on a stand-in, which has less of Lua and no ACL.
func TestEverythingRunsOnTheStandIn(t *testing.T) {
	t.Parallel()
	srv := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: srv.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	store := New(client, Options{})
	ctx := t.Context()
	for _, name := range []string{
		"WriteWebhook", "ReadWebhook", "Changes", "Changes full", "Everything", "MarkComplete", "MarkIncomplete", "Distrust", "Audit",
		"RepairActiveSet", "RebuildDigest", "RaiseAlert", "ResolveAlert", "Alerts", "SaveReport", "Reports", "Heartbeat", "Nodes",
		"BeginEvents", "RemoveWebhook",
	} {
		require.NoError(t, operations[name](ctx, store), name)
	}
	w := testWebhook("wh_2")
	revision := write(t, store, w)
	require.NoError(t, client.SRem(ctx, "webhooks:active", "wh_2").Err())
	a := audit(t, store)
	require.Equal(t, []string{"wh_2"}, a.ActiveSetWrong)
	require.True(t, a.DigestOK)
	require.Empty(t, a.Changed)
	require.False(t, a.Position.Complete)
	fixed, err := store.RepairActiveSet(ctx, a.ActiveSetWrong)
	require.NoError(t, err)
	require.Equal(t, 1, fixed)
	feed, err := store.Changes(ctx, revision+1000)
	require.NoError(t, err)
	require.True(t, feed.Foreign)
	first, err := store.RaiseAlert(ctx, holdfast.Alert{Kind: holdfast.AlertDrift, Subject: "x", Message: "a | b"})
	require.NoError(t, err)
	require.True(t, first, "it was resolved")
}
