package temporalclient

import (
	"context"

	"github.com/oklog/ulid/v2"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// Starter starts the workflows that hold deliveries. With eager start the first workflow task comes back with the start
// and runs in this process: one round trip for start and first attempt (DESIGN 6).
type Starter struct {
	Client client.Client
	Node   string
	Eager  bool
	Queue  string // "": workflows.QueueMain
}

// NewGroupID makes the workflow id of a new group.
func (s *Starter) NewGroupID() string { return workflows.GroupID(s.Node, ulid.Make().String()) }

// StartDelivery starts a Delivery; one that is open under that id is the same delivery and is returned instead.
func (s *Starter) StartDelivery(ctx context.Context, in workflows.DeliveryInput) (workflowID, runID string, err error) {
	opts := s.options(workflows.DeliveryWorkflowID(in.WebhookID, in.Event.ID))
	opts.TypedSearchAttributes = workflows.DeliveryAttributes(&in)
	return s.start(ctx, opts, workflows.TypeDelivery, in)
}

// StartSuccessor starts the Delivery that takes a delivery over from a group. One that is open already is the same.
func (s *Starter) StartSuccessor(ctx context.Context, in activities.Successor) error {
	_, _, err := s.StartDelivery(ctx, workflows.DeliveryInput{
		WebhookID: in.WebhookID, Event: in.Event, CreatedAt: in.CreatedAt, AttemptTimeoutMS: in.AttemptTimeoutMS,
		HoldForMS: in.HoldForMS, Outcome: &in.Outcome, LazyAttributes: true,
	})
	return err
}

// StartGroup starts a DeliveryGroup under the id; starting it again returns the same run.
func (s *Starter) StartGroup(ctx context.Context, id string, in workflows.GroupInput) (workflowID, runID string, err error) {
	return s.start(ctx, s.options(id), workflows.TypeDeliveryGroup, in)
}

// Enqueue starts a delivery that comes after those of its webhook with the same key: it is durable when this returns.
func (s *Starter) Enqueue(ctx context.Context, key string, in workflows.DeliveryInput) (workflowID, runID string, err error) {
	opts := s.options(workflows.OrderedID(in.WebhookID, key))
	opts.EnableEagerStart, opts.WorkflowIDConflictPolicy = false, enumspb.WORKFLOW_ID_CONFLICT_POLICY_UNSPECIFIED
	opts.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.AttrWebhookID.ValueSet(in.WebhookID))
	run, err := s.Client.SignalWithStartWorkflow(ctx, opts.ID, workflows.SignalEnqueue, in, opts,
		workflows.TypeOrderedDeliveries, workflows.OrderedState{WebhookID: in.WebhookID})
	if err != nil {
		return "", "", coded(err, "queueing a delivery")
	}
	return run.GetID(), run.GetRunID(), nil
}

func (s *Starter) options(id string) client.StartWorkflowOptions {
	opts := startOrJoin(id)
	if s.Queue != "" {
		opts.TaskQueue = s.Queue
	}
	opts.EnableEagerStart = s.Eager
	return opts
}

// startOrJoin are the options of a start that finds the workflow which is open under the id, and otherwise begins another
// one, also after one that has ended.
func startOrJoin(id string) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.QueueMain,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}
}

func (s *Starter) start(ctx context.Context, opts client.StartWorkflowOptions, workflow string, in any) (string, string, error) {
	run, err := s.Client.ExecuteWorkflow(ctx, opts, workflow, in)
	if err != nil {
		return "", "", coded(err, "starting "+workflow)
	}
	return run.GetID(), run.GetRunID(), nil
}
