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
	return p.read(ctx, workflowID, runID, "")
}

// EventOf returns the event with the id from the start of the workflow that held its delivery, be it a Delivery or a
// DeliveryGroup. CodeNotFound when the history is gone or holds no such event.
func (p *Payloads) EventOf(ctx context.Context, workflowID, runID, eventID string) (*holdfast.Event, error) {
	return p.read(ctx, workflowID, runID, eventID)
}

func (p *Payloads) read(ctx context.Context, workflowID, runID, eventID string) (*holdfast.Event, error) {
	history := p.Client.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	first, err := history.Next()
	if err != nil {
		return nil, coded(err, "reading the event of a delivery")
	}
	started := first.GetWorkflowExecutionStartedEventAttributes()
	unreadable := func(err error) error {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the start of a delivery cannot be read")
	}
	if started.GetWorkflowType().GetName() != workflows.TypeDeliveryGroup {
		var in workflows.DeliveryInput
		if err := DataConverter().FromPayloads(started.GetInput(), &in); err != nil {
			return nil, unreadable(err)
		}
		return &in.Event, nil
	}
	var in workflows.GroupInput
	if err := DataConverter().FromPayloads(started.GetInput(), &in); err != nil {
		return nil, unreadable(err)
	}
	for i := range in.Events {
		if in.Events[i].ID == eventID {
			return &in.Events[i], nil
		}
	}
	return nil, holdfast.Errorf(holdfast.CodeNotFound, "the workflow does not hold the event")
}
