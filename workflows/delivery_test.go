package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

const holdFor = 48 * time.Hour

func deliveryInput() workflows.DeliveryInput {
	return workflows.DeliveryInput{
		WebhookID: "wh_1", Event: holdfast.Event{ID: "evt_1", Type: "job_failed", Data: []byte(`{"a":1}`)},
		CreatedAt: 1_700_000_000_000, AttemptTimeoutMS: 30_000, HoldForMS: holdFor.Milliseconds(), LazyAttributes: true,
	}
}

// open is the result of a first attempt that left its delivery open.
func open(o activities.Outcome) func(activities.FirstAttempts) (activities.FirstResult, error) {
	return func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Open: []activities.OpenOutcome{{Index: 0, Outcome: o}}}, nil
	}
}

func retrying(attempts int, delay time.Duration) activities.Outcome {
	return activities.Outcome{
		State: holdfast.DeliveryRetrying, Attempts: attempts, Status: 500, DelayMS: delay.Milliseconds(),
	}
}

func delivered(attempts int) activities.Outcome {
	return activities.Outcome{State: holdfast.DeliveryDelivered, Attempts: attempts, Status: 200}
}

// numbers are the attempt numbers that were asked of an activity.
func numbers(calls []call) []int {
	var n []int
	for _, c := range calls {
		n = append(n, c.in.(activities.AttemptRequest).Number)
	}
	return n
}

func result(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.DeliveryStatus {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var s workflows.DeliveryStatus
	require.NoError(t, env.GetWorkflowResult(&s))
	return s
}

func status(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.DeliveryStatus {
	t.Helper()
	value, err := env.QueryWorkflow(workflows.QueryStatus)
	require.NoError(t, err)
	var s workflows.DeliveryStatus
	require.NoError(t, value.Get(&s))
	return s
}

func TestDelivery_DeliveredAtOnceNeedsNothingElse(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
		require.Equal(t, []activities.Target{{Event: 0, WebhookID: "wh_1"}}, in.Targets)
		require.Equal(t, "evt_1", in.Events[0].ID)
		require.JSONEq(t, `{"a":1}`, string(in.Events[0].Data))
		return activities.FirstResult{Delivered: 1}, nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, workflows.DeliveryStatus{State: holdfast.DeliveryDelivered, Attempts: 1}, result(t, env))
	require.Equal(t, []string{"AttemptFirst"}, f.names())
	require.Empty(t, f.waits())
}

// The policy 300 ms, ×2, at most 800 ms, four attempts: the workflow waits exactly what each outcome says.
func TestG4_RetryScheduleIsKeptToTheMillisecondAndEndsWithAReason(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	policy := holdfast.RetryPolicy{MaxAttempts: 4, InitialDelayMS: 300, BackoffMultiplier: 2, MaxDelayMS: 800}
	f.first = open(retrying(1, policy.Delay(1)))
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		if in.Number == policy.MaxAttempts {
			return activities.Outcome{State: holdfast.DeliveryExhausted, Attempts: 4, Status: 503, Reason: "all 4 attempts failed"}, nil
		}
		return retrying(in.Number, policy.Delay(in.Number)), nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, workflows.DeliveryStatus{
		State: holdfast.DeliveryExhausted, Attempts: 4, Status: 503, Reason: "all 4 attempts failed",
	}, result(t, env))
	require.Equal(t, []time.Duration{300 * time.Millisecond, 600 * time.Millisecond, 800 * time.Millisecond}, f.waits())
	attempts := f.named("Attempt")
	require.Equal(t, []int{2, 3, 4}, numbers(attempts))
	for _, a := range attempts {
		require.Equal(t, workflows.QueueSlow, a.queue, "retries never run in the fast lane")
		require.Equal(t, deliveryInput().CreatedAt, a.in.(activities.AttemptRequest).CreatedAt)
	}
}

