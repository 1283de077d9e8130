package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// Again is the payload of a retry-now signal to a delivery that has ended as far as its sender knows. One that is about to
// end hears such a signal too, and begins anew; any other that comes so late has nothing left to hurry.
type Again struct {
	Ended    bool   `json:"ended"`
	ReplayID string `json:"replay_id,omitempty"` // of the replay that asks
}

// MemoReplay is the memo that names the replay which began a run of a Delivery, so that a repeated page of that replay does
// not begin it again.
const MemoReplay = "replay"

// versionAgain gates that an ending delivery hears what was sent after its end was recorded.
const versionAgain = "delivery-again"

// again goes on in a new run when somebody has asked for that between the record of the delivery's end and the end of its
// workflow.
func (d *delivery) again(ctx workflow.Context) error {
	asked, ok := d.askedAgain()
	if !ok || workflow.GetVersion(ctx, versionAgain, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return nil
	}
	if asked.ReplayID != "" {
		if err := workflow.UpsertMemo(ctx, map[string]any{MemoReplay: asked.ReplayID}); err != nil {
			return err
		}
	}
	d.out = activities.Outcome{State: holdfast.DeliveryPending, Attempts: max(0, d.out.Attempts)}
	if err := d.publish(ctx); err != nil {
		return err
	}
	in := d.in
	in.Outcome, in.BaseAttempts, in.HeldSince, in.Ordered, in.Turn = &d.out, d.out.Attempts, 0, "", false
	return workflow.NewContinueAsNewError(ctx, Delivery, in)
}

func (d *delivery) askedAgain() (asked Again, ok bool) {
	var payload any
	for d.signals.retryNow.ReceiveAsync(&payload) {
		if a := decoded[Again](payload, func(*Again, string) {}); a.Ended {
			asked, ok = a, true
		}
		payload = nil
	}
	return asked, ok
}
