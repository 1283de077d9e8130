package temporalclient

import (
	"context"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/workflows"
)

// Alerts makes sure that people are told of alerts even when they cannot be reached now.
type Alerts struct {
	Client client.Client
}

// Notify starts the alert's notification. One under way about an earlier state of the same alert is replaced: the newest
// state says all there is to know. CodeUnavailable when Temporal did not take it on.
func (a *Alerts) Notify(ctx context.Context, alert holdfast.Alert) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	_, err := a.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.AlertWorkflowID(alert.ID()), TaskQueue: workflows.QueueMain,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_TERMINATE_EXISTING,
	}, workflows.TypeAlert, alert)
	return coded(err, "notifying of an alert")
}
