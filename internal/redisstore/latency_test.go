package redisstore

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLatencyClassesCoverEveryTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ms    float64
		class int
	}{
		{math.NaN(), 0}, {-5, 0}, {0, 0}, {0.999, 0}, {1, 1}, {1.19, 1}, {1.21, 2}, {80_000, 62}, {90_000, 63},
		{math.Inf(1), 63}, {math.MaxFloat64, 63},
	} {
		require.Equal(t, c.class, latencyClass(c.ms), c.ms)
	}
	rapid.Check(t, func(rt *rapid.T) {
		ms := rapid.Float64Range(1, 80_000).Draw(rt, "ms")
		class := latencyClass(ms)
		require.LessOrEqual(rt, latencyBound(class), ms*(1+1e-9))
		require.GreaterOrEqual(rt, latencyBound(class+1), ms*(1-1e-9))
	})
}

func TestPercentilesAreWithinAFifth(t *testing.T) {
	t.Parallel()
	require.Zero(t, (&latencies{}).percentile(0.5))
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(rapid.Float64Range(1, 80_000), 1, 300).Draw(rt, "times")
		var l latencies
		for _, ms := range all {
			l[latencyClass(ms)]++
		}
		slices.Sort(all)
		for _, share := range []float64{0.01, 0.5, 0.95, 0.99, 1} {
			exact := all[int(math.Ceil(share*float64(len(all))))-1]
			require.InEpsilon(rt, exact, l.percentile(share), 0.2001, "%v", share)
		}
	})
}
