package holdfast

// AlertKind says what an alert is about.
type AlertKind string

// The kinds of alerts.
const (
	AlertWebhookDisconnected AlertKind = "webhook_disconnected" // subject: the webhook
	AlertRegistrationFailed  AlertKind = "registration_failed"  // subject: the webhook
	AlertNodeSilent          AlertKind = "node_silent"          // subject: the node; alive, yet it does not refresh its cache
	AlertNodeDegraded        AlertKind = "node_degraded"        // subject: the node; it matches on its last good snapshot
	AlertPlatformUnreachable AlertKind = "emprops_unreachable"  // no subject
	AlertDrift               AlertKind = "drift"                // subject: the kind of drift
	AlertPoisoned            AlertKind = "webhook_unreadable"   // subject: the webhook; its stored entry cannot be used
)

// Alert is something a person should know. There is one for each kind and subject; raising it again counts, and what
// ended by itself is resolved.
type Alert struct {
	Kind       AlertKind `json:"kind"`
	Subject    string    `json:"subject,omitempty"` // a webhook, a node, …
	Message    string    `json:"message"`           // for people, without credentials
	RaisedAt   int64     `json:"raised_at"`         // ms; the first time since it was last resolved
	UpdatedAt  int64     `json:"updated_at"`        // ms; the last time it was raised or resolved
	Count      int64     `json:"count"`             // how often it was raised since RaisedAt
	ResolvedAt int64     `json:"resolved_at,omitempty"`
}

// ID names the alert among all others.
func (a *Alert) ID() string {
	if a.Subject == "" {
		return string(a.Kind)
	}
	return string(a.Kind) + ":" + a.Subject
}
