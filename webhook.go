package holdfast

import "strings"

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
	// Disconnection says why, when and by whom; nil while the webhook is connected.
	Disconnection *Disconnection `json:"disconnection,omitempty"`
	// RetiringSecrets still sign beside Secret, until each one's time is over.
	RetiringSecrets []RetiringSecret `json:"retiring_secrets,omitempty"`
	// Authorization is the credential for the receiver: a whole Authorization header, "Basic …" or "Bearer …".
	Authorization string `json:"authorization,omitempty"`
	// SigningKey is an Ed25519 private key, "whsk_" and base64 (Standard Webhooks); it signs v1a beside Secret's v1.
	SigningKey string `json:"signing_key,omitempty"`
	// Format is the form of the request's body; "" is FormatEnvelope.
	Format PayloadFormat `json:"format,omitempty"`
	// Handshake asks the endpoint for its consent at registration (CloudEvents Web Hooks 1.0, section 4).
	Handshake bool `json:"handshake,omitempty"`
	// Filter is a CEL expression over the event that must hold; "" lets every event pass.
	Filter string `json:"filter_expression,omitempty"`
	// RateLimit bounds attempts per second over all nodes; 0 is no limit.
	RateLimit float64 `json:"rate_limit,omitempty"`
	// OrderingKey is the field of an event's data whose equal values are delivered one after the other; "" is no order.
	OrderingKey string `json:"ordering_key,omitempty"`
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

// HoldReason says for people why deliveries to the webhook are held: "" while it is active.
func (w *Webhook) HoldReason() string {
	state := w.State()
	if state == WebhookActive {
		return ""
	}
	reason := "the webhook is " + string(state)
	if d := w.Disconnection; state == WebhookDisconnected && d != nil && d.Reason != "" {
		reason += " (" + shortReason(d.Reason) + ")"
	}
	return reason
}

// shortReason is as much of a reason as each of many deliveries can carry.
func shortReason(reason string) string {
	const most = 200
	if len(reason) > most {
		return strings.ToValidUTF8(reason[:most], "") + "…"
	}
	return reason
}

// DisconnectCause says who disconnected a webhook.
type DisconnectCause string

// The causes of a disconnection.
const (
	DisconnectedByFailures DisconnectCause = "failures" // too many deliveries failed in a row; probes try to reconnect it
	DisconnectedByReceiver DisconnectCause = "receiver" // it answered 410 Gone; only people reconnect it
	DisconnectedByOperator DisconnectCause = "operator" // only people reconnect it
)

// Disconnection is why a webhook is disconnected.
type Disconnection struct {
	Cause  DisconnectCause `json:"cause"`
	Reason string          `json:"reason,omitempty"` // for people
	Since  int64           `json:"since"`            // ms
	Actor  string          `json:"actor,omitempty"`
}

// RetiringSecret is a secret that was rotated out and signs until its time is over.
type RetiringSecret struct {
	Secret string `json:"secret"`
	Until  int64  `json:"until"` // ms
}

// MaxRetiringSecrets bounds the secrets that sign beside the current one; the oldest goes first.
const MaxRetiringSecrets = 3

// SigningSecrets lists the secrets that sign at the time (ms), the current one first.
func (w *Webhook) SigningSecrets(now int64) []string {
	if w.Secret == "" {
		return nil
	}
	secrets := []string{w.Secret}
	for _, r := range w.RetiringSecrets {
		if r.Until > now {
			secrets = append(secrets, r.Secret)
		}
	}
	return secrets
}

// PayloadFormat is the form of a request's body and of the headers that go with it.
type PayloadFormat string

// The formats. The first is the original's (CONTRACT 4.4).
const (
	FormatEnvelope    PayloadFormat = "envelope"
	FormatStandard    PayloadFormat = "standard"    // Standard Webhooks: {"type","timestamp","data"}
	FormatCloudEvents PayloadFormat = "cloudevents" // CloudEvents 1.0, structured JSON
)

// PayloadFormats lists every format.
func PayloadFormats() []PayloadFormat {
	return []PayloadFormat{FormatEnvelope, FormatStandard, FormatCloudEvents}
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
	Secret          string            `json:"secret,omitempty"`
	Headers         map[string]string `json:"headers,omitempty"`
	RetiringSecrets []RetiringSecret  `json:"retiring_secrets,omitempty"`
	Authorization   string            `json:"authorization,omitempty"`
	SigningKey      string            `json:"signing_key,omitempty"`
}

// None tells whether there is nothing to hide.
func (c *Credentials) None() bool {
	return c.Secret == "" && len(c.Headers) == 0 && len(c.RetiringSecrets) == 0 && c.Authorization == "" && c.SigningKey == ""
}

// TakeCredentials removes the credentials from the webhook and returns them.
func (w *Webhook) TakeCredentials() Credentials {
	c := Credentials{w.Secret, w.Headers, w.RetiringSecrets, w.Authorization, w.SigningKey}
	w.PutCredentials(Credentials{})
	return c
}

// PutCredentials puts credentials back.
func (w *Webhook) PutCredentials(c Credentials) {
	w.Secret, w.Headers, w.RetiringSecrets = c.Secret, c.Headers, c.RetiringSecrets
	w.Authorization, w.SigningKey = c.Authorization, c.SigningKey
}
