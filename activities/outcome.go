package activities

import (
	"fmt"
	"net/http"
	"slices"
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
	DelayMS  int64                  `json:"delay_ms,omitempty"`  // with state retrying or pending: until the next attempt
	InFlight string                 `json:"in_flight,omitempty"` // the node on which attempt number Attempts is under way
	// Here says that the next attempt is expected to be over soon, or not to be made at all for want of a slot: a local
	// activity will do, at a fraction of what a regular one costs.
	Here bool `json:"here,omitempty"`
	// Brief says that the next attempt is due so soon that the process can wait for it itself (RetryBriefly).
	Brief bool `json:"brief,omitempty"`
	// Waits is how often in a row the delivery was sent away without an attempt because no slot was free.
	Waits int `json:"waits,omitempty"`
	// Detail is what a probe's attempt failed with.
	Detail string `json:"detail,omitempty"`
	// Disconnect is set when the end of the delivery disconnects its webhook.
	Disconnect *Disconnect `json:"disconnect,omitempty"`
	// Unrecorded is the record that could not be written; the workflow sees to it (D25).
	Unrecorded *Record `json:"unrecorded,omitempty"`
}

// Disconnect says why a webhook is to be disconnected.
type Disconnect struct {
	Cause    holdfast.DisconnectCause `json:"cause"`
	Failures int                      `json:"failures,omitempty"` // deliveries that failed in a row, this one included
	Reason   string                   `json:"reason"`
}

// Record is a delivery's record with the attempt that changed it; Attempt is nil for a change of state alone.
type Record struct {
	Delivery holdfast.Delivery `json:"delivery"`
	Attempt  *holdfast.Attempt `json:"attempt,omitempty"`
}

// ruling is what decides about an attempt besides the webhook's policy.
type ruling struct {
	base          int           // attempts that the policy does not count: those before a replay, and probes
	retryAfterMax time.Duration // the longest Retry-After that is honoured
	spread        float64       // from 0 to 1: where in its share a delay with jitter falls
}

// decide says what an attempt means for its delivery under the webhook's policy. Retry-After can only make the wait
// longer, so a receiver cannot ask for a hot loop.
func (r ruling) decide(policy holdfast.RetryPolicy, a *holdfast.Attempt) Outcome {
	o := Outcome{Attempts: a.Number, Status: a.ResponseStatus}
	counted := a.Number - r.base
	switch {
	case a.Success:
		o.State = holdfast.DeliveryDelivered
	case a.ResponseStatus == http.StatusGone:
		o.State, o.Reason = holdfast.DeliveryExhausted, "the receiver answered 410 Gone"
	case slices.Contains(policy.NoRetryStatuses, a.ResponseStatus):
		o.State = holdfast.DeliveryExhausted
		o.Reason = fmt.Sprintf("its retry policy ends with an answer of %d", a.ResponseStatus)
	case counted >= policy.MaxAttempts:
		o.State = holdfast.DeliveryExhausted
		o.Reason = fmt.Sprintf("all %d attempts failed, the last with: %s", counted, a.ErrorMessage)
		if r.base > 0 {
			o.Reason = fmt.Sprintf("all %d attempts of its policy and %d besides failed, the last with: %s", counted, r.base, a.ErrorMessage)
		}
	default:
		o.State = holdfast.DeliveryRetrying
		asked := min(time.Duration(a.RetryAfter)*time.Millisecond, r.retryAfterMax)
		o.DelayMS = max(jittered(policy, policy.Delay(counted), r.spread), asked).Milliseconds()
	}
	return o
}

// jittered moves a delay to the place that spread says inside the policy's share of it. The share lies evenly about the
// delay, and ends at the policy's bound where it would reach past it.
func jittered(policy holdfast.RetryPolicy, delay time.Duration, spread float64) time.Duration {
	if !(policy.Jitter > 0) {
		return delay
	}
	longest := time.Duration(min(max(policy.MaxDelayMS, holdfast.MinRetryDelayMS), holdfast.MaxRetryDelayMS)) * time.Millisecond
	half := float64(delay) * min(policy.Jitter, 1) / 2
	low, high := float64(delay)-half, min(float64(delay)+half, float64(longest))
	return max(holdfast.MinRetryDelayMS*time.Millisecond, time.Duration(low+spread*(high-low)))
}

// gone is why a webhook that answered 410 is disconnected (RFC 9110 section 15.5.11).
func gone() *Disconnect {
	return &Disconnect{Cause: holdfast.DisconnectedByReceiver, Reason: "the receiver answered 410 Gone"}
}

// tooManyFailures is why a webhook is disconnected whose deliveries keep failing (CONTRACT 3.6).
func tooManyFailures(failures int) *Disconnect {
	return &Disconnect{
		Cause: holdfast.DisconnectedByFailures, Failures: failures, Reason: fmt.Sprintf("%d deliveries in a row failed", failures),
	}
}
