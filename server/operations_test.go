package server_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func drifted() holdfast.ConsistencyReport {
	return holdfast.ConsistencyReport{
		StartedAt: 1000, DurationMS: 1500, Repaired: true, Revision: 9, Webhooks: 8, Active: 7, Registrations: 6, Nodes: 3,
		PlatformKnown: 4, PlatformAsked: 5, WorkflowID: "consistency", RunID: "r",
		Drifts: []holdfast.Drift{{
			Kind: holdfast.DriftMissing, Count: 2, IDs: []string{"wh_1", "wh_2"}, Action: "restored", Failed: 1, Detail: "d",
		}},
	}
}

func TestGetOverview(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		report := drifted()
		b.operations.overview = server.Overview{
			Webhooks:   map[holdfast.WebhookState]int{holdfast.WebhookPaused: 1, holdfast.WebhookActive: 2},
			Deliveries: map[holdfast.DeliveryState]int64{holdfast.DeliveryHeld: 4, holdfast.DeliveryPending: 5, holdfast.DeliveryDelivered: 1 << 40},
			Exact:      true, Totals: server.StatsBucket{Attempts: 8, AverageResponseMS: 1},
			Nodes: 3, OpenAlerts: 6, Report: &report, Components: map[string]string{"redis": "ok"},
		}
		res, err := c.operations.GetOverview(t.Context(), &holdfastv1.GetOverviewRequest{})
		require.NoError(t, err)
		o := res.GetOverview()
		require.Equal(t, []any{int32(3), int32(6), map[string]string{"redis": "ok"}}, []any{o.GetNodes(), o.GetOpenAlerts(), o.GetComponents()})
		require.Len(t, o.GetWebhooks(), 2)
		require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_ACTIVE, o.GetWebhooks()[0].GetState())
		require.Equal(t, int64(2), o.GetWebhooks()[0].GetCount())
		require.Equal(t, holdfastv1.DeliveryState_DELIVERY_STATE_DELIVERED, o.GetDeliveries()[2].GetState())
		require.Equal(t, int64(1<<40), o.GetDeliveries()[2].GetCount())
		require.Equal(t, int64(9), o.GetReport().GetRevision())
		require.True(t, o.GetDeliveriesExact())
		require.Equal(t, int64(8), o.GetTotals().GetAttempts())
		require.Nil(t, o.GetTotals().GetStartTime())
		require.Empty(t, o.GetSeries())
		res, err = c.operations.GetOverview(t.Context(), &holdfastv1.GetOverviewRequest{
			Series: &holdfastv1.SeriesQuery{Step: holdfastv1.SeriesStep_SERIES_STEP_DAY},
		})
		require.NoError(t, err)
		require.Len(t, res.GetOverview().GetSeries(), 3)
		b.operations.overview = server.Overview{}
		res, err = c.operations.GetOverview(t.Context(), &holdfastv1.GetOverviewRequest{})
		require.NoError(t, err)
		require.Nil(t, res.GetOverview().GetReport(), "before the first check")
	})
}

func TestGetConsistencyReport(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		res, err := c.operations.GetConsistencyReport(t.Context(), &holdfastv1.GetConsistencyReportRequest{Limit: 5})
		require.NoError(t, err)
		require.Nil(t, res.GetReport())
		require.Empty(t, res.GetEarlier())

		b.operations.reports = []holdfast.ConsistencyReport{drifted(), {StartedAt: 900, Consistent: true}, {StartedAt: 800}}
		res, err = c.operations.GetConsistencyReport(t.Context(), &holdfastv1.GetConsistencyReportRequest{})
		require.NoError(t, err)
		require.Empty(t, res.GetEarlier(), "the last one alone")
		r := res.GetReport()
		require.Equal(t, 1500*time.Millisecond, r.GetDuration().AsDuration())
		require.Equal(t, []any{false, true, int64(9), int32(8), int32(7), int32(6), int32(3), int32(4), int32(5)}, []any{
			r.GetConsistent(), r.GetRepaired(), r.GetRevision(), r.GetWebhooks(), r.GetActive(), r.GetRegistrations(), r.GetNodes(),
			r.GetPlatformKnown(), r.GetPlatformAsked(),
		})
		require.Equal(t, "http://ui.test/namespaces/default/workflows/consistency/r", r.GetTemporalUrl())
		d := r.GetDrifts()[0]
		require.Equal(t, []any{"missing_in_redis", int32(2), []string{"wh_1", "wh_2"}, "restored", int32(1), "d"},
			[]any{d.GetKind(), d.GetCount(), d.GetIds(), d.GetAction(), d.GetFailed(), d.GetDetail()})

		res, err = c.operations.GetConsistencyReport(t.Context(), &holdfastv1.GetConsistencyReportRequest{Limit: 2})
		require.NoError(t, err)
		require.Len(t, res.GetEarlier(), 1)
		require.True(t, res.GetEarlier()[0].GetConsistent())
		_, err = c.operations.GetConsistencyReport(t.Context(), &holdfastv1.GetConsistencyReportRequest{Limit: -1})
		require.Equal(t, []string{"limit"}, fieldsOf(t, err))
	})
}

