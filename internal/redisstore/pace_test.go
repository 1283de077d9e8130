package redisstore

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestRateIsNeverExceeded holds the promise of the bucket: in any interval of n seconds at most rate·n attempts and one
// burst.
func TestRateIsNeverExceeded(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx, run := t.Context(), 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		id := fmt.Sprintf("wh_%d", run)
		write(t, store, testWebhook(id))
		rate := rapid.Float64Range(0.2, 50).Draw(rt, "rate")
		now := 1700000000000.0
		var admitted []float64
		for range rapid.IntRange(2, 60).Draw(rt, "attempts") {
			now += rapid.SampledFrom([]float64{0, 0, 0, 1, 40, 700, 5000}).Draw(rt, "later")
			for { // who has to wait asks again afterwards
				wait, err := store.admitAt(ctx, id, rate, strconv.FormatFloat(now, 'f', -1, 64))
				require.NoError(rt, err)
				require.LessOrEqual(rt, wait, MaxWait)
				if wait == 0 {
					break
				}
				now += float64(wait.Microseconds()) / 1000
			}
			admitted = append(admitted, now)
		}
		const slack = 0.1 // ms: what is stored and answered is rounded
		for i := range admitted {
			for j := i; j < len(admitted); j++ {
				most := rate*(admitted[j]-admitted[i]+slack)/1000 + max(1, rate)
				require.LessOrEqual(rt, float64(j-i+1), most+1e-6, "%d to %d", i, j)
			}
		}
	})
}

// Of a thousand that ask at the same moment, on two nodes, exactly a burst goes; the wait of the others takes nothing.
func TestABurstGoesAndWaitsTakeNothing(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	other := New(srv.client, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	const now, rate = "1700000000000", 100
	waits := make([]time.Duration, 1000)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < len(waits); i += 8 {
				wait, err := []*Store{store, other}[i%2].admitAt(ctx, "wh_1", rate, now)
				if err != nil {
					wait = -1
				}
				waits[i] = wait
			}
		})
	}
	wg.Wait()
	slices.Sort(waits)
	for i, wait := range waits {
		if i < rate {
			require.Zero(t, wait, "attempt %d", i)
		} else {
			require.Equal(t, 10*time.Millisecond, wait, "attempt %d", i)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	admit := func(rate float64) time.Duration {
		wait, err := store.Admit(ctx, "wh_1", rate)
		require.NoError(t, err)
		return wait
	}
	left := func() time.Duration {
		d, err := store.Paused(ctx, "wh_1")
		require.NoError(t, err)
		return d
	}
	const slack = float64(5 * time.Second)
	require.Zero(t, admit(0), "nothing limits")
	require.Empty(t, srv.client.Keys(ctx, "webhooks:pa*").Val())
	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(-time.Second)))
	require.Zero(t, left())

	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(10*time.Minute)))
	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(time.Minute)))
	require.InDelta(t, 10*time.Minute, left(), slack, "a longer pause stays")
	require.InDelta(t, 10*time.Minute, admit(0), slack)
	require.InDelta(t, 10*time.Minute, admit(5), slack)

	require.NoError(t, store.Pause(ctx, "wh_1", time.Now().Add(time.Hour*24)))
	require.InDelta(t, MaxWait, left(), slack, "bounded")
	write(t, store, testWebhook("wh_2"))
	require.NoError(t, store.Pause(ctx, "wh_2", time.Now().Add(50*time.Minute)))
	wait, err := store.Admit(ctx, "wh_2", 0.005)
	require.NoError(t, err)
	require.InDelta(t, 50*time.Minute, wait, slack)
	for _, key := range keysOf(t, srv.client) {
		if strings.HasPrefix(key, "webhooks:pause") || strings.HasPrefix(key, "webhooks:pace") {
			ttl := srv.client.PTTL(ctx, key).Val()
			require.Positive(t, ttl, key)
			require.LessOrEqual(t, ttl, 2*MaxWait, key)
		}
	}

	// A burst is not saved up for the end of a pause.
	write(t, store, testWebhook("wh_3"))
	require.NoError(t, store.Pause(ctx, "wh_3", time.Now().Add(300*time.Millisecond)))
	require.Positive(t, func() time.Duration { d, _ := store.Admit(ctx, "wh_3", 10); return d }())
	require.Eventually(t, func() bool { d, err := store.Admit(ctx, "wh_3", 10); return err == nil && d == 0 }, 5*time.Second, time.Millisecond)
	wait, err = store.Admit(ctx, "wh_3", 10)
	require.NoError(t, err)
	require.InDelta(t, 100*time.Millisecond, wait, float64(50*time.Millisecond))
}