func TestG4_FiveDayScheduleIsKeptToTheSecond(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	const day = 24 * time.Hour
	policy := holdfast.RetryPolicy{MaxAttempts: 8, InitialDelayMS: (5 * time.Second).Milliseconds(), BackoffMultiplier: 12, MaxDelayMS: (2 * day).Milliseconds()}
	f.first = open(retrying(1, policy.Delay(1)))
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		if in.Number == policy.MaxAttempts {
			return delivered(in.Number), nil
		}
		return retrying(in.Number, policy.Delay(in.Number)), nil
	}
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
	want := began
	for i, a := range f.named("Attempt") {
		want = want.Add(policy.Delay(i + 1))
		require.WithinDuration(t, want, a.at, time.Second, "attempt %d", i+2)
	}
	require.Greater(t, want.Sub(began), 5*day)
}

// What a receiver asked for with Retry-After is in the outcome's delay; the workflow adds and takes away nothing.
func TestDelivery_RetryAfterLongerThanTheDelayIsWaitedFor(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(retrying(1, 17*time.Minute))
	f.attempt = func(activities.AttemptRequest) (activities.Outcome, error) { return delivered(2), nil }
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
	require.Equal(t, []time.Duration{17 * time.Minute}, f.waits())
}

func TestG6_AttemptInFlightIsJoinedOnItsNode(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(activities.Outcome{State: holdfast.DeliveryPending, Attempts: 1, InFlight: "n7"})
	f.join = func(activities.AttemptRequest) (activities.Outcome, error) { return delivered(1), nil }
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
	joins := f.named("JoinAttempt")
	require.Len(t, joins, 1)
	require.Equal(t, workflows.QueueNode("n7"), joins[0].queue)
	require.Equal(t, 1, joins[0].in.(activities.AttemptRequest).Number)
	require.Empty(t, f.named("Attempt"), "it was sent once")
}

func TestG3_AttemptOfAGoneNodeIsMadeAgainUnderTheSameNumber(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]error{
		"nobody polls its queue": temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil),
		"it stopped answering":   temporal.NewHeartbeatTimeoutError(),
		"it was restarted":       temporal.NewNonRetryableApplicationError("not under way here", activities.ErrorNoFlight, nil),
		"it failed":              coded(holdfast.CodeUnavailable, true),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			f.first = open(activities.Outcome{State: holdfast.DeliveryPending, Attempts: 1, InFlight: "n7"})
			f.join = func(activities.AttemptRequest) (activities.Outcome, error) { return activities.Outcome{}, gone }
			f.attempt = func(activities.AttemptRequest) (activities.Outcome, error) { return delivered(1), nil }
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			require.Equal(t, 1, result(t, env).Attempts)
			require.Len(t, f.named("JoinAttempt"), 1, "joining is not repeated")
			require.Equal(t, []int{1}, numbers(f.named("Attempt")))
		})
	}
}

// A webhook without a free slot makes the workflow wait, not a worker; no attempt is used up.
func TestG7_BusyWebhookKeepsTheAttemptNumber(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(activities.Outcome{State: holdfast.DeliveryPending})
	busy := activities.Outcome{State: holdfast.DeliveryPending, DelayMS: 1000}
	answers := []activities.Outcome{busy, busy, retrying(1, time.Second), busy, delivered(2)}
	f.attempt = func(activities.AttemptRequest) (activities.Outcome, error) {
		next := answers[0]
		answers = answers[1:]
		return next, nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, 2, result(t, env).Attempts)
	require.Equal(t, []int{1, 1, 1, 2, 2}, numbers(f.named("Attempt")))
	require.Equal(t, []time.Duration{time.Second, time.Second, time.Second, time.Second}, f.waits())
}

