package workflows

import (
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
)

// Everything in this file is wire format (DESIGN 3): operators type it, histories contain it, other processes send it.
// A change here is a change of protocol.

// Task queues.
const (
	QueueMain = "holdfast"      // workflows and light activities
	QueueSlow = "holdfast-slow" // attempts to slow or failing receivers, and every retry
)

// QueueNode is the task queue that only the node with the id polls.
func QueueNode(nodeID string) string { return "holdfast-node-" + nodeID }

// Workflow types.
const (
	TypeRegistration  = "Registration"
	TypeDelivery      = "Delivery"
	TypeDeliveryGroup = "DeliveryGroup"
)

// RegistrationID is the workflow id of a webhook's registration.
func RegistrationID(webhookID string) string { return "webhook/" + webhookID }

// DeliveryWorkflowID is the workflow id of a delivery.
func DeliveryWorkflowID(webhookID, eventID string) string {
	return "delivery/" + holdfast.DeliveryID(webhookID, eventID)
}

// GroupID is the workflow id of a delivery group.
func GroupID(nodeID, ulid string) string { return "group/" + nodeID + "/" + ulid }

// Signals of Delivery.
const (
	SignalRetryNow = "retry-now"
	SignalHold     = "hold"
	SignalResume   = "resume"
	SignalCancel   = "cancel"
)

// Updates of Registration.
const (
	UpdateRegister = "register"
	UpdateDelete   = "delete"
)

// QueryStatus answers the state of a Registration (with its audit trail) or a Delivery.
const QueryStatus = "status"

// Search attributes.
var (
	AttrWebhookID     = temporal.NewSearchAttributeKeyKeyword("WebhookId")
	AttrEventType     = temporal.NewSearchAttributeKeyKeyword("EventType")
	AttrEventID       = temporal.NewSearchAttributeKeyKeyword("EventId")
	AttrDeliveryState = temporal.NewSearchAttributeKeyKeyword("DeliveryState")
	AttrHTTPStatus    = temporal.NewSearchAttributeKeyInt64("HttpStatus")
	AttrAttempts      = temporal.NewSearchAttributeKeyInt64("Attempts")
)

// Types of the application errors a Registration's updates end with; server translates them to codes.
const (
	ErrorExists   = "exists"
	ErrorNotFound = "not_found"
	ErrorAborted  = "aborted"
)
