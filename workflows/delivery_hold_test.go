package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// Five days of failures follow the policy to the second, whichever it is, and end with a reason.
func TestD37_FiveDaysOfFailuresFollowTheSchedule(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]holdfast.RetryPolicy{
		"days":   holdfast.RetryPresets()["days"],
		"custom": {MaxAttempts: 41, InitialDelayMS: 3 * 3600 * 1000, BackoffMultiplier: 1, MaxDelayMS: 3 * 3600 * 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			delay := func(n int) time.Duration { // as chance has it
				return time.Duration(float64(policy.Delay(n)) * (1 - policy.Jitter/float64(n+2)))
			}
			env, f := newEnv(t)
			f.first = open(retrying(1, delay(1)))
			f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
				if in.Number == policy.MaxAttempts {
					return exhausted(in.Number, nil), nil
				}
				return retrying(in.Number, delay(in.Number)), nil
			}
			began := env.Now()
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			require.Equal(t, holdfast.DeliveryExhausted, result(t, env).State)
			attempts := f.named("Attempt")
			require.Len(t, attempts, policy.MaxAttempts-1)
			want := began
			for i, a := range attempts {
				want = want.Add(delay(i + 1))
				require.WithinDuration(t, want, a.at, time.Second, "attempt %d", i+2)
			}
			least := 24 * time.Hour
			if name == "custom" {
				least = 5*24*time.Hour - time.Second
			}
			require.Greater(t, want.Sub(began), least)
		})
	}
}

// Everything that comes for a disconnected webhook is held, and released in the order in which it came.
func TestD26_DisconnectedWeekIsHeldThenReleasedInOrder(t *testing.T) {
	t.Parallel()
	const week, count = 7 * 24 * time.Hour, 20
	env, f := newEnv(t)
	in := groupInput()
	in.Events, in.Targets, in.HoldForMS = nil, nil, (week + 24*time.Hour).Milliseconds()
	for i := range count {
		in.Events = append(in.Events, holdfast.Event{ID: fmt.Sprintf("evt_%02d", i), Type: "job_failed", Data: []byte(`{}`)})
		in.Targets = append(in.Targets, activities.Target{Event: i, WebhookID: "wh_1"})
	}
	f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
		var r activities.FirstResult
		for i := range in.Targets {
			r.Open = append(r.Open, activities.OpenOutcome{Index: i, Outcome: held(0)})
		}
		return r, nil
	}
	var order []string
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		order = append(order, in.EventID)
		return delivered(in.Number), nil
	}
	for i := range count {
		env.RegisterDelayedCallback(func() {
			require.Empty(t, f.named("RecordState"), "none has expired")
			require.Len(t, order, i, "paced")
			id := workflows.DeliveryWorkflowID("wh_1", in.Events[i].ID)
			require.NoError(t, env.SignalWorkflowByID(id, workflows.SignalResume, nil))
		}, week+time.Duration(i)*time.Second)
	}
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
	require.Equal(t, workflows.GroupResult{HandedOver: count}, groupResult(t, env))
	require.Len(t, order, count)
	require.IsIncreasing(t, order)
}

// A webhook that is switched off stops what waits for a retry at once, and the record says why.
func TestD34_HoldStopsAWaitingRetryAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload any
		reason  string
	}{
		"by the webhook's state":    {"the webhook is paused", "the webhook is paused"},
		"by hand":                   {nil, "held by an operator"},
		"by hand, with odd payload": {map[string]int{"x": 1}, "held by an operator"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			f.first = open(retrying(1, time.Hour))
			began := env.Now()
			env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalHold, c.payload) }, time.Minute)
			env.RegisterDelayedCallback(func() {
				require.Equal(t, workflows.DeliveryStatus{State: holdfast.DeliveryHeld, Attempts: 1, Reason: c.reason, Status: 500}, status(t, env))
				env.SignalWorkflow(workflows.SignalCancel, "the webhook is deleted")
			}, 2*time.Hour)
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			require.Equal(t, "the webhook is deleted", result(t, env).Reason)
			recorded := f.named("RecordState")
			require.Len(t, recorded, 2)
			require.Equal(t, c.reason, recorded[0].in.(activities.StateChange).Reason)
			require.WithinDuration(t, began.Add(time.Minute), recorded[0].at, time.Second)
			require.Equal(t, "the webhook is deleted", recorded[1].in.(activities.StateChange).Reason)
			require.Empty(t, f.named("Attempt"))
		})
	}
}

