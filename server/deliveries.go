package server

import (
	"context"
	"net/url"
	"strings"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

type deliveries struct {
	deliveries Deliveries
	control    DeliveryControl
	links      temporalLinks
}

var _ holdfastv1connect.DeliveryServiceHandler = (*deliveries)(nil)

func (h *deliveries) GetDelivery(ctx context.Context, req *holdfastv1.GetDeliveryRequest) (*holdfastv1.GetDeliveryResponse, error) {
	webhookID, eventID, err := deliveryID(req.GetId())
	if err != nil {
		return nil, err
	}
	d, err := h.deliveries.Delivery(ctx, webhookID, eventID)
	if err != nil {
		return nil, err
	}
	return &holdfastv1.GetDeliveryResponse{Delivery: h.message(d)}, nil
}

func deliveryID(id string) (webhookID, eventID string, err error) {
	webhookID, eventID, ok := holdfast.ParseDeliveryID(id)
	if !ok {
		err = holdfast.Invalid([]holdfast.Violation{{Field: "id", Description: "must be a delivery id, <webhook id>/<event id>"}})
	}
	return webhookID, eventID, err
}

func (h *deliveries) ListDeliveries(ctx context.Context, req *holdfastv1.ListDeliveriesRequest) (*holdfastv1.ListDeliveriesResponse, error) {
	violations := knownEventType(req.GetEventType())
	size, v := pageSizeOf(req.GetPageSize(), maxPageSize)
	violations = append(violations, v...)
	state, v := wordOf(holdfastv1.DeliveryState_name, int32(req.GetState()), deliveryStatePrefix)
	violations = append(violations, v...)
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	items, next, err := h.deliveries.ListDeliveries(ctx, DeliveryFilter{
		WebhookID: req.GetWebhookId(), EventID: req.GetEventId(), EventType: req.GetEventType(),
		State: holdfast.DeliveryState(state),
	}, size, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.ListDeliveriesResponse{NextPageToken: next}
	for _, d := range items {
		res.Deliveries = append(res.Deliveries, h.message(d))
	}
	return res, nil
}

func (h *deliveries) message(d *holdfast.Delivery) *holdfastv1.Delivery {
	out := &holdfastv1.Delivery{
		Id: d.ID(), WebhookId: d.WebhookID, EventId: d.EventID, EventType: d.EventType,
		State: deliveryState(d.State), Reason: d.Reason,
		CreateTime: timeOfMS(d.CreatedAt), UpdateTime: timeOfMS(d.UpdatedAt), NextAttemptTime: timeOfMS(d.NextAttemptAt),
		WorkflowId: d.WorkflowID, RunId: d.RunID, TemporalUrl: h.links.workflow(d.WorkflowID, d.RunID),
	}
	for i := range d.Attempts {
		out.Attempts = append(out.Attempts, attemptMessage(&d.Attempts[i]))
	}
	return out
}

func attemptMessage(a *holdfast.Attempt) *holdfastv1.Attempt {
	return &holdfastv1.Attempt{
		Number: int32(a.Number), Time: timeOfMS(a.Timestamp),
		Duration:       durationOfFractionalMS(a.DurationMS),
		ResponseStatus: int32(a.ResponseStatus), ResponseBody: strings.ToValidUTF8(a.ResponseBody, "\uFFFD"),
		Error: a.ErrorMessage, ErrorClass: string(a.ErrorClass), Node: a.Node,
	}
}

// temporalLinks makes links to workflows in the Temporal UI.
type temporalLinks struct{ base, namespace string }

// workflow returns the link to a run, or to the workflow's latest run without a run id; "" when there is nothing to
// link to.
func (l temporalLinks) workflow(workflowID, runID string) string {
	if l.base == "" || workflowID == "" {
		return ""
	}
	link := strings.TrimRight(l.base, "/") + "/namespaces/" + url.PathEscape(l.namespace) +
		"/workflows/" + url.PathEscape(workflowID)
	if runID != "" {
		link += "/" + url.PathEscape(runID)
	}
	return link
}
