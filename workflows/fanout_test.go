package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

func fanOut(targets, eventBytes int) workflows.GroupInput {
	in := groupInput()
	data := make([]byte, eventBytes+2)
	for i := range data {
		data[i] = 'x'
	}
	data[0], data[len(data)-1] = '"', '"'
	in.Events = []holdfast.Event{{ID: "evt_1", Type: "job_failed", Data: data}}
	in.Targets = nil
	for i := range targets {
		in.Targets = append(in.Targets, activities.Target{WebhookID: fmt.Sprintf("wh_%05d", i)})
	}
	return in
}

// One event for 10,000 webhooks, some of which fail, are held or cannot be recorded: everything is attempted once, in
// bounded steps and runs, and whatever is open goes on by itself.
func TestD24_LargeFanOutIsDoneInBoundedSteps(t *testing.T) {
	t.Parallel()
	const targets = 10_000
	attempted, children := map[string]int{}, map[string]int{}
	var last workflows.GroupResult
	in, runs := fanOut(targets, 1000), 0
	for done := false; !done; runs++ {
		env, f := newEnv(t)
		started := 0
		f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
			require.LessOrEqual(t, len(in.Targets), 256)
			var r activities.FirstResult
			for i, target := range in.Targets {
				attempted[target.WebhookID]++
				var n int
				_, err := fmt.Sscanf(target.WebhookID, "wh_%d", &n)
				require.NoError(t, err)
				switch n % 10 {
				case 0:
					r.Open = append(r.Open, activities.OpenOutcome{Index: i, Outcome: held(0)})
				case 1:
					r.Open = append(r.Open, activities.OpenOutcome{Index: i, Outcome: retrying(1, time.Hour)})
				case 2:
					o := delivered(1)
					o.Unrecorded = &activities.Record{Delivery: holdfast.Delivery{WebhookID: target.WebhookID, EventID: "evt_1", State: o.State}}
					r.Open = append(r.Open, activities.OpenOutcome{Index: i, Outcome: o})
				case 3:
					r.Open = append(r.Open, activities.OpenOutcome{Index: i, Outcome: exhausted(1, nil)})
				default:
					r.Delivered++
				}
			}
			return r, nil
		}
		f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
		env.SetOnChildWorkflowStartedListener(func(_ *workflow.Info, _ workflow.Context, args converter.EncodedValues) {
			var child workflows.DeliveryInput
			require.NoError(t, args.Get(&child))
			require.NotNil(t, child.Outcome)
			children[child.WebhookID]++
			started++
		})
		env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
		require.True(t, env.IsWorkflowCompleted())
		require.LessOrEqual(t, started, 1024+256, "children of one run")
		value, err := env.QueryWorkflow(workflows.QueryStatus)
		require.NoError(t, err)
		var s workflows.GroupStatus
		require.NoError(t, value.Get(&s))
		require.Equal(t, targets, s.Total)
		require.Equal(t, len(attempted), s.Attempted)
		last = s.GroupResult
		if done = env.GetWorkflowError() == nil; !done {
			in = continued[workflows.GroupInput](t, env)
			payload, err := converter.GetDefaultDataConverter().ToPayload(in)
			require.NoError(t, err)
			require.Less(t, len(payload.GetData()), 2<<20)
		}
	}
	require.Greater(t, runs, 1)
	require.Equal(t, workflows.GroupResult{Delivered: targets * 6 / 10, HandedOver: targets * 3 / 10, Ended: targets / 10}, last)
	require.Len(t, attempted, targets)
	require.Len(t, children, targets*3/10)
	for id, n := range attempted {
		require.Equal(t, 1, n, id)
		require.LessOrEqual(t, children[id], 1, id)
	}
}

// Large events are handed over a few at a time, and a run ends before its history is as large as Temporal allows.
func TestG4_LargeEventsAreHandedOverWithinTheLimits(t *testing.T) {
	t.Parallel()
	const eventBytes, targets = 500_000, 60
	in, runs, children := fanOut(targets, eventBytes), 0, map[string]bool{}
	for done := false; !done; runs++ {
		env, f := newEnv(t)
		f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
			var r activities.FirstResult
			for i := range in.Targets {
				o := held(0)
				if i == 0 {
					o = delivered(1)
				}
				o.Unrecorded = &activities.Record{Delivery: holdfast.Delivery{WebhookID: "wh", EventID: "evt_1", State: o.State}}
				r.Open = append(r.Open, activities.OpenOutcome{Index: i, Outcome: o})
			}
			return r, nil
		}
		f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
		size := 0
		env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
			children[info.WorkflowExecution.ID] = true
			size += eventBytes
		})
		env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
		require.LessOrEqual(t, size, 9<<20)
		if done = env.GetWorkflowError() == nil; !done {
			in = continued[workflows.GroupInput](t, env)
			require.Len(t, in.Earlier.Unrecorded, 1)
			continue
		}
		require.Equal(t, workflows.GroupResult{Delivered: 1, HandedOver: targets - 1}, groupResult(t, env))
		own := 0
		for _, c := range f.named("RecordOutcomes") {
			if c.in.(activities.Records).Records[0].Delivery.State == holdfast.DeliveryDelivered {
				own++
			}
		}
		require.Equal(t, 1, own, "what the group could not record is recorded at its end")
	}
	require.Greater(t, runs, 2)
	require.Len(t, children, targets-1)
}

// A group that was begun before there were bounds goes on as it began.
func TestDeliveryGroup_OldGroupKeepsItsCommands(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	env.OnGetVersion("group-bounded", workflow.DefaultVersion, workflow.Version(1)).Return(workflow.DefaultVersion)
	f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
		require.Len(t, in.Targets, 300)
		var r activities.FirstResult
		for i := range in.Targets {
			r.Open = append(r.Open, activities.OpenOutcome{Index: i, Outcome: retrying(1, time.Hour)})
		}
		return r, nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, fanOut(300, 10))
	require.Equal(t, workflows.GroupResult{HandedOver: 300}, groupResult(t, env))
	require.Len(t, f.named("AttemptFirst"), 1)
	require.False(t, temporal.IsCanceledError(env.GetWorkflowError()))
}
