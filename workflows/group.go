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
	// Successors says that deliveries go on without being child workflows; groups begun before that was possible have none.
	Successors bool `json:"successors,omitempty"`
	// Earlier is what the runs before this one have done; Targets are then those that are left.
	Earlier *GroupEarlier `json:"earlier,omitempty"`
}

// GroupEarlier carries a group over to its next run.
type GroupEarlier struct {
	Result GroupResult `json:"result"`
	// Open are deliveries that were attempted and still have to be handed over; the rest of the targets is not attempted.
	Open       []activities.OpenOutcome `json:"open,omitempty"`
	Unrecorded []activities.Record      `json:"unrecorded,omitempty"`
	Told       []string                 `json:"told,omitempty"` // webhooks whose registration was told to disconnect them
}

// GroupResult counts how a group's deliveries fared at once; the rest go on as deliveries of their own.
type GroupResult struct {
	Delivered  int `json:"delivered"`
	HandedOver int `json:"handed_over"`
	Ended      int `json:"ended,omitempty"` // exhausted or cancelled with the first attempt
}

// GroupStatus is the answer of a DeliveryGroup's status query.
type GroupStatus struct {
	GroupResult
	Total     int `json:"total"`
	Attempted int `json:"attempted"` // first attempts that were made, or that their webhooks' state has put off
}

// Bounds of what a group does at a time. They keep a local activity short of its workflow task, and a workflow task and a
// history short of what Temporal takes, however many deliveries there are and however large their events.
const (
	groupBatch       = 256     // first attempts in one local activity
	handOverCount    = 64      // deliveries handed over with one workflow task
	handOverBytes    = 1 << 20 // bytes of their events
	groupRunHandOver = 1024    // deliveries handed over by one run
	groupRunBytes    = 8 << 20 // bytes of their events
	childOverhead    = 1 << 10 // what handing over costs beside the event
)

// versionBounded gates the bounds: groups begun before did everything at a time.
const versionBounded = "group-bounded"

// group is the state of one DeliveryGroup run.
type group struct {
	in          GroupInput
	result      GroupResult
	open        []activities.OpenOutcome // attempted, not handed over yet
	attempted   int                      // targets of this run before this one are attempted
	total       int
	unrecorded  []activities.Record
	disconnects disconnects
	handed      int // by this run
	handedBytes int
}

// DeliveryGroup makes the first attempts of many deliveries in local activities. Whatever did not succeed at once goes on
// as its own Delivery, which the end of the group does not touch.
func DeliveryGroup(ctx workflow.Context, in GroupInput) (GroupResult, error) {
	g := &group{in: in, total: len(in.Targets)}
	if e := in.Earlier; e != nil {
		g.result, g.open, g.attempted, g.unrecorded, g.disconnects.told = e.Result, e.Open, len(e.Open), e.Unrecorded, e.Told
		g.total += g.result.Delivered + g.result.HandedOver + g.result.Ended
	}
	if err := workflow.SetQueryHandler(ctx, QueryStatus, func() (GroupStatus, error) { return g.status(), nil }); err != nil {
		return GroupResult{}, err
	}
	return g.run(ctx)
}

func (g *group) status() GroupStatus {
	left := len(g.in.Targets) - g.attempted
	return GroupStatus{GroupResult: g.result, Total: g.total, Attempted: g.total - left}
}

func (g *group) run(ctx workflow.Context) (GroupResult, error) {
	for {
		if err := g.handOverOpen(ctx); err != nil {
			return g.result, err
		}
		if len(g.open) == 0 && g.attempted == len(g.in.Targets) {
			break
		}
		if g.full(ctx) {
			return g.result, g.next(ctx)
		}
		if len(g.open) == 0 {
			if err := g.attempt(ctx); err != nil {
				return g.result, err
			}
		}
	}
	if len(g.unrecorded) > 0 {
		recorded, err := recordOutcomes(ctx, g.unrecorded)
		if err != nil {
			return g.result, err
		}
		for _, w := range recorded.Disconnects {
			g.disconnects.tell(ctx, w.WebhookID, w.Disconnect)
		}
	}
	g.disconnects.arrived(ctx)
	return g.result, nil
}

// large tells whether the group is more than one batch. What could not be recorded then is left to deliveries of its own
// instead of being kept: there may be any number of it.
func (g *group) large() bool { return g.total > groupBatch }

// attempt makes the first attempts of the next batch and sorts their outcomes.
func (g *group) attempt(ctx workflow.Context) error {
	batch := g.in.Targets[g.attempted:]
	if len(batch) > groupBatch && bounded(ctx) {
		batch = batch[:groupBatch]
	}
	first, err := attemptFirst(ctx, activities.FirstAttempts{Events: g.in.Events, Targets: batch, CreatedAt: g.in.CreatedAt})
	if err != nil {
		return err
	}
	g.result.Delivered += first.Delivered
	for _, open := range first.Open {
		open.Index += g.attempted
		if open.Disconnect != nil {
			g.disconnects.tell(ctx, g.in.Targets[open.Index].WebhookID, *open.Disconnect)
			open.Disconnect = nil
		}
		switch {
		case !open.State.Final() || open.Unrecorded != nil && g.large():
			g.open = append(g.open, open)
			continue
		case open.Unrecorded != nil:
			g.unrecorded = append(g.unrecorded, *open.Unrecorded)
		}
		if open.State == holdfast.DeliveryDelivered {
			g.result.Delivered++
		} else {
			g.result.Ended++
		}
	}
	g.attempted += len(batch)
	return nil
}

