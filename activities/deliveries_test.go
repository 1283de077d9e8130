package activities

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/testkit"
)

func TestAttemptFirst_DeliversAndRecords(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.webhook("wh_2", holdfast.DefaultRetryPolicy())
	require.Equal(t, FirstResult{Delivered: 2}, n.first(t, "wh_1", "wh_2"))
	require.ElementsMatch(t, []string{"wh_1/evt_1#1", "wh_2/evt_1#1"}, n.sender.requests())
	r := n.store.record("wh_1")
	require.Equal(t, holdfast.DeliveryDelivered, r.State)
	require.Equal(t, createdAt, r.CreatedAt)
	require.Equal(t, []holdfast.Attempt{answer("wh_1", 1, 200)}, r.Attempts)
	require.NotEmpty(t, r.WorkflowID)
	require.NotEmpty(t, r.RunID)
}

func TestAttemptFirst_FailureIsRetryingWithTheNextTimeInTheRecord(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.RetryPolicy{MaxAttempts: 4, InitialDelayMS: 300, BackoffMultiplier: 2, MaxDelayMS: 800})
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		return answer(w.ID, number, 503), nil
	}
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 503, DelayMS: 300, Here: true, Brief: true}, n.first(t, "wh_1").one(t))
	r := n.store.record("wh_1")
	require.Equal(t, holdfast.DeliveryRetrying, r.State)
	require.Equal(t, createdAt+1+1+300, r.NextAttemptAt, "start, duration and delay")
	require.Equal(t, r.NextAttemptAt, r.Attempts[0].NextRetryAt)
}

// A group that is attempted again after a crash sends nothing that is recorded already.
func TestG6_SettledDeliveriesAreNotSentAgain(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, id := range []string{"wh_done", "wh_failed", "wh_new"} {
		n.webhook(id, holdfast.DefaultRetryPolicy())
	}
	put := func(webhook string, state holdfast.DeliveryState, next int64, attempts ...holdfast.Attempt) {
		n.store.records[DeliveryKey{webhook, "evt_1"}] = holdfast.Delivery{
			WebhookID: webhook, EventID: "evt_1", State: state, NextAttemptAt: next, Attempts: attempts,
		}
	}
	put("wh_done", holdfast.DeliveryDelivered, 0, answer("wh_done", 1, 200))
	put("wh_failed", holdfast.DeliveryRetrying, time.Now().Add(time.Hour).UnixMilli(), answer("wh_failed", 1, 500))
	put("wh_over", holdfast.DeliveryExhausted, 0, answer("wh_over", 1, 500))
	r := n.first(t, "wh_done", "wh_failed", "wh_over", "wh_new")
	require.Equal(t, []string{"wh_new/evt_1#1"}, n.sender.requests())
	require.Equal(t, 2, r.Delivered)
	require.Len(t, r.Open, 2)
	require.Equal(t, 1, r.Open[0].Index)
	require.Equal(t, holdfast.DeliveryRetrying, r.Open[0].State)
	require.InDelta(t, time.Hour.Milliseconds(), r.Open[0].DelayMS, 30_000, "what is left of its wait")
	require.Equal(t, holdfast.DeliveryExhausted, r.Open[1].State)
	require.Empty(t, n.store.record("wh_new").Reason)
}

// G5: storage that cannot say what is settled does not keep deliveries from going out.
func TestG5_StorageAwayDoesNotStopFirstAttempts(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.hooks.currentErr = errUnavailable
	n.store.set(func(s *fakeStore) {
		s.recordErr, s.readErr, s.settledErr = errUnavailable, errUnavailable, errUnavailable
	})
	o := n.first(t, "wh_1").one(t)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
	require.NotNil(t, o.Unrecorded)
	require.Equal(t, []string{"wh_1/evt_1#1"}, n.sender.requests())
}

// What is under way at the cut-off is handed over, and whoever joins it gets the result of the one request.
func TestG6_AttemptUnderWayAtTheCutOffIsJoinedNotRepeated(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_slow", holdfast.DefaultRetryPolicy())
	n.webhook("wh_quick", holdfast.DefaultRetryPolicy())
	answered := make(chan struct{})
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		if w.ID == "wh_slow" {
			<-answered
		}
		return answer(w.ID, number, 200), nil
	}
	r := n.first(t, "wh_slow", "wh_quick")
	require.Equal(t, 1, r.Delivered, "a slow receiver takes nothing from a quick one")
	require.Equal(t, Outcome{State: holdfast.DeliveryPending, Attempts: 1, InFlight: "n1"}, r.one(t))
	time.AfterFunc(20*time.Millisecond, func() { close(answered) })
	joined, err := run(t, n.JoinAttempt, attemptRequest("wh_slow", 1))
	require.NoError(t, err)
	require.Equal(t, Outcome{State: holdfast.DeliveryDelivered, Attempts: 1, Status: 200}, joined)
	require.Equal(t, []string{"wh_slow/evt_1#1", "wh_quick/evt_1#1"}, sorted(n.sender.requests(), "wh_slow"))
	require.Nil(t, n.flights.find("wh_slow/evt_1#1"), "nothing is kept of what was joined")
}

