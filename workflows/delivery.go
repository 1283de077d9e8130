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
	// BaseAttempts are the attempts that the retry policy does not count: those before a replay, and probes. Without an
	// Outcome it is also the number of attempts made so far.
	BaseAttempts int `json:"base_attempts,omitempty"`
	// Ordered is the workflow that gives this delivery its turn and is to hear of its end, when deliveries are made in
	// order; Turn says that it has its turn.
	Ordered string `json:"ordered,omitempty"`
	Turn    bool   `json:"turn,omitempty"`
	// LazyAttributes says that the search attributes leave out what will have changed again soon. Deliveries begun before
	// that was possible show every attempt.
	LazyAttributes bool `json:"lazy_attributes,omitempty"`
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
	in          DeliveryInput
	out         activities.Outcome
	left        leftover
	disconnects disconnects
	signals     struct{ retryNow, hold, resume, cancel, turn workflow.ReceiveChannel }
	woken       workflow.Channel // something a held delivery waits for has happened
	lookAgain   bool             // whoever releases held deliveries may not have known of this one
	probing     bool
	probed      ProbeAnswer // the last one
	deciding    bool        // a held delivery is being released, cancelled or is expiring
	unshown     bool        // the search attributes are behind
	shownAt     time.Time   // when they were last written
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
	if !d.out.State.Final() {
		if err := d.change(ctx, holdfast.DeliveryCancelled, "its workflow was cancelled"); err != nil {
			return d.status(), err
		}
	}
	if _, err := d.finish(ctx); err != nil {
		return d.status(), err
	}
	return d.status(), cause
}

func (d *delivery) setup(ctx workflow.Context) error {
	switch {
	case d.in.Outcome != nil:
		d.out = *d.in.Outcome
		d.in.Outcome = nil
	case d.in.BaseAttempts > 0:
		d.out = activities.Outcome{State: holdfast.DeliveryPending, Attempts: d.in.BaseAttempts}
	default:
		d.out = activities.Outcome{State: holdfast.DeliveryPending, Attempts: -1}
	}
	d.shownAt = workflow.Now(ctx)
	d.woken = workflow.NewBufferedChannel(ctx, 1)
	d.signals.retryNow = workflow.GetSignalChannel(ctx, SignalRetryNow)
	d.signals.hold = workflow.GetSignalChannel(ctx, SignalHold)
	d.signals.resume = workflow.GetSignalChannel(ctx, SignalResume)
	d.signals.turn = workflow.GetSignalChannel(ctx, SignalTurn)
	d.signals.cancel = workflow.GetSignalChannel(ctx, SignalCancel)
	if err := workflow.SetUpdateHandler(ctx, UpdateProbe, d.probe); err != nil {
		return err
	}
	return workflow.SetQueryHandler(ctx, QueryStatus, func() (DeliveryStatus, error) { return d.status(), nil })
}

func (d *delivery) status() DeliveryStatus {
	return DeliveryStatus{State: d.out.State, Reason: d.out.Reason, Attempts: max(0, d.out.Attempts), Status: d.out.Status}
}

func (d *delivery) run(ctx workflow.Context) (DeliveryStatus, error) {
	for {
		d.recordLeftOver(ctx)
		if d.out.Disconnect != nil {
			d.disconnects.tell(ctx, d.in.WebhookID, *d.out.Disconnect)
			d.out.Disconnect = nil
		}
		if d.out.State.Final() {
			return d.finish(ctx)
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && d.quiet(ctx) {
			d.in.Outcome = &d.out
			return d.status(), workflow.NewContinueAsNewError(ctx, Delivery, d.in)
		}
		if err := d.step(ctx); err != nil {
			return d.status(), err
		}
	}
}

// finish ends a delivery that has reached its final state: nothing of it is left to be written, said or answered.
func (d *delivery) finish(ctx workflow.Context) (DeliveryStatus, error) {
	if err := d.allRecorded(ctx); err != nil {
		return d.status(), err
	}
	if err := d.publish(ctx); err != nil {
		return d.status(), err
	}
	d.disconnects.arrived(ctx)
	if d.in.Ordered != "" { // when nobody hears of it, nobody waits for it
		_ = workflow.SignalExternalWorkflow(ctx, d.in.Ordered, "", SignalOver, d.in.Event.ID).Get(ctx, nil)
	}
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return d.status(), err
	}
	return d.status(), d.again(ctx)
}

