package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// DeliveryInput starts a Delivery. Outcome and the fields after it carry a delivery over from a group or a previous run.
type DeliveryInput struct {
	WebhookID string         `json:"webhook_id"`
	Event     holdfast.Event `json:"event"`
	CreatedAt int64          `json:"created_at"` // ms
	// AttemptTimeoutMS bounds one attempt; HoldForMS how long the delivery is held before it expires.
	AttemptTimeoutMS int64               `json:"attempt_timeout_ms"`
	HoldForMS        int64               `json:"hold_for_ms"`
	Outcome          *activities.Outcome `json:"outcome,omitempty"`
	HeldSince        int64               `json:"held_since,omitempty"` // ms
	// BaseAttempts is how many attempts were made before the delivery was begun anew; the retry policy counts from there.
	BaseAttempts int `json:"base_attempts,omitempty"`
}

// DeliveryStatus is the answer of a Delivery's status query, and its result.
type DeliveryStatus struct {
	State    holdfast.DeliveryState `json:"state"`
	Reason   string                 `json:"reason,omitempty"`
	Attempts int                    `json:"attempts"`
	Status   int                    `json:"status,omitempty"`
}

// delivery is the state of one Delivery run.
type delivery struct {
	in      DeliveryInput
	out     activities.Outcome
	left    leftover
	signals struct{ retryNow, hold, resume, cancel workflow.ReceiveChannel }
}

// nil pointers: the workflows refer to activities by method, the worker registers the real ones.
var (
	deliveries    *activities.Deliveries
	registrations *activities.Registrations
	nodes         *activities.Nodes
	nodeCache     *activities.NodeCache
)

// Delivery sees one event's delivery to one webhook through to a final state (G4): the first attempt inside the workflow
// task that came with the start, every later one after a durable timer.
func Delivery(ctx workflow.Context, in DeliveryInput) (DeliveryStatus, error) {
	d := &delivery{in: in}
	if err := d.setup(ctx); err != nil {
		return DeliveryStatus{}, err
	}
	status, err := d.run(ctx)
	if temporal.IsCanceledError(err) {
		return d.cancelled(ctx, err)
	}
	return status, err
}

// cancelled records that the workflow was cancelled around the signal, as Temporal's own tools do: an end like any other.
func (d *delivery) cancelled(ctx workflow.Context, cause error) (DeliveryStatus, error) {
	ctx, stop := workflow.NewDisconnectedContext(ctx)
	defer stop()
	err := d.change(ctx, holdfast.DeliveryCancelled, "its workflow was cancelled")
	if err == nil {
		err = d.publish(ctx)
	}
	if err != nil {
		return d.status(), err
	}
	return d.status(), cause
}

func (d *delivery) setup(ctx workflow.Context) error {
	if d.in.Outcome != nil {
		d.out = *d.in.Outcome
		d.in.Outcome = nil
	} else {
		d.out = activities.Outcome{State: holdfast.DeliveryPending, Attempts: -1}
	}
	d.signals.retryNow = workflow.GetSignalChannel(ctx, SignalRetryNow)
	d.signals.hold = workflow.GetSignalChannel(ctx, SignalHold)
	d.signals.resume = workflow.GetSignalChannel(ctx, SignalResume)
	d.signals.cancel = workflow.GetSignalChannel(ctx, SignalCancel)
	return workflow.SetQueryHandler(ctx, QueryStatus, func() (DeliveryStatus, error) { return d.status(), nil })
}

func (d *delivery) status() DeliveryStatus {
	return DeliveryStatus{State: d.out.State, Reason: d.out.Reason, Attempts: max(0, d.out.Attempts), Status: d.out.Status}
}

