// Package consistency tells how the last check of the whole system ended.
package consistency

import (
	"context"
	"fmt"
	"time"

	"github.com/emprops/holdfast"
)

// Reports keeps the reports of checks. CodeUnavailable when it cannot be reached.
type Reports interface {
	// Reports returns the last reports, the newest first.
	Reports(ctx context.Context, limit int) ([]holdfast.ConsistencyReport, error)
}

// Outcome is how the last check ended.
type Outcome string

// The outcomes.
const (
	Unknown      Outcome = "unknown"      // no report can be read, or there is none yet
	Overdue      Outcome = "overdue"      // checks are not carried out
	Consistent   Outcome = "consistent"   // nothing was found
	Repaired     Outcome = "repaired"     // what was found was repaired
	Inconsistent Outcome = "inconsistent" // something is left to repair
)

// Status is the last report with its age. Nothing of it makes a node unready: a drift says nothing about this node.
type Status struct {
	Outcome Outcome
	Age     time.Duration // since the check began; 0 without a report
	Report  *holdfast.ConsistencyReport
}

// String is the status in one line for people, without details.
func (s Status) String() string {
	if s.Report == nil {
		return string(s.Outcome)
	}
	return fmt.Sprintf("%s, checked %s ago", s.Outcome, s.Age.Round(time.Second))
}

// Health reads the status.
type Health struct {
	Reports  Reports
	Interval time.Duration // between checks
	Now      func() time.Time
}

// overdueAfter is how many intervals may pass without a report.
const overdueAfter = 3

// Status returns how the last check ended. A storage that cannot be reached is an outcome, not an error: somebody else
// tells of it.
func (h *Health) Status(ctx context.Context) Status {
	reports, err := h.Reports.Reports(ctx, 1)
	if err != nil || len(reports) == 0 {
		return Status{Outcome: Unknown}
	}
	last := &reports[0]
	s := Status{Report: last, Age: max(h.Now().Sub(time.UnixMilli(last.StartedAt)), 0)}
	switch {
	case s.Age > overdueAfter*h.Interval+time.Duration(last.DurationMS)*time.Millisecond:
		s.Outcome = Overdue
	case last.Consistent:
		s.Outcome = Consistent
	case last.Repaired:
		s.Outcome = Repaired
	default:
		s.Outcome = Inconsistent
	}
	return s
}
