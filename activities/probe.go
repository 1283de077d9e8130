package activities

import "context"

// ProbeRequest asks for one attempt to a webhook that failures disconnected.
type ProbeRequest struct {
	WebhookID string `json:"webhook_id"`
	Number    int    `json:"number"` // of the probe since the webhook was disconnected, from 1
}

// ProbeResult is how a probe went.
type ProbeResult struct {
	Probed    bool   `json:"probed"`    // false when nothing is held that could be attempted
	Delivered bool   `json:"delivered"` // the webhook accepted it
	Detail    string `json:"detail,omitempty"`
}

// Prober attempts the oldest held delivery of a webhook once, whatever the webhook's state.
type Prober interface {
	// Probe returns how the attempt went; an attempt that failed is a result, not an error. CodeUnavailable when no attempt
	// could be asked for.
	Probe(ctx context.Context, r ProbeRequest) (ProbeResult, error)
}

// ProbeWebhook probes.
func (a *Registrations) ProbeWebhook(ctx context.Context, in ProbeRequest) (ProbeResult, error) {
	if a.Prober == nil {
		return ProbeResult{Detail: "probes are not available"}, nil
	}
	out, err := a.Prober.Probe(ctx, in)
	return out, failure(err)
}