// An attempt that got a 2xx but could not be recorded is recorded for as long as it takes and never sent again.
func TestD25_UnrecordedOutcomeIsRecordedWithoutASecondRequest(t *testing.T) {
	t.Parallel()
	record := &activities.Record{Delivery: holdfast.Delivery{WebhookID: "wh_1", EventID: "evt_1", State: holdfast.DeliveryDelivered}}
	for name, first := range map[string]activities.Outcome{
		"first attempt": {State: holdfast.DeliveryDelivered, Attempts: 1, Status: 204, Unrecorded: record},
		"later attempt": retrying(1, time.Second),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			f.first = open(first)
			f.attempt = func(activities.AttemptRequest) (activities.Outcome, error) {
				o := delivered(2)
				o.Unrecorded = record
				return o, nil
			}
			failures := 9
			f.recordAll = func(in activities.Records) error {
				require.Equal(t, []activities.Record{*record}, in.Records)
				if failures--; failures > 0 {
					return coded(holdfast.CodeUnavailable, true)
				}
				return nil
			}
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
			require.Len(t, f.named("RecordOutcomes"), 9)
			require.Len(t, f.named("AttemptFirst"), 1)
			require.LessOrEqual(t, len(f.named("Attempt")), 1)
		})
	}
}

// An attempt that fails because of us is repeated until it works, however long that takes.
func TestG4_OurOwnFailuresNeverEndADelivery(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(activities.Outcome{State: holdfast.DeliveryPending})
	failures := 9
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		if failures--; failures > 0 {
			return activities.Outcome{}, coded(holdfast.CodeUnavailable, true)
		}
		return delivered(in.Number), nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, 1, result(t, env).Attempts, "they are not counted as attempts")
	require.Len(t, f.named("Attempt"), 9)
}

func TestDelivery_RetryNowCutsTheWaitShort(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(retrying(1, 24*time.Hour))
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	env.RegisterDelayedCallback(func() {
		require.Equal(t, holdfast.DeliveryRetrying, status(t, env).State)
		env.SignalWorkflow(workflows.SignalRetryNow, nil)
	}, time.Minute)
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, 2, result(t, env).Attempts)
	require.WithinDuration(t, began.Add(time.Minute), f.named("Attempt")[0].at, time.Second)
}

func TestDelivery_HoldAndResume(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(retrying(1, time.Hour))
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalHold, nil) }, time.Minute)
	env.RegisterDelayedCallback(func() {
		s := status(t, env)
		require.Equal(t, holdfast.DeliveryHeld, s.State)
		require.NotEmpty(t, s.Reason)
		require.Empty(t, f.named("Attempt"), "the hour has passed, but it is held")
		env.SignalWorkflow(workflows.SignalResume, nil)
	}, 10*time.Hour)
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	s := result(t, env)
	require.Equal(t, holdfast.DeliveryDelivered, s.State)
	require.Equal(t, 2, s.Attempts)
	require.WithinDuration(t, began.Add(10*time.Hour), f.named("Attempt")[0].at, time.Second)
	states := f.named("RecordState")
	require.Len(t, states, 1)
	require.Equal(t, holdfast.DeliveryHeld, states[0].in.(activities.StateChange).State)
}

// A resume that came while nothing was held is over; it must not undo a later hold.
func TestDelivery_EarlierResumeDoesNotUndoAHold(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(retrying(1, time.Hour))
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalResume, nil) }, time.Minute)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalHold, nil) }, 2*time.Minute)
	env.RegisterDelayedCallback(func() {
		require.Equal(t, holdfast.DeliveryHeld, status(t, env).State)
		env.SignalWorkflow(workflows.SignalResume, nil)
	}, 5*time.Hour)
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
	require.Len(t, f.named("Attempt"), 1)
	require.WithinDuration(t, began.Add(5*time.Hour), f.named("Attempt")[0].at, time.Second)
}

// A hold that came while the delivery was held already is over with that hold.
func TestDelivery_HoldWhileHeldDoesNotHoldTwice(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(activities.Outcome{State: holdfast.DeliveryHeld, Reason: "the webhook is disconnected"})
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		if in.Number == 1 {
			return retrying(1, time.Minute), nil
		}
		return delivered(in.Number), nil
	}
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalHold, nil) }, time.Minute)
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalResume, nil) }, time.Hour)
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
	require.Equal(t, []int{1, 2}, numbers(f.named("Attempt")))
}

