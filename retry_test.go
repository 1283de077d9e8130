package holdfast_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
)

func delays(p holdfast.RetryPolicy) []time.Duration {
	var all []time.Duration
	for n := 1; n < p.MaxAttempts; n++ {
		all = append(all, p.Delay(n))
	}
	return all
}

func TestScheduleIsTheOriginals(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	observed := holdfast.RetryPolicy{MaxAttempts: 4, InitialDelayMS: 300, BackoffMultiplier: 2, MaxDelayMS: 800}
	require.Equal(t, []time.Duration{300 * ms, 600 * ms, 800 * ms}, delays(observed))
	require.Equal(t, []time.Duration{time.Second, 2 * time.Second}, delays(holdfast.DefaultRetryPolicy()))
}

func TestD29_PartialPolicyIsMergedWithDefaults(t *testing.T) {
	t.Parallel()
	base := holdfast.DefaultRetryPolicy()
	require.Equal(t, base, holdfast.RetryPolicy{}.Merged(base))
	require.Equal(
		t, holdfast.RetryPolicy{MaxAttempts: 6, InitialDelayMS: 1000, BackoffMultiplier: 2, MaxDelayMS: 30000},
		holdfast.RetryPolicy{MaxAttempts: 6}.Merged(base),
	)
	require.Equal(
		t, holdfast.RetryPolicy{MaxAttempts: 3, InitialDelayMS: 60000, BackoffMultiplier: 2, MaxDelayMS: 60000},
		holdfast.RetryPolicy{InitialDelayMS: 60000}.Merged(base), "the longest delay follows a longer first one",
	)
	full := holdfast.RetryPolicy{MaxAttempts: 1, InitialDelayMS: 2, BackoffMultiplier: 3, MaxDelayMS: 4}
	require.Equal(t, full, full.Merged(base))

	partial := holdfast.RetryPolicy{MaxAttempts: -1}.Merged(base)
	require.Len(t, partial.Violations(""), 1, "a wrong value is refused, not replaced")
}

func TestD29_NoPolicyRetriesInAHotLoop(t *testing.T) {
	t.Parallel()
	for _, p := range []holdfast.RetryPolicy{
		{}, {MaxAttempts: 6}, {InitialDelayMS: -5, BackoffMultiplier: -1, MaxDelayMS: -1},
		{InitialDelayMS: 1, BackoffMultiplier: math.NaN(), MaxDelayMS: 10}, {InitialDelayMS: 0, BackoffMultiplier: math.Inf(1), MaxDelayMS: 10},
	} {
		for n := range 8 {
			require.GreaterOrEqual(t, p.Delay(n), time.Millisecond, "%+v after attempt %d", p, n)
		}
	}
	wild := holdfast.RetryPolicy{InitialDelayMS: math.MaxInt64, BackoffMultiplier: math.MaxFloat64, MaxDelayMS: math.MaxInt64}
	require.Equal(t, 7*24*time.Hour, wild.Delay(1000))
}

func TestValidPolicyGrowsUpToItsBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(holdfast.MinRetryDelayMS, holdfast.MaxRetryDelayMS).Draw(t, "first")
		p := holdfast.RetryPolicy{
			MaxAttempts:       rapid.IntRange(1, holdfast.MaxRetryAttempts).Draw(t, "attempts"),
			InitialDelayMS:    first,
			BackoffMultiplier: rapid.Float64Range(1, holdfast.MaxRetryMultiplier).Draw(t, "multiplier"),
			MaxDelayMS:        rapid.Int64Range(first, holdfast.MaxRetryDelayMS).Draw(t, "longest"),
		}
		if v := p.Violations(""); len(v) != 0 {
			t.Fatalf("%+v: %v", p, v)
		}
		last := time.Duration(0)
		for n, d := range delays(p) {
			if n == 0 && d != time.Duration(first)*time.Millisecond {
				t.Fatalf("the first delay is %s", d)
			}
			if d < last || d > time.Duration(p.MaxDelayMS)*time.Millisecond {
				t.Fatalf("delay %d is %s after %s", n+1, d, last)
			}
			last = d
		}
	})
}
