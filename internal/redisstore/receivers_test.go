package redisstore

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestReceivers(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	r, err := store.CreateReceiver(ctx, "abc")
	require.NoError(t, err)
	require.Equal(t, r.CreatedAt+24*3600*1000, r.ExpiresAt)
	again, err := store.CreateReceiver(ctx, "abc")
	require.NoError(t, err)
	require.Equal(t, r, again)
	stored, err := srv.client.Get(ctx, "webhook_test_receiver:abc").Result()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf(`{"id":"abc","created_at":%d,"expires_at":%d,"requests":[]}`, r.CreatedAt, r.ExpiresAt), stored)
	require.Equal(t, []string{"abc"}, srv.client.SMembers(ctx, "webhook_test_receivers:active").Val())

	request := ReceivedRequest{
		ID: "req_1", Time: 5, Method: "POST", Headers: map[string][]string{"content-type": {"text/plain"}},
		Body: []byte{0, 255, '<'}, Query: "a=1&a=2", RemoteAddr: "127.0.0.1",
	}
	require.NoError(t, srv.client.PExpire(ctx, "webhook_test_receiver:abc", time.Hour).Err())
	for range 2 {
		require.NoError(t, store.AddReceivedRequest(ctx, "abc", request))
	}
	require.LessOrEqual(t, srv.client.PTTL(ctx, "webhook_test_receiver:abc").Val(), time.Hour, "use does not extend the lifetime")
	require.InDelta(t, 3600, srv.client.TTL(ctx, "webhook_test_receiver:abc:requests").Val().Seconds(), 5)
	requests, err := store.ReceivedRequests(ctx, "abc", 0)
	require.NoError(t, err)
	require.Equal(t, []ReceivedRequest{request}, requests)
	r, err = store.Receiver(ctx, "abc")
	require.NoError(t, err)
	require.Equal(t, int64(1), r.RequestCount)

	n, err := store.ClearReceivedRequests(ctx, "abc")
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
	requests, err = store.ReceivedRequests(ctx, "abc", 5)
	require.NoError(t, err)
	require.Empty(t, requests)

	require.NoError(t, store.DeleteReceiver(ctx, "abc"))
	require.Empty(t, keysOf(t, srv.client))
	requireCode(t, holdfast.CodeNotFound, store.DeleteReceiver(ctx, "abc"))
	requireCode(t, holdfast.CodeNotFound, store.AddReceivedRequest(ctx, "abc", request))
	_, err = store.ReceivedRequests(ctx, "abc", 0)
	requireCode(t, holdfast.CodeNotFound, err)
	_, err = store.ClearReceivedRequests(ctx, "abc")
	requireCode(t, holdfast.CodeNotFound, err)
	_, err = store.Receiver(ctx, "abc")
	requireCode(t, holdfast.CodeNotFound, err)
	require.Empty(t, keysOf(t, srv.client))
}

func TestD52_ParallelRequestsAreAllKept(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	_, err := store.CreateReceiver(ctx, "abc")
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 50)
	for i := range errs {
		wg.Go(func() {
			errs[i] = store.AddReceivedRequest(ctx, "abc", ReceivedRequest{ID: fmt.Sprint(i), Body: make([]byte, 10_000)})
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	requests, err := store.ReceivedRequests(ctx, "abc", 0)
	require.NoError(t, err)
	require.Len(t, requests, 50)
	seen := map[string]bool{}
	for _, r := range requests {
		seen[r.ID] = true
	}
	require.Len(t, seen, 50)

	for i := 50; i < 160; i++ {
		require.NoError(t, store.AddReceivedRequest(ctx, "abc", ReceivedRequest{ID: fmt.Sprint(i)}))
	}
	requests, err = store.ReceivedRequests(ctx, "abc", 0)
	require.NoError(t, err)
	require.Len(t, requests, 100)
	require.Equal(t, "159", requests[0].ID)
	require.Equal(t, "60", requests[99].ID)
}

func TestD53_ReceiversMakeRoom(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{Limits: Limits{Receivers: 3}})
	ctx := t.Context()
	for _, id := range []string{"a", "b", "c"} {
		_, err := store.CreateReceiver(ctx, id)
		require.NoError(t, err)
	}
	_, err := store.CreateReceiver(ctx, "d")
	requireCode(t, holdfast.CodeExhausted, err)
	_, err = store.CreateReceiver(ctx, "b")
	require.NoError(t, err)
	require.NoError(t, store.DeleteReceiver(ctx, "a"))
	_, err = store.CreateReceiver(ctx, "d")
	require.NoError(t, err)

	require.NoError(t, srv.client.Del(ctx, "webhook_test_receiver:b").Err()) // as expired
	found, err := store.Receivers(ctx)
	require.NoError(t, err)
	require.Len(t, found, 2)
	_, err = store.CreateReceiver(ctx, "e")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"c", "d", "e"}, srv.client.SMembers(ctx, "webhook_test_receivers:active").Val())
}
