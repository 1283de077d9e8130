package activities

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// fakePace is what nodes share, in memory: pauses, and a rate limit whose next admission is set by hand.
type fakePace struct {
	mu     sync.Mutex
	paused map[string]time.Time
	next   time.Duration // wait of the next admissions by rate
	asked  []string
	fail   error
}

func (f *fakePace) Pause(_ context.Context, id string, until time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paused == nil {
		f.paused = map[string]time.Time{}
	}
	f.paused[id] = later(f.paused[id], until)
	return f.fail
}

func (f *fakePace) Admit(_ context.Context, id string, rate float64) (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, id)
	wait := max(0, time.Until(f.paused[id]))
	if rate > 0 {
		wait = max(wait, f.next)
	}
	return wait, f.fail
}

func (f *fakePace) until(id string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Until(f.paused[id])
}

func (f *fakePace) questions() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// Webhooks that have no limit and do well cost no question.
func TestG7_HotPathAsksForNoPace(t *testing.T) {
	t.Parallel()
	shared := &fakePace{}
	n := newNode(t, func(d *DeliveryDeps) { d.Pace = shared })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	require.Equal(t, FirstResult{Delivered: 1}, n.first(t, "wh_1"))
	require.Zero(t, shared.questions())
	n.webhook("wh_2", holdfast.DefaultRetryPolicy()).RateLimit = 5
	require.Equal(t, FirstResult{Delivered: 1}, n.first(t, "wh_2"))
	require.Equal(t, 1, shared.questions())
}

// Those who wait for a limited webhook are sent away with turns of their own, one rate apart; nothing is sent or counted,
// and no slot is kept.
func TestG7_RateLimitedDeliveriesGetTheirTurns(t *testing.T) {
	t.Parallel()
	shared := &fakePace{next: 100 * time.Millisecond}
	n := newNode(t, func(d *DeliveryDeps) { d.Pace = shared })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy()).RateLimit = 2
	for i := range 10 {
		o, err := run(t, n.Attempt, request("wh_1", i, 1))
		require.NoError(t, err)
		require.Equal(t, holdfast.DeliveryPending, o.State)
		require.Zero(t, o.Attempts)
		require.InDelta(t, 100+500*i, o.DelayMS, 90, "delivery %d", i)
	}
	require.Empty(t, n.sender.requests())
	require.Empty(t, n.store.writes)
	require.Empty(t, n.Lanes.slow)
	shared.mu.Lock()
	shared.next = 0
	shared.mu.Unlock()
	o, err := run(t, n.Attempt, request("wh_1", 0, 1))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryDelivered, o.State)
}

// G5: without what the nodes share, attempts go on unpaced, and it is not asked for each of them.
func TestG5_PaceAwayStopsNothing(t *testing.T) {
	t.Parallel()
	shared := &fakePace{fail: errUnavailable, next: time.Hour}
	n := newNode(t, func(d *DeliveryDeps) { d.Pace = shared })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy()).RateLimit = 1
	for i := range 20 {
		o, err := run(t, n.Attempt, request("wh_1", i, 1))
		require.NoError(t, err)
		require.Equal(t, holdfast.DeliveryDelivered, o.State)
	}
	require.Less(t, shared.questions(), 5)
	n.sender.status(429, time.Minute)
	_, err := run(t, n.Attempt, request("wh_1", 100, 1))
	require.NoError(t, err)
	require.Positive(t, n.Lanes.Paused("wh_1"), "this node keeps the pause by itself")
}

// A probe is made whatever the webhook's state and pace, and decides nothing but itself.
func TestD38_ProbeIsMadeWhateverTheState(t *testing.T) {
	t.Parallel()
	shared := &fakePace{}
	n := newNode(t, func(d *DeliveryDeps) { d.Pace = shared })
	n.webhook("wh_1", holdfast.RetryPolicy{MaxAttempts: 1}).Disconnected = true
	require.NoError(t, shared.Pause(t.Context(), "wh_1", time.Now().Add(time.Hour)))
	probe := attemptRequest("wh_1", 1)
	probe.Probe, probe.HeldFor = true, "the webhook is disconnected"
	for i, status := range []int{500, 410, 429} {
		n.sender.status(status, 0)
		probe.Number = i + 1
		want := Outcome{
			State: holdfast.DeliveryHeld, Reason: probe.HeldFor, Attempts: i + 1, Status: status, Here: true,
			Detail: answer("", 1, status).ErrorMessage,
		}
		for range 2 { // again, as after a crash: answered from the record
			o, err := run(t, n.Attempt, probe)
			require.NoError(t, err)
			require.Equal(t, want, o)
		}
		r := n.store.record("wh_1")
		require.Equal(t, holdfast.DeliveryHeld, r.State)
		require.Equal(t, probe.HeldFor, r.Reason)
		require.Len(t, r.Attempts, i+1)
	}
	require.Empty(t, n.store.failures)
	after := attemptRequest("wh_1", 3)
	o, err := run(t, n.Attempt, after)
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryRetrying, o.State, "a probe nobody heard of does not hold a delivery that was released")

	n.sender.status(200, 0)
	probe.Number = 4
	o, err = run(t, n.Attempt, probe)
	require.NoError(t, err)
	require.Equal(t, Outcome{State: holdfast.DeliveryDelivered, Attempts: 4, Status: 200}, o)
	require.Len(t, n.sender.requests(), 4)
}
