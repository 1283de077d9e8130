package activities

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// briefly runs RetryBriefly as a local activity for one delivery that has just been attempted.
func (n *node) briefly(t *testing.T, webhook string, o Outcome) Outcome {
	t.Helper()
	value, err := environment().ExecuteLocalActivity(n.RetryBriefly, BriefRetry{
		Request: attemptRequest(webhook, o.Attempts+1), Event: event(), Outcome: o,
	})
	require.NoError(t, err)
	var out Outcome
	require.NoError(t, value.Get(&out))
	return out
}

// soonPolicy fails three times within milliseconds.
func soonPolicy() holdfast.RetryPolicy {
	p := holdfast.DefaultRetryPolicy()
	p.MaxAttempts, p.InitialDelayMS, p.BackoffMultiplier = 4, 5, 2
	return p
}

// A delivery that is over within seconds needs no durable timer: the process makes its attempts, each with its record.
func TestG7_RetriesThatAreDueSoonAreMadeByTheProcess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fails int
		want  Outcome
	}{
		"failing for good": {4, Outcome{State: holdfast.DeliveryExhausted, Attempts: 4, Status: 500, Reason: "all 4 attempts failed, the last with: HTTP 500"}},
		"recovering":       {2, Outcome{State: holdfast.DeliveryDelivered, Attempts: 3, Status: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.webhook("wh_1", soonPolicy())
			n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
				if number > c.fails {
					return answer(w.ID, number, 200), nil
				}
				return answer(w.ID, number, 500), nil
			}
			first := n.first(t, "wh_1").one(t)
			require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500, DelayMS: 5, Here: true, Brief: true}, first)
			require.Equal(t, c.want, n.briefly(t, "wh_1", first))
			r := n.store.record("wh_1")
			require.Equal(t, c.want.State, r.State)
			require.Len(t, r.Attempts, c.want.Attempts)
			require.Len(t, n.sender.requests(), c.want.Attempts)
		})
	}
}

// What is due later is left to a durable timer, with what is left of its delay.
func TestG7_RetriesThatAreDueLaterAreLeftToTimers(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	policy := soonPolicy()
	policy.BackoffMultiplier, policy.MaxDelayMS = 10_000, 600_000
	n.webhook("wh_1", policy)
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		return answer(w.ID, number, 500), nil
	}
	o := n.briefly(t, "wh_1", n.first(t, "wh_1").one(t))
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 2, Status: 500, DelayMS: 50_000, Here: true}, o)
	require.Len(t, n.sender.requests(), 2)
}

// A wait for a slot is no attempt.
func TestG7_WaitForASlotCountsNoAttempt(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", soonPolicy())
	waiting := Outcome{State: holdfast.DeliveryPending, DelayMS: 1, Waits: 1, Here: true, Brief: true}
	require.Equal(t, Outcome{State: holdfast.DeliveryDelivered, Attempts: 1, Status: 200}, n.briefly(t, "wh_1", waiting))
	require.Equal(t, []string{"wh_1/evt_1#1"}, n.sender.requests())
}

// A webhook that is switched off stops what waits, however long that has still to wait.
func TestD34_WebhookThatIsSwitchedOffStopsABriefWait(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	w := n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	w.Active = false
	began := time.Now()
	o := n.briefly(t, "wh_1", Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500, DelayMS: 3_900, Here: true, Brief: true})
	require.Less(t, time.Since(began), 3*time.Second)
	require.Equal(t, holdfast.DeliveryHeld, o.State)
	require.Equal(t, 1, o.Attempts)
	require.Equal(t, holdfast.DeliveryHeld, n.store.record("wh_1").State)
	require.Empty(t, n.sender.requests())
}

// An attempt that turns out to take its time is left under way, to be joined under its own number.
func TestG7_BriefRetryThatTakesLongIsJoined(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", soonPolicy())
	answered := make(chan struct{})
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		if number == 1 {
			return answer(w.ID, number, 500), nil
		}
		<-answered
		return answer(w.ID, number, 200), nil
	}
	o := n.briefly(t, "wh_1", n.first(t, "wh_1").one(t))
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 2, Status: 500, InFlight: "n1"}, o)
	close(answered)
	joined, err := run(t, n.JoinAttempt, attemptRequest("wh_1", 2))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, joined.State)
}

// Everything that waits holds a task of its workflow, so only so many do.
func TestG7_OnlySoManyCallsWait(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	for range maxBrief {
		n.brief <- struct{}{}
	}
	o := Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500, DelayMS: 1, Here: true, Brief: true}
	want := o
	want.Brief = false
	require.Equal(t, want, n.briefly(t, "wh_1", o))
	require.Empty(t, n.sender.requests())
}

// A node that stops leaves what waits to others, who see how long that still is.
func TestG4_NodeThatStopsWaitsForNoRetry(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		o := n.briefly(t, "wh_1", Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, DelayMS: 3_900, Here: true, Brief: true})
		require.Equal(t, holdfast.DeliveryRetrying, o.State)
		require.Greater(t, o.DelayMS, int64(1_000))
		require.False(t, o.Brief)
	})
	require.NoError(t, n.Stop(t.Context()))
	waiting.Wait()
	require.Empty(t, n.sender.requests())
}
