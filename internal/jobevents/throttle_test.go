package jobevents_test

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func progress(job string, n int) *holdfast.Event {
	return &holdfast.Event{ID: job + "-" + strconv.Itoa(n), Type: "update_job_progress", Timestamp: int64(n)}
}

func ids(events []*holdfast.Event) []string {
	out := []string{}
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func TestD13_TheLastProgressIsDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := jobevents.NewThrottle(time.Second, 10, 1<<20)
		ctx, cancel := context.WithCancel(t.Context())
		type sent struct {
			id string
			at time.Duration
		}
		var got []sent
		begin := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			th.Run(ctx, func(e *holdfast.Event) { got = append(got, sent{e.ID, time.Since(begin)}) })
		}()
		require.Equal(t, jobevents.Pass, th.Offer("a", progress("a", 10), time.Now()))
		<-time.After(100 * time.Millisecond)
		require.Equal(t, jobevents.Wait, th.Offer("a", progress("a", 50), time.Now()))
		<-time.After(100 * time.Millisecond)
		require.Equal(t, jobevents.WaitAndReplaced, th.Offer("a", progress("a", 100), time.Now()))
		require.Equal(t, jobevents.Pass, th.Offer("b", progress("b", 1), time.Now()), "other jobs are not concerned")
		<-time.After(10 * time.Second)
		synctest.Wait()
		require.Equal(t, []sent{{"a-100", time.Second}}, got)
		require.Equal(t, jobevents.Pass, th.Offer("a", progress("a", 101), time.Now()))
		cancel()
		<-done
	})
}

// Any stream of offers: per job the events that pass are at least a window apart, in order, and the last one offered is
// the last one that passes; every event passes, waits or is counted as replaced; at the end nothing is held.
func TestD13_RateAndLastValueForAnyStream(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		const window = time.Second
		th := jobevents.NewThrottle(window, 100, 1<<20)
		at := time.UnixMilli(0)
		type pass struct {
			at time.Time
			n  int64
		}
		passed, last := map[string][]pass{}, map[string]int64{}
		offered, replaced, total := 0, 0, 0
		record := func(events ...*holdfast.Event) {
			for _, e := range events {
				job := e.ID[:1]
				passed[job] = append(passed[job], pass{at, e.Timestamp})
				total++
			}
		}
		for n := range rapid.IntRange(1, 60).Draw(r, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 1500).Draw(r, "ms")) * time.Millisecond)
			if rapid.Bool().Draw(r, "timer") {
				events, _ := th.Due(at)
				record(events...)
				continue
			}
			job := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "job")
			e := progress(job, n)
			offered++
			last[job] = int64(n)
			switch th.Offer(job, e, at) {
			case jobevents.Pass:
				record(e)
			case jobevents.WaitAndReplaced:
				replaced++
			case jobevents.Wait:
			case jobevents.PassAndReplaced:
				require.Fail(r, "the bound is not reached here")
			}
		}
		for range 3 {
			at = at.Add(2 * window)
			events, _ := th.Due(at)
			record(events...)
		}
		_, next := th.Due(at.Add(window))
		require.True(r, next.IsZero(), "nothing is held")
		require.Equal(r, offered, total+replaced)
		for job, list := range passed {
			require.Equal(r, last[job], list[len(list)-1].n)
			for i := 1; i < len(list); i++ {
				require.GreaterOrEqual(r, list[i].at.Sub(list[i-1].at), window)
				require.Greater(r, list[i].n, list[i-1].n)
			}
		}
	})
}

func TestThrottleBeyondItsBoundsLosesNothing(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(0)
	th := jobevents.NewThrottle(time.Second, 1, 1<<20)
	require.Equal(t, jobevents.Pass, th.Offer("a", progress("a", 1), start))
	require.Equal(t, jobevents.Pass, th.Offer("b", progress("b", 1), start))
	require.Equal(t, jobevents.Pass, th.Offer("b", progress("b", 2), start), "too many jobs: unthrottled")
	require.Equal(t, jobevents.Wait, th.Offer("a", progress("a", 2), start))
	require.Equal(t, []string{"a-2"}, ids(th.Flush()))
	require.Empty(t, th.Flush())
	require.Equal(t, jobevents.Pass, th.Offer("b", progress("b", 3), start), "room again")

	small := progress("a", 2)
	th = jobevents.NewThrottle(time.Second, 10, small.Size())
	large := progress("a", 3)
	large.Data = make([]byte, 100)
	require.Equal(t, jobevents.Pass, th.Offer("a", progress("a", 1), start))
	require.Equal(t, jobevents.Pass, th.Offer("a", large, start), "too heavy to wait")
	require.Equal(t, jobevents.Wait, th.Offer("a", small, start))
	require.Equal(t, jobevents.PassAndReplaced, th.Offer("a", large, start), "the older must not come after the newer")
	events, _ := th.Due(start.Add(time.Hour))
	require.Empty(t, events)
}
