package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
)

// TypeOrderedDeliveries is the type of the workflow that makes the deliveries of one ordering key wait for one another.
const TypeOrderedDeliveries = "OrderedDeliveries"

// OrderedID is the workflow id of what orders a webhook's deliveries with one value of its ordering key.
func OrderedID(webhookID, key string) string { return "ordered/" + webhookID + "/" + key }

// Signals between OrderedDeliveries, who publishes, and the deliveries that wait.
const (
	SignalEnqueue = "enqueue" // to OrderedDeliveries: a delivery (DeliveryInput) comes after all the others
	SignalTurn    = "turn"    // to Delivery: those before it are over
	SignalOver    = "over"    // to OrderedDeliveries: the delivery of the event (its id) has ended
)

// MaxOrdered bounds the deliveries that wait for one ordering key. Past it a delivery does not wait: it is attempted at
// once, since an order that old helps nobody and what is accepted must not be lost.
const MaxOrdered = 10_000

const (
	// orderedRun is how many deliveries one run of OrderedDeliveries starts before it goes on in a new one; orderedCarry is
	// how many bytes of what has come by then it can take along. With more than that it goes on itself, until as many of the
	// deliveries it has started are open as Temporal allows with a margin.
	orderedRun   = 500
	orderedCarry = 1 << 20
	orderedOpen  = 1500
	// orderedPollMin and orderedPollMax are how long OrderedDeliveries waits for the end of a delivery before it looks
	// whether it still exists: one that was terminated by hand tells nobody.
	orderedPollMin = 5 * time.Minute
	orderedPollMax = time.Hour
)

// OrderedState is what an OrderedDeliveries run starts with.
type OrderedState struct {
	WebhookID string   `json:"webhook_id"`
	Waiting   []string `json:"waiting,omitempty"` // event ids, in order; the first has its turn
	// Arrived are deliveries that are not started yet; they come after those that wait.
	Arrived []DeliveryInput `json:"arrived,omitempty"`
}

// ordered is the state of one OrderedDeliveries run.
type ordered struct {
	OrderedState
	id      string
	enqueue workflow.ReceiveChannel
	over    workflow.ReceiveChannel
	turn    string // the event whose delivery was told that it has its turn
	poll    time.Duration
	started int // by this run
	open    int // of these, not heard of again
}

// OrderedDeliveries lets the deliveries of one webhook and one value of its ordering key be attempted one after the other,
// each by a Delivery of its own that waits for its turn. A delivery that is stuck keeps only those of its key. It ends when
// none is left.
func OrderedDeliveries(ctx workflow.Context, in OrderedState) error {
	o := &ordered{
		OrderedState: in, id: workflow.GetInfo(ctx).WorkflowExecution.ID,
		enqueue: workflow.GetSignalChannel(ctx, SignalEnqueue), over: workflow.GetSignalChannel(ctx, SignalOver),
	}
	if err := workflow.SetQueryHandler(ctx, QueryStatus, func() ([]string, error) { return o.Waiting, nil }); err != nil {
		return err
	}
	for {
		if err := o.startArrived(ctx); err != nil {
			return err
		}
		if err := o.advance(ctx); err != nil {
			return err
		}
		size := o.receive()
		startable := len(o.Arrived) > 0 && o.open < orderedOpen
		switch {
		case len(o.Arrived) == 0 && len(o.Waiting) == 0:
			return nil
		case size <= orderedCarry && (o.started >= orderedRun || workflow.GetInfo(ctx).GetContinueAsNewSuggested()):
			return workflow.NewContinueAsNewError(ctx, OrderedDeliveries, o.OrderedState)
		case !startable && len(o.Waiting) > 0 && o.turn == o.Waiting[0]:
			if err := o.wait(ctx); err != nil {
				return err
			}
		}
	}
}

// receive takes every signal that has come, and returns the size of the deliveries that are not started yet.
func (o *ordered) receive() int {
	for {
		var in DeliveryInput
		if !o.enqueue.ReceiveAsync(&in) {
			break
		}
		o.Arrived = append(o.Arrived, in)
	}
	var eventID string
	for o.over.ReceiveAsync(&eventID) {
		o.drop(eventID)
	}
	size := 0
	for i := range o.Arrived {
		size += o.Arrived[i].Event.Size() + childOverhead
	}
	return size
}

