package activities

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// AttemptRequest asks for one attempt. The event is not in it: it is read from the start of the workflow.
type AttemptRequest struct {
	WebhookID string `json:"webhook_id"`
	EventID   string `json:"event_id"`
	Number    int    `json:"number"`
	CreatedAt int64  `json:"created_at"`
	Node      string `json:"node,omitempty"` // for JoinAttempt
	// Unrecorded are the records of earlier attempts that are not written yet.
	Unrecorded []Record `json:"unrecorded,omitempty"`
	// BaseAttempts are the attempts that the retry policy does not count: those before a replay, and probes.
	BaseAttempts int `json:"base_attempts,omitempty"`
	// Waits is how often in a row the delivery was sent away because no slot was free.
	Waits int `json:"waits,omitempty"`
	// Probe asks for an attempt whatever the webhook's state. A failed one leaves the delivery held, for HeldFor.
	Probe   bool   `json:"probe,omitempty"`
	HeldFor string `json:"held_for,omitempty"`
}

// slotPatience bounds how long a regular activity waits for a slot: past it the workflow waits instead, so that waiting
// holds no worker slot.
const slotPatience = 250 * time.Millisecond

// heartbeatEvery lets a lost node be noticed within seconds instead of at the attempt's deadline.
const heartbeatEvery = time.Second

// Attempt makes one attempt as a regular activity. The record is asked first: an earlier run of the activity, or the node
// that began the attempt and died, may have got through.
func (d *Deliveries) Attempt(ctx context.Context, in AttemptRequest) (Outcome, error) {
	info := activity.GetInfo(ctx)
	if err := d.Webhooks.Current(ctx); err != nil {
		d.Logger.Debug("attempting on the last good registry snapshot", zap.Error(err))
	}
	if o, known := d.recorded(ctx, in); known {
		return o, nil
	}
	event, err := d.Payloads.Event(ctx, info.WorkflowExecution.ID, info.WorkflowExecution.RunID)
	if err != nil {
		return Outcome{}, ours(err)
	}
	j := job{
		webhookID: in.WebhookID, event: event, number: in.Number, createdAt: in.CreatedAt,
		workflow: info.WorkflowExecution.ID, run: info.WorkflowExecution.RunID, earlier: in.Unrecorded,
		base: in.BaseAttempts, waits: in.Waits, slow: true, probe: in.Probe, heldFor: in.HeldFor,
	}
	waiting, cancel := context.WithTimeout(ctx, slotPatience)
	defer cancel()
	f := d.launch(waiting, &j)
	return d.join(ctx, f, in)
}

// recorded answers from the record when that attempt, or a later one, is already in it.
func (d *Deliveries) recorded(ctx context.Context, in AttemptRequest) (Outcome, bool) {
	r, err := d.Store.Delivery(ctx, in.WebhookID, in.EventID)
	if err != nil || len(r.Attempts) == 0 {
		return Outcome{}, false
	}
	last := r.Attempts[len(r.Attempts)-1]
	if last.Number < in.Number {
		return Outcome{}, false
	}
	o := Outcome{State: r.State, Reason: r.Reason, Attempts: last.Number, Status: last.ResponseStatus}
	switch {
	case o.State == holdfast.DeliveryRetrying:
		o.DelayMS = max(0, r.NextAttemptAt-time.Now().UnixMilli())
	case o.State == holdfast.DeliveryExhausted:
		known := Record{Delivery: *r, Attempt: &last}
		failures, err := d.Store.Record(ctx, known) // changes nothing, but tells the failures again
		if err != nil {
			o.Unrecorded = known.light()
		}
		o.Disconnect = d.disconnect(in.WebhookID, o.State, o.Status, failures)
	case in.Probe && !last.Success:
		o.Detail = last.ErrorMessage
	case o.State == holdfast.DeliveryHeld: // a probe failed unheard; the delivery has been released since
		o.State, o.Reason = holdfast.DeliveryRetrying, ""
	}
	o.Here = !o.State.Final() && d.quick(in.WebhookID)
	return o, true
}