func (d *delivery) run(ctx workflow.Context) (DeliveryStatus, error) {
	for {
		d.recordLeftOver(ctx)
		if d.out.State.Final() {
			if err := d.allRecorded(ctx); err != nil {
				return d.status(), err
			}
			return d.status(), d.publish(ctx)
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && !d.signalled() && len(d.left.records) == 0 {
			d.in.Outcome = &d.out
			return d.status(), workflow.NewContinueAsNewError(ctx, Delivery, d.in)
		}
		if err := d.step(ctx); err != nil {
			return d.status(), err
		}
	}
}

// signalled tells whether a signal waits to be heard; a new run would not hear it.
func (d *delivery) signalled() bool {
	s := &d.signals
	return s.retryNow.Len()+s.hold.Len()+s.resume.Len()+s.cancel.Len() > 0
}

// forgetResume drops resumes that came while nothing was held: they must not undo a later hold.
func (d *delivery) forgetResume() {
	for d.signals.resume.ReceiveAsync(nil) {
	}
}

// step moves the delivery on from where its last outcome left it.
func (d *delivery) step(ctx workflow.Context) error {
	switch {
	case d.out.Attempts < 0:
		return d.first(ctx)
	case d.out.InFlight != "":
		return d.join(ctx)
	case d.out.State == holdfast.DeliveryHeld:
		return d.held(ctx)
	case d.out.DelayMS > 0:
		return d.wait(ctx)
	default:
		return d.attempt(ctx, d.out.Attempts+1)
	}
}

// first makes the first attempt as a local activity: no task of its own, and no second copy of the payload in history.
func (d *delivery) first(ctx workflow.Context) error {
	set := activities.FirstAttempts{
		Events: []holdfast.Event{d.in.Event}, Targets: []activities.Target{{WebhookID: d.in.WebhookID}}, CreatedAt: d.in.CreatedAt,
	}
	result, err := attemptFirst(ctx, set)
	switch {
	case err != nil:
		return err
	case len(result.Open) == 0:
		d.out = activities.Outcome{State: holdfast.DeliveryDelivered, Attempts: 1}
	default:
		d.out = result.Open[0].Outcome
		return d.publish(ctx)
	}
	return nil
}

// attemptFirst runs a set of first attempts. It ends at the cut-off, so its timeout only guards against a stuck process.
func attemptFirst(ctx workflow.Context, set activities.FirstAttempts) (activities.FirstResult, error) {
	var result activities.FirstResult
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: time.Minute,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond},
	})
	err := workflow.ExecuteLocalActivity(ctx, deliveries.AttemptFirst, set).Get(ctx, &result)
	return result, err
}

// join waits for the attempt that the first local activity left under way on its node. If that node is gone the attempt
// is made again: it was in flight, and nobody can tell whether it got through (G6).
func (d *delivery) join(ctx workflow.Context) error {
	on := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueNode(d.out.InFlight), ScheduleToStartTimeout: 15 * time.Second,
		StartToCloseTimeout: d.attemptTimeout(), HeartbeatTimeout: heartbeatTimeout,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	number := d.out.Attempts
	var out activities.Outcome
	err := workflow.ExecuteActivity(on, deliveries.JoinAttempt, d.request(number)).Get(ctx, &out)
	switch {
	case temporal.IsCanceledError(err):
		return err
	case err != nil:
		return d.attempt(ctx, number)
	}
	return d.took(ctx, number, out)
}

// attempt makes one attempt as a regular activity in the slow lane. It is repeated without limit while we fail.
func (d *delivery) attempt(ctx workflow.Context, number int) error {
	slow := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueSlow, StartToCloseTimeout: d.attemptTimeout(), HeartbeatTimeout: heartbeatTimeout,
		RetryPolicy: weFailed,
	})
	var out activities.Outcome
	if err := workflow.ExecuteActivity(slow, deliveries.Attempt, d.request(number)).Get(ctx, &out); err != nil {
		return err
	}
	return d.took(ctx, number, out)
}

// took accepts an outcome. One without a new attempt (no slot was free) keeps the count.
func (d *delivery) took(ctx workflow.Context, number int, out activities.Outcome) error {
	if out.State == holdfast.DeliveryPending {
		out.Attempts = number - 1
		if number > 1 {
			out.State = holdfast.DeliveryRetrying
		}
	}
	changed := out.State != d.out.State || out.Attempts != d.out.Attempts
	d.out = out
	if !changed || out.State.Final() {
		return nil
	}
	return d.publish(ctx)
}

// wait sleeps until the next attempt is due, or until somebody says otherwise.
func (d *delivery) wait(ctx workflow.Context) error {
	delay := time.Duration(d.out.DelayMS) * time.Millisecond
	d.out.DelayMS = 0
	d.forgetResume()
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	var err error
	workflow.NewSelector(ctx).
		AddReceive(d.signals.cancel, func(c workflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, nil)
			err = d.change(ctx, holdfast.DeliveryCancelled, "cancelled by an operator")
		}).
		AddReceive(d.signals.hold, func(c workflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, nil)
			d.forgetResume()
			err = d.change(ctx, holdfast.DeliveryHeld, "held by an operator")
		}).
		AddReceive(d.signals.retryNow, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }).
		AddFuture(workflow.NewTimer(timerCtx, delay), func(f workflow.Future) { err = f.Get(ctx, nil) }).
		Select(ctx)
	return err
}

