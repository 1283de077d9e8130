package holdfast

// WebhookState is where a webhook stands in its life (DESIGN 4).
type WebhookState string

// The states of a webhook.
const (
	WebhookPending      WebhookState = "pending"      // its registration is not confirmed yet
	WebhookActive       WebhookState = "active"       // confirmed and receiving
	WebhookDisconnected WebhookState = "disconnected" // switched off after failures or by an operator; events are held
	WebhookPaused       WebhookState = "paused"       // switched off by its owner (active:false)
	WebhookFailed       WebhookState = "failed"       // its registration failed; nothing of it is left but the audit trail
	WebhookDeleted      WebhookState = "deleted"
)

// Webhook is an endpoint that wants to be told about events. The JSON is the one the original stores (CONTRACT 3.1), in
// the original's field order, so that both can run on the same data; fields of Holdfast's own follow at the end.
type Webhook struct {
	ID                  string            `json:"id"`
	CreatedAt           int64             `json:"created_at"` // ms since the epoch
	UpdatedAt           int64             `json:"updated_at"` // ms; moved by configuration changes only, never by deliveries (D6)
	ConsecutiveFailures int               `json:"consecutive_failures"`
	Disconnected        bool              `json:"disconnected"`
	RetryConfig         RetryPolicy       `json:"retry_config"`
	URL                 string            `json:"url"`
	Events              []string          `json:"events"`
	Active              bool              `json:"active"`
	Secret              string            `json:"secret,omitempty"` // in clear only inside a process; see Credentials
	Filters             Filters           `json:"filters"`
	Headers             map[string]string `json:"headers,omitempty"`
	Static              bool              `json:"static,omitempty"`
	LastFailureAt       int64             `json:"last_failure_at,omitempty"`
	LastSuccessAt       int64             `json:"last_success_at,omitempty"`

	Description string `json:"description,omitempty"`
	// Revision is the registry revision of the last change to this webhook; 0 when the original wrote it.
	Revision int64 `json:"revision,omitempty"`
}

// State derives the state from the stored fields. Pending, failed and deleted are known to the registration alone.
func (w *Webhook) State() WebhookState {
	switch {
	case !w.Active:
		return WebhookPaused
	case w.Disconnected:
		return WebhookDisconnected
	}
	return WebhookActive
}

// Subscribed tells whether the webhook wants events of the type.
func (w *Webhook) Subscribed(eventType string) bool {
	for _, e := range w.Events {
		if e == eventType {
			return true
		}
	}
	return false
}

// Credentials are the parts of a webhook that must never be read outside a process in clear: they travel and rest sealed
// (DESIGN 9).
type Credentials struct {
	Secret  string            `json:"secret,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// TakeCredentials removes the credentials from the webhook and returns them.
func (w *Webhook) TakeCredentials() Credentials {
	c := Credentials{Secret: w.Secret, Headers: w.Headers}
	w.Secret, w.Headers = "", nil
	return c
}

// PutCredentials puts credentials back.
func (w *Webhook) PutCredentials(c Credentials) { w.Secret, w.Headers = c.Secret, c.Headers }