// sorted puts the request to a webhook first; concurrent requests have no order.
func sorted(requests []string, first string) []string {
	if len(requests) == 2 && !strings.HasPrefix(requests[0], first+"/") {
		requests[0], requests[1] = requests[1], requests[0]
	}
	return requests
}

// A result nobody has joined yet answers a regular attempt of the same number too.
func TestG6_AttemptOfTheSameNumberJoinsTheOneUnderWay(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	answered := make(chan struct{})
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		<-answered
		return answer(w.ID, number, 200), nil
	}
	require.Equal(t, "n1", n.first(t, "wh_1").one(t).InFlight)
	n.store.set(func(s *fakeStore) { s.recordErr = errUnavailable })
	close(answered)
	o, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
	require.NotNil(t, o.Unrecorded)
	require.Len(t, n.sender.requests(), 1)
}

func TestJoinAttempt_OfAnotherProcessSaysSo(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	_, err := run(t, n.JoinAttempt, attemptRequest("wh_1", 1))
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	require.Equal(t, ErrorNoFlight, app.Type())
	require.True(t, app.NonRetryable())
}

// A webhook with many waiting takes its own slots and no more; the others are delivered to at once, and what did not get
// a slot before the cut-off is withdrawn, not sent later behind the workflow's back.
func TestG7_WaitingTakesNoSlotAndIsWithdrawn(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *DeliveryDeps) { d.Lanes = NewLanes(LaneLimits{3, 3, 2}, time.Minute) })
	release := make(chan struct{})
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		if w.ID == "wh_hog" {
			<-release
		}
		return answer(w.ID, number, 200), nil
	}
	n.webhook("wh_hog", holdfast.DefaultRetryPolicy())
	in := FirstAttempts{CreatedAt: createdAt}
	for i := range 20 {
		e := event()
		e.ID = fmt.Sprintf("evt_%d", i)
		in.Events = append(in.Events, e)
		in.Targets = append(in.Targets, Target{Event: i, WebhookID: "wh_hog"})
	}
	for i := range 5 {
		id := fmt.Sprintf("wh_%d", i)
		n.webhook(id, holdfast.DefaultRetryPolicy())
		in.Targets = append(in.Targets, Target{Event: 0, WebhookID: id})
	}
	value, err := environment().ExecuteLocalActivity(n.AttemptFirst, in)
	require.NoError(t, err)
	var r FirstResult
	require.NoError(t, value.Get(&r))
	require.Equal(t, 5, r.Delivered)
	require.Len(t, r.Open, 20)
	underWay := 0
	for _, o := range r.Open {
		require.Less(t, o.Index, 20)
		require.Equal(t, holdfast.DeliveryPending, o.State)
		if o.InFlight != "" {
			underWay++
		} else {
			require.Zero(t, o.Attempts)
		}
	}
	require.Equal(t, 2, underWay)
	close(release)
	require.NoError(t, n.flights.wait(t.Context()))
	require.Len(t, n.sender.requests(), 7, "the withdrawn ones were not sent")
}

