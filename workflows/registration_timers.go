package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// Probe is how far the probing of a webhook that failures disconnected has come. The time of the next one is
// Registration.NextProbeAt.
type Probe struct {
	Number  int   `json:"number"`   // of probes made
	DelayMS int64 `json:"delay_ms"` // before the next one
	activities.Probing
}

func (r *registration) startProbing(ctx workflow.Context, p activities.Probing) {
	if p.ProbeAfterMS <= 0 {
		return
	}
	r.Probe = &Probe{DelayMS: p.ProbeAfterMS, Probing: p}
	r.Registration.NextProbeAt = workflow.Now(ctx).UnixMilli() + p.ProbeAfterMS
}

func (r *registration) probeNoMore() { r.Probe, r.Registration.NextProbeAt = nil, 0 }

// probeOnTime probes whenever it is time to. A probe does not hold the lock: an endpoint that does not answer must not
// keep anybody from changing its webhook.
func (r *registration) probeOnTime(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return r.Probe != nil && !r.closed() }) == nil {
		p := r.Probe
		over, err := until(ctx, r.Registration.NextProbeAt, "next probe", func() bool { return r.Probe != p || r.closed() })
		if err != nil {
			return
		}
		if !over {
			r.begun, r.probing = true, true
			err = r.probe(ctx, p)
			r.probing = false
		}
		if err != nil {
			return
		}
	}
}

// until waits for a time (ms) or for the reason to wait to be over.
func until(ctx workflow.Context, at int64, what string, over func() bool) (bool, error) {
	wait := time.Duration(at-workflow.Now(ctx).UnixMilli()) * time.Millisecond
	if wait <= 0 {
		return over(), nil
	}
	return workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: what},
	}, over)
}

// probe asks for one attempt and reconnects the webhook when it was delivered.
func (r *registration) probe(ctx workflow.Context, p *Probe) error {
	began := workflow.Now(ctx).UnixMilli()
	var got activities.ProbeResult
	err := workflow.ExecuteActivity(patient(ctx), registrations.ProbeWebhook, activities.ProbeRequest{
		WebhookID: r.WebhookID, Number: p.Number + 1,
	}).Get(ctx, &got)
	if temporal.IsCanceledError(err) {
		return err
	}
	if err := r.lock.Lock(ctx); err != nil {
		return err
	}
	defer r.lock.Unlock()
	if r.Probe != p || r.closed() { // somebody has reconnected it, or disconnected it for good
		return nil
	}
	p.Number++
	r.writeProbe(probeLine(began, workflow.Now(ctx).UnixMilli(), got, err))
	if err == nil && got.Probed && got.Delivered {
		if err := r.connect(ctx, "a probe was delivered", itself); r.Probe != p {
			return err
		}
	}
	p.DelayMS = min(2*p.DelayMS, max(p.ProbeMaxMS, p.ProbeAfterMS))
	if err == nil && !got.Probed { // nothing is held, so that nothing is known
		p.DelayMS = p.ProbeAfterMS
	}
	r.Registration.NextProbeAt = workflow.Now(ctx).UnixMilli() + p.DelayMS
	return nil
}

func probeLine(began, ended int64, got activities.ProbeResult, err error) holdfast.Step {
	line := holdfast.Step{
		Operation: holdfast.OperationProbe, Name: holdfast.OperationProbe, Status: holdfast.StepDone, Attempts: 1,
		StartedAt: began, EndedAt: ended, Detail: got.Detail, Actor: itself,
	}
	switch {
	case err != nil:
		line.Status, line.Detail = holdfast.StepFailed, reason(err)
	case !got.Probed:
		line.Status = holdfast.StepSkipped
		if line.Detail == "" {
			line.Detail = "nothing is held"
		}
	case !got.Delivered:
		line.Status = holdfast.StepFailed
	}
	return line
}

// patient options are for an attempt at an endpoint that may be slow. When no attempt could be asked for in that time, the
// next probe is one.
func patient(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 5 * time.Minute, ScheduleToCloseTimeout: 15 * time.Minute,
		WaitForCancellation: true, RetryPolicy: weFailed,
	})
}

// retireOnTime takes secrets out when their overlap is over.
func (r *registration) retireOnTime(ctx workflow.Context) {
	due := func() bool { return r.RetireAt > 0 && !r.closed() && r.deleting == 0 }
	for workflow.Await(ctx, due) == nil {
		at := r.RetireAt
		over, err := until(ctx, at, "a rotated secret retires", func() bool { return r.RetireAt != at || !due() })
		if err != nil || r.retire(ctx, over) != nil {
			return
		}
	}
}

func (r *registration) retire(ctx workflow.Context, over bool) error {
	if over {
		return nil
	}
	r.begun = true
	if err := r.lock.Lock(ctx); err != nil {
		return err
	}
	defer r.lock.Unlock()
	if r.RetireAt == 0 || r.RetireAt > workflow.Now(ctx).UnixMilli() || r.closed() || r.deleting > 0 {
		return nil
	}
	if err := r.toggle(ctx, opRetire, itself); err != nil {
		// It cannot be opened or sealed, say; the next rotation or change takes them out.
		workflow.GetLogger(ctx).Error("rotated secrets could not be taken out", "webhook_id", r.WebhookID, "error", err)
		r.RetireAt = 0
		return ctx.Err()
	}
	return nil
}