// Disconnected and reconnected while an attempt was under way: the delivery is not left held for a webhook that is active.
func TestD26_HoldThatIsOverAlreadyHoldsNothing(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(retrying(1, time.Minute))
	f.onCall = func(c call) {
		if c.name == "Attempt" && c.in.(activities.AttemptRequest).Number == 2 {
			env.SignalWorkflow(workflows.SignalHold, "the webhook is disconnected")
			env.SignalWorkflow(workflows.SignalResume, nil)
		}
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		if in.Number == 2 {
			return retrying(2, time.Hour), nil
		}
		return delivered(in.Number), nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, 3, result(t, env).Attempts)
	require.Empty(t, f.named("RecordState"))
}

// A delivery whose being held could not be recorded may have been overlooked by whoever released the others: it looks at
// its webhook again once it is recorded, without starting its clock anew.
func TestG5_HeldDeliveryLooksAgainWhenItIsRecorded(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]activities.Outcome{"reconnected": delivered(1), "still disconnected": held(0)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			first := held(0)
			first.Unrecorded = &activities.Record{Delivery: holdfast.Delivery{WebhookID: "wh_1", EventID: "evt_1", State: holdfast.DeliveryHeld}}
			f.first = open(first)
			away := 9
			f.recordAll = func(activities.Records) error {
				if away--; away > 0 {
					return coded(holdfast.CodeUnavailable, true)
				}
				return nil
			}
			f.attempt = func(activities.AttemptRequest) (activities.Outcome, error) {
				require.Zero(t, away)
				return outcome, nil
			}
			began := env.Now()
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			require.Len(t, f.named("Attempt"), 1)
			s := result(t, env)
			if outcome.State == holdfast.DeliveryDelivered {
				require.Equal(t, holdfast.DeliveryDelivered, s.State)
				return
			}
			require.Equal(t, "expired while held", s.Reason)
			require.WithinDuration(t, began.Add(holdFor), f.named("RecordState")[0].at, time.Second)
		})
	}
}

// What is delivered again after its end counts its attempts on, and its policy starts anew.
func TestDelivery_ReplayGoesOnAfterTheAttemptsBefore(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		require.Equal(t, 3, in.BaseAttempts)
		if in.Number == 4 {
			return retrying(4, time.Second), nil
		}
		return delivered(in.Number), nil
	}
	in := deliveryInput()
	in.BaseAttempts = 3
	env.ExecuteWorkflow(workflows.TypeDelivery, in)
	require.Equal(t, 5, result(t, env).Attempts)
	require.Equal(t, []int{4, 5}, numbers(f.named("Attempt")))
	require.Empty(t, f.named("AttemptFirst"), "it is recorded as ended")
}

// A wait for a slot or for the webhook's pace is one timer and one activity, however long, and is no attempt.
func TestG7_PacedDeliveryWaitsOnceForAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(activities.Outcome{State: holdfast.DeliveryPending, DelayMS: (7 * time.Minute).Milliseconds()})
	outcomes := []activities.Outcome{
		{State: holdfast.DeliveryPending, DelayMS: 1000, Waits: 1}, {State: holdfast.DeliveryPending, DelayMS: 2000, Waits: 2}, retrying(1, time.Minute),
		{State: holdfast.DeliveryPending, DelayMS: (9 * time.Minute).Milliseconds()}, delivered(2),
	}
	var waits []int
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		waits = append(waits, in.Waits)
		o := outcomes[0]
		outcomes = outcomes[1:]
		return o, nil
	}
	env.RegisterDelayedCallback(func() {
		require.Equal(t, workflows.DeliveryStatus{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500}, status(t, env))
	}, 10*time.Minute)
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, 2, result(t, env).Attempts)
	require.Equal(t, []int{0, 1, 2, 0, 0}, waits)
	require.Equal(t, []int{1, 1, 1, 2, 2}, numbers(f.named("Attempt")))
	require.Equal(t, []time.Duration{7 * time.Minute, time.Second, 2 * time.Second, time.Minute, 9 * time.Minute}, f.waits())
}
