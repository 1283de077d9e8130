package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// Everything here happens after the answer to whoever asked for an operation, and is carried to the next run until it is
// done: nobody waits for it, and none of it may be lost.

// Names of activities that belong to alerts.
const (
	activityRaiseAlert   = "RaiseAlert"
	activityResolveAlert = "ResolveAlert"
)

// InBackground tells whether an activity of a registration is none of the steps that its callers wait for.
func InBackground(activity string) bool {
	switch activity {
	case activityRaiseAlert, activityResolveAlert, "SweepDeliveries", "ProbeWebhook", "JudgeFailures":
		return true
	}
	return false
}

// sweepFrom has the open deliveries follow the webhook from one state to the one it is in now.
func (r *registration) sweepFrom(before holdfast.WebhookState) {
	after := r.Registration.State
	switch {
	case after == holdfast.WebhookDeleted:
		r.sweep(activities.SweepCancel)
	case before == holdfast.WebhookActive && after != holdfast.WebhookActive:
		r.sweep(activities.SweepHold)
	case after == holdfast.WebhookActive && (before == holdfast.WebhookDisconnected || before == holdfast.WebhookPaused):
		r.sweep(activities.SweepRelease)
	}
}

// sweep replaces a sweep that has not been taken on yet: the last state is the one that counts.
func (r *registration) sweep(kind string) {
	if !r.lifecycle {
		return
	}
	order := activities.SweepRequest{WebhookID: r.WebhookID, Kind: kind}
	switch kind {
	case activities.SweepHold:
		order.Reason = r.Webhook.Webhook.HoldReason()
	case activities.SweepCancel:
		order.Reason = "the webhook is deleted"
	}
	r.Sweep = &order
	r.resweep()
}

func (r *registration) sweepLater(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return r.Sweep != nil }) == nil {
		order := r.Sweep
		var sweeping workflow.Context
		sweeping, r.resweep = workflow.WithCancel(ctx)
		err := workflow.ExecuteActivity(light(sweeping), registrations.SweepDeliveries, *order).Get(sweeping, nil)
		r.resweep = func() {}
		if ctx.Err() != nil {
			return
		}
		if r.Sweep != order {
			continue
		}
		if err != nil {
			workflow.GetLogger(ctx).Error("open deliveries could not be swept", "webhook_id", r.WebhookID, "error", err)
		}
		r.Sweep = nil
	}
}

// AlertNote is an alert to raise, or the id of one to resolve.
type AlertNote struct {
	Raise   *holdfast.Alert `json:"raise,omitempty"`
	Resolve string          `json:"resolve,omitempty"`
}

func (r *registration) raise(kind holdfast.AlertKind, subject, message string) {
	alert := holdfast.Alert{Kind: kind, Subject: subject, Message: message}
	if !r.lifecycle {
		return
	}
	if kind == holdfast.AlertNodeSilent && slices.Contains(r.Raised, alert.ID()) {
		return // once for as long as the node is silent, not each time it is asked
	}
	if !slices.Contains(r.Raised, alert.ID()) {
		r.Raised = append(r.Raised, alert.ID())
	}
	r.Alerts = append(r.Alerts, AlertNote{Raise: &alert})
}

// resolve resolves an alert that this registration has raised.
func (r *registration) resolve(kind holdfast.AlertKind, subject string) {
	id := (&holdfast.Alert{Kind: kind, Subject: subject}).ID()
	if i := slices.Index(r.Raised, id); i >= 0 {
		r.Raised = slices.Delete(r.Raised, i, i+1)
		r.Alerts = append(r.Alerts, AlertNote{Resolve: id})
	}
}

// alertPatience bounds how long an alert is tried to be raised: one that is raised much later tells of another time.
const alertPatience = 10 * time.Minute

func (r *registration) alertLater(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(r.Alerts) > 0 }) == nil {
		note := r.Alerts[0]
		name, arg := activityRaiseAlert, any(note.Raise)
		if note.Raise == nil {
			name, arg = activityResolveAlert, struct {
				ID string `json:"id"`
			}{note.Resolve}
		}
		options := lightOptions
		options.ScheduleToCloseTimeout = alertPatience
		err := workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), name, arg).Get(ctx, nil)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			workflow.GetLogger(ctx).Error("an alert got lost", "webhook_id", r.WebhookID, "activity", name, "error", err)
		}
		r.Alerts = r.Alerts[1:]
	}
}

// confirmLater tells EMPROPS of a configuration that came from Redis, however long EMPROPS is away.
func (r *registration) confirmLater(ctx workflow.Context) {
	due := func() bool { return r.Unconfirmed && !r.closed() && r.deleting == 0 && !r.lock.IsLocked() }
	for workflow.Await(ctx, due) == nil {
		began := workflow.Now(ctx).UnixMilli()
		var confirming workflow.Context
		confirming, r.hush = workflow.WithCancel(ctx)
		r.confirming = true
		var c activities.Confirmation
		err := workflow.ExecuteActivity(external(confirming), registrations.ConfirmWebhook, r.Webhook).Get(confirming, &c)
		r.confirming, r.hush = false, func() {}
		if ctx.Err() != nil {
			return
		}
		if confirming.Err() != nil {
			continue
		}
		if r.lock.Lock(ctx) != nil {
			return
		}
		if r.Unconfirmed && !r.closed() {
			r.confirmed(ctx, began, c, err)
		}
		r.lock.Unlock()
	}
}

// confirmed notes how the confirmation went. A webhook that EMPROPS refuses was in use before and stays so.
func (r *registration) confirmed(ctx workflow.Context, began int64, c activities.Confirmation, err error) {
	r.Unconfirmed = false
	line := holdfast.Step{
		Operation: holdfast.OperationReconcile, Name: holdfast.StepConfirm, Status: holdfast.StepDone, StartedAt: began,
		EndedAt: workflow.Now(ctx).UnixMilli(), Attempts: max(1, c.Attempts), Detail: c.Detail, Actor: itself,
	}
	ours := r.Registration.Operation == holdfast.OperationReconcile && r.Registration.Status == holdfast.RegistrationPending
	switch {
	case err != nil:
		line.Status, line.Detail, line.Attempts = holdfast.StepFailed, reason(err), max(1, detailsOf(err).Attempts)
		if ours {
			r.Registration.Status, r.Registration.Reason = holdfast.RegistrationFailed, reasonCode(err)
		}
		r.raise(holdfast.AlertRegistrationFailed, r.WebhookID, "EMPROPS refused a webhook that was found in Redis: "+reason(err))
	case c.Skipped:
		line.Status = holdfast.StepSkipped
	}
	if err == nil && ours {
		r.Registration.Status = holdfast.RegistrationConfirmed
	}
	r.note(line)
	r.show(ctx)
}

// takeOverConfirmation ends the confirmation that nobody waits for, since an operation is about to tell EMPROPS itself:
// what is told last must be what is registered.
func (r *registration) takeOverConfirmation(ctx workflow.Context) error {
	r.Unconfirmed = false
	r.hush()
	return workflow.Await(ctx, func() bool { return !r.confirming })
}