// lookedAgain is lookAgain for one delivery.
func (d *Deliveries) lookedAgain(ctx context.Context, in AttemptRequest, o Outcome) Outcome {
	if o.State != holdfast.DeliveryHeld || o.Unrecorded != nil || in.Probe {
		return o
	}
	_ = d.Webhooks.Current(ctx) // the last good state is the best there is (G5)
	if d.active(in.WebhookID) {
		return d.soon(in.WebhookID)
	}
	return o
}

// ErrorNoFlight is the type of JoinAttempt's error when this process does not know the attempt: it was restarted.
const ErrorNoFlight = "no_flight"

// JoinAttempt waits for an attempt that a local activity began on this node. It runs on the node's own task queue.
func (d *Deliveries) JoinAttempt(ctx context.Context, in AttemptRequest) (Outcome, error) {
	f := d.flights.find(holdfast.DeliveryID(in.WebhookID, in.EventID) + "#" + strconv.Itoa(in.Number))
	if f == nil {
		return Outcome{}, temporal.NewNonRetryableApplicationError("the attempt is not under way here", ErrorNoFlight, nil)
	}
	return d.join(ctx, f, in)
}

// A workflow that found no slot waits before it asks again, each time in a row twice as long: a wait costs its history a
// timer and an activity, however long it is.
const (
	busyDelay    = time.Second
	maxBusyDelay = 32 * time.Second
)

// busy is the outcome of an attempt that found no slot. To look again takes no time.
func (d *Deliveries) busy(webhookID string, waits int) Outcome {
	delay := d.Lanes.SlotTurn(webhookID, min(maxBusyDelay, busyDelay<<min(waits, 5)))
	return Outcome{State: holdfast.DeliveryPending, DelayMS: delay.Milliseconds(), Waits: waits + 1, Here: true}
}

func (d *Deliveries) join(ctx context.Context, f *flight, in AttemptRequest) (Outcome, error) {
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		select {
		case <-f.done:
			d.flights.forget(f)
			switch {
			case errors.Is(f.err, errNoSlot):
				return d.busy(in.WebhookID, in.Waits), nil
			case f.err != nil:
				return Outcome{}, ours(f.err)
			}
			return d.lookedAgain(ctx, in, f.outcome), nil
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
			if under, way := f.underWayFor(); way {
				d.Lanes.UnderWay(f.webhook, under)
			}
		case <-ctx.Done():
			if f.withdraw() {
				d.flights.forget(f)
			} else {
				d.flights.handOver(f)
			}
			return Outcome{}, ctx.Err()
		}
	}
}

// errNoSlot ends a flight that did not get its slots in time, or that was withdrawn while it waited: nothing was sent.
var errNoSlot = errors.New("no slot was free")

// launch has the attempt made in the background, or returns the one that is under way already.
func (d *Deliveries) launch(waiting context.Context, j *job) *flight {
	return d.flights.launch(d.life, j.key(), j.webhookID, func(life context.Context, f *flight) (Outcome, error) {
		return d.fly(waiting, life, f, j)
	})
}

// fly makes the attempt if the webhook's state and pace allow, as soon as it has its slots: it waits for them as long as
// waiting lasts, then goes on for as long as the node lives. The slots are for the receiver's sake: looking at the webhook
// and recording need none.
func (d *Deliveries) fly(waiting, life context.Context, f *flight, j *job) (Outcome, error) {
	w, o, err := d.look(life, j)
	if err != nil {
		return Outcome{}, err
	}
	if w == nil {
		if !f.begin(nil) {
			return Outcome{}, errNoSlot
		}
		return d.settle(life, j, nil, o), nil
	}
	if wait := d.pacer.paused(w.ID); wait > 0 && !j.probe {
		return d.paced(w.ID, wait), nil
	}
	slot, err := d.Lanes.Acquire(waiting, j.webhookID, j.slow)
	if err != nil {
		return Outcome{}, errNoSlot
	}
	attempt, o, err := d.perform(life, f, j, slot)
	slot.Release()
	if err != nil {
		return Outcome{}, err
	}
	if attempt != nil && throttling(attempt.ResponseStatus) {
		d.throttle(life, attempt)
	}
	if o.State == holdfast.DeliveryPending {
		return o, nil
	}
	return d.settle(life, j, attempt, o), nil
}

