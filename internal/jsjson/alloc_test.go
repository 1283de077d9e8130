//go:build !race

package jsjson

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Not under the race detector: there sync.Pool drops items at random.
func TestCanonicalInputCostsNoAllocation(t *testing.T) {
	in := sample(1 << 10)
	dst := make([]byte, 0, 2*len(in))
	require.LessOrEqual(t, testing.AllocsPerRun(200, func() {
		if _, err := CanonicalObject(dst, in); err != nil {
			t.Error(err)
		}
	}), 0.0)
}
