package workflows

import (
	"errors"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
)

// maxTrail caps the audit trail, in lines: the oldest go first. maxProbes caps the lines of probes among them, so that
// weeks of probing do not push out the rest.
const (
	maxTrail  = 200
	maxProbes = 5
)

// step runs one step and writes its line of the audit trail.
func (r *registration) step(ctx workflow.Context, operation, actor string, s sagaStep) error {
	r.note(holdfast.Step{
		Operation: operation, Name: s.name, Status: holdfast.StepRunning, Attempts: 1,
		StartedAt: workflow.Now(ctx).UnixMilli(), Actor: actor,
	})
	line := len(r.Registration.Steps) - 1
	if r.repairing {
		if err := workflow.Await(ctx, func() bool { return !r.repairing }); err != nil {
			return err
		}
	}
	out, err := s.run(r, ctx)
	attempts := max(1, out.attempts)
	if err != nil {
		attempts = max(attempts, detailsOf(err).Attempts)
		if ctx.Err() != nil {
			err = ctx.Err() // an activity that was let finish may have failed for a reason of its own
		}
	}
	at := &r.Registration.Steps[line]
	at.EndedAt, at.Attempts, at.Detail, at.Status = workflow.Now(ctx).UnixMilli(), attempts, out.detail, holdfast.StepDone
	switch {
	case err != nil:
		at.Status, at.Detail = holdfast.StepFailed, reason(err)
	case out.skipped:
		at.Status = holdfast.StepSkipped
	}
	return err
}

// note adds a line. Only who holds the lock does: a step under way knows its line by its place.
func (r *registration) note(line holdfast.Step) {
	steps := r.Registration.Steps
	if over := len(steps) - maxTrail + 1; over > 0 {
		steps = append([]holdfast.Step(nil), steps[over:]...)
	}
	r.Registration.Steps = append(steps, line)
}

// writeProbe adds the line of a probe, in the place of the oldest one's when there are enough.
func (r *registration) writeProbe(line holdfast.Step) {
	oldest, probes := 0, 0
	for i, step := range slices.Backward(r.Registration.Steps) {
		if step.Operation == holdfast.OperationProbe {
			oldest, probes = i, probes+1
		}
	}
	if probes >= maxProbes {
		kept := append([]holdfast.Step(nil), r.Registration.Steps[:oldest]...)
		r.Registration.Steps = append(kept, r.Registration.Steps[oldest+1:]...)
	}
	r.note(line)
}

// reasonCode is the machine-readable reason of a failure.
func reasonCode(err error) string {
	if err == nil {
		return ""
	}
	if temporal.IsCanceledError(err) {
		return ErrorAborted
	}
	if code := applicationType(err); code != "" {
		return code
	}
	return string(holdfast.CodeInternal)
}

// reason is the reason of a failure for people.
func reason(err error) string {
	if temporal.IsCanceledError(err) {
		return "ended by a later request"
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	return err.Error()
}

func applicationType(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	return ""
}
