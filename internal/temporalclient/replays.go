package temporalclient

import (
	"context"
	"errors"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/workflows"
)

// Replays starts, shows and steers Replay workflows.
type Replays struct {
	Client client.Client
}

// Start begins a replay; one that is open or ended under the id is left as it is. CodeUnavailable.
func (r *Replays) Start(ctx context.Context, in workflows.ReplayInput) error {
	_, err := r.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: workflows.ReplayWorkflowID(in.ID), TaskQueue: workflows.QueueMain,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflows.TypeReplay, in)
	if _, again := errors.AsType[*serviceerror.WorkflowExecutionAlreadyStarted](err); again {
		return nil
	}
	return coded(err, "starting a replay")
}

// Status tells how far a replay is. CodeNotFound; CodeUnavailable.
func (r *Replays) Status(ctx context.Context, id string) (workflows.ReplayStatus, error) {
	var status workflows.ReplayStatus
	value, err := r.Client.QueryWorkflow(ctx, workflows.ReplayWorkflowID(id), "", workflows.QueryStatus)
	if err != nil {
		return status, coded(err, "reading the replay")
	}
	if err := value.Get(&status); err != nil {
		return status, holdfast.Wrap(holdfast.CodeInternal, err, "the replay's state cannot be read")
	}
	return status, nil
}

// Signal pauses, resumes or cancels a replay. CodePrecondition: it has ended; CodeNotFound; CodeUnavailable.
func (r *Replays) Signal(ctx context.Context, id, signal string) error {
	err := coded(r.Client.SignalWorkflow(ctx, workflows.ReplayWorkflowID(id), "", signal, nil), "signalling the replay")
	if holdfast.ErrorCode(err) != holdfast.CodeNotFound {
		return err
	}
	if _, known := r.Status(ctx, id); known == nil {
		return holdfast.Errorf(holdfast.CodePrecondition, "this replay has ended already")
	}
	return err
}
