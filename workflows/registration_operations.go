package workflows

import (
	"errors"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// operation is a saga as data: its steps in order, and the state the webhook is in when all have succeeded.
type operation struct {
	name  string
	steps []sagaStep
	end   func(*registration) holdfast.WebhookState
	// thorough goes on past a step that fails for good: what can be undone is undone.
	thorough bool
	// lasting is not cut short by a delete: it is one, or what it undoes must be undone.
	lasting bool
}

// sagaStep is one step.
type sagaStep struct {
	name string
	run  func(*registration, workflow.Context) (told, error)
}

// told is what a step has to say for the audit trail.
type told struct {
	detail   string
	skipped  bool // it did not apply
	attempts int  // 0 counts as one
}

func configured(r *registration) holdfast.WebhookState { return r.Webhook.Webhook.State() }

var opRegister = operation{
	name: holdfast.OperationRegister,
	steps: []sagaStep{
		{holdfast.StepCheck, (*registration).check},
		{holdfast.StepWrite, (*registration).write},
		{holdfast.StepConfirm, (*registration).confirm},
		{holdfast.StepVerify, (*registration).verify},
		{holdfast.StepRefresh, (*registration).refresh},
		{holdfast.StepActivate, (*registration).activate},
	},
	end: configured,
}

// opChange replaces the named fields.
func opChange(in ChangeRequest) operation {
	return operation{
		name: holdfast.OperationChange, end: configured,
		steps: []sagaStep{
			{holdfast.StepCheck, func(r *registration, ctx workflow.Context) (told, error) {
				return r.prepare(ctx, registrations.PrepareChange, activities.ChangePlan{
					Current: r.Webhook, Change: in.Webhook, Fields: in.Fields, Now: workflow.Now(ctx).UnixMilli(),
				})
			}},
			{holdfast.StepWrite, (*registration).write},
			{holdfast.StepConfirm, (*registration).confirm},
			{holdfast.StepVerify, (*registration).verify},
			{holdfast.StepRefresh, (*registration).refresh},
			{holdfast.StepActivate, (*registration).activate},
		},
	}
}

// opRotate replaces the secret, which EMPROPS is never told.
func opRotate(in RotateRequest) operation {
	return unknownToPlatform(holdfast.OperationRotate, func(r *registration, ctx workflow.Context) (told, error) {
		return r.prepare(ctx, registrations.PrepareRotation, activities.RotationPlan{
			Current: r.Webhook, Credentials: in.Credentials, OverlapMS: in.OverlapMS, Now: workflow.Now(ctx).UnixMilli(),
		})
	}, (*registration).write)
}

// opRetire takes out the secrets whose overlap is over.
var opRetire = unknownToPlatform(holdfast.OperationRetire, func(r *registration, ctx workflow.Context) (told, error) {
	return r.prepare(ctx, registrations.PrepareRetirement, activities.RetirePlan{
		Current: r.Webhook, Now: workflow.Now(ctx).UnixMilli(),
	})
}, (*registration).write)

// opDisconnect switches the webhook off.
func opDisconnect(d holdfast.Disconnection) operation {
	return unknownToPlatform(holdfast.OperationDisconnect, func(r *registration, _ workflow.Context) (told, error) {
		r.Webhook.Webhook.Disconnected, r.Webhook.Webhook.Disconnection = true, &d
		r.probeNoMore()
		return told{detail: string(d.Cause) + ": " + d.Reason}, nil
	}, (*registration).write)
}

// opReconnect switches the webhook on again, with no failures counted.
func opReconnect(why string) operation {
	return unknownToPlatform(holdfast.OperationReconnect, func(r *registration, _ workflow.Context) (told, error) {
		r.Webhook.Webhook.Disconnected, r.Webhook.Webhook.Disconnection = false, nil
		r.Webhook.Webhook.ConsecutiveFailures = 0
		r.probeNoMore()
		r.reconnects++
		return told{detail: why}, nil
	}, (*registration).writeWithoutFailures)
}

type stepFunc = func(*registration, workflow.Context) (told, error)

// unknownToPlatform is an operation on what EMPROPS does not keep.
func unknownToPlatform(name string, check, write stepFunc) operation {
	return operation{
		name: name, end: configured,
		steps: []sagaStep{
			{holdfast.StepCheck, check},
			{holdfast.StepWrite, write},
			{holdfast.StepConfirm, func(*registration, workflow.Context) (told, error) {
				return told{detail: "EMPROPS does not keep this", skipped: true}, nil
			}},
			{holdfast.StepVerify, (*registration).verify},
			{holdfast.StepRefresh, (*registration).refresh},
			{holdfast.StepActivate, (*registration).activate},
		},
	}
}

var opDelete = operation{
	name: holdfast.OperationDelete, lasting: true,
	steps: []sagaStep{
		{holdfast.StepCheck, (*registration).checkExists},
		{holdfast.StepWrite, (*registration).remove},
		{holdfast.StepConfirm, (*registration).unconfirm},
		{holdfast.StepVerify, (*registration).verifyRemoved},
		{holdfast.StepRefresh, (*registration).refresh},
		{holdfast.StepActivate, (*registration).activate},
	},
	end: func(*registration) holdfast.WebhookState { return holdfast.WebhookDeleted },
}

// opCompensate undoes a registration in the opposite order of what it may have done: no node may match a webhook that
// the registry does not hold.
var opCompensate = operation{
	name: holdfast.StepCompensate, thorough: true, lasting: true,
	steps: []sagaStep{
		{holdfast.StepWrite, (*registration).remove},
		{holdfast.StepConfirm, (*registration).unconfirm},
		{holdfast.StepVerify, (*registration).verifyRemoved},
		{holdfast.StepRefresh, (*registration).refresh},
	},
}

// opPutBack undoes a change: the configuration from before is written anew and proved like any other.
var opPutBack = operation{
	name: holdfast.StepCompensate, thorough: true,
	steps: []sagaStep{
		{holdfast.StepWrite, (*registration).write},
		{holdfast.StepConfirm, (*registration).confirm},
		{holdfast.StepVerify, (*registration).verify},
		{holdfast.StepRefresh, (*registration).refresh},
	},
}

// operate carries an operation out; the registration's status is about it from now on. The lock is held.
func (r *registration) operate(ctx workflow.Context, op operation, actor string) error {
	if r.deleting > 0 && !op.lasting && op.name != opRegister.name {
		return temporal.NewCanceledError()
	}
	before := r.Registration.State
	r.since = workflow.Now(ctx).UnixMilli()
	r.Registration.Operation, r.Registration.Status = op.name, holdfast.RegistrationPending
	if r.lifecycle {
		r.Registration.Reason = ""
	}
	r.show(ctx)
	defer r.show(ctx)
	if err := r.saga(ctx, op, actor); err != nil {
		return err
	}
	r.Registration.Status, r.Registration.State = holdfast.RegistrationConfirmed, op.end(r)
	r.sweepFrom(before)
	if op.name == holdfast.OperationChange {
		r.resolve(holdfast.AlertRegistrationFailed, r.WebhookID)
	}
	return nil
}

// saga runs the steps of an operation in order, stopping at the first that fails for good unless the operation is thorough.
func (r *registration) saga(ctx workflow.Context, op operation, actor string) error {
	if !op.lasting { // nothing else may be cut short half way
		ctx, r.abandon = workflow.WithCancel(ctx)
		defer func() { r.abandon = func() {} }()
	}
	var failed error
	for _, s := range op.steps {
		err := r.step(ctx, op.name, actor, s)
		switch {
		case err == nil:
		case r.thorough(op) && ctx.Err() == nil:
			failed = errors.Join(failed, err)
		default:
			return err
		}
	}
	return failed
}

// thorough tells whether an operation goes on past a refusal. A delete does once the registry has forgotten the webhook.
func (r *registration) thorough(op operation) bool {
	return op.thorough || op.name == opDelete.name && r.lifecycle && r.removed
}

// undoRegister undoes a registration. Its own context is no longer cancelled by what made the operation fail.
func (r *registration) undoRegister(ctx workflow.Context, actor string, cause error) {
	r.Registration.Reason = reasonCode(cause)
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if r.Written {
		r.compensate(ctx, opCompensate, opRegister.name, actor)
	}
	r.Registration.Status, r.Registration.State = holdfast.RegistrationFailed, holdfast.WebhookFailed
	if code := r.Registration.Reason; code != ErrorAborted && code != string(holdfast.CodeInvalid) {
		r.raise(holdfast.AlertRegistrationFailed, r.WebhookID, "the registration failed: "+reason(cause))
	}
}

// undoChange puts the configuration from before back. One that a delete has cut short is not worth undoing.
func (r *registration) undoChange(ctx workflow.Context, op operation, actor string, before RegistrationState, cause error) {
	defer r.show(ctx)
	r.Registration.Status, r.Registration.Reason = holdfast.RegistrationFailed, reasonCode(cause)
	if temporal.IsCanceledError(cause) {
		return
	}
	revision := r.Webhook.Webhook.Revision
	r.Webhook, r.RetireAt = before.Webhook, before.RetireAt
	r.Webhook.Webhook.Revision = revision
	r.compensate(ctx, opPutBack, op.name, actor)
	if r.Registration.State == holdfast.WebhookActive {
		r.sweep(activities.SweepRelease) // deliveries may have been held by the configuration that is gone again
	}
	r.raise(holdfast.AlertRegistrationFailed, r.WebhookID, "a change was refused and undone: "+reason(cause))
}

// compensate carries out what undoes an operation and marks the operation's lines.
func (r *registration) compensate(ctx workflow.Context, with operation, undoing, actor string) {
	if err := r.saga(ctx, with, actor); err != nil {
		// A step is repeated until it succeeds; what ends here was refused for good, and the trail says so.
		workflow.GetLogger(ctx).Error("compensation did not finish", "webhook_id", r.WebhookID, "error", err)
	}
	for i := range r.Registration.Steps {
		s := &r.Registration.Steps[i]
		undone := s.Name == holdfast.StepWrite || s.Name == holdfast.StepConfirm || s.Name == holdfast.StepRefresh
		if s.Operation == undoing && s.StartedAt >= r.since && s.Status == holdfast.StepDone && undone {
			s.Status = holdfast.StepUndone
		}
	}
}
