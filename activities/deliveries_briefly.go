package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/emprops/holdfast"
)

// Bounds of the waits that a process makes itself. A retry after a durable timer costs Temporal half a dozen writes. An endpoint
// that fails for all its events asks for one after the other, and the events of others would wait for those writes (G7).
const (
	// brieflyFor is how long one call waits for attempts. Its workflow hears no signal meanwhile, and has a task open that must
	// not time out: then another node would wait for the same attempt.
	brieflyFor = 4 * time.Second
	// maxBrief is how many calls wait on a node; past it there are durable timers for everybody.
	maxBrief = 256
	// brieflyLook is how often those who wait look whether their webhook still takes deliveries.
	brieflyLook = 100 * time.Millisecond
)

// BriefRetry is a delivery whose last outcome was Brief.
type BriefRetry struct {
	Request AttemptRequest // for the next attempt
	Event   holdfast.Event
	Outcome Outcome
}

// RetryBriefly waits for a delivery's next attempt and makes it, and those after it, until the delivery is over, or its next
// attempt is too far away or would take long. It returns an outcome that is not Brief, with what is left of its delay. Run it as
// a local activity: should the process die, the record tells which attempts were made and when the next one is due, and the
// workflow goes on from there.
func (d *Deliveries) RetryBriefly(ctx context.Context, b BriefRetry) (Outcome, error) {
	o, in, until := b.Outcome, b.Request, time.Now().Add(brieflyFor)
	select {
	case d.brief <- struct{}{}:
		defer func() { <-d.brief }()
	default:
		o.Brief = false
	}
	for o.Brief {
		due := time.Now().Add(time.Duration(o.DelayMS) * time.Millisecond)
		if due.After(until) || !d.awaitDue(ctx, in.WebhookID, due) {
			o.DelayMS = max(1, time.Until(due).Milliseconds())
			break
		}
		in.Number, in.Waits = o.Attempts+1, o.Waits
		next := d.attemptHere(ctx, in, b.Event)
		switch {
		case next.InFlight != "":
			next.Status = o.Status
		case next.State == holdfast.DeliveryPending: // no attempt was made
			next.State, next.Attempts, next.Status = o.State, o.Attempts, o.Status
		}
		o = next
	}
	o.Brief = false
	return o, nil
}

// awaitDue waits until an attempt is due, or until its webhook takes none, as the attempt will find. It returns false when
// this process is about to end.
func (d *Deliveries) awaitDue(ctx context.Context, webhookID string, due time.Time) bool {
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	look := time.NewTicker(brieflyLook)
	defer look.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-look.C:
			if w, err := d.Webhooks.Webhook(webhookID); err != nil || w.State() != holdfast.WebhookActive {
				return true
			}
		case <-activity.GetWorkerStopChannel(ctx):
			return false
		case <-d.life.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// briefly marks an outcome whose next attempt this process can wait for itself.
func briefly(o Outcome) Outcome {
	delay := time.Duration(o.DelayMS) * time.Millisecond
	waits := o.State == holdfast.DeliveryRetrying || o.State == holdfast.DeliveryPending
	o.Brief = waits && o.Here && 0 < delay && delay <= brieflyFor && o.InFlight == "" && o.Unrecorded == nil
	return o
}
