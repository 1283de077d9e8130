package holdfast

import "slices"

// ReplayState is where a replay stands.
type ReplayState string

// The states of a replay; the last two are final.
const (
	ReplayRunning   ReplayState = "running"
	ReplayPaused    ReplayState = "paused"
	ReplayDone      ReplayState = "done"
	ReplayCancelled ReplayState = "cancelled"
)

// ReplayFilter selects deliveries; what is empty selects all.
type ReplayFilter struct {
	WebhookID string          `json:"webhook_id,omitempty"`
	EventType string          `json:"event_type,omitempty"`
	States    []DeliveryState `json:"states,omitempty"`
	From      int64           `json:"from,omitempty"` // ms; created at or after
	To        int64           `json:"to,omitempty"`   // ms; created before
}

// Matches tells whether the filter selects the delivery.
func (f *ReplayFilter) Matches(d *Delivery) bool {
	return (f.WebhookID == "" || d.WebhookID == f.WebhookID) && (f.EventType == "" || d.EventType == f.EventType) &&
		(len(f.States) == 0 || slices.Contains(f.States, d.State)) &&
		(f.From == 0 || d.CreatedAt >= f.From) && (f.To == 0 || d.CreatedAt < f.To)
}
