package activities

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
)

// Whatever the load: never more than the limits, nobody stuck, nothing kept.
func TestG7_LanesKeepTheirLimits(t *testing.T) {
	t.Parallel()
	base := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		fast, slow := rapid.IntRange(1, 6).Draw(t, "fast"), rapid.IntRange(1, 4).Draw(t, "slow")
		each := rapid.IntRange(1, 4).Draw(t, "each")
		webhooks := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 60).Draw(t, "webhooks")
		impatient := rapid.SliceOfN(rapid.Bool(), len(webhooks), len(webhooks)).Draw(t, "impatient")
		l := NewLanes(LaneLimits{fast, slow, each}, 0)
		var all atomic.Int64
		var per [4]atomic.Int64
		var over atomic.Bool
		var wait sync.WaitGroup
		for i, w := range webhooks {
			wait.Go(func() {
				ctx, cancel := context.WithCancel(base)
				defer cancel()
				if impatient[i] {
					cancel()
				}
				slot, err := l.Acquire(ctx, fmt.Sprint(w), i%2 == 1)
				if err != nil {
					return
				}
				if i%3 == 0 {
					wait.Go(slot.Demote)
				}
				if all.Add(1) > int64(fast+slow) || per[w].Add(1) > int64(each) {
					over.Store(true)
				}
				l.Observe(fmt.Sprint(w), Speed(i%3), time.Second)
				per[w].Add(-1)
				all.Add(-1)
				slot.Release()
			})
		}
		wait.Wait()
		require.False(t, over.Load())
		require.Empty(t, l.webhooks)
		require.Empty(t, l.fast)
		require.Empty(t, l.slow)
	})
}

func TestLanes_SlowEndsByItselfOrWithAGoodAnswer(t *testing.T) {
	t.Parallel()
	l := NewLanes(LaneLimits{1, 1, 1}, time.Minute)
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	observe := func(s Speed) {
		slot, err := l.Acquire(t.Context(), "wh", false)
		require.NoError(t, err)
		l.Observe("wh", s, time.Second)
		slot.Release()
	}
	require.False(t, l.Slow("wh"))
	observe(TooSlow)
	require.True(t, l.Slow("wh"))
	now = now.Add(time.Minute)
	require.False(t, l.Slow("wh"))
	for range slowAfter - 1 {
		observe(Failing)
		require.False(t, l.Slow("wh"), "one that fails now and then stays")
	}
	observe(Failing)
	require.True(t, l.Slow("wh"))
	observe(Good)
	require.False(t, l.Slow("wh"))
	require.Empty(t, l.webhooks)
}

// Those who found no slot come back about when slots become free, and not much later should the endpoint get well.
func TestLanes_ThoseWithoutASlotComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	l := NewLanes(LaneLimits{4, 4, 2}, time.Minute)
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	for range 2 {
		require.False(t, l.Full("wh"))
		_, err := l.Acquire(t.Context(), "wh", true)
		require.NoError(t, err)
	}
	require.True(t, l.Full("wh"))
	require.Zero(t, l.Took("wh"))
	l.Observe("wh", TooSlow, 30*time.Second)
	require.Equal(t, 30*time.Second, l.Took("wh"))
	for i := range 8 {
		require.Equal(t, time.Second+time.Duration(i)*15*time.Second, l.SlotTurn("wh", time.Second))
	}
	require.Equal(t, maxSlotTurn, l.SlotTurn("wh", time.Second))
	require.Equal(t, time.Second, l.SlotTurn("other", time.Second))
	l.Observe("wh", Good, time.Second)
	require.Zero(t, l.Took("wh"))
}

// Webhooks that failed once and were deleted are not remembered for ever.
func TestLanes_ForgetsWhatNobodyAsksForAgain(t *testing.T) {
	t.Parallel()
	l := NewLanes(LaneLimits{1, 1, 1}, time.Minute)
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	for i := range 10_000 {
		id := fmt.Sprint(i)
		slot, err := l.Acquire(t.Context(), id, false)
		require.NoError(t, err)
		l.Observe(id, TooSlow, time.Second)
		slot.Release()
		require.True(t, l.Slow(id))
		now = now.Add(time.Second)
	}
	require.Less(t, len(l.webhooks), 200, "a minute's worth and what has gathered since")
}

