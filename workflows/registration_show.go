package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
)

// shown is what lists of workflows were last told.
type shown struct {
	state    holdfast.WebhookState
	revision int64
}

// show makes the registration readable in Temporal's lists and on its page.
func (r *registration) show(ctx workflow.Context) {
	if !r.lifecycle || r.Registration.State == "" {
		return
	}
	workflow.SetCurrentDetails(ctx, r.describe())
	now := shown{r.Registration.State, r.Registration.Revision}
	if now == r.shown {
		return
	}
	err := workflow.UpsertTypedSearchAttributes(ctx, AttrWebhookState.ValueSet(string(now.state)), AttrWebhookRevision.ValueSet(now.revision))
	if err != nil {
		workflow.GetLogger(ctx).Error("search attributes were not set", "webhook_id", r.WebhookID, "error", err)
		return
	}
	r.shown = now
}

// describe sums the registration up for people.
func (r *registration) describe() string {
	reg, w := &r.Registration, &r.Webhook.Webhook
	text := fmt.Sprintf("Webhook %s is %s at revision %d.\n\nLast operation: %s, %s.", r.WebhookID, reg.State, reg.Revision, reg.Operation, reg.Status)
	if reg.Reason != "" {
		text += fmt.Sprintf(" Reason: %s.", reg.Reason)
	}
	if d := w.Disconnection; d != nil {
		text += fmt.Sprintf("\n\nDisconnected by %s: %s.", d.Cause, d.Reason)
	}
	if len(reg.SilentNodes) > 0 {
		text += fmt.Sprintf("\n\nSilent nodes: %s.", strings.Join(reg.SilentNodes, ", "))
	}
	return text
}
