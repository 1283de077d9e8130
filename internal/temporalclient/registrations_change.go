package temporalclient

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// The methods here ask for a change of a registered webhook and wait for its outcome like Register. CodeNotFound: there is
// no such webhook. CodeAborted: it has another revision than the request expects. CodeInvalid names fields. CodeExhausted:
// too many requests wait already. CodeUnavailable: Temporal did not take it on.

// Change puts the named fields of the webhook into the registered one; paths are in the API's spelling.
func (r *Registrations) Change(
	ctx context.Context, in workflows.Request, w holdfast.Webhook, fields []string, wait time.Duration,
) (Registered, error) {
	id := w.ID
	sealed, err := r.seal(w)
	if err != nil {
		return Registered{}, err
	}
	return r.change(ctx, ask{id, workflows.UpdateChange, in.RequestID, workflows.ChangeRequest{
		Request: in, Fields: fields, Webhook: sealed,
	}}, wait)
}

// RotateSecret makes secret the one that signs; the one before goes on signing beside it for the overlap.
func (r *Registrations) RotateSecret(
	ctx context.Context, webhookID string, in workflows.Request, secret string, overlap, wait time.Duration,
) (Registered, error) {
	sealed, err := r.Sealer.SealCredentials(holdfast.Credentials{Secret: secret})
	if err != nil {
		return Registered{}, err
	}
	return r.change(ctx, ask{webhookID, workflows.UpdateRotateSecret, in.RequestID, workflows.RotateRequest{
		Request: in, Credentials: sealed, OverlapMS: overlap.Milliseconds(),
	}}, wait)
}

// Disconnect switches the webhook off until somebody reconnects it.
func (r *Registrations) Disconnect(ctx context.Context, webhookID string, in workflows.SwitchRequest, wait time.Duration) (Registered, error) {
	return r.change(ctx, ask{webhookID, workflows.UpdateDisconnect, in.RequestID, in}, wait)
}

// Reconnect switches the webhook on again; nothing happens to one that is connected.
func (r *Registrations) Reconnect(ctx context.Context, webhookID string, in workflows.SwitchRequest, wait time.Duration) (Registered, error) {
	return r.change(ctx, ask{webhookID, workflows.UpdateReconnect, in.RequestID, in}, wait)
}

// Delete ends the webhook, also one that only Redis has.
func (r *Registrations) Delete(ctx context.Context, webhookID string, in workflows.Request, wait time.Duration) (holdfast.Registration, error) {
	a := ask{webhookID, workflows.UpdateDelete, in.RequestID, workflows.DeleteRequest{Request: in}}
	// First the registration that is open, or that this very request has ended: it still knows its answer.
	got, err := r.send(ctx, a, wait)
	if errors.Is(err, errNoRegistration) {
		got, err = r.updateWithStart(ctx, a, wait)
	}
	return got.Registration, err
}

// change sends an update to the open registration, and to one of a webhook that only Redis had.
func (r *Registrations) change(ctx context.Context, a ask, wait time.Duration) (Registered, error) {
	got, err := r.send(ctx, a, wait)
	if !errors.Is(err, errNoRegistration) || r.Adopt == nil {
		return got, err
	}
	if adopted, adoptErr := r.Adopt(ctx, a.webhookID); adoptErr != nil || !adopted {
		if adoptErr != nil {
			err = adoptErr
		}
		return got, err
	}
	return r.send(ctx, a, wait)
}

var errNoRegistration = holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")

// tell sends an update to the open registration.
func (r *Registrations) tell(ctx context.Context, a ask) (client.WorkflowUpdateHandle, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	return r.Client.UpdateWorkflow(ctx, a.options())
}

// send returns errNoRegistration itself when no registration is open.
func (r *Registrations) send(ctx context.Context, a ask, wait time.Duration) (Registered, error) {
	handle, err := r.tell(ctx, a)
	switch {
	case err == nil:
		return r.outcome(ctx, a, handle, wait)
	case holdfast.ErrorCode(coded(err, a.update)) == holdfast.CodeNotFound:
		return Registered{}, errNoRegistration
	}
	return Registered{}, refused(err, a.update)
}

// Reconcile has the webhook's registration compare itself with Redis and repair what differs. With adopt, one that only
// Redis has becomes registered, unless it is the leftover of a webhook that was deleted. CodeUnavailable when it could not
// be compared; CodePrecondition when what Redis holds cannot be read.
func (r *Registrations) Reconcile(ctx context.Context, webhookID string, adopt bool) (workflows.ReconcileReply, error) {
	request := workflows.ReconcileRequest{Adopt: adopt}
	a := ask{webhookID: webhookID, update: workflows.UpdateReconcile}
	ask := r.tell
	if adopt {
		ask = r.startAnd
		var err error
		if request.EndedAt, err = r.endedAt(ctx, webhookID); err != nil {
			return workflows.ReconcileReply{}, err
		}
	}
	a.request = request
	var reply workflows.ReconcileReply
	handle, err := ask(ctx, a)
	if err != nil && !adopt && holdfast.ErrorCode(coded(err, a.update)) == holdfast.CodeNotFound {
		return workflows.ReconcileReply{Action: activities.ReconcileGone}, nil
	}
	if err == nil {
		err = handle.Get(ctx, &reply)
	}
	if err != nil {
		return reply, refused(err, a.update)
	}
	return reply, nil
}

// endedAt is when (ms) the webhook was deleted or its registration failed, 0 when neither is known.
func (r *Registrations) endedAt(ctx context.Context, webhookID string) (int64, error) {
	id := workflows.RegistrationID(webhookID)
	described, err := r.Client.DescribeWorkflowExecution(ctx, id, "")
	if err = coded(err, "looking for an earlier registration"); err != nil {
		if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
			return 0, nil
		}
		return 0, err
	}
	info := described.GetWorkflowExecutionInfo()
	if info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
		return 0, nil
	}
	var last holdfast.Registration
	if err := r.Client.GetWorkflow(ctx, id, info.GetExecution().GetRunId()).Get(ctx, &last); err != nil {
		return 0, coded(err, "reading an earlier registration")
	}
	if last.Status != holdfast.RegistrationConfirmed && last.State != holdfast.WebhookFailed && last.Reason != string(holdfast.CodeRejected) {
		return 0, nil // it found nothing to register
	}
	return info.GetCloseTime().AsTime().UnixMilli(), nil
}
