package redisstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

func raise(tb testing.TB, s *Store, subject, message string) (first bool) {
	tb.Helper()
	first, err := s.RaiseAlert(tb.Context(), holdfast.Alert{Kind: holdfast.AlertNodeSilent, Subject: subject, Message: message})
	require.NoError(tb, err)
	return first
}

func alerts(tb testing.TB, s *Store) []holdfast.Alert {
	tb.Helper()
	all, err := s.Alerts(tb.Context())
	require.NoError(tb, err)
	return all
}

func TestAlertsAreRaisedOnceAndCounted(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	require.Empty(t, alerts(t, store))
	was, err := store.ResolveAlert(ctx, "node_silent:n1")
	require.NoError(t, err)
	require.False(t, was)

	require.True(t, raise(t, store, "n1", "it is silent | %d"))
	require.False(t, raise(t, store, "n1", "still"))
	got := alerts(t, store)
	require.Len(t, got, 1)
	require.InDelta(t, time.Now().UnixMilli(), got[0].RaisedAt, 5000)
	require.GreaterOrEqual(t, got[0].UpdatedAt, got[0].RaisedAt)
	require.Equal(t, holdfast.Alert{
		Kind: holdfast.AlertNodeSilent, Subject: "n1", Message: "still", RaisedAt: got[0].RaisedAt, UpdatedAt: got[0].UpdatedAt, Count: 2,
	}, got[0])

	was, err = store.ResolveAlert(ctx, got[0].ID())
	require.NoError(t, err)
	require.True(t, was)
	was, err = store.ResolveAlert(ctx, got[0].ID())
	require.NoError(t, err)
	require.False(t, was)
	resolved := alerts(t, store)[0]
	require.Positive(t, resolved.ResolvedAt)
	require.Equal(t, []any{got[0].RaisedAt, int64(2), "still"}, []any{resolved.RaisedAt, resolved.Count, resolved.Message})
	require.True(t, raise(t, store, "n2", "another"))
	require.Equal(t, "n2", alerts(t, store)[0].Subject, "what is open comes first")
	require.True(t, raise(t, store, "n1", "again"))
	again := alerts(t, store)[0]
	require.Equal(t, []any{int64(1), int64(0), "again"}, []any{again.Count, again.ResolvedAt, again.Message})

	require.NoError(t, srv.client.HSet(ctx, "webhooks:alerts", "odd", "what", "torn", "1|1|1|0|{").Err())
	require.Len(t, alerts(t, store), 2)
}

func TestAlertsAreBounded(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	values := []any{}
	for i := range maxAlerts { // raised one after the other; every tenth is resolved, in turn
		resolved := 0
		if i%10 == 5 {
			resolved = 5000 + i
		}
		values = append(values, fmt.Sprintf("node_silent:n%d", i),
			fmt.Sprintf(`%d|%d|1|%d|{"kind":"node_silent","subject":"n%d","message":"m"}`, 1000+i, 1000+i, resolved, i))
	}
	require.NoError(t, srv.client.HSet(ctx, "webhooks:alerts", values...).Err())
	present := func(i int) bool {
		return srv.client.HExists(ctx, "webhooks:alerts", fmt.Sprintf("node_silent:n%d", i)).Val()
	}
	require.True(t, raise(t, store, "new", "m"))
	require.Len(t, alerts(t, store), maxAlerts)
	require.False(t, present(5), "resolved first")
	require.True(t, present(15))
	for i := range 100 {
		raise(t, store, fmt.Sprint("more", i), "m")
	}
	require.Len(t, alerts(t, store), maxAlerts)
	require.False(t, present(995), "every resolved one")
	require.False(t, present(0), "then the oldest")
	require.True(t, present(2))
}

func TestReportsAreBoundedAndNewestFirst(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	for i := range maxReports + 20 {
		require.NoError(t, store.SaveReport(ctx, holdfast.ConsistencyReport{
			StartedAt: int64(i), Drifts: []holdfast.Drift{{Kind: holdfast.DriftDigest, Count: i, Action: "<rebuilt>"}},
		}))
	}
	require.NoError(t, srv.client.LSet(ctx, "webhooks:consistency", 1, "{").Err())
	reports, err := store.Reports(ctx, 1000)
	require.NoError(t, err)
	require.Len(t, reports, maxReports-1, "one cannot be read")
	require.Equal(t, []int64{119, 117}, []int64{reports[0].StartedAt, reports[1].StartedAt})
	require.Equal(t, "<rebuilt>", reports[0].Drifts[0].Action)
	reports, err = store.Reports(ctx, 1)
	require.NoError(t, err)
	require.Len(t, reports, 1)
	reports, err = store.Reports(ctx, 0)
	require.NoError(t, err)
	require.Empty(t, reports)
}

func TestNodeStatus(t *testing.T) {
	t.Parallel()
	n := Node{ID: "n", Address: "a", StartedAt: 1, HeartbeatAt: 2, Revision: 3, Digest: "d", Webhooks: 4, Degraded: "why"}
	require.Equal(t, holdfast.NodeStatus{
		ID: "n", Address: "a", Alive: true, StartedAt: 1, HeartbeatAt: 2, Revision: 3, Digest: "d", Webhooks: 4, Degraded: "why",
	}, n.Status(true))
}
