package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

func numbered(i int) workflows.DeliveryInput {
	in := deliveryInput()
	in.Event.ID = fmt.Sprintf("evt_%02d", i)
	return in
}

func enqueue(env *testsuite.TestWorkflowEnvironment, at time.Duration, inputs ...workflows.DeliveryInput) {
	env.RegisterDelayedCallback(func() {
		for _, in := range inputs {
			env.SignalWorkflow(workflows.SignalEnqueue, in)
		}
	}, at)
}

// However an attempt of one goes, the next is not attempted before that one has ended; then the workflow ends.
func TestOrdered_OneAfterTheOther(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	var order []string
	f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
		id := in.Events[0].ID
		order = append(order, id+"#1")
		switch id {
		case "evt_00":
			return open(retrying(1, time.Hour))(in)
		case "evt_02":
			return open(held(0))(in)
		}
		return activities.FirstResult{Delivered: 1}, nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		order = append(order, fmt.Sprintf("%s#%d", in.EventID, in.Number))
		if in.EventID == "evt_00" && in.Number == 2 {
			return retrying(2, time.Hour), nil
		}
		return delivered(in.Number), nil
	}
	enqueue(env, 0, numbered(0), numbered(1), numbered(1)) // one twice, since an answer was lost
	enqueue(env, 30*time.Minute, numbered(2))
	enqueue(env, 31*time.Minute, numbered(3))
	env.RegisterDelayedCallback(func() {
		require.Equal(t, []string{"evt_00#1"}, order)
		value, err := env.QueryWorkflow(workflows.QueryStatus)
		require.NoError(t, err)
		var waiting []string
		require.NoError(t, value.Get(&waiting))
		require.Equal(t, []string{"evt_00", "evt_01", "evt_02", "evt_03"}, waiting)
	}, 32*time.Minute)
	env.RegisterDelayedCallback(func() {
		require.Equal(t, []string{"evt_00#1", "evt_00#2", "evt_00#3", "evt_01#1", "evt_02#1"}, order, "held, it keeps the others")
		require.NoError(t, env.SignalWorkflowByID("delivery/wh_1/evt_02", workflows.SignalResume, nil))
	}, 10*time.Hour)
	env.ExecuteWorkflow(workflows.TypeOrderedDeliveries, workflows.OrderedState{WebhookID: "wh_1"})
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{
		"evt_00#1", "evt_00#2", "evt_00#3", "evt_01#1", "evt_02#1", "evt_02#1", "evt_03#1",
	}, order)
}

// A delivery that waits for its turn can be cancelled, and one whose turn never comes expires: each with a record.
func TestOrdered_WaitingEndsToo(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	in := numbered(0)
	in.HoldForMS = (1000 * time.Hour).Milliseconds()
	f.first = open(held(0))
	enqueue(env, 0, in, numbered(1), numbered(2))
	env.RegisterDelayedCallback(func() {
		require.NoError(t, env.SignalWorkflowByID("delivery/wh_1/evt_01", workflows.SignalCancel, nil))
	}, time.Hour)
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeOrderedDeliveries, workflows.OrderedState{WebhookID: "wh_1"})
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, f.named("AttemptFirst"), 1)
	var ends []string
	for _, c := range f.named("RecordState") {
		change := c.in.(activities.StateChange)
		require.Equal(t, holdfast.DeliveryCancelled, change.State)
		ends = append(ends, change.EventID+" "+change.Reason+" "+c.at.Sub(began).Round(time.Minute).String())
	}
	require.Equal(t, []string{
		"evt_01 cancelled by an operator while it waited for its turn 1h0m0s",
		"evt_02 expired while it waited for its turn 48h0m0s",
		"evt_00 expired while held 1000h0m0s",
	}, ends)
}

// A delivery that was terminated by hand says nothing; that it is gone is found out, and the next has its turn.
func TestOrdered_TerminatedDeliveryDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	env, _ := newEnv(t)
	turns := map[string]int{}
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, "", workflows.SignalTurn, mock.Anything).Return(
		func(_, workflowID, _, _ string, _ any) error {
			turns[workflowID]++
			if workflowID == "delivery/wh_1/evt_00" && turns[workflowID] <= 3 { // then it is terminated
				return nil
			}
			return fmt.Errorf("there is no workflow %s", workflowID)
		})
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeOrderedDeliveries, workflows.OrderedState{WebhookID: "wh_1", Waiting: []string{"evt_00", "evt_01"}})
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, map[string]int{"delivery/wh_1/evt_00": 4, "delivery/wh_1/evt_01": 1}, turns)
	require.WithinDuration(t, began.Add((5+10+20)*time.Minute), env.Now(), time.Second, "looking gets rarer")
}

// A long history goes on in a new run with everything that has come.
func TestOrdered_NewRunTakesEverythingAlong(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
		env.SetContinueAsNewSuggested(true)
		env.SignalWorkflow(workflows.SignalEnqueue, numbered(2))
		return open(held(0))(in)
	}
	enqueue(env, 0, numbered(0), numbered(1))
	env.ExecuteWorkflow(workflows.TypeOrderedDeliveries, workflows.OrderedState{WebhookID: "wh_1"})
	next := continued[workflows.OrderedState](t, env)
	ids := next.Waiting
	for _, in := range next.Arrived {
		ids = append(ids, in.Event.ID)
	}
	require.Equal(t, []string{"evt_00", "evt_01", "evt_02"}, ids)
}

// Past the bound a delivery does not wait, and is not lost.
func TestOrdered_PastItsBoundADeliveryGoesAtOnce(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	in := workflows.OrderedState{WebhookID: "wh_1"}
	for i := range workflows.MaxOrdered {
		in.Waiting = append(in.Waiting, fmt.Sprintf("old_%d", i))
	}
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, "", workflows.SignalTurn, mock.Anything).Return(nil)
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Delivered: 1}, nil
	}
	enqueue(env, time.Minute, numbered(1))
	env.RegisterDelayedCallback(func() {
		require.Len(t, f.named("AttemptFirst"), 1)
		env.CancelWorkflow()
	}, 2*time.Minute)
	env.ExecuteWorkflow(workflows.TypeOrderedDeliveries, in)
	require.True(t, env.IsWorkflowCompleted())
	require.Len(t, f.named("AttemptFirst"), 1)
}