// handOverOpen starts the next deliveries that go on by themselves, and waits until they are started.
func (g *group) handOverOpen(ctx workflow.Context) error {
	n, size := g.chunk()
	if n < len(g.open) && !bounded(ctx) {
		n = len(g.open)
	}
	// A large group takes long, and starting children ends its workflow task: what it has done is kept, and can be asked for.
	if n > 0 && g.in.Successors && !g.large() {
		err := g.startSuccessors(ctx, g.open[:n])
		if err == nil || temporal.IsCanceledError(err) {
			g.handedOver(n, size)
			return err
		}
		workflow.GetLogger(ctx).Warn("deliveries are handed over as child workflows", "error", err)
	}
	if err := g.startChildren(ctx, g.open[:n]); err != nil {
		return err
	}
	g.handedOver(n, size)
	return nil
}

func (g *group) handedOver(n, size int) {
	g.result.HandedOver += n
	g.handed += n
	g.handedBytes += size
	g.open = g.open[n:]
}

// startSuccessors starts deliveries around the group: no event of its history is about any of them.
func (g *group) startSuccessors(ctx workflow.Context, open []activities.OpenOutcome) error {
	all := make([]activities.Successor, len(open))
	for i, o := range open {
		target := g.in.Targets[o.Index]
		all[i] = activities.Successor{
			WebhookID: target.WebhookID, Event: g.in.Events[target.Event], CreatedAt: g.in.CreatedAt,
			AttemptTimeoutMS: g.in.AttemptTimeoutMS, HoldForMS: g.in.HoldForMS, Outcome: o.Outcome,
		}
	}
	local := workflow.WithLocalActivityOptions(ctx, localOptions)
	return workflow.ExecuteLocalActivity(local, deliveries.HandOver, all).Get(ctx, nil)
}

// startChildren starts deliveries as child workflows: the way of groups begun before the other, and when that fails.
func (g *group) startChildren(ctx workflow.Context, open []activities.OpenOutcome) error {
	n := len(open)
	started := make([]workflow.ChildWorkflowFuture, n)
	for i, o := range open {
		started[i] = handOver(ctx, g.in, o)
	}
	for _, child := range started {
		// A delivery of that id that is open already is the same delivery.
		err := child.GetChildWorkflowExecution().Get(ctx, nil)
		if err != nil && !temporal.IsWorkflowExecutionAlreadyStartedError(err) {
			return err
		}
	}
	return nil
}

// chunk returns how many deliveries can be handed over with one workflow task, at least one if there is one.
func (g *group) chunk() (n, size int) {
	for ; n < len(g.open) && n < handOverCount; n++ {
		next := g.in.Events[g.in.Targets[g.open[n].Index].Event].Size() + childOverhead
		if n > 0 && size+next > handOverBytes {
			break
		}
		size += next
	}
	return n, size
}

// full tells whether the rest is better done by a new run.
func (g *group) full(ctx workflow.Context) bool {
	return g.handed > 0 && (g.handed >= groupRunHandOver || g.handedBytes >= groupRunBytes ||
		workflow.GetInfo(ctx).GetContinueAsNewSuggested())
}

// next goes on in a new run with what is left.
func (g *group) next(ctx workflow.Context) error {
	g.disconnects.arrived(ctx)
	in := g.in
	in.Targets = nil
	open := make([]activities.OpenOutcome, len(g.open))
	for i, o := range g.open {
		in.Targets = append(in.Targets, g.in.Targets[o.Index])
		o.Index = i
		open[i] = o
	}
	in.Targets = append(in.Targets, g.in.Targets[g.attempted:]...)
	in.Earlier = &GroupEarlier{Result: g.result, Open: open, Unrecorded: g.unrecorded, Told: g.disconnects.told}
	return workflow.NewContinueAsNewError(ctx, DeliveryGroup, in)
}

// bounded tells whether the run keeps the bounds.
func bounded(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, versionBounded, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}

func handOver(ctx workflow.Context, in GroupInput, open activities.OpenOutcome) workflow.ChildWorkflowFuture {
	target := in.Targets[open.Index]
	return startDelivery(ctx, DeliveryInput{
		WebhookID: target.WebhookID, Event: in.Events[target.Event], CreatedAt: in.CreatedAt,
		AttemptTimeoutMS: in.AttemptTimeoutMS, HoldForMS: in.HoldForMS, Outcome: &open.Outcome, LazyAttributes: in.Successors,
	})
}

// startDelivery starts a Delivery that goes on whatever becomes of the workflow that starts it.
func startDelivery(ctx workflow.Context, in DeliveryInput) workflow.ChildWorkflowFuture {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            DeliveryWorkflowID(in.WebhookID, in.Event.ID),
		TaskQueue:             QueueMain,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		TypedSearchAttributes: DeliveryAttributes(&in),
	})
	return workflow.ExecuteChildWorkflow(ctx, Delivery, in)
}

// DeliveryAttributes are the search attributes a Delivery starts with.
func DeliveryAttributes(in *DeliveryInput) temporal.SearchAttributes {
	state := holdfast.DeliveryPending
	if in.Outcome != nil {
		state = in.Outcome.State
	}
	all := []temporal.SearchAttributeUpdate{
		AttrWebhookID.ValueSet(in.WebhookID), AttrEventID.ValueSet(in.Event.ID), AttrEventType.ValueSet(in.Event.Type),
		AttrDeliveryState.ValueSet(string(state)),
	}
	if in.Outcome != nil && in.Outcome.Attempts > 0 {
		all = append(all, AttrAttempts.ValueSet(int64(in.Outcome.Attempts)), AttrHTTPStatus.ValueSet(int64(in.Outcome.Status)))
	}
	return temporal.NewSearchAttributes(all...)
}
