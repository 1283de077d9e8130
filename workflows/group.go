package workflows

import (
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// GroupInput starts a DeliveryGroup: many deliveries made durable by one start. Every payload is in it once, however many
// webhooks an event goes to.
type GroupInput struct {
	Events           []holdfast.Event    `json:"events"`
	Targets          []activities.Target `json:"targets"`
	CreatedAt        int64               `json:"created_at"`
	AttemptTimeoutMS int64               `json:"attempt_timeout_ms"`
	HoldForMS        int64               `json:"hold_for_ms"`
}

// GroupResult counts how a group's deliveries fared at once; the rest go on as deliveries of their own.
type GroupResult struct {
	Delivered  int `json:"delivered"`
	HandedOver int `json:"handed_over"`
	Ended      int `json:"ended,omitempty"` // exhausted or cancelled with the first attempt
}

// DeliveryGroup makes the first attempts of many deliveries in one local activity. Whatever did not succeed at once goes
// on as its own Delivery, which the end of the group does not touch.
func DeliveryGroup(ctx workflow.Context, in GroupInput) (GroupResult, error) {
	first, err := attemptFirst(ctx, activities.FirstAttempts{Events: in.Events, Targets: in.Targets, CreatedAt: in.CreatedAt})
	if err != nil {
		return GroupResult{}, err
	}
	result := GroupResult{Delivered: first.Delivered}
	var unrecorded []activities.Record
	var started []workflow.ChildWorkflowFuture
	for _, open := range first.Open {
		if !open.State.Final() {
			started = append(started, handOver(ctx, in, open))
			result.HandedOver++
			continue
		}
		if open.Unrecorded != nil {
			unrecorded = append(unrecorded, *open.Unrecorded)
		}
		if open.State == holdfast.DeliveryDelivered {
			result.Delivered++
		} else {
			result.Ended++
		}
	}
	for _, child := range started {
		// A delivery of that id that is open already is the same delivery.
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
		if err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return result, err
		}
	}
	if len(unrecorded) > 0 {
		return result, recordOutcomes(ctx, unrecorded)
	}
	return result, nil
}

func handOver(ctx workflow.Context, in GroupInput, open activities.OpenOutcome) workflow.ChildWorkflowFuture {
	target := in.Targets[open.Index]
	event := in.Events[target.Event]
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            DeliveryWorkflowID(target.WebhookID, event.ID),
		TaskQueue:             QueueMain,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes: DeliveryAttributes(target.WebhookID, &event),
	})
	return workflow.ExecuteChildWorkflow(ctx, Delivery, DeliveryInput{
		WebhookID: target.WebhookID, Event: event, CreatedAt: in.CreatedAt,
		AttemptTimeoutMS: in.AttemptTimeoutMS, HoldForMS: in.HoldForMS, Outcome: &open.Outcome,
	})
}

// DeliveryAttributes are the search attributes a Delivery starts with.
func DeliveryAttributes(webhookID string, e *holdfast.Event) temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		AttrWebhookID.ValueSet(webhookID), AttrEventID.ValueSet(e.ID), AttrEventType.ValueSet(e.Type),
		AttrDeliveryState.ValueSet(string(holdfast.DeliveryPending)))
}
