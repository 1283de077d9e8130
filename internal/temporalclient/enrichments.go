package temporalclient

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// Enrichments has events completed before they are published.
type Enrichments struct {
	Client client.Client
}

// Start makes the event durable: whatever happens, it is published some time. One that was started before, by any node, is
// left as it is, so that all that hear a message may call this. CodeUnavailable when Temporal did not take it on.
func (e *Enrichments) Start(ctx context.Context, in activities.Enrichment) error {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	_, err := e.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.EnrichmentID(in.Event.ID), TaskQueue: workflows.QueueMain,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes: temporal.NewSearchAttributes(
			workflows.AttrEventID.ValueSet(in.Event.ID), workflows.AttrEventType.ValueSet(in.Event.Type)),
	}, workflows.TypeEnrichment, in)
	if _, again := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); again {
		return nil
	}
	return coded(err, "starting to complete an event")
}
