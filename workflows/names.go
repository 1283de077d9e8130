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
	QueueSlow = "holdfast-slow" // attempts that take their time, and deliveries that a group has handed over
)

// QueueNode is the task queue that only the node with the id polls.
func QueueNode(nodeID string) string { return "holdfast-node-" + nodeID }

// Workflow types.
const (
	TypeRegistration     = "Registration"
	TypeDelivery         = "Delivery"
	TypeDeliveryGroup    = "DeliveryGroup"
	TypeConsistencyCheck = "ConsistencyCheck"
	TypeAlert            = "Alert"
	TypeReplay           = "Replay"
	TypeSweep            = "Sweep"
	TypeEnrichment       = "Enrichment"
)

// RegistrationID is the workflow id of a webhook's registration.
func RegistrationID(webhookID string) string { return "webhook/" + webhookID }

// DeliveryWorkflowID is the workflow id of a delivery.
func DeliveryWorkflowID(webhookID, eventID string) string {
	return "delivery/" + holdfast.DeliveryID(webhookID, eventID)
}

// GroupID is the workflow id of a delivery group.
func GroupID(nodeID, ulid string) string { return "group/" + nodeID + "/" + ulid }

// ScheduleConsistency is the id of the schedule that starts ConsistencyCheck.
const ScheduleConsistency = "consistency"

// ConsistencyOnDemandID is the workflow id of a check that somebody asked for.
const ConsistencyOnDemandID = "consistency/on-demand"

// AlertWorkflowID is the workflow id of an alert's notification.
func AlertWorkflowID(alertID string) string { return "alert/" + alertID }

// ReplayWorkflowID is the workflow id of a replay.
func ReplayWorkflowID(replayID string) string { return "replay/" + replayID }

// SweepID is the workflow id of what holds, releases or cancels a webhook's open deliveries.
func SweepID(webhookID string) string { return "sweep/" + webhookID }

// EnrichmentID is the workflow id of what completes an event before it is published.
func EnrichmentID(eventID string) string { return "enrichment/" + eventID }

// Signals of Registration, sent by deliveries or by hand.
const (
	SignalReconnect      = "reconnect"
	SignalDisconnect     = "disconnect"
	SignalAutoDisconnect = "auto-disconnect"
)

// Signals of Delivery.
const (
	SignalRetryNow = "retry-now"
	SignalHold     = "hold"
	SignalResume   = "resume"
	SignalCancel   = "cancel"
)

// Updates of Registration.
const (
	UpdateRegister     = "register"
	UpdateChange       = "change"
	UpdateRotateSecret = "rotate-secret"
	UpdateDisconnect   = "disconnect" // like the signal, but answered
	UpdateReconnect    = "reconnect"
	UpdateReconcile    = "reconcile" // asked by the consistency check
	UpdateDelete       = "delete"
)

// UpdateProbe makes a held Delivery attempt once, whatever its webhook's state, and answers how that went.
const UpdateProbe = "probe"

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
	// Of registrations.
	AttrWebhookState    = temporal.NewSearchAttributeKeyKeyword("WebhookState")
	AttrWebhookRevision = temporal.NewSearchAttributeKeyInt64("WebhookRevision")
)

// Types of the application errors a Registration's updates end with; server translates them to codes.
const (
	ErrorExists   = "exists"
	ErrorNotFound = "not_found"
	ErrorAborted  = "aborted"
)
