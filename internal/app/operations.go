package app

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/server"
)

// operations is what operators ask.
type operations struct {
	store       *redisstore.Store
	registry    *registry.Registry
	consistency *temporalclient.Consistency
	health      *health
}

func (o *operations) Overview(ctx context.Context) (server.Overview, error) {
	if err := o.registry.Current(ctx); err != nil {
		return server.Overview{}, err
	}
	snapshot, err := o.registry.Snapshot()
	if err != nil {
		return server.Overview{}, err
	}
	out := server.Overview{Webhooks: map[holdfast.WebhookState]int{}, Deliveries: map[holdfast.DeliveryState]int64{}}
	for w := range snapshot.Newest() {
		out.Webhooks[w.State()]++
	}
	counts, exact, err := o.store.CountByState(ctx, redisstore.DeliveryFilter{})
	if err != nil {
		return server.Overview{}, err
	}
	out.Exact = exact
	for _, state := range holdfast.DeliveryStates() {
		out.Deliveries[state] = counts[state]
	}
	totals, err := o.store.Totals(ctx)
	if err != nil {
		return server.Overview{}, err
	}
	out.Totals = statsBucket(&totals)
	nodes, err := o.Nodes(ctx)
	if err != nil {
		return server.Overview{}, err
	}
	for _, n := range nodes {
		if n.Alive {
			out.Nodes++
		}
	}
	alerts, err := o.Alerts(ctx, false)
	if err != nil {
		return server.Overview{}, err
	}
	out.OpenAlerts = len(alerts)
	reports, err := o.store.Reports(ctx, 1)
	if err != nil {
		return server.Overview{}, err
	}
	if len(reports) > 0 {
		out.Report = &reports[0]
	}
	out.Components, _ = o.health.Ready(ctx)
	return out, nil
}

func (o *operations) SeriesOverAll(ctx context.Context, step server.SeriesStep) ([]server.StatsBucket, error) {
	return series(ctx, o.store, "", step)
}

// series is all that is kept of a webhook's statistics by hour or day, of those over all webhooks for "".
func series(ctx context.Context, store *redisstore.Store, webhookID string, step server.SeriesStep) ([]server.StatsBucket, error) {
	width := redisstore.Hourly
	if step == server.Daily {
		width = redisstore.Daily
	}
	stored, err := store.Series(ctx, webhookID, width, math.MaxInt)
	out := make([]server.StatsBucket, len(stored))
	for i := range stored {
		out[i] = statsBucket(&stored[i])
	}
	return out, err
}

func statsBucket(b *redisstore.Bucket) server.StatsBucket {
	return server.StatsBucket{
		Start: b.Start, Attempts: b.Attempts, SuccessfulAttempts: b.Successful, FailedAttempts: b.Failed,
		Delivered: b.Delivered, Exhausted: b.Exhausted, Cancelled: b.Cancelled, AverageResponseMS: b.AverageMS(),
	}
}

func (o *operations) ConsistencyReports(ctx context.Context, limit int) ([]holdfast.ConsistencyReport, error) {
	return o.store.Reports(ctx, limit)
}

func (o *operations) CheckConsistency(ctx context.Context, wait time.Duration) (holdfast.ConsistencyReport, error) {
	return o.consistency.CheckNow(ctx, wait)
}

func (o *operations) Nodes(ctx context.Context) ([]holdfast.NodeStatus, error) {
	live, lapsed, err := o.store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]holdfast.NodeStatus, 0, len(live)+len(lapsed))
	for _, n := range live {
		out = append(out, n.Status(true))
	}
	for _, n := range lapsed {
		out = append(out, n.Status(false))
	}
	return out, nil
}

func (o *operations) Alerts(ctx context.Context, resolved bool) ([]holdfast.Alert, error) {
	alerts, err := o.store.Alerts(ctx)
	if err != nil {
		return nil, err
	}
	if !resolved {
		alerts = slices.DeleteFunc(alerts, func(a holdfast.Alert) bool { return a.ResolvedAt != 0 })
	}
	slices.SortStableFunc(alerts, func(a, b holdfast.Alert) int {
		switch {
		case (a.ResolvedAt == 0) != (b.ResolvedAt == 0):
			if a.ResolvedAt == 0 {
				return -1
			}
			return 1
		case a.UpdatedAt != b.UpdatedAt:
			return int(b.UpdatedAt - a.UpdatedAt)
		}
		return strings.Compare(a.ID(), b.ID())
	})
	return alerts, nil
}