func TestDelivery_CancelIsRecordedWithItsReason(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]activities.Outcome{
		"while waiting": retrying(1, time.Hour),
		"while held":    {State: holdfast.DeliveryHeld, Reason: "the webhook is disconnected"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			f.first = open(first)
			failures := 3
			f.recordState = func(activities.StateChange) error {
				if failures--; failures > 0 {
					return coded(holdfast.CodeUnavailable, true)
				}
				return nil
			}
			env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalCancel, nil) }, time.Minute)
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			s := result(t, env)
			require.Equal(t, holdfast.DeliveryCancelled, s.State)
			require.Contains(t, s.Reason, "cancelled by an operator")
			recorded := f.named("RecordState")
			require.Len(t, recorded, 3)
			change := recorded[2].in.(activities.StateChange)
			require.Equal(t, activities.StateChange{
				WebhookID: "wh_1", EventID: "evt_1", EventType: "job_failed", CreatedAt: deliveryInput().CreatedAt,
				State: holdfast.DeliveryCancelled, Reason: s.Reason,
			}, change)
			require.Empty(t, f.named("Attempt"))
		})
	}
}

func TestG4_HeldDeliveryExpiresWithARecord(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(activities.Outcome{State: holdfast.DeliveryHeld, Reason: "the webhook is paused"})
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	s := result(t, env)
	require.Equal(t, holdfast.DeliveryCancelled, s.State)
	require.Equal(t, "expired while held", s.Reason)
	recorded := f.named("RecordState")
	require.Len(t, recorded, 1)
	require.Equal(t, "expired while held", recorded[0].in.(activities.StateChange).Reason)
	require.WithinDuration(t, began.Add(holdFor), recorded[0].at, time.Second)
}

// Being held again does not start the clock of an earlier hold anew; being delivered to in between does.
func TestDelivery_HeldAgainAfterAReleaseHasItsWholeTime(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	held := activities.Outcome{State: holdfast.DeliveryHeld, Reason: "the webhook is disconnected"}
	f.first = open(held)
	f.attempt = func(activities.AttemptRequest) (activities.Outcome, error) { return held, nil }
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalResume, nil) }, holdFor-time.Hour)
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, "expired while held", result(t, env).Reason)
	require.Equal(t, []int{1}, numbers(f.named("Attempt")), "a look at a held webhook is no attempt")
	require.WithinDuration(t, began.Add(2*holdFor-time.Hour), f.named("RecordState")[0].at, time.Second)
}

func TestG4_CancelledWorkflowIsRecorded(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(retrying(1, time.Hour))
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.True(t, env.IsWorkflowCompleted())
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()))
	recorded := f.named("RecordState")
	require.Len(t, recorded, 1, "the record would say retrying for ever")
	require.Equal(t, holdfast.DeliveryCancelled, recorded[0].in.(activities.StateChange).State)
}

func TestDelivery_LongHistoryGoesOnInANewRunWithItsState(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(retrying(3, time.Hour))
	f.onCall = func(call) { env.SetContinueAsNewSuggested(true) }
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.True(t, env.IsWorkflowCompleted())
	next := continued[workflows.DeliveryInput](t, env)
	require.Equal(t, retrying(3, time.Hour), *next.Outcome)

	again, g := newEnv(t)
	g.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	again.ExecuteWorkflow(workflows.TypeDelivery, next)
	require.Equal(t, 4, result(t, again).Attempts)
	require.Empty(t, g.named("AttemptFirst"), "the first attempt is long over")
	require.Equal(t, []time.Duration{time.Hour}, g.waits())
}

// A signal that has arrived must not be lost when the history is cut.
func TestG4_SignalBeforeANewRunIsNotLost(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(activities.Outcome{State: holdfast.DeliveryPending})
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		return retrying(in.Number, time.Hour), nil
	}
	f.onCall = func(c call) {
		if c.name == "AttemptFirst" {
			env.SignalWorkflow(workflows.SignalCancel, nil)
			env.SetContinueAsNewSuggested(true)
		}
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryCancelled, result(t, env).State)
}