// One that takes its time is left to regular activities, whether it answers in the end or not.
func TestG7_SlowWebhookIsLeftToTheSlowLane(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *DeliveryDeps) { d.Lanes = NewLanes(LaneLimits{8, 8, 2}, time.Minute) })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		a := answer(w.ID, number, 500)
		a.DurationMS = float64(2 * n.Cutoff / time.Millisecond)
		return a, nil
	}
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500, DelayMS: 1000}, n.first(t, "wh_1").one(t))
	n.store.set(func(s *fakeStore) { clear(s.records) })
	require.True(t, n.Lanes.Slow("wh_1"))
	require.Equal(t, Outcome{State: holdfast.DeliveryPending}, n.first(t, "wh_1").one(t))
	require.Equal(t, Outcome{State: holdfast.DeliveryPending}, n.here(t, attemptRequest("wh_1", 1)))
	require.Len(t, n.sender.requests(), 1)

	var slots []*Slot
	for range 2 {
		slot, err := n.Lanes.Acquire(t.Context(), "wh_1", true)
		require.NoError(t, err)
		slots = append(slots, slot)
	}
	require.Equal(t, Outcome{State: holdfast.DeliveryPending, DelayMS: 1000, Waits: 1, Here: true, Brief: true}, n.first(t, "wh_1").one(t))
	in := attemptRequest("wh_1", 1)
	in.Waits = 1
	require.Equal(t, Outcome{State: holdfast.DeliveryPending, DelayMS: 2000, Waits: 2, Here: true, Brief: true}, n.here(t, in))
	for _, slot := range slots {
		slot.Release()
	}

	n.sender.send = nil
	o, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
	require.False(t, n.Lanes.Slow("wh_1"), "a good answer brings it back")
}

// One that fails at once costs nobody anything: its attempts are made in place, with the slots of the slow lane.
func TestG7_WebhookThatFailsAtOnceIsAttemptedInPlace(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *DeliveryDeps) { d.Lanes = NewLanes(LaneLimits{1, 1, 1}, time.Minute) })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		return answer(w.ID, number, 500), nil
	}
	for range slowAfter + 1 {
		n.store.set(func(s *fakeStore) { clear(s.records) })
		require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500, DelayMS: 1000, Here: true, Brief: true}, n.first(t, "wh_1").one(t))
	}
	require.True(t, n.Lanes.Slow("wh_1"))
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 2, Status: 500, DelayMS: 2000, Here: true, Brief: true}, n.here(t, attemptRequest("wh_1", 2)))
	require.Len(t, n.store.record("wh_1").Attempts, 2)
	requests := len(n.sender.requests())
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 2, Status: 500, Here: true}, func() Outcome {
		o := n.here(t, attemptRequest("wh_1", 2))
		o.DelayMS = 0
		return o
	}(), "it is recorded already")
	require.Len(t, n.sender.requests(), requests)

	slot, err := n.Lanes.Acquire(t.Context(), "wh_2", true)
	require.NoError(t, err)
	require.Equal(t, Outcome{State: holdfast.DeliveryPending, DelayMS: 1000, Waits: 1, Here: true, Brief: true}, n.here(t, attemptRequest("wh_1", 3)))
	slot.Release()

	n.sender.send = nil
	require.Equal(t, holdfast.DeliveryDelivered, n.here(t, attemptRequest("wh_1", 3)).State)
	require.False(t, n.Lanes.Slow("wh_1"))
}

// An attempt that turns out to take its time is left under way, to be joined.
func TestG6_AttemptInPlaceThatTakesLongerIsJoined(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *DeliveryDeps) { d.Cutoff = 10 * time.Millisecond })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	release := make(chan struct{})
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		<-release
		return answer(w.ID, number, 200), nil
	}
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 2, InFlight: n.Node}, n.here(t, attemptRequest("wh_1", 2)))
	close(release)
	o, err := run(t, n.JoinAttempt, attemptRequest("wh_1", 2))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
	require.Len(t, n.sender.requests(), 1)
}

func TestG7_AttemptWithoutAFreeSlotMakesTheWorkflowWait(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *DeliveryDeps) { d.Lanes = NewLanes(LaneLimits{1, 1, 1}, time.Minute) })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	slot, err := n.Lanes.Acquire(t.Context(), "wh_1", true)
	require.NoError(t, err)
	for waits, delay := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		in := attemptRequest("wh_1", 1)
		in.Waits = waits
		o, err := run(t, n.Attempt, in)
		require.NoError(t, err)
		require.Equal(t, Outcome{State: holdfast.DeliveryPending, DelayMS: delay.Milliseconds(), Waits: waits + 1, Here: true}, o)
	}
	require.Equal(t, maxBusyDelay.Milliseconds(), n.busy("wh_2", 1000).DelayMS)
	require.Empty(t, n.sender.requests())
	slot.Release()
	o, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
}