// held waits until the delivery is released, cancelled or too old.
func (d *delivery) held(ctx workflow.Context) error {
	now := workflow.Now(ctx)
	if d.in.HeldSince == 0 {
		d.in.HeldSince = now.UnixMilli()
	}
	left := time.UnixMilli(d.in.HeldSince + d.in.HoldForMS).Sub(now)
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	var err error
	release := func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		d.out.State, d.out.Reason, d.in.HeldSince = holdfast.DeliveryPending, "", 0
		err = d.publish(ctx)
	}
	workflow.NewSelector(ctx).
		AddReceive(d.signals.cancel, func(c workflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, nil)
			err = d.change(ctx, holdfast.DeliveryCancelled, "cancelled by an operator while held")
		}).
		AddReceive(d.signals.hold, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }). // it is held already
		AddReceive(d.signals.resume, release).
		AddReceive(d.signals.retryNow, release).
		AddFuture(workflow.NewTimer(timerCtx, max(0, left)), func(f workflow.Future) {
			if err = f.Get(ctx, nil); err == nil {
				err = d.change(ctx, holdfast.DeliveryCancelled, "expired while held")
			}
		}).
		Select(ctx)
	return err
}

// change records a state that no attempt brought about, then adopts it.
func (d *delivery) change(ctx workflow.Context, state holdfast.DeliveryState, reason string) error {
	if err := d.allRecorded(ctx); err != nil { // the state goes into the record of the attempts
		return err
	}
	light := workflow.WithActivityOptions(ctx, lightOptions)
	err := workflow.ExecuteActivity(light, deliveries.RecordState, activities.StateChange{
		WebhookID: d.in.WebhookID, EventID: d.in.Event.ID, EventType: d.in.Event.Type, CreatedAt: d.in.CreatedAt,
		State: state, Reason: reason,
	}).Get(ctx, nil)
	if err != nil {
		return err
	}
	d.out.State, d.out.Reason = state, reason
	if state.Final() {
		return nil
	}
	return d.publish(ctx)
}

// leftover is the records that attempts could not write, in their order, until they are written.
type leftover struct {
	records []activities.Record
	writing bool
	err     error
}

// recordLeftOver sees to a record that its attempt could not write, for as long as it takes. The delivery goes on
// meanwhile: it needs no Redis (G5).
func (d *delivery) recordLeftOver(ctx workflow.Context) {
	if d.out.Unrecorded == nil {
		return
	}
	d.left.records = append(d.left.records, *d.out.Unrecorded)
	d.out.Unrecorded = nil
	if d.left.writing {
		return
	}
	d.left.writing = true
	ctx, _ = workflow.NewDisconnectedContext(ctx) // what was sent is recorded, also of a delivery that is cancelled
	workflow.Go(ctx, func(ctx workflow.Context) {
		for len(d.left.records) > 0 && d.left.err == nil {
			n := len(d.left.records)
			d.left.err = recordOutcomes(ctx, d.left.records[:n:n])
			d.left.records = d.left.records[n:]
		}
		d.left.writing = false
	})
}

// allRecorded waits until no record is left over.
func (d *delivery) allRecorded(ctx workflow.Context) error {
	if d.left.writing {
		if err := workflow.Await(ctx, func() bool { return !d.left.writing }); err != nil {
			return err
		}
	}
	return d.left.err
}

func recordOutcomes(ctx workflow.Context, records []activities.Record) error {
	light := workflow.WithActivityOptions(ctx, lightOptions)
	return workflow.ExecuteActivity(light, deliveries.RecordOutcomes, activities.Records{Records: records}).Get(ctx, nil)
}

// publish shows the delivery's state in the search attributes, for the Temporal UI and for lists.
func (d *delivery) publish(ctx workflow.Context) error {
	return workflow.UpsertTypedSearchAttributes(ctx,
		AttrDeliveryState.ValueSet(string(d.out.State)),
		AttrHTTPStatus.ValueSet(int64(d.out.Status)),
		AttrAttempts.ValueSet(int64(max(0, d.out.Attempts))))
}

func (d *delivery) request(number int) activities.AttemptRequest {
	return activities.AttemptRequest{
		WebhookID: d.in.WebhookID, EventID: d.in.Event.ID, Number: number, CreatedAt: d.in.CreatedAt, Node: d.out.InFlight,
		Unrecorded: d.left.records,
	}
}

// attemptTimeout leaves an attempt time for its slot and its record beside its own deadline.
func (d *delivery) attemptTimeout() time.Duration {
	return time.Duration(d.in.AttemptTimeoutMS)*time.Millisecond + 15*time.Second
}

// heartbeatTimeout is how long a node may be silent before its attempt is given to another.
const heartbeatTimeout = 5 * time.Second

// weFailed is the retry policy for failures of our own: without limit, since giving up would lose something.
var weFailed = &temporal.RetryPolicy{
	InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second,
}

// lightOptions are for activities that only talk to Redis or to us. A cancelled one is let finish: a write that came
// after what undoes it would stay.
var lightOptions = workflow.ActivityOptions{
	TaskQueue: QueueMain, StartToCloseTimeout: 15 * time.Second, WaitForCancellation: true, RetryPolicy: weFailed,
}