// A delivery needs no Redis: while a record cannot be written the next attempt is made, and is told of the one before. The
// delivery ends when everything is recorded.
func TestG5_ARetryDoesNotWaitForTheRecord(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	record := activities.Record{
		Delivery: holdfast.Delivery{WebhookID: "wh_1", EventID: "evt_1", State: holdfast.DeliveryRetrying},
		Attempt:  &holdfast.Attempt{Number: 1, ResponseStatus: 500},
	}
	first := retrying(1, time.Second)
	first.Unrecorded = &record
	f.first = open(first)
	sent, recorded := false, 0
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		sent = true
		require.Equal(t, []activities.Record{record}, in.Unrecorded)
		return delivered(2), nil
	}
	f.recordAll = func(in activities.Records) error {
		if !sent {
			return coded(holdfast.CodeUnavailable, true)
		}
		require.Equal(t, []activities.Record{record}, in.Records)
		recorded++
		return nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
	require.Equal(t, 1, recorded)
}

// What was sent is recorded, whatever becomes of the delivery afterwards.
func TestG4_ACancelledDeliveryKeepsItsUnwrittenRecord(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	first := retrying(1, time.Hour)
	first.Unrecorded = &activities.Record{Delivery: holdfast.Delivery{WebhookID: "wh_1", EventID: "evt_1"}}
	f.first = open(first)
	cancelled := false
	var order []string
	f.recordAll = func(activities.Records) error {
		if !cancelled {
			return coded(holdfast.CodeUnavailable, true)
		}
		order = append(order, "attempt")
		return nil
	}
	f.recordState = func(in activities.StateChange) error {
		order = append(order, string(in.State))
		return nil
	}
	env.RegisterDelayedCallback(func() {
		cancelled = true
		env.CancelWorkflow()
	}, time.Minute)
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()))
	require.Equal(t, []string{"attempt", "cancelled"}, order)
}

// Attempts that are expected to be over soon need no activity of their own; everything else about them is the same.
func TestG7_EndpointThatFailsAtOnceIsAttemptedInTheWorkflowTask(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	here := func(o activities.Outcome) activities.Outcome {
		o.Here = true
		return o
	}
	f.first = open(here(retrying(1, time.Second)))
	waiting := activities.Outcome{State: holdfast.DeliveryPending, DelayMS: 4000, Waits: 1, Here: true}
	answers := []activities.Outcome{here(retrying(2, 2*time.Second)), waiting, here(retrying(3, 8*time.Second)), {
		State: holdfast.DeliveryExhausted, Attempts: 4, Status: 500, Reason: "all 4 attempts failed",
	}}
	f.here = func(in activities.AttemptRequest, event holdfast.Event) (activities.Outcome, error) {
		require.Equal(t, deliveryInput().Event, event)
		next := answers[0]
		answers = answers[1:]
		return next, nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, workflows.DeliveryStatus{
		State: holdfast.DeliveryExhausted, Attempts: 4, Status: 500, Reason: "all 4 attempts failed",
	}, result(t, env))
	require.Equal(t, []int{2, 3, 3, 4}, numbers(f.named("AttemptHere")))
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, f.timers)
	require.Empty(t, f.named("Attempt"))
}

