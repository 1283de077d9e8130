package temporalclient

import (
	"context"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// Control changes what becomes of deliveries.
type Control struct {
	Client         client.Client
	AttemptTimeout time.Duration // of one attempt of a delivery that is restarted
	HoldFor        time.Duration // how long such a delivery is held
	// Reopen shows in the record that a delivery which ended is open again; nil leaves that to its next attempt.
	Reopen func(ctx context.Context, d *holdfast.Delivery) error
}

// Restart has a delivery attempted again: one that waits or is held goes on at once, one that ended begins anew with its
// old payload and the attempts made so far. CodePrecondition: its first attempt is under way, or its payload is gone.
func (c *Control) Restart(ctx context.Context, r activities.Restart) error {
	d := r.Delivery
	info, err := c.describe(ctx, d.WebhookID, d.EventID)
	switch {
	case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
		if !d.State.Final() {
			return holdfast.Errorf(holdfast.CodePrecondition, "the first attempt of this delivery is under way")
		}
		return c.anew(ctx, r)
	case err != nil:
		return err
	case r.ReplayID != "" && memo(info, workflows.MemoReplay) == r.ReplayID:
		return nil
	case info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return c.anew(ctx, r)
	case d.State.Final():
		return c.endingAnew(ctx, r)
	}
	return c.Signal(ctx, d.WebhookID, d.EventID, workflows.SignalRetryNow, "")
}

// endingAnew restarts a delivery whose end is recorded while its workflow is still open: on its way to its own end, or
// restarted already.
func (c *Control) endingAnew(ctx context.Context, r activities.Restart) error {
	d := r.Delivery
	again := workflows.Again{Ended: true, ReplayID: r.ReplayID}
	err := c.Client.SignalWorkflow(ctx, workflows.DeliveryWorkflowID(d.WebhookID, d.EventID), "", workflows.SignalRetryNow, again)
	if err = coded(err, "restarting a delivery"); holdfast.ErrorCode(err) == holdfast.CodeNotFound {
		return c.anew(ctx, r) // it has ended meanwhile
	}
	if err == nil {
		c.reopen(ctx, d)
	}
	return err
}

// anew starts another run of a delivery that ended.
func (c *Control) anew(ctx context.Context, r activities.Restart) error {
	d := r.Delivery
	event, err := (&Payloads{c.Client}).EventOf(ctx, d.WorkflowID, d.RunID, d.EventID)
	if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
		return holdfast.Wrap(holdfast.CodePrecondition, err,
			"the payload of this delivery is gone with its workflow's history; publish the event again under a new id")
	}
	if err != nil {
		return err
	}
	made := 0
	if n := len(d.Attempts); n > 0 {
		made = d.Attempts[n-1].Number
	}
	opts := startOrJoin(workflows.DeliveryWorkflowID(d.WebhookID, d.EventID))
	in := workflows.DeliveryInput{
		WebhookID: d.WebhookID, Event: *event, CreatedAt: d.CreatedAt, BaseAttempts: made, LazyAttributes: true,
		AttemptTimeoutMS: c.AttemptTimeout.Milliseconds(), HoldForMS: c.HoldFor.Milliseconds(),
		Outcome: &activities.Outcome{State: holdfast.DeliveryPending, Attempts: made},
	}
	opts.TypedSearchAttributes = workflows.DeliveryAttributes(&in)
	if r.ReplayID != "" {
		opts.Memo = map[string]any{workflows.MemoReplay: r.ReplayID}
	}
	if _, err = c.Client.ExecuteWorkflow(ctx, opts, workflows.TypeDelivery, in); err != nil {
		return coded(err, "restarting a delivery")
	}
	c.reopen(ctx, d)
	return nil
}

// reopen shows in the record that the delivery is open again. Its next attempt shows it as well.
func (c *Control) reopen(ctx context.Context, d *holdfast.Delivery) {
	if c.Reopen != nil {
		_ = c.Reopen(ctx, d)
	}
}

// Cancel ends an open delivery. CodePrecondition: it has ended already, or its first attempt is under way.
func (c *Control) Cancel(ctx context.Context, webhookID, eventID, reason string) error {
	info, err := c.describe(ctx, webhookID, eventID)
	switch {
	case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
		return holdfast.Errorf(holdfast.CodePrecondition, "this delivery has ended, or its first attempt is under way")
	case err != nil:
		return err
	case info.GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return holdfast.Errorf(holdfast.CodePrecondition, "this delivery has ended already")
	}
	err = c.Signal(ctx, webhookID, eventID, workflows.SignalCancel, reason)
	if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
		return holdfast.Errorf(holdfast.CodePrecondition, "this delivery has ended already")
	}
	return err
}

// Signal sends a signal to an open delivery. CodeNotFound when there is none; CodeUnavailable.
func (c *Control) Signal(ctx context.Context, webhookID, eventID, signal, reason string) error {
	var argument any
	if reason != "" {
		argument = reason
	}
	err := c.Client.SignalWorkflow(ctx, workflows.DeliveryWorkflowID(webhookID, eventID), "", signal, argument)
	return coded(err, "signalling a delivery")
}

// Open lists the open deliveries of a webhook from Temporal's visibility.
func (c *Control) Open(ctx context.Context, q activities.OpenQuery, size int, token []byte) ([]string, []byte, error) {
	query := "WorkflowType = '" + workflows.TypeDelivery + "' AND ExecutionStatus = 'Running' AND WebhookId = " + quoted(q.WebhookID)
	if q.StartedBefore > 0 {
		query += " AND StartTime < '" + time.UnixMilli(q.StartedBefore).UTC().Format(time.RFC3339Nano) + "'"
	}
	switch q.Kind {
	case activities.OpenHeld:
		query += " AND DeliveryState = '" + string(holdfast.DeliveryHeld) + "'"
	case activities.OpenNotHeld:
		query += " AND DeliveryState != '" + string(holdfast.DeliveryHeld) + "'"
	case activities.OpenAll:
	}
	listed, err := c.Client.ListWorkflow(ctx, listRequest(query, size, token))
	if err != nil {
		return nil, nil, coded(err, "listing open deliveries")
	}
	var ids []string
	for _, info := range listed.GetExecutions() {
		if id := keyword(info, workflows.AttrEventID.GetName()); id != "" {
			ids = append(ids, id)
		}
	}
	return ids, listed.GetNextPageToken(), nil
}

// Sweep has the webhook's open deliveries held, released or cancelled; a newer order replaces an older one.
func (c *Control) Sweep(ctx context.Context, r activities.SweepRequest) error {
	id := workflows.SweepID(r.WebhookID)
	_, err := c.Client.SignalWithStartWorkflow(ctx, id, workflows.SignalSweep, workflows.SweepOrder{Kind: r.Kind, Reason: r.Reason},
		client.StartWorkflowOptions{
			ID: id, TaskQueue: workflows.QueueMain,
			WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		}, workflows.TypeSweep, workflows.SweepInput{WebhookID: r.WebhookID})
	return coded(err, "sweeping deliveries")
}

func (c *Control) describe(ctx context.Context, webhookID, eventID string) (*workflowpb.WorkflowExecutionInfo, error) {
	described, err := c.Client.DescribeWorkflowExecution(ctx, workflows.DeliveryWorkflowID(webhookID, eventID), "")
	if err != nil {
		return nil, coded(err, "looking for the delivery")
	}
	return described.GetWorkflowExecutionInfo(), nil
}

func memo(info *workflowpb.WorkflowExecutionInfo, name string) string {
	var value string
	if DataConverter().FromPayload(info.GetMemo().GetFields()[name], &value) != nil {
		return ""
	}
	return value
}
