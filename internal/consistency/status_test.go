package consistency_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/consistency"
)

type reports struct {
	all []holdfast.ConsistencyReport
	err error
}

func (r reports) Reports(_ context.Context, limit int) ([]holdfast.ConsistencyReport, error) {
	return r.all[:min(limit, len(r.all))], r.err
}

func TestStatusTellsAgeAndOutcomeOfTheLastReport(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(10_000_000)
	report := func(ago time.Duration, consistent, repaired bool) reports {
		return reports{all: []holdfast.ConsistencyReport{{
			StartedAt: now.Add(-ago).UnixMilli(), DurationMS: 30_000, Consistent: consistent, Repaired: repaired,
		}, {}}}
	}
	for name, tc := range map[string]struct {
		reports reports
		want    consistency.Outcome
		text    string
	}{
		"none yet":     {reports{}, consistency.Unknown, "unknown"},
		"no storage":   {reports{err: errors.New("10.1.2.3 refused")}, consistency.Unknown, "unknown"},
		"consistent":   {report(42*time.Second, true, false), consistency.Consistent, "consistent, checked 42s ago"},
		"repaired":     {report(time.Second, false, true), consistency.Repaired, "repaired, checked 1s ago"},
		"inconsistent": {report(time.Second, false, false), consistency.Inconsistent, "inconsistent, checked 1s ago"},
		"long ago":     {report(4*time.Minute, true, false), consistency.Overdue, "overdue, checked 4m0s ago"},
		"a slow one":   {report(3*time.Minute+20*time.Second, true, false), consistency.Consistent, "consistent, checked 3m20s ago"},
		"clock behind": {report(-time.Minute, true, false), consistency.Consistent, "consistent, checked 0s ago"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := consistency.Health{Reports: tc.reports, Interval: time.Minute, Now: func() time.Time { return now }}
			s := h.Status(t.Context())
			require.Equal(t, tc.want, s.Outcome)
			require.Equal(t, tc.text, s.String())
		})
	}
}
