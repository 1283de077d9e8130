package workflows

import (
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/activities"
)

// disconnects tells registrations that their webhooks are to be disconnected, each once.
type disconnects struct {
	told []string
	sent []workflow.Future
}

// tell signals the webhook's registration. It waits for nothing.
func (d *disconnects) tell(ctx workflow.Context, webhookID string, why activities.Disconnect) {
	if slices.Contains(d.told, webhookID) {
		return
	}
	d.told = append(d.told, webhookID)
	ctx, _ = workflow.NewDisconnectedContext(ctx) // a delivery that is cancelled has failed all the same
	d.sent = append(d.sent, workflow.SignalExternalWorkflow(ctx, RegistrationID(webhookID), "", SignalAutoDisconnect, AutoDisconnect{
		Cause: why.Cause, Failures: why.Failures, Reason: why.Reason,
	}))
}

// arrived waits until the signals are on their way: Temporal sends none for a workflow that has ended. A registration that
// does not exist, since its webhook is deleted or the original's, is none of the delivery's business.
func (d *disconnects) arrived(ctx workflow.Context) {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	for _, f := range d.sent {
		if err := f.Get(ctx, nil); err != nil {
			workflow.GetLogger(ctx).Debug("a registration was not told to disconnect", "error", err)
		}
	}
	d.sent = nil
}
