package registry_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/testkit"
)

const manyWebhooks = 5000

// filled is a complete registry with many webhooks that want something else.
func filled(t *testing.T) (*redis.Client, *redisstore.Store) {
	t.Helper()
	client := testkit.Redis(t)
	store := redisstore.New(client, redisstore.Options{})
	var all sync.WaitGroup
	errs := make(chan error, 4)
	for part := range 4 {
		all.Go(func() {
			for i := part; i < manyWebhooks; i += 4 {
				w := hook(fmt.Sprintf("wh_%05d", i))
				w.Events = []string{"complete_job"}
				if _, err := store.WriteWebhook(t.Context(), w); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	complete(t, t.Context(), store)
	return client, store
}

func matching(t *testing.T, r *registry.Registry, eventType string) (matched []string) {
	t.Helper()
	s, err := r.Snapshot()
	require.NoError(t, err)
	for _, w := range s.Match(&holdfast.Event{Type: eventType}) {
		matched = append(matched, w.ID)
	}
	return matched
}

func TestD01_D04_WritesDuringForcedRefreshesHoldAtOnce(t *testing.T) {
	t.Parallel()
	_, store := filled(t)
	node := newNode(store)
	require.NoError(t, node.Current(t.Context()))
	var rebuilds atomic.Int64
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if _, _, _, err := node.Rebuild(t.Context()); err != nil {
				ended <- err
				return
			}
			rebuilds.Add(1)
		}
	}()
	testkit.Await(t, "a forced refresh to be under way", func() bool { return rebuilds.Load() > 0 })
	var want []string
	for i := range 30 {
		id := fmt.Sprintf("wh_new_%02d", i)
		revision := write(t, t.Context(), store, id)
		_, _, _, err := node.Refresh(t.Context(), revision)
		require.NoError(t, err)
		want = append(want, id)
		require.Equal(t, want, matching(t, node, "job_failed"), "D1: %d of 30", i+1)
	}
	for len(want) > 0 {
		_, _, _, err := node.Refresh(t.Context(), remove(t, t.Context(), store, want[0]))
		require.NoError(t, err)
		want = want[1:]
		require.Equal(t, want, append([]string{}, matching(t, node, "job_failed")...), "D4")
	}
	close(stop)
	require.NoError(t, <-ended)
	require.Greater(t, rebuilds.Load(), int64(3))
}

func TestD02_D09_DeniedReadsKeepTheLastGoodSnapshot(t *testing.T) {
	t.Parallel()
	client, ctx := testkit.Redis(t), t.Context()
	require.NoError(t, client.Do(ctx, "ACL", "SETUSER", "node", "on", ">pw", "~*", "&*", "+@all").Err())
	opts := *client.Options()
	opts.Username, opts.Password = "node", "pw"
	limited := redis.NewClient(&opts)
	t.Cleanup(func() { _ = limited.Close() })
	store := redisstore.New(client, redisstore.Options{})
	node := newNode(redisstore.New(limited, redisstore.Options{}))
	write(t, ctx, store, "wh_1")
	complete(t, ctx, store)
	require.NoError(t, node.Current(ctx))
	want := []string{"wh_1"}
	for i, denied := range []string{"smembers", "mget", "xrange", "hscan", "hmget", "evalsha", "get"} {
		require.NoError(t, client.Do(ctx, "ACL", "SETUSER", "node", "-"+denied).Err())
		id := fmt.Sprintf("wh_2%d", i)
		write(t, ctx, store, id)
		_, _, _, err := node.Rebuild(ctx)
		if denied != "smembers" { // what the original asked; nothing here needs it
			require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err), denied)
			require.Equal(t, want, matching(t, node, "job_failed"), denied)
			require.Equal(t, "degraded: storage is unavailable", node.NotReady(), denied)
		}
		require.NoError(t, client.Do(ctx, "ACL", "SETUSER", "node", "+"+denied).Err())
		require.NoError(t, node.Current(ctx))
		want = append(want, id)
		require.Equal(t, want, matching(t, node, "job_failed"), denied)
		require.Empty(t, node.NotReady())
	}
}

func TestD05_NothingIsMissingRightAfterReadiness(t *testing.T) {
	t.Parallel()
	_, store := filled(t)
	node := newNode(store)
	require.Equal(t, "not loaded", node.NotReady())
	_, err := node.Snapshot()
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err), "nothing is matched on an empty registry")
	loaded := make(chan error, 1)
	go func() { loaded <- node.Current(t.Context()) }()
	deadline := time.Now().Add(30 * time.Second)
	for node.NotReady() != "" {
		require.True(t, time.Now().Before(deadline), "never ready")
	}
	require.Len(t, matching(t, node, "complete_job"), manyWebhooks)
	require.NoError(t, <-loaded)
}

func TestD08_NodesAgreeAtOnce(t *testing.T) {
	t.Parallel()
	client, ctx := testkit.Redis(t), t.Context()
	store := redisstore.New(client, redisstore.Options{})
	complete(t, ctx, store)
	nodes := []*registry.Registry{newNode(store), newNode(store), newNode(store)}
	agree := func(revision int64, want []string) {
		t.Helper()
		var all sync.WaitGroup
		for _, n := range nodes {
			all.Go(func() {
				got, _, _, err := n.Refresh(ctx, revision)
				if err != nil || got != revision {
					t.Errorf("revision %d instead of %d: %v", got, revision, err)
				}
			})
		}
		all.Wait()
		digests := map[string]bool{}
		for _, n := range nodes {
			require.Equal(t, want, matching(t, n, "job_failed"))
			s, err := n.Snapshot()
			require.NoError(t, err)
			digests[s.Position().Digest] = true
		}
		require.Len(t, digests, 1)
	}
	for round := range 20 {
		id := fmt.Sprintf("wh_%d", round)
		agree(write(t, ctx, store, id), []string{id})
		w := hook(id)
		w.URL = "https://b.example"
		revision, err := store.WriteWebhook(ctx, w)
		require.NoError(t, err)
		agree(revision, []string{id})
		for _, n := range nodes {
			got, err := n.Webhook(id)
			require.NoError(t, err)
			require.Equal(t, w.URL, got.URL)
		}
		agree(remove(t, ctx, store, id), nil)
	}
}

// One refresh serves all who ask for it while it runs, and a caller who cannot wait does not end it.
func TestRefreshesAreShared(t *testing.T) {
	t.Parallel()
	_, store := filled(t)
	node := newNode(store)
	require.NoError(t, node.Current(t.Context()))
	write(t, t.Context(), store, "wh_new")
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := node.Current(t.Context()); err != nil {
				t.Error(err)
			}
			if got := matching(t, node, "job_failed"); len(got) != 1 {
				t.Errorf("a refreshed node matches %v", got)
			}
		})
	}
	all.Wait()
}
