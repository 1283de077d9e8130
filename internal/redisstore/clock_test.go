package redisstore

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What follows holds what Redis keeps to be true after its clock has gone back: from then on, it was written in the future.

func TestAClockThatGoesBackDoesNotKeepARateLimitedWebhookWaiting(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	write(t, store, testWebhook("wh_1"))
	admit := func(at time.Time) time.Duration {
		wait, err := store.admitAt(t.Context(), "wh_1", 10, strconv.FormatInt(at.UnixMilli(), 10))
		require.NoError(t, err)
		return wait
	}
	now := time.Now()
	for range 10 {
		require.Zero(t, admit(now))
	}
	require.Equal(t, 100*time.Millisecond, admit(now))
	back := now.Add(-time.Hour)
	require.LessOrEqual(t, admit(back), 100*time.Millisecond)
	require.Zero(t, admit(back.Add(100*time.Millisecond)))
	require.Equal(t, 100*time.Millisecond, admit(back.Add(100*time.Millisecond)), "the rate is kept on")
}

func TestAClockThatGoesBackEndsAPause(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(time.Minute)))
	for _, rate := range []float64{0, 5} {
		wait, err := store.Admit(ctx, "wh_1", rate)
		require.NoError(t, err)
		require.Positive(t, wait)
	}
	later := strconv.FormatInt(time.Now().Add(time.Hour+time.Minute).UnixMilli(), 10)
	require.NoError(t, srv.client.Set(ctx, "webhooks:pause:wh_1", later+":60000", 2*time.Hour).Err())
	wait, err := store.Admit(ctx, "wh_1", 0)
	require.NoError(t, err)
	require.Zero(t, wait)
	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(10*time.Second)))
	wait, err = store.Admit(ctx, "wh_1", 0)
	require.NoError(t, err)
	require.InDelta(t, 10*time.Second, wait, float64(5*time.Second), "a new pause is in force")
}

func TestAClockThatGoesBackDoesNotKeepADeadNodeAlive(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{NodeTTL: 300 * time.Millisecond})
	ctx := t.Context()
	require.NoError(t, store.Heartbeat(ctx, Node{ID: "dead", Address: "10.0.0.1:3332"}))
	entry := itoa(time.Now().Add(time.Hour).UnixMilli()) + `|{"id":"dead"}`
	require.NoError(t, srv.client.HSet(ctx, "webhooks:nodes", "dead", entry).Err())
	require.Eventually(t, func() bool {
		require.NoError(t, store.Heartbeat(ctx, Node{ID: "alive"}))
		live, lapsed, err := store.Nodes(ctx)
		require.NoError(t, err)
		return len(live) == 1 && live[0].ID == "alive" && len(lapsed) == 1 && lapsed[0].ID == "dead"
	}, 5*time.Second, 20*time.Millisecond)
}
