package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/activities"
)

// SignalSweep tells a Sweep what to do; the last one counts.
const SignalSweep = "sweep"

// SweepOrder is the argument of the sweep signal.
type SweepOrder struct {
	Kind   string `json:"kind"`             // activities.SweepHold, SweepRelease or SweepCancel
	Reason string `json:"reason,omitempty"` // for people; deliveries are recorded with it
}

// SweepInput starts a Sweep, and carries it on to its next run.
type SweepInput struct {
	WebhookID string      `json:"webhook_id"`
	Status    SweepStatus `json:"status"`
	Reason    string      `json:"reason,omitempty"`
	After     string      `json:"after,omitempty"`
	Token     []byte      `json:"token,omitempty"`
	Listed    bool        `json:"listed,omitempty"`
	Again     bool        `json:"again,omitempty"` // the list is gone through for the second time
}

// SweepStatus is the answer of a Sweep's status query, and its result.
type SweepStatus struct {
	Kind      string `json:"kind"`
	Signalled int64  `json:"signalled"`
	StartedAt int64  `json:"started_at"` // ms; of this kind
	EndedAt   int64  `json:"ended_at,omitempty"`
}

// sweepPagesPerRun bounds the history of one run.
const sweepPagesPerRun = 400

// listLag is how long a workflow that has been started may be missing from Temporal's lists.
const listLag = 3 * time.Second

// versionListLag gates that a sweep looks at the list again once that shows what was open at its beginning.
const versionListLag = "sweep-list-lag"

// Sweep goes through the open deliveries of a webhook whose state has changed: it holds those that wait for a retry,
// releases those that are held, the oldest first, or cancels all. A newer order replaces the one under way.
func Sweep(ctx workflow.Context, in SweepInput) (SweepStatus, error) {
	orders := workflow.GetSignalChannel(ctx, SignalSweep)
	err := workflow.SetQueryHandler(ctx, QueryStatus, func() (SweepStatus, error) { return in.Status, nil })
	if err != nil {
		return in.Status, err
	}
	if in.Status.Kind == "" {
		var first SweepOrder
		orders.Receive(ctx, &first)
		in.begin(ctx, first)
	}
	for page := 0; ; page++ {
		for newest := (SweepOrder{}); orders.ReceiveAsync(&newest); {
			in.begin(ctx, newest)
		}
		if in.Status.EndedAt != 0 {
			return in.Status, nil
		}
		if page >= sweepPagesPerRun || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return in.Status, workflow.NewContinueAsNewError(ctx, Sweep, in)
		}
		if err := in.page(ctx, orders); err != nil {
			return in.Status, err
		}
	}
}

func (in *SweepInput) begin(ctx workflow.Context, o SweepOrder) {
	*in = SweepInput{
		WebhookID: in.WebhookID, Reason: o.Reason, Status: SweepStatus{Kind: o.Kind, StartedAt: workflow.Now(ctx).UnixMilli()},
	}
	in.Listed = o.Kind != activities.SweepRelease // what is not held, or of a webhook that is deleted, is in no index
}

// signal is what each kind tells a delivery.
func (in *SweepInput) signal() string {
	switch in.Status.Kind {
	case activities.SweepRelease:
		return SignalResume
	case activities.SweepCancel:
		return SignalCancel
	}
	return SignalHold
}

// page does one page, and at the end of a part moves on to the next part or the end. One that is just being
// held looks at its webhook again once that is recorded, so nobody has to come back for it.
func (in *SweepInput) page(ctx workflow.Context, orders workflow.ReceiveChannel) error {
	var result activities.SweepPageResult
	err := workflow.ExecuteActivity(paged(ctx), sweeps.SweepPage, activities.SweepPageRequest{
		WebhookID: in.WebhookID, Kind: in.Status.Kind, Signal: in.signal(), Reason: in.Reason, OrderedAt: in.Status.StartedAt,
		After: in.After, Token: in.Token, Listed: in.Listed,
	}).Get(ctx, &result)
	if err != nil {
		return err
	}
	in.Status.Signalled += int64(result.Signalled)
	in.After, in.Token = result.After, result.Token
	switch {
	case in.After != "" || len(in.Token) > 0:
	case !in.Listed:
		in.Listed = true
	case !in.Again && workflow.GetVersion(ctx, versionListLag, workflow.DefaultVersion, 1) != workflow.DefaultVersion:
		in.Again = true
		left := time.UnixMilli(in.Status.StartedAt).Add(listLag).Sub(workflow.Now(ctx))
		if left > 0 {
			_, err = workflow.AwaitWithTimeout(ctx, left, func() bool { return orders.Len() > 0 })
		}
		return err
	default:
		in.Status.EndedAt = workflow.Now(ctx).UnixMilli()
	}
	return nil
}