// An answer that cannot be recorded is an outcome with the record in it; nothing is sent again for its sake.
func TestD25_FailedRecordAfterA2xxIsNoFailure(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		a := answer(w.ID, number, 200)
		a.ResponseBody = strings.Repeat("é", 5000)
		return a, nil
	}
	n.store.set(func(s *fakeStore) { s.recordErr = errUnavailable })
	o := n.first(t, "wh_1").one(t)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
	require.Equal(t, 200, o.Status)
	require.Equal(t, holdfast.DeliveryDelivered, o.Unrecorded.Delivery.State)
	require.Equal(t, 1, o.Unrecorded.Attempt.Number)
	body := o.Unrecorded.Attempt.ResponseBody
	require.LessOrEqual(t, len(body), unrecordedBody+len(holdfast.TruncationMark), "histories are no place for bodies")
	require.True(t, utf8.ValidString(body))
	require.True(t, strings.HasSuffix(body, holdfast.TruncationMark))

	env := environment()
	env.RegisterActivity(n.RecordOutcomes)
	_, err := env.ExecuteActivity(n.RecordOutcomes, Records{[]Record{*o.Unrecorded}})
	require.Error(t, err)
	n.store.set(func(s *fakeStore) { s.recordErr = nil })
	_, err = env.ExecuteActivity(n.RecordOutcomes, Records{[]Record{*o.Unrecorded}})
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, n.store.record("wh_1").State)
	require.Len(t, n.store.record("wh_1").Attempts, 1)
	require.Len(t, n.sender.requests(), 1)
}

// The attempts before must not be lost because they could not be read when the next one was recorded.
func TestD25_RecordKeepsTheAttemptsBefore(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.store.records[DeliveryKey{"wh_1", "evt_1"}] = holdfast.Delivery{
		WebhookID: "wh_1", EventID: "evt_1", State: holdfast.DeliveryRetrying, Attempts: []holdfast.Attempt{answer("wh_1", 1, 500)},
	}
	n.store.set(func(s *fakeStore) { s.readErr = errUnavailable })
	o, err := run(t, n.Attempt, attemptRequest("wh_1", 2))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
	require.NotNil(t, o.Unrecorded)
	n.store.set(func(s *fakeStore) { s.readErr = nil })
	env := environment()
	env.RegisterActivity(n.RecordOutcomes)
	for range 2 { // repeated, as after a lost answer
		_, err = env.ExecuteActivity(n.RecordOutcomes, Records{[]Record{*o.Unrecorded}})
		require.NoError(t, err)
		require.Equal(t, []holdfast.Attempt{answer("wh_1", 1, 500), answer("wh_1", 2, 200)}, n.store.record("wh_1").Attempts)
	}
}

// We failed, not the receiver: nothing is recorded or counted, and the failure is retried whatever its code (G4).
func TestG4_OurFailureIsRetriedAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	for _, code := range holdfast.Codes() {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.webhook("wh_1", holdfast.DefaultRetryPolicy())
			n.sender.send = func(context.Context, *holdfast.Webhook, int) (holdfast.Attempt, error) {
				return holdfast.Attempt{}, holdfast.Wrap(code, context.DeadlineExceeded, "we failed")
			}
			require.Equal(t, Outcome{State: holdfast.DeliveryPending}, n.first(t, "wh_1").one(t))
			_, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
			var app *temporal.ApplicationError
			require.ErrorAs(t, err, &app)
			require.False(t, app.NonRetryable())
			require.Empty(t, n.store.writes)
			require.False(t, n.Lanes.Slow("wh_1"), "the receiver has done nothing")
			require.Nil(t, n.flights.find("wh_1/evt_1#1"))
		})
	}
}

// A webhook is gone only when its registration says so: Redis may have been wiped (G5).
func TestG5_WebhookMissingFromTheRegistry(t *testing.T) {
	t.Parallel()
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		o := n.first(t, "wh_1").one(t)
		require.Equal(t, Outcome{State: holdfast.DeliveryCancelled, Reason: "the webhook is deleted"}, o)
		require.Equal(t, holdfast.DeliveryCancelled, n.store.record("wh_1").State, "the end is recorded (G4)")
		require.Empty(t, n.sender.requests())
	})
	t.Run("registered", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.hooks.registered["wh_1"] = true
		require.Equal(t, Outcome{State: holdfast.DeliveryPending}, n.first(t, "wh_1").one(t))
		_, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
		require.Error(t, err)
		require.Empty(t, n.store.writes)
	})
	t.Run("nobody knows", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.hooks.askErr = errUnavailable
		require.Equal(t, Outcome{State: holdfast.DeliveryPending}, n.first(t, "wh_1").one(t))
		_, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
		require.Error(t, err)
		require.Empty(t, n.store.writes)
	})
	t.Run("registry not loaded", func(t *testing.T) {
		t.Parallel()
		n := newNode(t)
		n.hooks.lookErr = holdfast.Errorf(holdfast.CodeUnavailable, "not loaded")
		require.Equal(t, Outcome{State: holdfast.DeliveryPending}, n.first(t, "wh_1").one(t))
		require.Empty(t, n.store.writes)
	})
}