// One that takes longer after all is joined where it is under way, and made again when that node is gone; what the local
// activity leaves, or cannot do, is a regular one's work.
func TestG6_AttemptInTheWorkflowTaskThatTakesLongerIsJoined(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	first := retrying(1, time.Second)
	first.Here = true
	f.first = open(first)
	answers := []activities.Outcome{
		{State: holdfast.DeliveryRetrying, Attempts: 2, InFlight: "n7"},
		{State: holdfast.DeliveryRetrying, Attempts: 3, InFlight: "n8"},
		{State: holdfast.DeliveryPending},
	}
	f.here = func(activities.AttemptRequest, holdfast.Event) (activities.Outcome, error) {
		if len(answers) == 0 {
			return activities.Outcome{}, temporal.NewNonRetryableApplicationError("gone wrong", "internal", nil)
		}
		next := answers[0]
		answers = answers[1:]
		return next, nil
	}
	again := func(n int) activities.Outcome {
		o := retrying(n, time.Second)
		o.Here = true
		return o
	}
	f.join = func(in activities.AttemptRequest) (activities.Outcome, error) {
		if in.Node == "n8" {
			return activities.Outcome{}, temporal.NewNonRetryableApplicationError("not here", activities.ErrorNoFlight, nil)
		}
		return again(in.Number), nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		if in.Number == 5 {
			return delivered(5), nil
		}
		return again(in.Number), nil
	}
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, workflows.DeliveryStatus{State: holdfast.DeliveryDelivered, Attempts: 5, Status: 200}, result(t, env))
	require.Equal(t, []int{2, 3, 4, 5}, numbers(f.named("AttemptHere")))
	require.Equal(t, []int{2, 3}, numbers(f.named("JoinAttempt")))
	require.Equal(t, []int{3, 4, 5}, numbers(f.named("Attempt")))
}

// Who reads that a delivery has ended may ask for another go before its workflow has ended as well: that is heard, and a
// retry-now of before is not taken for it.
func TestG4_ADeliveryThatIsEndingHearsThatItIsToBeginAgain(t *testing.T) {
	t.Parallel()
	for name, ended := range map[string]bool{"asked for again": true, "hurried": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			f.first = open(retrying(1, time.Second))
			f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
				if ended {
					env.SignalWorkflow(workflows.SignalRetryNow, workflows.Again{Ended: true, ReplayID: "r1"})
				} else {
					env.SignalWorkflow(workflows.SignalRetryNow, nil)
				}
				return activities.Outcome{State: holdfast.DeliveryExhausted, Attempts: in.Number, Status: 500, Reason: "all failed"}, nil
			}
			in := deliveryInput()
			in.Ordered, in.Turn = "ordered/wh_1/k", true
			env.OnSignalExternalWorkflow(mock.Anything, "ordered/wh_1/k", "", workflows.SignalOver, "evt_1").Return(nil).Once()
			env.OnUpsertMemo(map[string]any{workflows.MemoReplay: "r1"}).Return(nil).Maybe()
			env.ExecuteWorkflow(workflows.TypeDelivery, in)
			if !ended {
				require.Equal(t, holdfast.DeliveryExhausted, result(t, env).State)
				return
			}
			var next *workflow.ContinueAsNewError
			require.ErrorAs(t, env.GetWorkflowError(), &next)
			var again workflows.DeliveryInput
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &again))
			want := deliveryInput()
			want.BaseAttempts = 2
			want.Outcome = &activities.Outcome{State: holdfast.DeliveryPending, Attempts: 2}
			require.Equal(t, want, again)
		})
	}
}

// What shows in Temporal's lists is written when it lasts: each time is a large part of what a bad endpoint costs the others.
func TestG7_SearchAttributesFollowWhatLasts(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{time.Second, 2 * time.Second, time.Hour, time.Second, time.Second}
	for lazy, want := range map[bool][]int64{true: {3, 4, 6}, false: {1, 2, 3, 4, 5, 6}} {
		env, f := newEnv(t)
		f.first = open(retrying(1, delays[0]))
		f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
			if in.Number > len(delays) {
				return delivered(in.Number), nil
			}
			return retrying(in.Number, delays[in.Number-1]), nil
		}
		var shown []int64
		env.OnUpsertTypedSearchAttributes(mock.MatchedBy(func(written temporal.SearchAttributes) bool {
			attempts, _ := written.GetInt64(workflows.AttrAttempts)
			if len(shown) == 0 || shown[len(shown)-1] != attempts { // it is asked more than once about each
				shown = append(shown, attempts)
			}
			return true
		})).Return(nil)
		in := deliveryInput()
		in.LazyAttributes = lazy
		env.ExecuteWorkflow(workflows.TypeDelivery, in)
		require.Equal(t, holdfast.DeliveryDelivered, result(t, env).State)
		require.Equal(t, want, shown, "lazy: %t", lazy)
	}
}
