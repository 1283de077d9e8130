package batch_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast/internal/batch"
	"github.com/emprops/holdfast/internal/testkit"
)

// Whatever the load and the bounds: every item is in exactly one run, gets its own result, and the bounds hold.
func TestBatcher_EveryItemIsRunOnceWithinTheBounds(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		n, maxItems := rapid.IntRange(1, 200).Draw(t, "items"), rapid.IntRange(1, 20).Draw(t, "maxItems")
		inFlight := rapid.IntRange(1, 4).Draw(t, "inFlight")
		failing := rapid.IntRange(0, 5).Draw(t, "failing") // items divisible by 10 + failing fail their run
		var mu sync.Mutex
		seen := map[int]int{}
		failedWith := map[int]bool{}
		var running, most atomic.Int64
		tooMany := atomic.Bool{}
		b := batch.New(maxItems, inFlight, time.Minute, func(_ context.Context, items []int) ([]int, error) {
			if now := running.Add(1); now > most.Load() {
				most.Store(now)
			}
			defer running.Add(-1)
			if len(items) > maxItems || len(items) == 0 {
				tooMany.Store(true)
			}
			bad := slices.ContainsFunc(items, func(i int) bool { return i%(10+failing) == 0 })
			mu.Lock()
			defer mu.Unlock()
			results := make([]int, len(items))
			for i, item := range items {
				seen[item]++
				failedWith[item] = bad
				results[i] = item * 3
			}
			if bad {
				return nil, errors.New("this run failed")
			}
			return results, nil
		})
		results, errs := make([]int, n), make([]error, n)
		var wait sync.WaitGroup
		for i := range n {
			wait.Go(func() { results[i], errs[i] = b.Do(ctx, i) })
		}
		wait.Wait()
		b.Stop()
		require.False(t, tooMany.Load())
		require.LessOrEqual(t, most.Load(), int64(inFlight))
		for i := range n {
			require.Equal(t, 1, seen[i])
			if failedWith[i] {
				require.EqualError(t, errs[i], "this run failed")
				continue
			}
			require.NoError(t, errs[i])
			require.Equal(t, 3*i, results[i])
		}
	})
}

// What arrives during a run goes together in the next, in its order; a lone item does not wait for company.
func TestBatcher_GathersWhileARunIsUnderWay(t *testing.T) {
	t.Parallel()
	runs := make(chan []int, 10)
	gate := make(chan struct{})
	b := batch.New(15, 1, time.Minute, func(_ context.Context, items []int) ([]int, error) {
		runs <- items
		<-gate
		return items, nil
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	hand := func(i int) { // a caller that does not wait leaves its item behind
		_, err := b.Do(gone, i)
		require.ErrorIs(t, err, context.Canceled)
	}
	hand(0)
	require.Equal(t, []int{0}, <-runs)
	var want []int
	for i := 1; i <= 20; i++ {
		hand(i)
		want = append(want, i)
	}
	close(gate)
	require.Equal(t, want[:15], <-runs, "as many as a run may have")
	require.Equal(t, want[15:], <-runs)
	b.Stop()
	require.Empty(t, runs)
}

func TestBatcher_CallerThatGivesUpDoesNotDisturbTheOthers(t *testing.T) {
	t.Parallel()
	gate, begun := make(chan struct{}), make(chan struct{}, 10)
	b := batch.New(10, 1, time.Minute, func(ctx context.Context, items []string) ([]string, error) {
		begun <- struct{}{}
		<-gate
		return items, ctx.Err()
	})
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { // its context would be the run's
		_, err := b.Do(ctx, "impatient")
		gone <- err
	}()
	<-begun
	stays := make(chan error, 1)
	go func() {
		got, err := b.Do(t.Context(), "patient")
		if got != "patient" {
			err = errors.Join(err, errors.New("another item's result"))
		}
		stays <- err
	}()
	cancel()
	require.ErrorIs(t, <-gone, context.Canceled)
	close(gate)
	require.NoError(t, <-stays)
	b.Stop()
}

func TestBatcher_RunIsBoundedByTheTimeout(t *testing.T) {
	t.Parallel()
	b := batch.New(10, 1, 10*time.Millisecond, func(ctx context.Context, _ []int) ([]int, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	_, err := b.Do(t.Context(), 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestBatcher_WrongNumberOfResultsIsAnErrorForAll(t *testing.T) {
	t.Parallel()
	for _, results := range [][]int{nil, {}, {1, 2, 3}} {
		b := batch.New(10, 1, time.Minute, func(context.Context, []int) ([]int, error) { return results, nil })
		_, err := b.Do(t.Context(), 1)
		require.ErrorContains(t, err, "number of results")
	}
}

func TestBatcher_StopWaitsForWhatWasHandedOver(t *testing.T) {
	t.Parallel()
	gate, begun := make(chan struct{}), make(chan struct{}, 10)
	b := batch.New(1, 1, time.Minute, func(_ context.Context, items []int) ([]int, error) {
		begun <- struct{}{}
		<-gate
		return items, nil
	})
	var done atomic.Int64
	var wait sync.WaitGroup
	wait.Go(func() { _, _ = b.Do(t.Context(), 1); done.Add(1) })
	<-begun
	stopped := make(chan struct{})
	go func() {
		b.Stop()
		close(stopped)
	}()
	testkit.Await(t, "new items to be refused", func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Do(ctx, 2)
		return errors.Is(err, batch.ErrStopped)
	})
	select {
	case <-stopped:
		t.Fatal("Stop came back before the run was over")
	default:
	}
	close(gate)
	<-stopped
	wait.Wait()
	require.Equal(t, int64(1), done.Load())
	b.Stop()
}
