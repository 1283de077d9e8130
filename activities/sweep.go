package activities

import "context"

// SweepRequest asks that all open deliveries of a webhook be held, released or cancelled.
type SweepRequest struct {
	WebhookID string `json:"webhook_id"`
	Kind      string `json:"kind"` // SweepHold, SweepRelease or SweepCancel
	// Reason is recorded with deliveries that are held or cancelled, for people.
	Reason string `json:"reason,omitempty"`
}

// Sweeper sees to it that all open deliveries of a webhook follow its state.
type Sweeper interface {
	// Sweep makes the request durable and does not wait for the deliveries; a later request for the same webhook replaces
	// an earlier one. CodeUnavailable.
	Sweep(ctx context.Context, r SweepRequest) error
}

// SweepDeliveries hands the request on.
func (a *Registrations) SweepDeliveries(ctx context.Context, in SweepRequest) error {
	if a.Sweeper == nil {
		return nil
	}
	return failure(a.Sweeper.Sweep(ctx, in))
}