// quiet tells whether nothing would be lost by going on in a new run.
func (d *delivery) quiet(ctx workflow.Context) bool {
	return !d.signalled() && len(d.left.records) == 0 && len(d.disconnects.sent) == 0 && workflow.AllHandlersFinished(ctx)
}

// signalled tells whether a signal waits to be heard; a new run would not hear it.
func (d *delivery) signalled() bool {
	s := &d.signals
	for s.turn.ReceiveAsync(nil) { // of these, only the first means something
		d.in.Turn = true
	}
	return s.retryNow.Len()+s.hold.Len()+s.resume.Len()+s.cancel.Len() > 0
}

// step moves the delivery on from where its last outcome left it.
func (d *delivery) step(ctx workflow.Context) error {
	switch {
	case d.in.Ordered != "" && !d.in.Turn:
		return d.queued(ctx)
	case d.out.Attempts < 0:
		return d.first(ctx)
	case d.out.InFlight != "":
		return d.join(ctx)
	case d.out.State == holdfast.DeliveryHeld:
		return d.held(ctx)
	case d.out.Brief:
		return d.briefly(ctx)
	case d.out.DelayMS > 0:
		return d.wait(ctx)
	case d.out.Here:
		return d.here(ctx, d.out.Attempts+1)
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
		return d.show(ctx)
	}
	return nil
}

// attemptFirst runs a set of first attempts.
func attemptFirst(ctx workflow.Context, set activities.FirstAttempts) (activities.FirstResult, error) {
	var result activities.FirstResult
	ctx = workflow.WithLocalActivityOptions(ctx, localOptions)
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

// here makes one attempt as a local activity, like the first: it is expected to be over soon. If not, it is joined.
func (d *delivery) here(ctx workflow.Context, number int) error {
	local := workflow.WithLocalActivityOptions(ctx, localOptions)
	var out activities.Outcome
	err := workflow.ExecuteLocalActivity(local, deliveries.AttemptHere, d.request(number), d.in.Event).Get(ctx, &out)
	switch {
	case temporal.IsCanceledError(err):
		return err
	case err != nil:
		return d.attempt(ctx, number)
	case out.InFlight != "":
		out.Status = d.out.Status
		d.out = out
		return d.show(ctx)
	}
	return d.took(ctx, number, out)
}

// localOptions are for local activities that end at the cut-off, so that the timeout only guards against a stuck process.
var localOptions = workflow.LocalActivityOptions{
	ScheduleToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond},
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

// took accepts an outcome. One without a new attempt (no slot was free, or the webhook is paced) keeps the count.
func (d *delivery) took(ctx workflow.Context, number int, out activities.Outcome) error {
	if out.State == holdfast.DeliveryPending {
		out.Attempts, out.Status = number-1, d.out.Status
		if number > 1 {
			out.State = holdfast.DeliveryRetrying
		}
	}
	if out.State != holdfast.DeliveryHeld {
		d.in.HeldSince = 0
	}
	changed := out.State != d.out.State || out.Attempts != d.out.Attempts
	d.out = out
	if !changed && !d.unshown || out.State.Final() {
		return nil
	}
	return d.show(ctx)
}

// briefly is how long the search attributes may be behind. Writing them is a large part of what an attempt costs Temporal.
const briefly = 10 * time.Second

// show publishes the delivery's state unless that will have changed again soon.
func (d *delivery) show(ctx workflow.Context) error {
	lasting := d.out.State == holdfast.DeliveryHeld || d.out.State.Final() ||
		time.Duration(d.out.DelayMS)*time.Millisecond >= briefly || workflow.Now(ctx).Sub(d.shownAt) >= briefly
	if d.in.LazyAttributes && !lasting {
		d.unshown = true
		return nil
	}
	return d.publish(ctx)
}

// publish writes the delivery's state to the search attributes, for the Temporal UI and for lists.
func (d *delivery) publish(ctx workflow.Context) error {
	d.unshown, d.shownAt = false, workflow.Now(ctx)
	return workflow.UpsertTypedSearchAttributes(ctx,
		AttrDeliveryState.ValueSet(string(d.out.State)),
		AttrHTTPStatus.ValueSet(int64(d.out.Status)),
		AttrAttempts.ValueSet(int64(max(0, d.out.Attempts))))
}

func (d *delivery) request(number int) activities.AttemptRequest {
	return activities.AttemptRequest{
		WebhookID: d.in.WebhookID, EventID: d.in.Event.ID, Number: number, CreatedAt: d.in.CreatedAt, Node: d.out.InFlight,
		Unrecorded: d.left.records, BaseAttempts: d.in.BaseAttempts, Waits: d.out.Waits,
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
