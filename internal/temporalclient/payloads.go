package temporalclient

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/workflows"
)

// Payloads reads events out of the starts of their workflows, the one place that keeps them.
type Payloads struct {
	Client client.Client
}

// Event returns the event that a Delivery run was started with. CodeNotFound when its history is gone.
func (p *Payloads) Event(ctx context.Context, workflowID, runID string) (*holdfast.Event, error) {
	history := p.Client.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := history.Next()
	if err != nil {
		return nil, coded(err, "reading the event of a delivery")
	}
	var in workflows.DeliveryInput
	payloads := first.GetWorkflowExecutionStartedEventAttributes().GetInput()
	if err := DataConverter().FromPayloads(payloads, &in); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, err, "the start of a delivery cannot be read")
	}
	return &in.Event, nil
}
