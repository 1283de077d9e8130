package app

import (
	"context"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/server"
	"github.com/emprops/holdfast/workflows"
)

// deliveryControl is the API's way to change what becomes of deliveries.
type deliveryControl struct {
	deliveries deliveries
	store      *redisstore.Store
	control    *temporalclient.Control
	replays    *temporalclient.Replays
}

func (d *deliveryControl) Retry(ctx context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	record, err := d.deliveries.Delivery(ctx, webhookID, eventID)
	if err != nil {
		return nil, err
	}
	if err := d.control.Restart(ctx, activities.Restart{Delivery: record}); err != nil {
		return nil, err
	}
	return d.deliveries.Delivery(ctx, webhookID, eventID)
}

func (d *deliveryControl) Cancel(ctx context.Context, webhookID, eventID, reason string) (*holdfast.Delivery, error) {
	if _, err := d.deliveries.Delivery(ctx, webhookID, eventID); err != nil {
		return nil, err
	}
	if reason == "" {
		reason = "cancelled by an operator"
	}
	if err := d.control.Cancel(ctx, webhookID, eventID, reason); err != nil {
		return nil, err
	}
	return d.deliveries.Delivery(ctx, webhookID, eventID)
}

// Matching counts in one pass, whatever states are asked for. A single state may have an index of its own.
func (d *deliveryControl) Matching(ctx context.Context, f holdfast.ReplayFilter) (n int64, exact bool, err error) {
	if len(f.States) == 1 {
		return d.store.CountDeliveries(ctx, storedFilter(f, f.States[0]))
	}
	counts, exact, err := d.store.CountByState(ctx, storedFilter(f, ""))
	for state, count := range counts {
		if slices.Contains(f.States, state) {
			n += count
		}
	}
	return n, exact, err
}

func (d *deliveryControl) Replay(ctx context.Context, r server.ReplayRequest, expected int64) (server.Replay, error) {
	id := r.RequestID
	if id == "" {
		id = ulid.Make().String()
	}
	err := d.replays.Start(ctx, workflows.ReplayInput{
		ID: id, Filter: r.Filter, Actor: r.Actor, PerSecond: r.PerSecond, Expected: expected,
	})
	if err != nil {
		return server.Replay{}, err
	}
	return d.ReplayStatus(ctx, id)
}

func (d *deliveryControl) ReplayStatus(ctx context.Context, id string) (server.Replay, error) {
	s, err := d.replays.Status(ctx, id)
	return server.Replay{
		ID: id, State: s.State, Filter: s.Filter, Expected: s.Expected,
		Replayed: s.Replayed, Refused: s.Refused, LastRefusal: s.LastRefusal, Actor: s.Actor,
		StartedAt: s.StartedAt, EndedAt: s.EndedAt, WorkflowID: workflows.ReplayWorkflowID(id),
	}, err
}

func (d *deliveryControl) PauseReplay(ctx context.Context, id string) (server.Replay, error) {
	return d.steer(ctx, id, workflows.SignalPause)
}

func (d *deliveryControl) ResumeReplay(ctx context.Context, id string) (server.Replay, error) {
	return d.steer(ctx, id, workflows.SignalResume)
}

func (d *deliveryControl) CancelReplay(ctx context.Context, id string) (server.Replay, error) {
	return d.steer(ctx, id, workflows.SignalCancel)
}

func (d *deliveryControl) steer(ctx context.Context, id, signal string) (server.Replay, error) {
	if err := d.replays.Signal(ctx, id, signal); err != nil {
		return server.Replay{}, err
	}
	return d.ReplayStatus(ctx, id)
}

// Watch relays the storage's announcements of changes, with the records as they are when they are sent on.
func (d *deliveryControl) Watch(ctx context.Context, f server.DeliveryFilter) (<-chan server.DeliveryChange, error) {
	announced, err := d.store.WatchDeliveries(ctx)
	if err != nil {
		return nil, err
	}
	out := make(chan server.DeliveryChange)
	go func() {
		defer close(out)
		for a := range announced {
			if f.WebhookID != "" && a.WebhookID != f.WebhookID || f.EventID != "" && a.EventID != f.EventID {
				continue
			}
			record, err := d.store.Delivery(ctx, a.WebhookID, a.EventID)
			if err != nil || f.State != "" && record.State != f.State || f.EventType != "" && record.EventType != f.EventType {
				continue
			}
			select {
			case out <- server.DeliveryChange{Delivery: record, Skipped: a.Skipped}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

// reopen shows a delivery that ended as pending again.
func reopen(store *redisstore.Store) func(context.Context, *holdfast.Delivery) error {
	return func(ctx context.Context, d *holdfast.Delivery) error {
		open := *d
		open.State, open.Reason, open.NextAttemptAt = holdfast.DeliveryPending, "sent again", 0
		open.UpdatedAt = max(time.Now().UnixMilli(), d.UpdatedAt+1)
		return store.Record(ctx, []redisstore.Record{{Delivery: open, Reopen: true}})
	}
}

// deliveryList is the storage as replays see it.
type deliveryList struct{ store *redisstore.Store }

func (l deliveryList) ListDeliveries(
	ctx context.Context, f holdfast.ReplayFilter, size int, token string,
) ([]*holdfast.Delivery, string, error) {
	var state holdfast.DeliveryState
	if len(f.States) == 1 {
		state = f.States[0]
	}
	items, next, err := l.store.ListDeliveries(ctx, storedFilter(f, state), size, token)
	matching := items[:0]
	for _, d := range items {
		if f.Matches(d) {
			matching = append(matching, d)
		}
	}
	return matching, next, err
}

// storedFilter spells a filter for the storage, whose To is included.
func storedFilter(f holdfast.ReplayFilter, state holdfast.DeliveryState) redisstore.DeliveryFilter {
	out := redisstore.DeliveryFilter{WebhookID: f.WebhookID, EventType: f.EventType, State: state, From: f.From}
	if f.To > 0 {
		out.To = f.To - 1
	}
	return out
}

// heldIndex is the storage as sweeps see it.
type heldIndex struct{ store *redisstore.Store }

func (h heldIndex) Held(ctx context.Context, webhookID, after string, limit int) ([]activities.HeldDelivery, string, error) {
	items, next, err := h.store.Held(ctx, webhookID, after, limit)
	out := make([]activities.HeldDelivery, len(items))
	for i, item := range items {
		out[i] = activities.HeldDelivery(item)
	}
	return out, next, err
}

func (h heldIndex) StateOf(ctx context.Context, webhookID, eventID string) (holdfast.DeliveryState, error) {
	states, err := h.store.Settled(ctx, []redisstore.DeliveryKey{{WebhookID: webhookID, EventID: eventID}})
	if err != nil {
		return "", err
	}
	return states[0], nil
}
