package server

import (
	"cmp"
	"context"
	"slices"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// maxReports is how many reports of consistency checks are kept.
const maxReports = 100

type operations struct {
	operations Operations
	links      temporalLinks
}

var _ holdfastv1connect.OperationsServiceHandler = (*operations)(nil)

func (h *operations) GetOverview(ctx context.Context, req *holdfastv1.GetOverviewRequest) (*holdfastv1.GetOverviewResponse, error) {
	query, violations := seriesOf(req.GetSeries())
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	o, err := h.operations.Overview(ctx)
	if err != nil {
		return nil, err
	}
	series, err := query.read(func(step SeriesStep) ([]StatsBucket, error) { return h.operations.SeriesOverAll(ctx, step) })
	if err != nil {
		return nil, err
	}
	out := &holdfastv1.Overview{
		Nodes: int32(o.Nodes), OpenAlerts: int32(o.OpenAlerts), Components: o.Components, DeliveriesExact: o.Exact,
		Totals: bucketMessage(&o.Totals), Series: series,
	}
	for state, count := range o.Webhooks {
		out.Webhooks = append(out.Webhooks, &holdfastv1.WebhookCount{State: webhookState(state), Count: int64(count)})
	}
	for state, count := range o.Deliveries {
		out.Deliveries = append(out.Deliveries, &holdfastv1.DeliveryCount{State: deliveryState(state), Count: count})
	}
	slices.SortFunc(out.GetWebhooks(), func(a, b *holdfastv1.WebhookCount) int { return cmp.Compare(a.GetState(), b.GetState()) })
	slices.SortFunc(out.GetDeliveries(), func(a, b *holdfastv1.DeliveryCount) int { return cmp.Compare(a.GetState(), b.GetState()) })
	if o.Report != nil {
		out.Report = h.report(o.Report)
	}
	return &holdfastv1.GetOverviewResponse{Overview: out}, nil
}

func (h *operations) GetConsistencyReport(ctx context.Context, req *holdfastv1.GetConsistencyReportRequest) (*holdfastv1.GetConsistencyReportResponse, error) {
	if req.GetLimit() < 0 {
		return nil, holdfast.Invalid([]holdfast.Violation{{Field: "limit", Description: "must not be negative"}})
	}
	limit := min(max(int(req.GetLimit()), 1), maxReports)
	reports, err := h.operations.ConsistencyReports(ctx, limit)
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.GetConsistencyReportResponse{}
	for i := range reports[:min(limit, len(reports))] {
		if i == 0 {
			res.Report = h.report(&reports[i])
			continue
		}
		res.Earlier = append(res.Earlier, h.report(&reports[i]))
	}
	return res, nil
}

func (h *operations) CheckConsistency(ctx context.Context, req *holdfastv1.CheckConsistencyRequest) (*holdfastv1.CheckConsistencyResponse, error) {
	wait, violations := waitOf(ctx, req.GetWait())
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	r, err := h.operations.CheckConsistency(ctx, wait)
	if err != nil {
		return nil, err
	}
	return &holdfastv1.CheckConsistencyResponse{Report: h.report(&r)}, nil
}

func (h *operations) ListNodes(ctx context.Context, _ *holdfastv1.ListNodesRequest) (*holdfastv1.ListNodesResponse, error) {
	nodes, err := h.operations.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.ListNodesResponse{}
	for i := range nodes {
		n := &nodes[i]
		res.Nodes = append(res.Nodes, &holdfastv1.Node{
			Id: n.ID, Address: n.Address, Alive: n.Alive, StartTime: timeOfMS(n.StartedAt), HeartbeatTime: timeOfMS(n.HeartbeatAt),
			Revision: n.Revision, Digest: n.Digest, Webhooks: int32(n.Webhooks), Degraded: n.Degraded,
		})
	}
	return res, nil
}

func (h *operations) ListAlerts(ctx context.Context, req *holdfastv1.ListAlertsRequest) (*holdfastv1.ListAlertsResponse, error) {
	alerts, err := h.operations.Alerts(ctx, req.GetIncludeResolved())
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.ListAlertsResponse{}
	for i := range alerts {
		a := &alerts[i]
		res.Alerts = append(res.Alerts, &holdfastv1.Alert{
			Id: a.ID(), Kind: string(a.Kind), Subject: a.Subject, Message: a.Message, RaiseTime: timeOfMS(a.RaisedAt),
			UpdateTime: timeOfMS(a.UpdatedAt), Count: a.Count, ResolveTime: timeOfMS(a.ResolvedAt),
		})
	}
	return res, nil
}

func (h *operations) report(r *holdfast.ConsistencyReport) *holdfastv1.ConsistencyReport {
	out := &holdfastv1.ConsistencyReport{
		StartTime: timeOfMS(r.StartedAt), Duration: durationOfMS(r.DurationMS), Consistent: r.Consistent, Repaired: r.Repaired,
		Revision: r.Revision, Webhooks: int32(r.Webhooks), Active: int32(r.Active), Registrations: int32(r.Registrations),
		Nodes: int32(r.Nodes), PlatformAsked: int32(r.PlatformAsked), PlatformKnown: int32(r.PlatformKnown),
		WorkflowId: r.WorkflowID, RunId: r.RunID, TemporalUrl: h.links.workflow(r.WorkflowID, r.RunID),
	}
	for _, d := range r.Drifts {
		out.Drifts = append(out.Drifts, &holdfastv1.Drift{
			Kind: string(d.Kind), Count: int32(d.Count), Ids: d.IDs, Action: d.Action, Failed: int32(d.Failed), Detail: d.Detail,
		})
	}
	return out
}
