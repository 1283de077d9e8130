package holdfast

import (
	"strings"
	"time"
)

// DeliveryState is where a delivery stands.
type DeliveryState string

// The states of a delivery. The last three are final.
const (
	DeliveryPending   DeliveryState = "pending"   // durable, not attempted yet
	DeliveryRetrying  DeliveryState = "retrying"  // an attempt failed, another follows
	DeliveryHeld      DeliveryState = "held"      // its webhook is disconnected or paused
	DeliveryDelivered DeliveryState = "delivered" // a receiver answered 2xx
	DeliveryExhausted DeliveryState = "exhausted" // the retry policy has no attempt left
	DeliveryCancelled DeliveryState = "cancelled" // cancelled, or its webhook is deleted
)

// Final tells whether nothing more will happen to a delivery in this state by itself.
func (s DeliveryState) Final() bool {
	return s == DeliveryDelivered || s == DeliveryExhausted || s == DeliveryCancelled
}

// DeliveryStates lists every state.
func DeliveryStates() []DeliveryState {
	return []DeliveryState{
		DeliveryPending, DeliveryRetrying, DeliveryHeld, DeliveryDelivered, DeliveryExhausted, DeliveryCancelled,
	}
}

// DeliveryID names the delivery of an event to a webhook. It is also the tail of the workflow id.
func DeliveryID(webhookID, eventID string) string { return webhookID + "/" + eventID }

// ParseDeliveryID is the inverse of DeliveryID; ok is false when the id has not that form.
func ParseDeliveryID(id string) (webhookID, eventID string, ok bool) {
	webhookID, eventID, ok = strings.Cut(id, "/")
	return webhookID, eventID, ok && webhookID != "" && eventID != "" && !strings.Contains(eventID, "/")
}

// ErrorClass says in one word why an attempt failed. It is shown to people and drives no decision in the original's
// default policy, which retries every class alike (CONTRACT 3.4).
type ErrorClass string

// The classes of a failed attempt.
const (
	ClassNone       ErrorClass = ""            // it did not fail
	ClassStatus     ErrorClass = "status"      // an answer outside 2xx
	ClassRedirect   ErrorClass = "redirect"    // a 3xx answer; redirects are not followed (D39)
	ClassDNS        ErrorClass = "dns"         // the host name does not resolve
	ClassConnect    ErrorClass = "connect"     // refused or unreachable
	ClassTLS        ErrorClass = "tls"         // handshake or certificate
	ClassTimeout    ErrorClass = "timeout"     // the deadline passed before an answer's header
	ClassBodyStall  ErrorClass = "body_stall"  // the deadline passed inside the answer's body (D32)
	ClassReset      ErrorClass = "reset"       // the connection ended before the answer was complete
	ClassBlocked    ErrorClass = "blocked"     // the address policy forbids the target (D50)
	ClassBadRequest ErrorClass = "bad_request" // the request could not be built from the webhook's configuration
	ClassProtocol   ErrorClass = "protocol"    // the peer does not speak HTTP
)

// Attempt is one HTTP request of a delivery and what came of it. The JSON is the original's attempt object (CONTRACT 4.7)
// with fields of Holdfast's own at the end.
type Attempt struct {
	ID             string `json:"id"`
	WebhookID      string `json:"webhook_id"`
	EventID        string `json:"event_id"`
	EventType      string `json:"event_type"`
	Number         int    `json:"attempt_number"` // 1-based
	Timestamp      int64  `json:"timestamp"`      // start, ms since the epoch
	Success        bool   `json:"success"`
	ResponseStatus int    `json:"response_status,omitempty"`
	ResponseBody   string `json:"response_body,omitempty"` // bounded; a cut one ends with TruncationMark
	ErrorMessage   string `json:"error_message,omitempty"`
	NextRetryAt    int64  `json:"next_retry_at,omitempty"` // ms

	ErrorClass ErrorClass `json:"error_class,omitempty"`
	DurationMS float64    `json:"response_time_ms"`
	RetryAfter int64      `json:"retry_after_ms,omitempty"` // asked for by the receiver
	URL        string     `json:"url,omitempty"`            // the target at the time of the attempt
	Node       string     `json:"node,omitempty"`           // the node that sent it
}

// LogEntry is one line of the delivery log over all webhooks (CONTRACT 4.7), with fields of Holdfast's own at the end.
type LogEntry struct {
	WebhookID      string     `json:"webhook_id"`
	EventID        string     `json:"event_id"`
	EventType      string     `json:"event_type"`
	Success        bool       `json:"success"`
	Timestamp      int64      `json:"timestamp"` // the attempt's start, ms
	AttemptNumber  int        `json:"attempt_number"`
	ResponseStatus int        `json:"response_status,omitempty"`
	ErrorMessage   string     `json:"error_message,omitempty"`
	ResponseBody   string     `json:"response_body,omitempty"`
	URL            string     `json:"url,omitempty"`
	DurationMS     float64    `json:"response_time_ms"`
	ErrorClass     ErrorClass `json:"error_class,omitempty"`
}

// TruncationMark ends a stored response body that was cut.
const TruncationMark = "… [truncated]"

// At is the attempt's start.
func (a *Attempt) At() time.Time { return time.UnixMilli(a.Timestamp) }

// Delivery is the record of one event's way to one webhook.
type Delivery struct {
	WebhookID     string        `json:"webhook_id"`
	EventID       string        `json:"event_id"`
	EventType     string        `json:"event_type"`
	State         DeliveryState `json:"state"`
	Reason        string        `json:"reason,omitempty"` // why held, exhausted or cancelled
	CreatedAt     int64         `json:"created_at"`       // ms; when it became durable
	UpdatedAt     int64         `json:"updated_at"`       // ms
	Attempts      []Attempt     `json:"attempts"`
	NextAttemptAt int64         `json:"next_attempt_at,omitempty"` // ms
	WorkflowID    string        `json:"workflow_id"`
	RunID         string        `json:"run_id"`
}

// ID is the delivery's id.
func (d *Delivery) ID() string { return DeliveryID(d.WebhookID, d.EventID) }
