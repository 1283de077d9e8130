package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// ReconcileRequest is the argument of the reconcile update.
type ReconcileRequest struct {
	Adopt bool `json:"adopt,omitempty"` // take on a webhook that only Redis has
	// EndedAt is when (ms) an earlier registration of the webhook ended; what is older than that is not taken on.
	EndedAt int64 `json:"ended_at,omitempty"`
}

// ReconcileReply is what the reconcile update answers. Action is one of activities.Reconcile….
type ReconcileReply struct {
	Action   string `json:"action"`
	Revision int64  `json:"revision,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// reconcilePatience is how long a reconcile waits for the operation under way; a webhook in the middle of one is looked at
// by the next check. There may be only so many updates that wait.
const reconcilePatience = 3 * time.Second

// reconcile makes Redis and the registration agree. A registration that was started for it takes on what Redis has, or
// ends without a trace.
func (r *registration) reconcile(ctx workflow.Context, in ReconcileRequest) (ReconcileReply, error) {
	r.begun = true
	free, err := workflow.AwaitWithTimeout(ctx, reconcilePatience, func() bool { return !r.lock.IsLocked() })
	if err != nil {
		return ReconcileReply{}, err
	}
	if !free && r.written() {
		return r.rewrite(ctx)
	}
	if !free || !r.lock.TryLock(ctx) {
		return ReconcileReply{Action: activities.ReconcileUnchanged, Revision: r.Registration.Revision, Detail: "an operation is under way"}, nil
	}
	defer r.lock.Unlock()
	defer r.show(ctx)
	began := workflow.Now(ctx).UnixMilli()
	plan := activities.ReconcilePlan{WebhookID: r.WebhookID, Adopt: in.Adopt, EndedAt: in.EndedAt, Now: began}
	switch {
	case r.closed():
		plan.Adopt, plan.EndedAt = false, began
	case r.Written:
		plan.Webhook = &r.Webhook
	case r.Fingerprint != "":
		return ReconcileReply{Action: activities.ReconcileUnchanged, Detail: "not registered yet"}, nil
	}
	var out activities.ReconcileOutcome
	err = workflow.ExecuteLocalActivity(atOnce(ctx), registrations.ReconcileWebhook, plan).Get(ctx, &out)
	if err != nil {
		if !r.Written && !r.closed() { // started for this, and for nothing
			r.end(reasonCode(err))
		}
		return ReconcileReply{}, temporal.NewNonRetryableApplicationError(reason(err), reasonCode(err), nil)
	}
	r.reconciled(ctx, began, out)
	return ReconcileReply{Action: out.Action, Revision: r.Registration.Revision, Detail: out.Detail}, nil
}

// written tells whether the operation under way has written the webhook and is now proving it, which may take as long as
// EMPROPS or a node is away.
func (r *registration) written() bool {
	steps := r.Registration.Steps
	if len(steps) == 0 || !r.Written || r.removed || r.repairing {
		return false
	}
	last := &steps[len(steps)-1]
	proving := last.Name == holdfast.StepConfirm || last.Name == holdfast.StepVerify || last.Name == holdfast.StepRefresh
	return last.Status == holdfast.StepRunning && proving && last.Operation != holdfast.OperationDelete
}

// rewrite puts back what Redis lost while an operation is under way that has written it: the operation would wait in vain
// for its entry otherwise, and the registry would lack the webhook for as long. The operation's next write or removal
// waits, so that this never comes after it.
func (r *registration) rewrite(ctx workflow.Context) (ReconcileReply, error) {
	r.repairing = true
	defer func() { r.repairing = false }()
	var out activities.ReconcileOutcome
	err := workflow.ExecuteLocalActivity(atOnce(ctx), registrations.ReconcileWebhook, activities.ReconcilePlan{
		WebhookID: r.WebhookID, Webhook: &r.Webhook, Now: workflow.Now(ctx).UnixMilli(),
	}).Get(ctx, &out)
	if err != nil {
		return ReconcileReply{}, temporal.NewNonRetryableApplicationError(reason(err), reasonCode(err), nil)
	}
	if out.Action != activities.ReconcileRestored && out.Action != activities.ReconcileRewritten {
		out.Action = activities.ReconcileUnchanged // the operation decides
	} else {
		r.Registration.Revision, r.Webhook.Webhook.Revision = out.Revision, out.Revision
	}
	return ReconcileReply{Action: out.Action, Revision: r.Registration.Revision, Detail: "an operation is under way"}, nil
}

// atOnce options: a reconcile that cannot reach Redis is repeated by the next check.
func atOnce(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: 3 * time.Second, ScheduleToCloseTimeout: 5 * time.Second,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumAttempts: 3},
	})
}

func (r *registration) reconciled(ctx workflow.Context, began int64, out activities.ReconcileOutcome) {
	name := holdfast.StepWrite
	switch out.Action {
	case activities.ReconcileUnchanged:
		return
	case activities.ReconcileGone:
		if !r.closed() {
			r.end(ErrorNotFound)
		}
		return
	case activities.ReconcileRemoved:
		if !r.closed() {
			r.Registration.State, r.Registration.Status = holdfast.WebhookDeleted, holdfast.RegistrationConfirmed
		}
		r.Registration.Revision = max(r.Registration.Revision, out.Revision)
		r.sweep(activities.SweepCancel)
	case activities.ReconcileAdopted, activities.ReconcileTakenOver:
		name = holdfast.StepCheck
		r.take(ctx, out)
	default:
		if out.Webhook != nil {
			r.Webhook, r.RetireAt = *out.Webhook, out.RetireAt
		}
		r.Registration.Revision, r.Webhook.Webhook.Revision = out.Revision, out.Revision
	}
	r.note(holdfast.Step{
		Operation: holdfast.OperationReconcile, Name: name, Status: holdfast.StepDone, Attempts: 1, StartedAt: began,
		EndedAt: workflow.Now(ctx).UnixMilli(), Detail: out.Action + ": " + out.Detail, Actor: itself,
	})
}

// take goes on with a webhook as Redis has it. EMPROPS is told in its own time.
func (r *registration) take(ctx workflow.Context, out activities.ReconcileOutcome) {
	before := r.Registration.State
	r.Webhook, r.RetireAt, r.Written = *out.Webhook, out.RetireAt, true
	w := &r.Webhook.Webhook
	r.Registration.Revision, r.Registration.State = out.Revision, w.State()
	r.Registration.Operation, r.Registration.Status, r.Registration.Reason = holdfast.OperationReconcile, holdfast.RegistrationPending, ""
	r.Unconfirmed = true
	r.hush()
	switch byFailures := w.Disconnected && w.Disconnection != nil && w.Disconnection.Cause == holdfast.DisconnectedByFailures; {
	case !byFailures:
		r.probeNoMore()
	case r.Probe == nil:
		r.startProbing(ctx, out.Probing)
	}
	r.sweepFrom(before)
}
