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
				l.Observe(fmt.Sprint(w), Speed(i%3))
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
		l.Observe("wh", s)
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
		l.Observe(id, TooSlow)
		slot.Release()
		require.True(t, l.Slow(id))
		now = now.Add(time.Second)
	}
	require.Less(t, len(l.webhooks), 200, "a minute's worth and what has gathered since")
}
