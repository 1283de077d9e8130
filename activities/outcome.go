package activities

import (
	"fmt"
	"time"

	"github.com/emprops/holdfast"
)

// Outcome is where a delivery stands after an activity has worked on it. It is small on purpose: it is written into a
// workflow history for every delivery that did not succeed at once.
type Outcome struct {
	State    holdfast.DeliveryState `json:"state"`
	Reason   string                 `json:"reason,omitempty"`
	Attempts int                    `json:"attempts,omitempty"`  // made so far; with InFlight the last is still under way
	Status   int                    `json:"status,omitempty"`    // of the last answer
	DelayMS  int64                  `json:"delay_ms,omitempty"`  // with state retrying: until the next attempt
	InFlight string                 `json:"in_flight,omitempty"` // the node on which attempt number Attempts is under way
	// Unrecorded is the record that could not be written; the workflow sees to it (D25).
	Unrecorded *Record `json:"unrecorded,omitempty"`
}

// Record is a delivery's record with the attempt that changed it; Attempt is nil for a change of state alone.
type Record struct {
	Delivery holdfast.Delivery `json:"delivery"`
	Attempt  *holdfast.Attempt `json:"attempt,omitempty"`
}

// maxRetryAfter caps how long a receiver can put off the next attempt with Retry-After.
const maxRetryAfter = time.Hour

// decide says what an attempt means for its delivery under the webhook's policy. Retry-After can only make the wait
// longer, so a receiver cannot ask for a hot loop.
func decide(policy holdfast.RetryPolicy, a *holdfast.Attempt) Outcome {
	o := Outcome{Attempts: a.Number, Status: a.ResponseStatus}
	switch {
	case a.Success:
		o.State = holdfast.DeliveryDelivered
	case a.Number >= policy.MaxAttempts:
		o.State = holdfast.DeliveryExhausted
		o.Reason = fmt.Sprintf("all %d attempts failed, the last with: %s", a.Number, a.ErrorMessage)
	default:
		o.State = holdfast.DeliveryRetrying
		asked := min(time.Duration(a.RetryAfter)*time.Millisecond, maxRetryAfter)
		o.DelayMS = max(policy.Delay(a.Number), asked).Milliseconds()
	}
	return o
}
