package workflows

import (
	"cmp"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// itself is the actor of what nobody asked for.
const itself = "holdfast"

// disconnect switches the webhook off until somebody reconnects it. One that failures have disconnected stays so from now
// on; for any other that is disconnected there is nothing to do.
func (r *registration) disconnect(ctx workflow.Context, in SwitchRequest) (RegisterReply, error) {
	return r.requested(ctx, holdfast.OperationDisconnect, in.Request, func(ctx workflow.Context) error {
		if d := r.Webhook.Webhook.Disconnection; r.Webhook.Webhook.Disconnected && d != nil && d.Cause != holdfast.DisconnectedByFailures {
			r.nothingToDo(holdfast.OperationDisconnect)
			return nil
		}
		return r.toggle(ctx, opDisconnect(holdfast.Disconnection{
			Cause: holdfast.DisconnectedByOperator, Reason: cmp.Or(in.Reason, "by request"),
			Since: workflow.Now(ctx).UnixMilli(), Actor: in.Actor,
		}), in.Actor)
	})
}

// reconnect switches the webhook on again; for one that is connected there is nothing to do.
func (r *registration) reconnect(ctx workflow.Context, in SwitchRequest) (RegisterReply, error) {
	return r.requested(ctx, holdfast.OperationReconnect, in.Request, func(ctx workflow.Context) error {
		if !r.Webhook.Webhook.Disconnected {
			r.nothingToDo(holdfast.OperationReconnect)
			return nil
		}
		return r.connect(ctx, cmp.Or(in.Reason, "by request"), in.Actor)
	})
}

func (r *registration) nothingToDo(operation string) {
	r.Registration.Operation, r.Registration.Status, r.Registration.Reason = operation, holdfast.RegistrationConfirmed, ""
}

func (r *registration) connect(ctx workflow.Context, why, actor string) error {
	err := r.toggle(ctx, opReconnect(why), actor)
	if err == nil && r.Registration.Status == holdfast.RegistrationConfirmed {
		r.resolve(holdfast.AlertWebhookDisconnected, r.WebhookID)
	}
	return err
}

// toggle carries out an operation that nobody refuses: only a delete cuts it short, and then there is nothing to undo.
func (r *registration) toggle(ctx workflow.Context, op operation, actor string) error {
	err := r.operate(ctx, op, actor)
	if err == nil {
		return nil
	}
	r.Registration.Status, r.Registration.Reason = holdfast.RegistrationFailed, reasonCode(err)
	if temporal.IsCanceledError(err) && r.deleting > 0 {
		return nil
	}
	return err
}

// judge acts on what deliveries say about the webhook, one after the other. Whether failures disconnect it is decided by
// the counter, so that many deliveries that fail at once disconnect it once (D36).
func (r *registration) judge(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(r.Failures) > 0 }) == nil {
		for {
			reconnects := r.reconnects
			d, judged, err := r.verdict(ctx, r.Failures[0])
			if err != nil {
				workflow.GetLogger(ctx).Error("failures could not be judged", "webhook_id", r.WebhookID, "error", err)
			}
			if d == nil || err != nil {
				break
			}
			if err := r.lock.Lock(ctx); err != nil {
				return
			}
			again := reconnects != r.reconnects // the counter that was read is no longer what counts
			if !again {
				r.autoDisconnect(ctx, *d, judged)
			}
			r.lock.Unlock()
			if !again {
				break
			}
		}
		r.Failures = r.Failures[1:]
	}
}

// exempt tells whether no delivery can disconnect the webhook: a static one, or one that is not connected.
func (r *registration) exempt() bool {
	w := &r.Webhook.Webhook
	return r.closed() || !r.Written || w.Static || w.Disconnected
}

// verdict returns how the webhook is to be disconnected, nil when it is not.
func (r *registration) verdict(ctx workflow.Context, in AutoDisconnect) (*holdfast.Disconnection, activities.Judgement, error) {
	if r.exempt() {
		return nil, activities.Judgement{}, nil
	}
	d := &holdfast.Disconnection{Cause: in.Cause, Reason: in.Reason, Actor: itself}
	if in.Cause == holdfast.DisconnectedByReceiver {
		d.Reason = cmp.Or(d.Reason, "the endpoint is gone")
		return d, activities.Judgement{}, nil
	}
	var j activities.Judgement
	err := workflow.ExecuteActivity(light(ctx), registrations.JudgeFailures, r.id()).Get(ctx, &j)
	if err != nil || !j.Disconnect {
		return nil, activities.Judgement{}, err
	}
	d.Reason = fmt.Sprintf("%d deliveries failed in a row", j.Failures) // as judged: the delivery that told knew less
	return d, j, nil
}

// autoDisconnect disconnects the webhook unless that has happened meanwhile. The lock is held.
func (r *registration) autoDisconnect(ctx workflow.Context, d holdfast.Disconnection, j activities.Judgement) {
	if r.exempt() {
		return
	}
	r.Webhook.Webhook.ConsecutiveFailures = j.Failures // what a wiped Redis is given back
	d.Since = workflow.Now(ctx).UnixMilli()
	if err := r.toggle(ctx, opDisconnect(d), itself); err != nil || !r.Webhook.Webhook.Disconnected {
		return
	}
	r.startProbing(ctx, j.Probing)
	r.raise(holdfast.AlertWebhookDisconnected, r.WebhookID, "the webhook is disconnected: "+d.Reason)
}