// paced is the outcome of an attempt that may not begin yet; it counts as none.
func (d *Deliveries) paced(webhookID string, wait time.Duration) Outcome {
	o := d.soon(webhookID)
	o.DelayMS = max(1, wait.Milliseconds())
	return o
}

// look returns the webhook as it is now, or what its state means for a delivery that cannot be attempted. An error means
// that nobody knows.
func (d *Deliveries) look(ctx context.Context, j *job) (*holdfast.Webhook, Outcome, error) {
	w, err := d.webhook(ctx, j)
	switch {
	case err != nil:
		return nil, Outcome{}, err
	case w == nil:
		return nil, Outcome{State: holdfast.DeliveryCancelled, Reason: "the webhook is deleted", Attempts: j.number - 1}, nil
	case w.State() != holdfast.WebhookActive && !j.probe:
		return nil, Outcome{State: holdfast.DeliveryHeld, Reason: w.HoldReason(), Attempts: j.number - 1, Here: d.quick(w.ID)}, nil
	}
	return w, Outcome{}, nil
}

// perform makes one attempt with the webhook's configuration of this moment, and decides what it means. An error means
// that we failed before a request was answered; without an attempt the outcome says why there is none.
func (d *Deliveries) perform(ctx context.Context, f *flight, j *job, slot *Slot) (*holdfast.Attempt, Outcome, error) {
	w, o, err := d.look(ctx, j) // waiting for the slot took time
	if w == nil {
		return nil, o, err
	}
	if !j.probe {
		if wait := d.pacer.paused(w.ID); wait > 0 {
			return nil, d.paced(w.ID, wait), nil
		}
		if wait := d.pacer.admit(ctx, w, j.slow); wait > 0 {
			return nil, d.paced(w.ID, wait), nil
		}
	}
	if !f.begin(slot) {
		return nil, Outcome{}, errNoSlot
	}
	attempt, err := d.Sender.Send(ctx, w, j.event, j.number)
	if err != nil {
		return nil, Outcome{}, err
	}
	d.Lanes.Observe(w.ID, d.speed(&attempt), duration(&attempt))
	o = ruling{base: j.base, retryAfterMax: d.RetryAfterMax, spread: d.spread()}.decide(w.RetryConfig, &attempt)
	if j.probe && o.State != holdfast.DeliveryDelivered {
		o = Outcome{
			State: holdfast.DeliveryHeld, Reason: j.heldFor, Attempts: o.Attempts, Status: o.Status, Detail: attempt.ErrorMessage,
		}
	}
	o.Here = !o.State.Final() && d.quick(w.ID)
	return &attempt, o, nil
}

// spread is chance, so that deliveries that failed together do not come back together.
func (*Deliveries) spread() float64 {
	return rand.Float64() //nolint:gosec // nothing depends on its being hard to guess
}

// throttle pauses the webhook for all its deliveries, on every node.
func (d *Deliveries) throttle(ctx context.Context, a *holdfast.Attempt) {
	asked := min(time.Duration(a.RetryAfter)*time.Millisecond, d.RetryAfterMax)
	until, changed := d.Lanes.Throttle(a.WebhookID, asked)
	if !changed {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	d.pacer.pause(ctx, a.WebhookID, until)
}

func duration(a *holdfast.Attempt) time.Duration {
	return time.Duration(a.DurationMS * float64(time.Millisecond))
}

func (d *Deliveries) speed(a *holdfast.Attempt) Speed {
	switch {
	case duration(a) >= d.Cutoff:
		return TooSlow
	case !a.Success && a.ResponseStatus == 0:
		return TooSlow
	case !a.Success:
		return Failing
	}
	return Good
}

// webhook returns nil when the webhook is deleted. That Redis does not know it proves nothing: it may have been wiped.
func (d *Deliveries) webhook(ctx context.Context, j *job) (*holdfast.Webhook, error) {
	w, err := d.Webhooks.Webhook(j.webhookID)
	if err == nil || holdfast.ErrorCode(err) != holdfast.CodeNotFound {
		return w, err
	}
	exists, err := d.Registered.Registered(ctx, j.webhookID)
	switch {
	case err != nil:
		return nil, err
	case exists:
		return nil, holdfast.Errorf(holdfast.CodeUnavailable, "webhook %s is registered but not in this node's cache yet", j.webhookID)
	}
	return nil, nil
}