func TestDeliveries_PausedOrDisconnectedWebhookHolds(t *testing.T) {
	t.Parallel()
	for reason, change := range map[string]func(*holdfast.Webhook){
		"the webhook is paused":       func(w *holdfast.Webhook) { w.Active = false },
		"the webhook is disconnected": func(w *holdfast.Webhook) { w.Disconnected = true },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			change(n.webhook("wh_1", holdfast.DefaultRetryPolicy()))
			require.Equal(t, Outcome{State: holdfast.DeliveryHeld, Reason: reason, Here: true}, n.first(t, "wh_1").one(t))
			require.Equal(t, holdfast.DeliveryHeld, n.store.record("wh_1").State)

			n.store.records[DeliveryKey{"wh_1", "evt_1"}] = holdfast.Delivery{
				WebhookID: "wh_1", EventID: "evt_1", State: holdfast.DeliveryRetrying, Attempts: []holdfast.Attempt{answer("wh_1", 1, 500)},
			}
			o, err := run(t, n.Attempt, attemptRequest("wh_1", 2))
			require.NoError(t, err)
			require.Equal(t, Outcome{State: holdfast.DeliveryHeld, Reason: reason, Attempts: 1, Here: true}, o)
			r := n.store.record("wh_1")
			require.Equal(t, holdfast.DeliveryHeld, r.State)
			require.Len(t, r.Attempts, 1, "holding is no attempt and loses none")
			require.Empty(t, n.sender.requests())
		})
	}
}

// D34: a later attempt goes by the configuration of now, not by that of the event's time.
func TestD34_AttemptUsesTheCurrentConfiguration(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	var urls []string
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		urls = append(urls, w.URL)
		return answer(w.ID, number, 500), nil
	}
	require.Equal(t, holdfast.DeliveryRetrying, n.first(t, "wh_1").one(t).State)
	n.webhook("wh_1", holdfast.RetryPolicy{MaxAttempts: 2, InitialDelayMS: 1, BackoffMultiplier: 1, MaxDelayMS: 1}).URL = "https://b.example"
	o, err := run(t, n.Attempt, attemptRequest("wh_1", 2))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryExhausted, o.State, "the new policy allows two")
	require.Equal(t, []string{"https://a.example", "https://b.example"}, urls)
}

func TestG6_AttemptThatIsRecordedAlreadyIsAnsweredFromTheRecord(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.store.records[DeliveryKey{"wh_1", "evt_1"}] = holdfast.Delivery{
		WebhookID: "wh_1", EventID: "evt_1", State: holdfast.DeliveryDelivered,
		Attempts: []holdfast.Attempt{answer("wh_1", 1, 500), answer("wh_1", 2, 204)},
	}
	o, err := run(t, n.Attempt, attemptRequest("wh_1", 2))
	require.NoError(t, err)
	require.Equal(t, Outcome{State: holdfast.DeliveryDelivered, Attempts: 2, Status: 204}, o)
	require.Empty(t, n.sender.requests())
}

func TestRecordState_KeepsTheAttempts(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	attempts := []holdfast.Attempt{answer("wh_1", 1, 500)}
	n.store.records[DeliveryKey{"wh_1", "evt_1"}] = holdfast.Delivery{WebhookID: "wh_1", EventID: "evt_1", Attempts: attempts}
	env := environment()
	env.RegisterActivity(n.RecordState)
	change := StateChange{
		WebhookID: "wh_1", EventID: "evt_1", EventType: "job_failed", CreatedAt: createdAt, State: holdfast.DeliveryCancelled, Reason: "why",
	}
	n.store.set(func(s *fakeStore) { s.readErr = errUnavailable })
	_, err := env.ExecuteActivity(n.RecordState, change)
	require.Error(t, err)
	require.Equal(t, attempts, n.store.record("wh_1").Attempts)
	n.store.set(func(s *fakeStore) { s.readErr = nil })
	_, err = env.ExecuteActivity(n.RecordState, change)
	require.NoError(t, err)
	r := n.store.record("wh_1")
	require.Equal(t, []any{holdfast.DeliveryCancelled, "why", attempts, createdAt}, []any{r.State, r.Reason, r.Attempts, r.CreatedAt})
}

