package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// wait sleeps until the next attempt is due, or until somebody says otherwise. A hold that a resume has followed already
// lets the attempt look at its webhook now: which of the two holds, the webhook knows.
func (d *delivery) wait(ctx workflow.Context) error {
	delay := time.Duration(d.out.DelayMS) * time.Millisecond
	d.out.DelayMS = 0
	if d.signals.hold.Len() == 0 { // nothing was held, so there is nothing to resume
		d.resumed()
	}
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	timer := workflow.NewTimer(timerCtx, delay)
	for again := true; again; {
		again = false
		var err error
		workflow.NewSelector(ctx).
			AddReceive(d.signals.cancel, func(c workflow.ReceiveChannel, _ bool) {
				err = d.change(ctx, holdfast.DeliveryCancelled, reasonOf(ctx, c, "cancelled by an operator"))
			}).
			AddReceive(d.signals.hold, func(c workflow.ReceiveChannel, _ bool) {
				why := reasonOf(ctx, c, "held by an operator")
				if !d.resumed() {
					err = d.change(ctx, holdfast.DeliveryHeld, why)
				}
			}).
			AddReceive(d.signals.resume, func(c workflow.ReceiveChannel, _ bool) {
				c.Receive(ctx, nil)
				again = true
			}).
			AddReceive(d.signals.retryNow, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }).
			AddFuture(timer, func(f workflow.Future) { err = f.Get(ctx, nil) }).
			Select(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// resumed takes the resumes that have come, and tells whether there were any.
func (d *delivery) resumed() bool {
	came := false
	for d.signals.resume.ReceiveAsync(nil) {
		came = true
	}
	return came
}

// reasonOf takes a signal whose payload may be the reason to record, as a string. Sent by hand it has none.
func reasonOf(ctx workflow.Context, c workflow.ReceiveChannel, otherwise string) string {
	var payload any
	c.Receive(ctx, &payload)
	if reason, ok := payload.(string); ok && reason != "" {
		return reason
	}
	return otherwise
}

// held waits until the delivery is released, cancelled or too old, or until there is news of it. Its clock goes on over
// failed probes and new runs; only being released stops it.
func (d *delivery) held(ctx workflow.Context) error {
	now := workflow.Now(ctx)
	if d.in.HeldSince == 0 {
		d.in.HeldSince = now.UnixMilli()
	}
	if d.lookAgain && !d.left.writing && !d.probing {
		d.lookAgain, d.out.State = false, holdfast.DeliveryPending
		return nil
	}
	left := time.UnixMilli(d.in.HeldSince + d.in.HoldForMS).Sub(now)
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	var err error
	var act func() error
	release := func(c workflow.ReceiveChannel, _ bool) {
		c.Receive(ctx, nil)
		act = func() error {
			d.out.State, d.out.Reason, d.in.HeldSince = holdfast.DeliveryPending, "", 0
			return d.publish(ctx)
		}
	}
	workflow.NewSelector(ctx).
		AddReceive(d.signals.cancel, func(c workflow.ReceiveChannel, _ bool) {
			why := reasonOf(ctx, c, "cancelled by an operator while held")
			act = func() error { return d.change(ctx, holdfast.DeliveryCancelled, why) }
		}).
		AddReceive(d.signals.hold, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }). // it is held already
		AddReceive(d.signals.resume, release).
		AddReceive(d.signals.retryNow, release).
		AddReceive(d.woken, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }).
		AddFuture(workflow.NewTimer(timerCtx, max(0, left)), func(f workflow.Future) {
			err = f.Get(ctx, nil)
			act = func() error { return d.change(ctx, holdfast.DeliveryCancelled, "expired while held") }
		}).
		Select(ctx)
	if err != nil || act == nil {
		return err
	}
	d.deciding = true
	defer func() { d.deciding = false }()
	if err := workflow.Await(ctx, func() bool { return !d.probing }); err != nil { // a probe under way decides first
		return err
	}
	if d.out.State.Final() {
		return nil
	}
	return act()
}

// wake makes a held delivery look at what has changed.
func (d *delivery) wake() { d.woken.SendAsync(nil) }

// briefly lets the process wait for the next attempts and make them, unless somebody has asked for something: it is cheaper
// than durable timers by far, but hears no signal. Should it fail, there is a timer.
func (d *delivery) briefly(ctx workflow.Context) error {
	retry := activities.BriefRetry{Request: d.request(d.out.Attempts + 1), Event: d.in.Event, Outcome: d.out}
	d.out.Brief = false
	if d.signalled() || len(d.left.records) > 0 {
		return nil
	}
	local := workflow.WithLocalActivityOptions(ctx, localOptions)
	var out activities.Outcome
	if err := workflow.ExecuteLocalActivity(local, deliveries.RetryBriefly, retry).Get(ctx, &out); err != nil {
		return onlyCancelled(err)
	}
	changed := out.State != d.out.State || out.Attempts != d.out.Attempts
	d.out = out
	if !changed || d.out.State.Final() {
		return nil
	}
	return d.show(ctx)
}

// onlyCancelled drops an error after which there is another way.
func onlyCancelled(err error) error {
	if temporal.IsCanceledError(err) {
		return err
	}
	return nil
}
