package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/emprops/holdfast"
)

// AttemptHere makes one attempt as a local activity, for a delivery whose last outcome said Here. An endpoint that refuses
// is done with at once, and a regular activity costs Temporal several writes more. It returns at the cut-off like
// AttemptFirst, and leaves what it cannot do soon to a regular activity: an outcome without a delay and without Here.
func (d *Deliveries) AttemptHere(ctx context.Context, in AttemptRequest, event holdfast.Event) (Outcome, error) {
	return d.attemptHere(ctx, in, event), nil
}

func (d *Deliveries) attemptHere(ctx context.Context, in AttemptRequest, event holdfast.Event) Outcome {
	_ = d.Webhooks.Current(ctx) // with Redis away the last good state is the best there is (G5)
	if o, known := d.recorded(ctx, in); known {
		return briefly(o)
	}
	if d.long(in.WebhookID) {
		return briefly(d.putOff(in.WebhookID, in.Waits))
	}
	execution := activity.GetInfo(ctx).WorkflowExecution
	j := job{
		webhookID: in.WebhookID, event: &event, number: in.Number, createdAt: in.CreatedAt,
		workflow: execution.ID, run: execution.RunID, earlier: in.Unrecorded, base: in.BaseAttempts, waits: in.Waits, slow: true,
	}
	waiting, cancel := context.WithTimeout(d.life, slotPatience)
	defer cancel()
	f := d.launch(waiting, &j)
	cutoff := time.NewTimer(d.Cutoff)
	defer cutoff.Stop()
	select {
	case <-f.done:
	case <-d.life.Done():
	case <-cutoff.C:
	}
	if noSlot := f.finished() && errors.Is(f.err, errNoSlot); noSlot || !f.finished() && f.withdraw() {
		d.flights.forget(f)
		return briefly(d.busy(in.WebhookID, in.Waits))
	}
	return briefly(d.lookedAgain(ctx, in, d.collect(f, in.Number)))
}

// quickShare is the part of the cut-off in which an answer must have come for the next one to be expected soon.
const quickShare = 4

// quick tells whether the webhook's next answer is expected soon, be it good or bad.
func (d *Deliveries) quick(webhookID string) bool {
	return d.Lanes.Took(webhookID) < d.Cutoff/quickShare
}

// soon is the outcome of a delivery that is to be attempted now.
func (d *Deliveries) soon(webhookID string) Outcome {
	return Outcome{State: holdfast.DeliveryPending, Here: d.quick(webhookID)}
}

// long tells whether an attempt of the webhook would be made now and is expected to take its time.
func (d *Deliveries) long(webhookID string) bool {
	return d.Lanes.Slow(webhookID) && !d.quick(webhookID) && d.Lanes.Paused(webhookID) == 0 && d.active(webhookID)
}

// putOff is the outcome of an attempt that takes its time: a regular activity's work, if a slot is free.
func (d *Deliveries) putOff(webhookID string, waits int) Outcome {
	if d.Lanes.Full(webhookID) {
		return d.busy(webhookID, waits)
	}
	return Outcome{State: holdfast.DeliveryPending, Waits: waits}
}
