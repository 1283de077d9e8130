package temporalclient

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/workflows"
)

// Deliveries asks Temporal where deliveries stand.
type Deliveries struct {
	Client client.Client
}

// Delivery tells from a delivery's own workflow where it stands, without its attempts: of a webhook that is deleted Redis
// keeps no record (D10), and it may have been wiped. CodeNotFound when there is no such workflow, as for what was
// delivered at once in a group; CodeUnavailable.
func (d *Deliveries) Delivery(ctx context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	id := workflows.DeliveryWorkflowID(webhookID, eventID)
	described, err := d.Client.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return nil, coded(err, "looking for the delivery")
	}
	info := described.GetWorkflowExecutionInfo()
	started := info.GetStartTime().AsTime().UnixMilli()
	out := &holdfast.Delivery{
		WebhookID: webhookID, EventID: eventID, EventType: keyword(info, workflows.AttrEventType.GetName()),
		State:     holdfast.DeliveryState(keyword(info, workflows.AttrDeliveryState.GetName())),
		CreatedAt: started, UpdatedAt: started, WorkflowID: id, RunID: info.GetExecution().GetRunId(),
	}
	if info.GetCloseTime() != nil {
		out.UpdatedAt = info.GetCloseTime().AsTime().UnixMilli()
	}
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		var status workflows.DeliveryStatus
		if err := d.Client.GetWorkflow(ctx, id, out.RunID).Get(ctx, &status); err != nil {
			return nil, coded(err, "reading the end of the delivery")
		}
		out.State, out.Reason = status.State, status.Reason
	default: // cancelled, terminated or failed by somebody's hand, with no result
		out.State, out.Reason = holdfast.DeliveryCancelled, "its workflow was ended"
	}
	return out, nil
}

// keyword reads a search attribute; "" when it is not set.
func keyword(info *workflowpb.WorkflowExecutionInfo, name string) string {
	var value string
	if DataConverter().FromPayload(info.GetSearchAttributes().GetIndexedFields()[name], &value) != nil {
		return ""
	}
	return value
}