func TestCheckConsistency(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		res, err := c.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{Wait: durationpb.New(2 * time.Second)})
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, b.operations.waited)
		require.True(t, res.GetReport().GetConsistent())
		require.Equal(t, int64(9000), res.GetReport().GetStartTime().AsTime().UnixMilli())
		b.operations.busy = true
		_, err = c.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{})
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
		require.ErrorContains(t, err, "ask for its report later")
		require.Equal(t, server.DefaultWait, b.operations.waited)
		_, err = c.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{Wait: durationpb.New(time.Hour)})
		require.Equal(t, []string{"wait"}, fieldsOf(t, err))
	})
}

func TestListNodes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.operations.nodes = []holdfast.NodeStatus{
			{ID: "n1", Address: "10.0.0.1:1", Alive: true, StartedAt: 1000, HeartbeatAt: 2000, Revision: 5, Digest: "d", Webhooks: 4},
			{ID: "n2", Degraded: "Redis is away"},
		}
		res, err := c.operations.ListNodes(t.Context(), &holdfastv1.ListNodesRequest{})
		require.NoError(t, err)
		n := res.GetNodes()[0]
		require.Equal(t, []any{"n1", "10.0.0.1:1", true, int64(5), "d", int32(4), ""},
			[]any{n.GetId(), n.GetAddress(), n.GetAlive(), n.GetRevision(), n.GetDigest(), n.GetWebhooks(), n.GetDegraded()})
		require.Equal(t, int64(2000), n.GetHeartbeatTime().AsTime().UnixMilli())
		require.Equal(t, int64(1000), n.GetStartTime().AsTime().UnixMilli())
		require.Equal(t, "Redis is away", res.GetNodes()[1].GetDegraded())
	})
}

func TestListAlerts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.operations.alerts = []holdfast.Alert{
			{Kind: holdfast.AlertNodeSilent, Subject: "n1", Message: "m", RaisedAt: 1000, UpdatedAt: 2000, Count: 3},
			{Kind: holdfast.AlertPlatformUnreachable, RaisedAt: 100, ResolvedAt: 200},
		}
		res, err := c.operations.ListAlerts(t.Context(), &holdfastv1.ListAlertsRequest{})
		require.NoError(t, err)
		require.Len(t, res.GetAlerts(), 1)
		a := res.GetAlerts()[0]
		require.Equal(t, []any{"node_silent:n1", "node_silent", "n1", "m", int64(3)},
			[]any{a.GetId(), a.GetKind(), a.GetSubject(), a.GetMessage(), a.GetCount()})
		require.Nil(t, a.GetResolveTime())
		res, err = c.operations.ListAlerts(t.Context(), &holdfastv1.ListAlertsRequest{IncludeResolved: true})
		require.NoError(t, err)
		require.Len(t, res.GetAlerts(), 2)
		require.Equal(t, int64(200), res.GetAlerts()[1].GetResolveTime().AsTime().UnixMilli())
	})
}

func TestD9_operationsThatFailAreNotEmpty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.operations.err = holdfast.Wrap(holdfast.CodeUnavailable, context.DeadlineExceeded, "Redis is unavailable")
	for _, method := range []string{"GetOverview", "GetConsistencyReport", "CheckConsistency", "ListNodes", "ListAlerts"} {
		status, _, answer := b.post(t, "OperationsService/"+method, "{}")
		require.Equal(t, 503, status, method)
		require.Equal(t, "unavailable", answer["code"], method)
	}
}
