package redisstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{NodeTTL: 300 * time.Millisecond})
	ctx := t.Context()
	live, lapsed, err := store.Nodes(ctx)
	require.NoError(t, err)
	require.Empty(t, live)
	require.Empty(t, lapsed)

	a := Node{ID: "a", Address: "10.0.0.1:3332", StartedAt: 5, Revision: 7, Digest: "x", Webhooks: 3, Degraded: "redis | slow"}
	require.NoError(t, store.Heartbeat(ctx, Node{ID: "b", HeartbeatAt: 1}))
	require.NoError(t, store.Heartbeat(ctx, a))
	// A node from long ago, and entries that are no nodes.
	old := time.Now().Add(-25 * time.Hour).UnixMilli()
	require.NoError(t, srv.client.HSet(ctx, "webhooks:nodes", "gone", itoa(old)+`|{"id":"gone"}`, "odd", "what", "torn", itoa(time.Now().UnixMilli())+"|{").Err())
	live, lapsed, err = store.Nodes(ctx)
	require.NoError(t, err)
	require.Len(t, live, 2)
	require.InDelta(t, time.Now().UnixMilli(), live[0].HeartbeatAt, 5000)
	a.HeartbeatAt = live[0].HeartbeatAt
	require.Equal(t, a, live[0])
	require.Equal(t, "b", live[1].ID)
	require.Equal(t, []string{"gone", "odd", "torn"}, []string{lapsed[0].ID, lapsed[1].ID, lapsed[2].ID})

	require.Eventually(t, func() bool {
		require.NoError(t, store.Heartbeat(ctx, Node{ID: "b"}))
		live, lapsed, err := store.Nodes(ctx)
		require.NoError(t, err)
		return len(live) == 1 && len(lapsed) == 2 // a and torn; gone and odd are dropped by the heartbeat
	}, 5*time.Second, 20*time.Millisecond)
	require.NoError(t, store.RemoveNode(ctx, "a"))
	_, lapsed, err = store.Nodes(ctx)
	require.NoError(t, err)
	require.Len(t, lapsed, 1)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	other := New(srv.client, Options{})
	ctx := t.Context()
	at, marks, err := store.BeginEvents(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, marks)
	require.Zero(t, at)
	revision := write(t, store, testWebhook("wh_1"))

	at, marks, err = store.BeginEvents(ctx, []string{"e1", "e2", "e1"})
	require.NoError(t, err)
	require.NotEmpty(t, at.Incarnation)
	require.Equal(t, Position{
		Revision: revision, Count: 1, Digest: DigestText(DigestOf("wh_1", revision)), Incarnation: at.Incarnation, Born: revision,
	}, at)
	claim := &EventMark{EventID: "e1", Claimed: true}
	require.Equal(t, []*EventMark{nil, nil, claim}, marks, "the same id twice is begun once")
	_, marks, err = other.BeginEvents(ctx, []string{"e1", "e3"})
	require.NoError(t, err)
	require.Equal(t, []*EventMark{claim, nil}, marks)
	require.InDelta(t, 30_000, srv.client.PTTL(ctx, "webhooks:event:e1").Val().Milliseconds(), 5000)

	settled := EventMark{EventID: "e1", WorkflowID: "group/n/1", RunID: "r", WebhookIDs: []string{"wh_1"}, CreatedAt: 9}
	require.NoError(t, store.SettleEvents(ctx, []EventMark{settled}))
	require.NoError(t, store.SettleEvents(ctx, nil))
	require.InDelta(t, 24*3600, srv.client.TTL(ctx, "webhooks:event:e1").Val().Seconds(), 5)
	require.NoError(t, store.ReleaseEvents(ctx, []string{"e1", "e2", "e3", "e9"}))
	_, marks, err = store.BeginEvents(ctx, []string{"e1", "e2", "e3", "e9"})
	require.NoError(t, err)
	require.Equal(t, []*EventMark{&settled, nil, {EventID: "e3", Claimed: true}, nil}, marks, "only own claims are released")
	got, err := store.EventMark(ctx, "e1")
	require.NoError(t, err)
	require.Equal(t, &settled, got)
	got, err = store.EventMark(ctx, "e3")
	require.NoError(t, err)
	require.True(t, got.Claimed)
	_, err = store.EventMark(ctx, "e77")
	requireCode(t, holdfast.CodeNotFound, err)
	require.NoError(t, srv.client.Set(ctx, "webhooks:event:odd", "{", 0).Err())
	got, err = store.EventMark(ctx, "odd")
	require.NoError(t, err)
	require.Equal(t, &EventMark{EventID: "odd", Claimed: true}, got)
}

func TestClaimsEndByThemselves(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{ClaimTTL: 50 * time.Millisecond})
	_, marks, err := store.BeginEvents(t.Context(), []string{"e"})
	require.NoError(t, err)
	require.Nil(t, marks[0])
	require.Eventually(t, func() bool {
		_, marks, err := store.BeginEvents(t.Context(), []string{"e"})
		return err == nil && marks[0] == nil
	}, 5*time.Second, 20*time.Millisecond)
}