// Pauses grow while the webhook keeps asking for fewer requests, end with a good answer, and a wish is granted.
func TestLanes_PausesGrowAndEnd(t *testing.T) {
	t.Parallel()
	l := NewLanes(LaneLimits{1, 1, 1}, time.Minute)
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	throttle := func(asked, want time.Duration, news bool) {
		t.Helper()
		until, changed := l.Throttle("wh", asked)
		require.Equal(t, want, until.Sub(now))
		require.Equal(t, news, changed)
		require.Equal(t, want, l.Paused("wh"))
		require.True(t, l.Slow("wh"))
		require.True(t, l.Throttled("wh"))
	}
	for _, want := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		throttle(0, time.Duration(want)*time.Second, true)
		throttle(0, time.Duration(want)*time.Second, false)
		now = now.Add(time.Duration(want) * time.Second)
		require.Zero(t, l.Paused("wh"))
	}
	throttle(5*time.Second, 5*time.Second, true)
	throttle(3*time.Second, 5*time.Second, false)
	throttle(9*time.Second, 9*time.Second, true)
	l.Observe("wh", Good, time.Second)
	require.True(t, l.Throttled("wh"), "it was under way when the pause began")
	now = now.Add(9 * time.Second)
	l.Observe("wh", Good, time.Second)
	require.False(t, l.Throttled("wh"))
	throttle(0, time.Second, true)
}

// Whoever waits has a turn, never before the wait is over, and never so far off that things change meanwhile.
func TestLanes_Turns(t *testing.T) {
	t.Parallel()
	l := NewLanes(LaneLimits{1, 1, 1}, time.Minute)
	now := time.Unix(1000, 0)
	l.now = func() time.Time { return now }
	for i := range 20 {
		require.Equal(t, time.Second+time.Duration(i)*time.Minute/2, l.Turn("wh", time.Second, time.Minute/2))
	}
	require.LessOrEqual(t, l.Turn("wh", time.Second, time.Hour), maxTurn)
	require.Equal(t, time.Hour, l.Turn("wh", time.Hour, time.Minute))
	now = now.Add(2 * time.Hour)
	require.Equal(t, time.Second, l.Turn("wh", time.Second, time.Minute))
}

// A webhook that gives no answer leaves the fast lane at once.
func TestG7_NoAnswerLeavesTheFastLaneAtOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.DefaultRetryPolicy())
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		a := answer(w.ID, number, 0)
		a.ErrorClass = holdfast.ClassConnect
		return a, nil
	}
	n.first(t, "wh_1")
	require.True(t, n.Lanes.Slow("wh_1"))
}

// An endpoint that has not answered yet has taken that long already: those who wait for its slots come as far apart.
func TestG7_SlotsAreExpectedByHowLongAttemptsTakeSoFar(t *testing.T) {
	t.Parallel()
	l := NewLanes(LaneLimits{64, 64, 8}, time.Minute)
	now := time.Unix(1_000, 0)
	l.now = func() time.Time { return now }
	slot, err := l.Acquire(t.Context(), "wh_1", false)
	require.NoError(t, err)
	defer slot.Release()
	l.UnderWay("wh_1", time.Hour)
	require.Zero(t, l.Took("wh_1"), "nothing is known against it")
	l.Observe("wh_1", TooSlow, time.Second)
	l.UnderWay("wh_1", 8*time.Second)
	l.UnderWay("wh_1", 4*time.Second)
	require.Equal(t, 8*time.Second, l.Took("wh_1"))
	first := l.SlotTurn("wh_1", time.Second)
	require.Equal(t, time.Second, l.SlotTurn("wh_1", time.Second)-first, "8 s for 8 slots")
	now = now.Add(50 * time.Second)
	l.UnderWay("wh_1", 58*time.Second)
	now = now.Add(50 * time.Second)
	require.True(t, l.Slow("wh_1"), "as long as it takes its time")
	l.Observe("wh_1", Good, time.Second)
	require.Zero(t, l.Took("wh_1"))
}
