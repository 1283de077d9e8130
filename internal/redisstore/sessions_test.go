package redisstore

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestD52_ParallelRequestsToASessionAreAllKept(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if err := store.AddSessionRequest(t.Context(), "s", ReceivedRequest{ID: fmt.Sprint(i), Body: []byte{0, 255}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	got, total, err := store.SessionRequests(t.Context(), "s", 20)
	require.NoError(t, err)
	require.Len(t, got, 20)
	require.EqualValues(t, 50, total)
	require.Equal(t, []byte{0, 255}, got[0].Body)
	require.InDelta(t, time.Hour.Seconds(), srv.client.TTL(t.Context(), "webhooks:session:s").Val().Seconds(), 5)

	n, err := store.ClearSessionRequests(t.Context(), "s")
	require.NoError(t, err)
	require.EqualValues(t, 50, n)
	require.Empty(t, keysOf(t, srv.client), "an emptied session is none")
	got, total, err = store.SessionRequests(t.Context(), "s", 20)
	require.NoError(t, err)
	require.Empty(t, got)
	require.Zero(t, total)
}

func TestD54_SessionsAreBounded(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	for i := range maxSessions {
		require.NoError(t, store.AddSessionRequest(ctx, fmt.Sprintf("s%d", i), ReceivedRequest{ID: "r"}))
	}
	// The order of use is set by hand: entries of one millisecond have none.
	for i := range maxSessions {
		require.NoError(t, srv.client.ZIncrBy(ctx, "webhooks:sessions", float64(i-maxSessions), fmt.Sprintf("s%d", i)).Err())
	}
	require.NoError(t, store.AddSessionRequest(ctx, "s0", ReceivedRequest{ID: "again"}))
	require.NoError(t, store.AddSessionRequest(ctx, "new", ReceivedRequest{ID: "r"}))
	require.EqualValues(t, maxSessions, srv.client.ZCard(ctx, "webhooks:sessions").Val())
	require.Zero(t, srv.client.Exists(ctx, "webhooks:session:s1").Val(), "the one used least recently made room")
	_, total, err := store.SessionRequests(ctx, "s0", 0)
	require.NoError(t, err)
	require.EqualValues(t, 2, total)

	body := bytes.Repeat([]byte("x"), 1<<20)
	for i := range 10 {
		require.NoError(t, store.AddSessionRequest(ctx, "new", ReceivedRequest{ID: fmt.Sprint(i), Body: body}))
	}
	got, _, err := store.SessionRequests(ctx, "new", 0)
	require.NoError(t, err)
	require.Len(t, got, 2, "4 MiB hold two bodies of 1 MiB in base64 with another on the way")
	require.Equal(t, "9", got[0].ID)
	for i := range 200 {
		require.NoError(t, store.AddSessionRequest(ctx, "many", ReceivedRequest{ID: fmt.Sprint(i)}))
	}
	_, total, err = store.SessionRequests(ctx, "many", 0)
	require.NoError(t, err)
	require.EqualValues(t, 100, total)

	// What was not used for an hour is gone, in the list too.
	require.NoError(t, srv.client.ZAdd(ctx, "webhooks:sessions", redis.Z{Score: 1, Member: "stale"}).Err())
	require.NoError(t, store.AddSessionRequest(ctx, "many", ReceivedRequest{ID: "r"}))
	require.Error(t, srv.client.ZScore(ctx, "webhooks:sessions", "stale").Err())
}