// startArrived starts a Delivery for everything that has come, as many with one workflow task as it can carry.
func (o *ordered) startArrived(ctx workflow.Context) error {
	o.receive()
	for len(o.Arrived) > 0 && o.open < orderedOpen {
		n, size := 0, 0
		for ; n < len(o.Arrived) && n < handOverCount; n++ {
			if size += o.Arrived[n].Event.Size() + childOverhead; n > 0 && size > handOverBytes {
				break
			}
		}
		if err := o.start(ctx, o.Arrived[:n]); err != nil {
			return err
		}
		o.Arrived = o.Arrived[n:]
	}
	return nil
}

func (o *ordered) start(ctx workflow.Context, arrived []DeliveryInput) error {
	type child struct {
		eventID string
		future  workflow.ChildWorkflowFuture
	}
	var children []child
	for _, in := range arrived {
		if slices.Contains(o.Waiting, in.Event.ID) { // enqueued twice, since the answer was lost
			continue
		}
		if len(o.Waiting) < MaxOrdered {
			in.Ordered = o.id
			o.Waiting = append(o.Waiting, in.Event.ID)
		} else {
			workflow.GetLogger(ctx).Warn("too many deliveries wait for an ordering key; one goes at once", "webhook_id", o.WebhookID)
		}
		o.started, o.open = o.started+1, o.open+1
		children = append(children, child{in.Event.ID, startDelivery(ctx, in)})
	}
	for _, c := range children {
		err := c.future.GetChildWorkflowExecution().Get(ctx, nil)
		switch {
		case temporal.IsWorkflowExecutionAlreadyStartedError(err): // the same delivery, whose order somebody else sees to
			o.drop(c.eventID)
		case err != nil:
			return err
		}
	}
	return nil
}

// drop forgets a delivery that has ended, wherever in the order it is: one that waits can be cancelled.
func (o *ordered) drop(eventID string) {
	before := len(o.Waiting)
	o.Waiting = slices.DeleteFunc(o.Waiting, func(id string) bool { return id == eventID })
	o.open = max(0, o.open-(before-len(o.Waiting)))
}

// advance gives the first delivery its turn. One that is over already is dropped, and the next is first.
func (o *ordered) advance(ctx workflow.Context) error {
	for len(o.Waiting) > 0 && o.turn != o.Waiting[0] {
		if err := o.giveTurn(ctx); err != nil {
			return err
		}
		o.poll = orderedPollMin
	}
	return nil
}

func (o *ordered) giveTurn(ctx workflow.Context) error {
	first := o.Waiting[0]
	err := workflow.SignalExternalWorkflow(ctx, DeliveryWorkflowID(o.WebhookID, first), "", SignalTurn, nil).Get(ctx, nil)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // there is no such delivery any more
		o.drop(first)
	default:
		o.turn = first
	}
	return nil
}

// wait sleeps until something comes, or long enough to look whether the first delivery still exists.
func (o *ordered) wait(ctx workflow.Context) error {
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	var err error
	workflow.NewSelector(ctx).
		AddReceive(o.enqueue, func(workflow.ReceiveChannel, bool) {}). // taken by startArrived
		AddReceive(o.over, func(workflow.ReceiveChannel, bool) {}).
		AddFuture(workflow.NewTimer(timerCtx, max(o.poll, orderedPollMin)), func(f workflow.Future) {
			if err = f.Get(ctx, nil); err == nil {
				o.poll = min(2*max(o.poll, orderedPollMin), orderedPollMax)
				err = o.giveTurn(ctx)
			}
		}).
		Select(ctx)
	return err
}

// queued waits for the delivery's turn. Waiting is bounded like being held.
func (d *delivery) queued(ctx workflow.Context) error {
	now := workflow.Now(ctx)
	if d.in.HeldSince == 0 {
		d.in.HeldSince = now.UnixMilli()
	}
	left := time.UnixMilli(d.in.HeldSince + d.in.HoldForMS).Sub(now)
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	var err error
	workflow.NewSelector(ctx).
		AddReceive(d.signals.cancel, func(c workflow.ReceiveChannel, _ bool) {
			err = d.change(ctx, holdfast.DeliveryCancelled, reasonOf(ctx, c, "cancelled by an operator while it waited for its turn"))
		}).
		AddReceive(d.signals.turn, func(c workflow.ReceiveChannel, _ bool) {
			c.Receive(ctx, nil)
			d.in.Turn, d.in.HeldSince = true, 0
		}).
		AddFuture(workflow.NewTimer(timerCtx, max(0, left)), func(f workflow.Future) {
			if err = f.Get(ctx, nil); err == nil {
				err = d.change(ctx, holdfast.DeliveryCancelled, "expired while it waited for its turn")
			}
		}).
		Select(ctx)
	return err
}
