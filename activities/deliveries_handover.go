package activities

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// Successor is a delivery that goes on as a workflow of its own.
type Successor struct {
	WebhookID        string
	Event            holdfast.Event
	CreatedAt        int64 // ms
	AttemptTimeoutMS int64
	HoldForMS        int64
	Outcome          Outcome
}

// Successors starts the workflows of deliveries that go on by themselves. Starting one that is open already succeeds.
type Successors interface {
	StartSuccessor(ctx context.Context, s Successor) error
}

// successorStarts is how many of them a node starts at a time, whichever groups they come from: nobody waits for these
// starts, and Temporal, which does one after the other, is to do those first that publishers wait for.
const successorStarts = 1

// HandOver starts a workflow for each of a group's deliveries that are still open. Run it as a local activity: as a child
// workflow, each would cost the group's own history a dozen events more and would have to wait for its lock. One that is
// not attempted yet is recorded first, so that a group which is done again after a crash does not attempt it as well.
func (d *Deliveries) HandOver(ctx context.Context, all []Successor) error {
	for _, s := range all {
		if s.Outcome.State == holdfast.DeliveryPending && s.Outcome.Attempts == 0 {
			d.recordWaiting(ctx, s)
		}
		if err := d.startSuccessor(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (d *Deliveries) startSuccessor(ctx context.Context, s Successor) error {
	select {
	case d.successors <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.successors }()
	return d.Successors.StartSuccessor(ctx, s)
}

// recordWaiting writes that a delivery exists and waits. Without Redis nobody sees it yet; its first attempt is recorded.
func (d *Deliveries) recordWaiting(ctx context.Context, s Successor) {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	r := Record{Delivery: holdfast.Delivery{
		WebhookID: s.WebhookID, EventID: s.Event.ID, EventType: s.Event.Type, State: s.Outcome.State,
		CreatedAt: s.CreatedAt, UpdatedAt: time.Now().UnixMilli(),
	}}
	if s.Outcome.DelayMS > 0 {
		r.Delivery.NextAttemptAt = r.Delivery.UpdatedAt + s.Outcome.DelayMS
	}
	if _, err := d.Store.Record(ctx, r); err != nil {
		d.Logger.Debug("a waiting delivery is not recorded", zap.Error(err))
	}
}
