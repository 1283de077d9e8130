package server

import (
	"context"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// maxReasonBytes bounds the reason of a cancellation.
const maxReasonBytes = 256

func (h *deliveries) RetryDelivery(ctx context.Context, req *holdfastv1.RetryDeliveryRequest) (*holdfastv1.RetryDeliveryResponse, error) {
	webhookID, eventID, err := deliveryID(req.GetId())
	if err != nil {
		return nil, err
	}
	d, err := h.control.Retry(ctx, webhookID, eventID)
	if err != nil {
		return nil, err
	}
	return &holdfastv1.RetryDeliveryResponse{Delivery: h.message(d)}, nil
}

func (h *deliveries) CancelDelivery(ctx context.Context, req *holdfastv1.CancelDeliveryRequest) (*holdfastv1.CancelDeliveryResponse, error) {
	webhookID, eventID, err := deliveryID(req.GetId())
	if err != nil {
		return nil, err
	}
	if len(req.GetReason()) > maxReasonBytes {
		return nil, holdfast.Invalid([]holdfast.Violation{{Field: "reason", Description: "must not be longer than 256 bytes"}})
	}
	d, err := h.control.Cancel(ctx, webhookID, eventID, req.GetReason())
	if err != nil {
		return nil, err
	}
	return &holdfastv1.CancelDeliveryResponse{Delivery: h.message(d)}, nil
}

// The pace of a replay, in deliveries per second.
const (
	defaultReplayRate = 100
	minReplayRate     = 0.1
	maxReplayRate     = 10000
)

func (h *deliveries) ReplayDeliveries(ctx context.Context, req *holdfastv1.ReplayDeliveriesRequest) (*holdfastv1.ReplayDeliveriesResponse, error) {
	filter, violations := replayFilterOf(req.GetFilter())
	rate := float64(defaultReplayRate)
	if req.PerSecond != nil {
		rate = req.GetPerSecond()
	}
	if !(rate >= minReplayRate && rate <= maxReplayRate) {
		violations = append(violations, holdfast.Violation{Field: "perSecond", Description: "must be between 0.1 and 10000"})
	}
	violations = append(violations, replayIDViolations("requestId", req.GetRequestId(), false)...)
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	n, exact, err := h.control.Matching(ctx, filter)
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.ReplayDeliveriesResponse{Matching: n, MatchingExact: exact}
	if req.GetPreview() {
		return res, nil
	}
	replay, err := h.control.Replay(ctx, ReplayRequest{filter, rate, req.GetRequestId(), actorOf(ctx)}, n)
	if err != nil {
		return nil, err
	}
	res.Replay = h.replayMessage(&replay)
	return res, nil
}

func replayFilterOf(in *holdfastv1.ReplayFilter) (holdfast.ReplayFilter, []holdfast.Violation) {
	f := holdfast.ReplayFilter{WebhookID: in.GetWebhookId(), EventType: in.GetEventType()}
	var violations []holdfast.Violation
	add := func(bad bool, field, text string) {
		if bad {
			violations = append(violations, holdfast.Violation{Field: "filter." + field, Description: text})
		}
	}
	add(f.EventType != "" && !holdfast.IsEventType(f.EventType), "eventType", "is not an event type")
	for _, s := range in.GetStates() {
		state, v := wordOf(holdfastv1.DeliveryState_name, int32(s), deliveryStatePrefix)
		add(len(v) > 0 || state == "", "states", "must be delivery states")
		f.States = append(f.States, holdfast.DeliveryState(state))
	}
	if len(f.States) == 0 {
		f.States = []holdfast.DeliveryState{holdfast.DeliveryExhausted, holdfast.DeliveryCancelled}
	}
	add(in.GetFrom() != nil && in.GetFrom().CheckValid() != nil, "from", "is not a valid time")
	add(in.GetTo() != nil && in.GetTo().CheckValid() != nil, "to", "is not a valid time")
	add(f.WebhookID == "" && f.EventType == "" && in.GetFrom() == nil && in.GetTo() == nil,
		"webhookId", "give at least one of webhookId, eventType, from and to")
	if in.GetFrom() != nil {
		f.From = in.GetFrom().AsTime().UnixMilli()
	}
	f.To = time.Now().UnixMilli() + 1 // what becomes durable later is not meant, and a replay must end
	if in.GetTo() != nil {
		f.To = in.GetTo().AsTime().UnixMilli()
	}
	add(f.From >= f.To, "from", "must be before to")
	return f, violations
}

// replayIDViolations: ids become parts of workflow ids.
func replayIDViolations(field, id string, required bool) []holdfast.Violation {
	bad := len(id) > 64 || strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
	switch {
	case required && id == "":
		return []holdfast.Violation{{Field: field, Description: "is required"}}
	case bad:
		return []holdfast.Violation{{Field: field, Description: "may have up to 64 letters, digits, _ and -"}}
	}
	return nil
}

func (h *deliveries) GetReplay(ctx context.Context, req *holdfastv1.GetReplayRequest) (*holdfastv1.GetReplayResponse, error) {
	replay, err := h.replay(ctx, req.GetId(), h.control.ReplayStatus)
	return &holdfastv1.GetReplayResponse{Replay: replay}, err
}

func (h *deliveries) PauseReplay(ctx context.Context, req *holdfastv1.PauseReplayRequest) (*holdfastv1.PauseReplayResponse, error) {
	replay, err := h.replay(ctx, req.GetId(), h.control.PauseReplay)
	return &holdfastv1.PauseReplayResponse{Replay: replay}, err
}

func (h *deliveries) ResumeReplay(ctx context.Context, req *holdfastv1.ResumeReplayRequest) (*holdfastv1.ResumeReplayResponse, error) {
	replay, err := h.replay(ctx, req.GetId(), h.control.ResumeReplay)
	return &holdfastv1.ResumeReplayResponse{Replay: replay}, err
}

func (h *deliveries) CancelReplay(ctx context.Context, req *holdfastv1.CancelReplayRequest) (*holdfastv1.CancelReplayResponse, error) {
	replay, err := h.replay(ctx, req.GetId(), h.control.CancelReplay)
	return &holdfastv1.CancelReplayResponse{Replay: replay}, err
}

func (h *deliveries) replay(ctx context.Context, id string, do func(context.Context, string) (Replay, error)) (*holdfastv1.Replay, error) {
	if err := holdfast.Invalid(replayIDViolations("id", id, true)); err != nil {
		return nil, err
	}
	r, err := do(ctx, id)
	if err != nil {
		return nil, err
	}
	return h.replayMessage(&r), nil
}

func (h *deliveries) replayMessage(r *Replay) *holdfastv1.Replay {
	out := &holdfastv1.Replay{
		Id: r.ID, State: holdfastv1.ReplayState(holdfastv1.ReplayState_value["REPLAY_STATE_"+strings.ToUpper(string(r.State))]),
		Filter:   &holdfastv1.ReplayFilter{WebhookId: r.Filter.WebhookID, EventType: r.Filter.EventType},
		Expected: r.Expected, Replayed: r.Replayed, Refused: r.Refused, LastRefusal: r.LastRefusal, Actor: r.Actor,
		StartTime: timeOfMS(r.StartedAt), EndTime: timeOfMS(r.EndedAt), TemporalUrl: h.links.workflow(r.WorkflowID, ""),
	}
	for _, s := range r.Filter.States {
		out.Filter.States = append(out.Filter.States, deliveryState(s))
	}
	if r.Filter.From != 0 {
		out.Filter.From = timestamppb.New(time.UnixMilli(r.Filter.From))
	}
	if r.Filter.To != 0 {
		out.Filter.To = timestamppb.New(time.UnixMilli(r.Filter.To))
	}
	return out
}

// WatchDeliveries streams changes until the caller leaves. The first message is empty: it says that nothing that happens
// from now on is missed.
func (h *deliveries) WatchDeliveries(
	ctx context.Context, req *holdfastv1.WatchDeliveriesRequest, stream *connect.ServerStream[holdfastv1.WatchDeliveriesResponse],
) error {
	violations := knownEventType(req.GetEventType())
	state, v := wordOf(holdfastv1.DeliveryState_name, int32(req.GetState()), deliveryStatePrefix)
	if err := holdfast.Invalid(append(violations, v...)); err != nil {
		return err
	}
	changes, err := h.control.Watch(ctx, DeliveryFilter{
		WebhookID: req.GetWebhookId(), EventType: req.GetEventType(), State: holdfast.DeliveryState(state),
	})
	if err != nil {
		return err
	}
	if err := stream.Send(&holdfastv1.WatchDeliveriesResponse{}); err != nil {
		return err
	}
	for {
		select {
		case change, open := <-changes:
			if !open {
				if ctx.Err() != nil {
					return nil //nolint:nilerr // the caller has left
				}
				return holdfast.Errorf(holdfast.CodeUnavailable, "the stream of changes ended; watch again")
			}
			err := stream.Send(&holdfastv1.WatchDeliveriesResponse{Delivery: h.message(change.Delivery), Skipped: change.Skipped})
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return nil // the caller has left
		}
	}
}