// Stop lets attempts end; one that does not in time is cut off, which is our failure and not recorded.
func TestDeliveries_StopWaitsThenCutsOff(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.sender.send = func(ctx context.Context, _ *holdfast.Webhook, _ int) (holdfast.Attempt, error) {
		<-ctx.Done()
		return holdfast.Attempt{}, holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "shutting down")
	}
	require.Equal(t, "n1", n.first(t, "wh_1").one(t).InFlight)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, n.Stop(ctx), context.DeadlineExceeded)
	testkit.Await(t, "the attempt to be cut off", func() bool { return n.flights.wait(t.Context()) == nil })
	require.Empty(t, n.store.writes)
	require.NoError(t, n.Stop(t.Context()))
}

// An attempt made before the record of the one before was written completes the record with it, in whichever order the two
// are written.
func TestG5_RecordIsCompletedByAttemptsStillUnwritten(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	earlier := answer("wh_1", 1, 500)
	left := Record{
		Delivery: holdfast.Delivery{WebhookID: "wh_1", EventID: "evt_1", EventType: "job_failed", State: holdfast.DeliveryRetrying},
		Attempt:  &earlier,
	}
	in := attemptRequest("wh_1", 2)
	in.Unrecorded = []Record{left}
	o, err := run(t, n.Attempt, in)
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
	require.Nil(t, o.Unrecorded)
	require.Equal(t, []holdfast.Attempt{earlier, answer("wh_1", 2, 200)}, n.store.record("wh_1").Attempts)
}

// successors notes what was started, and how many starts were under way at once.
type successors struct {
	mu        sync.Mutex
	started   []Successor
	now, most int
	fail      error
	inside    func(s Successor)
}

func (f *successors) StartSuccessor(_ context.Context, s Successor) error {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	if f.inside != nil {
		f.inside(s)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	if f.fail != nil {
		return f.fail
	}
	f.started = append(f.started, s)
	return nil
}

// What a node hands over does not compete with what publishers wait for; what waits for its first attempt can be seen, and
// a group that is done again after a crash knows that it was handed over.
func TestG7_HandingOverTakesItsTurnAndLeavesARecord(t *testing.T) {
	t.Parallel()
	starts := &successors{}
	n := newNode(t, func(d *DeliveryDeps) { d.Successors = starts })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	starts.inside = func(s Successor) {
		if s.Outcome.State == holdfast.DeliveryPending {
			require.Equal(t, holdfast.DeliveryPending, n.store.record(s.WebhookID).State, "recorded before it is started")
		}
	}
	waiting := Successor{
		WebhookID: "wh_1", Event: event(), CreatedAt: createdAt, AttemptTimeoutMS: 1, HoldForMS: 2,
		Outcome: Outcome{State: holdfast.DeliveryPending, DelayMS: 60_000, Waits: 1, Here: true},
	}
	failed := waiting
	failed.WebhookID, failed.Outcome = "wh_2", Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, DelayMS: 5}
	var groups sync.WaitGroup
	for range 8 {
		groups.Go(func() {
			_, err := environment().ExecuteLocalActivity(n.HandOver, []Successor{waiting, failed})
			require.NoError(t, err)
		})
	}
	groups.Wait()
	require.Len(t, starts.started, 16)
	require.Equal(t, successorStarts, starts.most)
	require.Contains(t, starts.started, waiting)
	require.Contains(t, starts.started, failed)
	r := n.store.record("wh_1")
	require.Equal(t, holdfast.DeliveryPending, r.State)
	require.Greater(t, r.NextAttemptAt, r.UpdatedAt)
	require.Equal(t, createdAt, r.CreatedAt)
	require.NotContains(t, n.store.records, DeliveryKey{"wh_2", "evt_1"}, "its attempt has left a record")

	require.Equal(t, holdfast.DeliveryPending, n.first(t, "wh_1").one(t).State)
	require.Empty(t, n.sender.requests(), "its own workflow attempts it")

	starts.fail = holdfast.Errorf(holdfast.CodeUnavailable, "Temporal is away")
	_, err := environment().ExecuteLocalActivity(n.HandOver, []Successor{failed})
	require.Error(t, err)
}

// Attempts may begin while a node waits for those under way before it stops; none is in the other's way.
func TestAttemptsMayBeginWhileTheNodeStops(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for number := range 50 {
				n.here(t, attemptRequest("wh_1", number+1))
			}
		})
		running.Go(func() {
			for range 50 {
				require.NoError(t, n.flights.wait(t.Context()))
			}
		})
	}
	running.Wait()
	require.NoError(t, n.Stop(t.Context()))
}
