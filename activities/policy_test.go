package activities

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
)

// status makes the sender answer with the status.
func (f *fakeSender) status(status int, retryAfter time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		a := answer(w.ID, number, status)
		a.RetryAfter = retryAfter.Milliseconds()
		return a, nil
	}
}

// request is an attempt request for a delivery of its own.
func request(webhook string, event, number int) AttemptRequest {
	in := attemptRequest(webhook, number)
	in.EventID = fmt.Sprintf("evt_%d", event)
	return in
}

func TestRule03_410Disables(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.sender.status(http.StatusGone, 0)
	o := n.first(t, "wh_1").one(t)
	require.Equal(t, Outcome{
		State: holdfast.DeliveryExhausted, Attempts: 1, Status: 410, Reason: "the receiver answered 410 Gone",
		Disconnect: &Disconnect{Cause: holdfast.DisconnectedByReceiver, Reason: "the receiver answered 410 Gone"},
	}, o)
	require.Equal(t, o.Reason, n.store.record("wh_1").Reason)
	n.webhook("wh_static", holdfast.DefaultRetryPolicy()).Static = true
	require.Nil(t, n.first(t, "wh_static").one(t).Disconnect, "a static webhook is never disconnected")
}

// slowsTheWebhook shows that an answer with the status holds back every delivery of the webhook, on other nodes too, and
// none of another's.
func slowsTheWebhook(t *testing.T, status int) {
	t.Helper()
	shared := &fakePace{}
	n := newNode(t, func(d *DeliveryDeps) { d.Pace = shared })
	other := newNode(t, func(d *DeliveryDeps) { d.Pace = shared })
	for _, node := range []*node{n, other} {
		node.webhook("wh_1", holdfast.DefaultRetryPolicy())
		node.webhook("wh_2", holdfast.DefaultRetryPolicy())
	}
	n.sender.status(status, 0)
	o := n.first(t, "wh_1").one(t)
	require.Equal(t, Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: status, DelayMS: 1000, Here: true, Brief: true}, o, "its own schedule is unchanged")
	n.sender.status(200, 0)
	for i, node := range []*node{n, other} {
		o, err := run(t, node.Attempt, request("wh_1", 10+i, 1))
		require.NoError(t, err)
		require.Equal(t, holdfast.DeliveryPending, o.State)
		require.Zero(t, o.Waits)
		require.InDelta(t, time.Second.Milliseconds(), o.DelayMS, 900)
		o, err = run(t, node.Attempt, request("wh_2", 10+i, 1))
		require.NoError(t, err)
		require.Equal(t, holdfast.DeliveryDelivered, o.State)
	}
	require.Equal(t, []string{"wh_1/evt_1#1", "wh_2/evt_10#1"}, n.sender.requests())
}

func TestRule04_429Throttles(t *testing.T) {
	t.Parallel()
	slowsTheWebhook(t, http.StatusTooManyRequests)
}

func TestRule05_502And504Throttle(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadGateway, http.StatusGatewayTimeout} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			slowsTheWebhook(t, status)
		})
	}
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	for _, status := range []int{400, 404, 500, 503} {
		n.sender.status(status, 0)
		n.first(t, "wh_1")
		n.store.set(func(s *fakeStore) { clear(s.records) })
		require.Zero(t, n.Lanes.Paused("wh_1"), "%d says nothing about other deliveries", status)
	}
}

func TestRule06_RetryAfterIsObserved(t *testing.T) {
	t.Parallel()
	shared := &fakePace{}
	n := newNode(t, func(d *DeliveryDeps) { d.Pace = shared })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.webhook("wh_2", holdfast.DefaultRetryPolicy())
	n.webhook("wh_3", holdfast.DefaultRetryPolicy())
	n.sender.status(429, 90*time.Second)
	require.Equal(t, int64(90_000), n.first(t, "wh_1").one(t).DelayMS)
	require.InDelta(t, 90, shared.until("wh_1").Seconds(), 5, "the whole webhook waits for as long")
	n.sender.status(503, 100*time.Hour)
	require.Equal(t, time.Hour.Milliseconds(), n.first(t, "wh_2").one(t).DelayMS, "capped")
	n.sender.status(503, time.Millisecond)
	require.Equal(t, int64(1000), n.first(t, "wh_3").one(t).DelayMS, "it can only lengthen")
}

func TestRule07_JitterIsAvailableAndOnInDays(t *testing.T) {
	t.Parallel()
	days := holdfast.RetryPresets()["days"]
	require.Positive(t, days.Jitter)
	n := newNode(t)
	n.webhook("wh_1", days)
	n.sender.status(500, 0)
	seen := map[int64]bool{}
	for range 50 {
		n.store.set(func(s *fakeStore) { clear(s.records) })
		n.Lanes.Observe("wh_1", Good, 0)
		o, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
		require.NoError(t, err)
		require.InDelta(t, 60_000, o.DelayMS, 6_000)
		seen[o.DelayMS] = true
	}
	require.Greater(t, len(seen), 25, "those that fail together do not come back together")
	require.Zero(t, holdfast.DefaultRetryPolicy().Jitter)
}

