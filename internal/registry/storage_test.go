package registry_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/redisadapter"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/testkit"
)

// The tests in this package run on the storage that the registry has in production.

func newNode(store *redisstore.Store) *registry.Registry {
	return registry.New(redisadapter.Registry{Store: store}, registry.Options{DigestOf: redisstore.DigestOf, ParseDigest: redisstore.ParseDigest}, zap.NewNop())
}

func hook(id string) *holdfast.Webhook {
	return &holdfast.Webhook{
		ID: id, URL: "https://a.example", Active: true, Events: []string{"job_failed"}, RetryConfig: holdfast.DefaultRetryPolicy(),
	}
}

func write(t require.TestingT, ctx context.Context, store *redisstore.Store, id string) int64 {
	revision, err := store.WriteWebhook(ctx, hook(id))
	require.NoError(t, err)
	return revision
}

func remove(t require.TestingT, ctx context.Context, store *redisstore.Store, id string) int64 {
	revision, _, err := store.RemoveWebhook(ctx, id)
	require.NoError(t, err)
	return revision
}

// shown is what a node matches, with revisions.
func shown(t require.TestingT, r *registry.Registry) map[string]int64 {
	s, err := r.Snapshot()
	require.NoError(t, err)
	got := map[string]int64{}
	for _, w := range s.Match(&holdfast.Event{Type: "job_failed"}) {
		got[w.ID] = w.Revision
	}
	require.Len(t, got, s.Len())
	return got
}

func ids(shown map[string]int64) (all []string) {
	for id := range shown {
		all = append(all, id)
	}
	return all
}

func complete(t require.TestingT, ctx context.Context, store *redisstore.Store) {
	at, err := store.Position(ctx)
	require.NoError(t, err)
	require.NoError(t, store.MarkComplete(ctx, at.Incarnation))
}

// dump takes a backup of every key with a prefix; restore puts it in place of what is there.
func dump(t require.TestingT, ctx context.Context, c *redis.Client, prefix string) map[string]string {
	backup := map[string]string{}
	keys, err := c.Keys(ctx, prefix+":*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		backup[key], err = c.Dump(ctx, key).Result()
		require.NoError(t, err)
	}
	return backup
}

func restore(t require.TestingT, ctx context.Context, c *redis.Client, prefix string, backup map[string]string) {
	keys, err := c.Keys(ctx, prefix+":*").Result()
	require.NoError(t, err)
	if len(keys) > 0 {
		require.NoError(t, c.Del(ctx, keys...).Err())
	}
	for key, content := range backup {
		require.NoError(t, c.Restore(ctx, key, 0, content).Err())
	}
}

func TestG5_WipedRegistryIsMergedUntilItIsComplete(t *testing.T) {
	t.Parallel()
	client := testkit.Redis(t)
	store, ctx := redisstore.New(client, redisstore.Options{}), t.Context()
	node := newNode(store)
	require.NoError(t, node.Current(ctx))
	require.Equal(t, "degraded: the registry is being rebuilt", node.NotReady(), "a new installation waits for its first check")
	complete(t, ctx, store)
	for i := range 5 {
		write(t, ctx, store, fmt.Sprintf("wh_%d", i))
	}
	require.NoError(t, node.Current(ctx))
	require.Empty(t, node.NotReady())

	require.NoError(t, client.FlushAll(ctx).Err())
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(node.Current(ctx)))
	require.Contains(t, node.Degraded(), "wiped")
	require.Len(t, shown(t, node), 5)

	confirmed := write(t, ctx, store, "wh_new")
	revision, _, count, err := node.Refresh(ctx, confirmed)
	require.NoError(t, err)
	require.Equal(t, confirmed, revision)
	require.Equal(t, 6, count)
	require.Equal(t, "the registry is being rebuilt", node.Degraded())
	require.ElementsMatch(t, []string{"wh_0", "wh_1", "wh_2", "wh_3", "wh_4", "wh_new"}, ids(shown(t, node)))

	confirmed = remove(t, ctx, store, "wh_4") // which the registry does not have
	_, _, _, err = node.Refresh(ctx, confirmed)
	require.NoError(t, err)
	require.NotContains(t, shown(t, node), "wh_4", "G2")
	for i := range 3 {
		write(t, ctx, store, fmt.Sprintf("wh_%d", i))
	}
	late := newNode(store)
	require.NoError(t, late.Current(ctx))
	require.ElementsMatch(t, []string{"wh_0", "wh_1", "wh_2", "wh_new"}, ids(shown(t, late)))
	require.NotEmpty(t, late.NotReady())

	complete(t, ctx, store)
	require.NoError(t, node.Current(ctx))
	require.NoError(t, late.Current(ctx))
	require.Empty(t, node.NotReady())
	require.Empty(t, late.NotReady())
	require.ElementsMatch(t, []string{"wh_0", "wh_1", "wh_2", "wh_new"}, ids(shown(t, node)), "what a complete registry lacks is gone")
}

func TestG5_RestoredBackupIsNoticedAndMerged(t *testing.T) {
	t.Parallel()
	client := testkit.Redis(t)
	for name, writeAfter := range map[string]bool{"went back": false, "another history": true} {
		store, ctx := redisstore.New(client, redisstore.Options{Prefix: name}), t.Context()
		nodes := []*registry.Registry{newNode(store), newNode(store)}
		write(t, ctx, store, "wh_old")
		write(t, ctx, store, "wh_changed")
		write(t, ctx, store, "wh_gone")
		complete(t, ctx, store)
		backup := dump(t, ctx, client, name)
		changed := write(t, ctx, store, "wh_changed")
		remove(t, ctx, store, "wh_gone")
		write(t, ctx, store, "wh_new")
		for _, n := range nodes {
			require.NoError(t, n.Current(ctx))
		}
		restore(t, ctx, client, name, backup)
		want := []string{"wh_old", "wh_changed", "wh_new"}
		if writeAfter {
			write(t, ctx, store, "wh_after")
			want = append(want, "wh_after")
		}
		var at registry.Position
		for _, n := range nodes {
			require.NoError(t, n.Current(ctx), name)
			require.Equal(t, "the registry is being rebuilt", n.Degraded(), name)
			got := shown(t, n)
			require.ElementsMatch(t, want, ids(got), name)
			require.Equal(t, changed, got["wh_changed"], "the newer version stays")
			s, err := n.Snapshot()
			require.NoError(t, err)
			if at.Incarnation != "" {
				require.Equal(t, at, s.Position(), "one incarnation, whoever finds it")
			}
			at = s.Position()
		}
		require.NoError(t, client.Del(ctx, name+":changes").Err()) // the merge survives a full load
		write(t, ctx, store, "wh_new")
		remove(t, ctx, store, "wh_gone")
		for _, n := range nodes {
			require.NoError(t, n.Current(ctx), name)
			require.ElementsMatch(t, want, ids(shown(t, n)), name)
		}
		complete(t, ctx, store)
		for _, n := range nodes {
			require.NoError(t, n.Current(ctx), name)
			require.Empty(t, n.NotReady(), name)
			require.ElementsMatch(t, want, ids(shown(t, n)), name)
		}
	}
}
