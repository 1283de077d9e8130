package temporalclient

import (
	"context"
	"errors"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/workflows"
)

// checkTimeout ends a check that hangs, so that the next ones can run.
const checkTimeout = 30 * time.Minute

// Consistency starts checks of the whole system: by a schedule, and on demand.
type Consistency struct {
	Client   client.Client
	Interval time.Duration        // between scheduled checks
	Input    workflows.CheckInput // of scheduled checks; those on demand are full
}

// EnsureSchedule creates the schedule, with a first check at once, or makes the one that is there what it should be. Every
// node calls it at its start; that several do so at once is harmless. A schedule that somebody has paused stays paused.
// CodeUnavailable when Temporal cannot be reached.
func (c *Consistency) EnsureSchedule(ctx context.Context) error {
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: c.Interval}}}
	action := &client.ScheduleWorkflowAction{
		ID: workflows.ScheduleConsistency, Workflow: workflows.TypeConsistencyCheck, Args: []any{c.Input},
		TaskQueue: workflows.QueueMain, WorkflowRunTimeout: checkTimeout,
	}
	catchUp := max(c.Interval, minCatchUp)
	_, err := c.Client.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: workflows.ScheduleConsistency, Spec: spec, Action: action,
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchUp, TriggerImmediately: true,
	})
	var exists *serviceerror.AlreadyExists
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) && !errors.As(err, &exists) {
		return coded(err, "creating the consistency schedule")
	}
	err = c.schedule(ctx).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			s := in.Description.Schedule
			if c.scheduled(&s, catchUp) {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			s.Spec, s.Action = &spec, action
			s.Policy = &client.SchedulePolicies{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchUp}
			return &client.ScheduleUpdate{Schedule: &s}, nil
		},
	})
	return coded(err, "updating the consistency schedule")
}

// scheduled tells whether the schedule is as this node would make it. Then it is left alone: an update takes effect after its
// answer and would undo a pause that came between.
func (c *Consistency) scheduled(s *client.Schedule, catchUp time.Duration) bool {
	action, ok := s.Action.(*client.ScheduleWorkflowAction)
	if !ok || len(action.Args) != 1 || len(s.Spec.Intervals) != 1 {
		return false
	}
	payload, ok := action.Args[0].(*commonpb.Payload)
	var in workflows.CheckInput
	if !ok || DataConverter().FromPayload(payload, &in) != nil {
		return false
	}
	return in == c.Input && s.Spec.Intervals[0].Every == c.Interval && s.Policy.CatchupWindow == catchUp &&
		s.Policy.Overlap == enumspb.SCHEDULE_OVERLAP_POLICY_SKIP && action.TaskQueue == workflows.QueueMain &&
		action.Workflow == workflows.TypeConsistencyCheck && action.WorkflowRunTimeout == checkTimeout
}

// minCatchUp is the least catch-up window that Temporal takes.
const minCatchUp = 10 * time.Second

func (c *Consistency) schedule(ctx context.Context) client.ScheduleHandle {
	return c.Client.ScheduleClient().GetHandle(ctx, workflows.ScheduleConsistency)
}

// Trigger asks for a scheduled check now, for whoever notices that something is lost. While one runs, which may have looked
// already, another follows it; however many ask meanwhile, it is one. CodeUnavailable when Temporal cannot be reached.
func (c *Consistency) Trigger(ctx context.Context) error {
	err := c.schedule(ctx).Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE})
	var notFound *serviceerror.NotFound
	if errors.As(err, &notFound) { // never created, or lost with Temporal's data: creating it is a trigger
		return c.EnsureSchedule(ctx)
	}
	return coded(err, "triggering the consistency check")
}

// CheckNow runs a full check, or joins the one that somebody asked for before, and waits for its report. CodeExhausted when
// it takes longer than wait: it goes on, and its report is kept. CodeUnavailable when Temporal did not take it on.
func (c *Consistency) CheckNow(ctx context.Context, wait time.Duration) (holdfast.ConsistencyReport, error) {
	in := c.Input
	in.Full = true
	starting, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	opts := startOrJoin(workflows.ConsistencyOnDemandID)
	opts.WorkflowRunTimeout = checkTimeout
	run, err := c.Client.ExecuteWorkflow(starting, opts, workflows.TypeConsistencyCheck, in)
	if err != nil {
		return holdfast.ConsistencyReport{}, coded(err, "starting the consistency check")
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var result workflows.CheckResult
	err = run.Get(waiting, &result)
	var expired *serviceerror.DeadlineExceeded // the server knows the deadline as well and may be the first to notice
	switch {
	case err == nil:
		return result.ConsistencyReport, nil
	case waiting.Err() != nil, errors.As(err, &expired), errors.Is(err, context.DeadlineExceeded):
		return holdfast.ConsistencyReport{}, holdfast.Wrap(holdfast.CodeExhausted, err,
			"the consistency check takes longer than %s; its report will be among the last ones", wait)
	}
	var failed *temporal.WorkflowExecutionError
	if errors.As(err, &failed) {
		return holdfast.ConsistencyReport{}, holdfast.Wrap(holdfast.CodeAborted, err, "the consistency check was ended before it was done")
	}
	return holdfast.ConsistencyReport{}, coded(err, "waiting for the consistency check")
}