func TestRule08_DaysPresetSpansSeveralDays(t *testing.T) {
	t.Parallel()
	days := holdfast.RetryPresets()["days"]
	for _, spread := range []float64{0, 0.5, 1} {
		var total time.Duration
		for number := 1; ; number++ {
			a := answer("wh_1", number, 500)
			o := ruling{retryAfterMax: time.Hour, spread: spread}.decide(days, &a)
			if o.State == holdfast.DeliveryExhausted {
				require.Equal(t, 8, number)
				break
			}
			total += time.Duration(o.DelayMS) * time.Millisecond
		}
		require.Greater(t, total, 24*time.Hour, "spread %v", spread)
	}
}

func TestD37_PolicyIsNotBlind(t *testing.T) {
	t.Parallel()
	policy := holdfast.DefaultRetryPolicy()
	policy.NoRetryStatuses = []int{400, 422}
	n := newNode(t)
	n.webhook("wh_1", policy)
	n.sender.status(422, 0)
	require.Equal(t, Outcome{
		State: holdfast.DeliveryExhausted, Attempts: 1, Status: 422, Reason: "its retry policy ends with an answer of 422",
	}, n.first(t, "wh_1").one(t))
	t.Run("the default schedule is the original's", func(t *testing.T) {
		for i, want := range []Outcome{
			{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500, DelayMS: 1000},
			{State: holdfast.DeliveryRetrying, Attempts: 2, Status: 500, DelayMS: 2000},
			{State: holdfast.DeliveryExhausted, Attempts: 3, Status: 500, Reason: "all 3 attempts failed, the last with: HTTP 500"},
		} {
			a := answer("wh_1", i+1, 500)
			require.Equal(t, want, ruling{retryAfterMax: time.Hour, spread: 0.3}.decide(holdfast.DefaultRetryPolicy(), &a))
		}
	})
	t.Run("a replay begins the policy anew", func(t *testing.T) {
		a := answer("wh_1", 4, 500)
		require.Equal(t, int64(1000), ruling{base: 3}.decide(holdfast.DefaultRetryPolicy(), &a).DelayMS)
		a = answer("wh_1", 6, 500)
		require.Equal(t, "all 3 attempts of its policy and 3 besides failed, the last with: HTTP 500",
			ruling{base: 3}.decide(holdfast.DefaultRetryPolicy(), &a).Reason)
	})
}

// Whatever policy Redis holds and whatever the receiver says: a decision ends or waits within its bounds, never hot.
func TestD29_EveryDecisionIsBounded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		policy := holdfast.RetryPolicy{
			MaxAttempts: rapid.IntRange(-5, 200).Draw(t, "attempts"), InitialDelayMS: rapid.Int64().Draw(t, "initial"),
			BackoffMultiplier: rapid.OneOf(rapid.Float64(), rapid.Just(math.NaN()), rapid.Just(math.Inf(1))).Draw(t, "multiplier"),
			MaxDelayMS:        rapid.Int64().Draw(t, "max"),
			Jitter:            rapid.OneOf(rapid.Float64Range(-1, 2), rapid.Just(math.NaN())).Draw(t, "jitter"),
			NoRetryStatuses:   rapid.SliceOf(rapid.IntRange(300, 599)).Draw(t, "final"),
		}
		a := answer("wh_1", rapid.IntRange(1, 300).Draw(t, "number"), rapid.IntRange(100, 599).Draw(t, "status"))
		a.RetryAfter = rapid.Int64Range(math.MinInt64/1_000_000, math.MaxInt64/1_000_000).Draw(t, "retryAfter")
		r := ruling{base: rapid.IntRange(0, a.Number-1).Draw(t, "base"), retryAfterMax: time.Hour, spread: rapid.Float64Range(0, 1).Draw(t, "spread")}
		o := r.decide(policy, &a)
		require.Equal(t, a.Number, o.Attempts)
		require.Equal(t, a.Success, o.State == holdfast.DeliveryDelivered)
		switch o.State {
		case holdfast.DeliveryExhausted:
			require.NotEmpty(t, o.Reason)
			require.Zero(t, o.DelayMS)
		case holdfast.DeliveryRetrying:
			require.Less(t, a.Number-r.base, policy.MaxAttempts)
			longest := min(max(policy.MaxDelayMS, holdfast.MinRetryDelayMS), holdfast.MaxRetryDelayMS)
			require.GreaterOrEqual(t, o.DelayMS, int64(holdfast.MinRetryDelayMS))
			require.GreaterOrEqual(t, o.DelayMS, min(a.RetryAfter, time.Hour.Milliseconds()), "Retry-After is honoured up to its cap")
			require.LessOrEqual(t, o.DelayMS, max(longest, time.Hour.Milliseconds()))
			if !(policy.Jitter > 0) && a.RetryAfter <= 0 {
				require.Equal(t, policy.Delay(a.Number-r.base).Milliseconds(), o.DelayMS)
			}
		default:
			require.True(t, a.Success)
		}
	})
}
