package workflows_test

import (
	"errors"
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

// brief is an outcome whose next attempt the process can wait for.
func brief(number int) activities.Outcome {
	o := retrying(number, time.Second)
	o.Here, o.Brief = true, true
	return o
}

// What ends within seconds never leaves its group; only what does not is handed over, and nobody waits for it to be.
func TestG7_BriefRetriesOfAGroupNeedNoWorkflowOfTheirOwn(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Open: []activities.OpenOutcome{
			{Index: 0, Outcome: brief(1)}, {Index: 1, Outcome: retrying(1, time.Hour)}, {Index: 2, Outcome: brief(1)}, {Index: 3, Outcome: brief(1)},
		}}, nil
	}
	disconnecting := exhausted(3, &tooMany)
	f.briefly = func(in []activities.BriefRetry) ([]activities.Outcome, error) {
		require.Len(t, in, 3)
		require.Equal(t, activities.BriefRetry{
			Request: activities.AttemptRequest{WebhookID: "wh_1", EventID: "evt_2", Number: 2, CreatedAt: groupInput().CreatedAt},
			Event:   groupInput().Events[1], Outcome: brief(1),
		}, in[1])
		return []activities.Outcome{delivered(2), disconnecting, retrying(3, time.Minute)}, nil
	}
	var handedOver [][]activities.Successor
	f.handOver = func(in []activities.Successor) error {
		handedOver = append(handedOver, in)
		return nil
	}
	heard := listen(env, nil)
	in := groupInput()
	in.Successors = true
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
	require.Equal(t, workflows.GroupResult{Delivered: 1, HandedOver: 2, Ended: 1}, groupResult(t, env))
	require.Equal(t, []string{"AttemptFirst", "HandOver", "RetryBriefly", "HandOver"}, f.names())
	require.Equal(t, "wh_2", handedOver[0][0].WebhookID)
	require.Equal(t, "wh_3", handedOver[1][0].WebhookID)
	require.Equal(t, retrying(3, time.Minute), handedOver[1][0].Outcome)
	require.Len(t, heard.sent[workflows.RegistrationID("wh_1")], 1)
	require.Empty(t, f.waits())
}

// Should the process be unable to, deliveries go on as they always did.
func TestG4_BriefRetriesThatCannotBeMadeAreHandedOver(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Delivered: 3, Open: []activities.OpenOutcome{{Index: 1, Outcome: brief(1)}}}, nil
	}
	f.briefly = func([]activities.BriefRetry) ([]activities.Outcome, error) {
		return nil, temporal.NewNonRetryableApplicationError("broken", "internal", nil)
	}
	var left []activities.Successor
	f.handOver = func(in []activities.Successor) error {
		left = in
		return nil
	}
	in := groupInput()
	in.Successors = true
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
	require.Equal(t, workflows.GroupResult{Delivered: 3, HandedOver: 1}, groupResult(t, env))
	want := brief(1)
	want.Brief = false
	require.Equal(t, want, left[0].Outcome)
}

// A large group has other things to do than to wait.
func TestG7_LargeGroupHandsBriefRetriesOver(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	in := groupInput()
	in.Successors, in.Targets = true, nil
	for range 300 {
		in.Targets = append(in.Targets, activities.Target{WebhookID: "wh_1"})
	}
	f.first = func(first activities.FirstAttempts) (activities.FirstResult, error) {
		if len(first.Targets) < 256 {
			return activities.FirstResult{Delivered: len(first.Targets)}, nil
		}
		return activities.FirstResult{Delivered: 255, Open: []activities.OpenOutcome{{Index: 7, Outcome: brief(1)}}}, nil
	}
	var child activities.Outcome
	env.SetOnChildWorkflowStartedListener(func(_ *workflow.Info, _ workflow.Context, args converter.EncodedValues) {
		var in workflows.DeliveryInput
		require.NoError(t, args.Get(&in))
		child = *in.Outcome
	})
	f.briefly = func(in []activities.BriefRetry) ([]activities.Outcome, error) {
		require.Len(t, in, 1, "the delivery itself")
		return []activities.Outcome{delivered(2)}, nil
	}
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
	require.Equal(t, workflows.GroupResult{Delivered: 299, HandedOver: 1}, groupResult(t, env))
	require.Equal(t, brief(1), child)
}

// A delivery with a workflow of its own needs no timer either, until it has to wait for longer.
func TestG7_DeliveryWaitsBrieflyWithoutATimer(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(brief(1))
	f.briefly = func(in []activities.BriefRetry) ([]activities.Outcome, error) {
		require.Equal(t, []activities.BriefRetry{{
			Request: activities.AttemptRequest{WebhookID: "wh_1", EventID: "evt_1", Number: 2, CreatedAt: deliveryInput().CreatedAt},
			Event:   deliveryInput().Event, Outcome: brief(1),
		}}, in)
		return []activities.Outcome{retrying(2, time.Hour)}, nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, 3, result(t, env).Attempts)
	require.Equal(t, []string{"AttemptFirst", "RetryBriefly", "Attempt"}, f.names())
	require.Equal(t, []time.Duration{time.Hour}, f.waits())
}

// What somebody has asked for comes first, and a wait that fails is a timer.
func TestD34_DeliveryThatIsSignalledDoesNotWaitBriefly(t *testing.T) {
	t.Parallel()
	t.Run("signalled", func(t *testing.T) {
		t.Parallel()
		env, f := newEnv(t)
		f.first = open(brief(1))
		f.onCall = func(c call) {
			if c.name == "AttemptFirst" {
				env.SignalWorkflow(workflows.SignalCancel, "not needed any more")
			}
		}
		env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
		require.Equal(t, "not needed any more", result(t, env).Reason)
		require.Empty(t, f.named("RetryBriefly"))
	})
	t.Run("failing", func(t *testing.T) {
		t.Parallel()
		env, f := newEnv(t)
		f.first = open(brief(1))
		f.briefly = func([]activities.BriefRetry) ([]activities.Outcome, error) {
			return nil, temporal.NewNonRetryableApplicationError("broken", "internal", errors.New("x"))
		}
		f.here = func(in activities.AttemptRequest, _ holdfast.Event) (activities.Outcome, error) {
			return delivered(in.Number), nil
		}
		env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
		require.Equal(t, 2, result(t, env).Attempts)
		require.Equal(t, []time.Duration{time.Second}, f.waits())
	})
}
