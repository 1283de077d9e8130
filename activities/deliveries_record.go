package activities

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// recordTimeout bounds the wait for Redis at the end of an attempt; past it the workflow records.
const recordTimeout = 3 * time.Second

// settle records what an attempt or a look at the webhook came to. There is always an outcome; a record that could not be
// written travels in it (D25).
func (d *Deliveries) settle(ctx context.Context, j *job, attempt *holdfast.Attempt, o Outcome) Outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	r := Record{Delivery: holdfast.Delivery{
		WebhookID: j.webhookID, EventID: j.event.ID, EventType: j.event.Type, State: o.State, Reason: o.Reason,
		CreatedAt: j.createdAt, UpdatedAt: time.Now().UnixMilli(), WorkflowID: j.workflow, RunID: j.run,
	}}
	if attempt != nil {
		if o.State == holdfast.DeliveryRetrying {
			ended := attempt.Timestamp + int64(attempt.DurationMS)
			attempt.NextRetryAt = ended + o.DelayMS
			r.Delivery.NextAttemptAt = attempt.NextRetryAt
		}
		r.Attempt = attempt
	}
	failures, err := d.record(ctx, r, j.earlier...)
	if err != nil {
		d.Logger.Debug("record of an attempt is left to its workflow", zap.Error(err))
		o.Unrecorded = r.light()
	}
	o.Disconnect = d.disconnect(j.webhookID, o.State, o.Status, failures)
	return o
}

// disconnect says whether the end of a delivery disconnects its webhook, after the number of failures in a row (0:
// unknown). Static webhooks stay connected whatever happens (CONTRACT 3.6).
func (d *Deliveries) disconnect(webhookID string, state holdfast.DeliveryState, status, failures int) *Disconnect {
	if state != holdfast.DeliveryExhausted {
		return nil
	}
	w, err := d.Webhooks.Webhook(webhookID)
	known := err == nil
	switch {
	case known && w.Static:
		return nil
	case status == http.StatusGone:
		return gone()
	case d.DisconnectThreshold <= 0 || failures < d.DisconnectThreshold || known && w.Disconnected:
		return nil
	}
	return tooManyFailures(failures)
}

// unrecordedBody bounds the response bodies that travel through a history.
const unrecordedBody = 256

// light returns a copy fit for a workflow history.
func (r Record) light() *Record {
	if r.Attempt != nil && len(r.Attempt.ResponseBody) > unrecordedBody {
		a := *r.Attempt
		a.ResponseBody = strings.ToValidUTF8(a.ResponseBody[:unrecordedBody], "") + holdfast.TruncationMark
		r.Attempt = &a
	}
	return &r
}

// record writes a record, completed by the attempts that came before: those in the record so far, and those whose own
// records are still to be written. While the former are out of reach it is not written: it would take their place.
func (d *Deliveries) record(ctx context.Context, r Record, unwritten ...Record) (consecutiveFailures int, err error) {
	if r.Attempt == nil || r.Attempt.Number > 1 {
		earlier, err := d.Store.Delivery(ctx, r.Delivery.WebhookID, r.Delivery.EventID)
		switch {
		case err == nil:
			r.Delivery.Attempts = earlier.Attempts
		case holdfast.ErrorCode(err) == holdfast.CodeUnavailable:
			return 0, err
		}
	}
	for _, u := range unwritten {
		if u.Attempt != nil && !slices.ContainsFunc(r.Delivery.Attempts, func(a holdfast.Attempt) bool { return a.Number >= u.Attempt.Number }) {
			r.Delivery.Attempts = append(slices.Clip(r.Delivery.Attempts), *u.Attempt)
		}
	}
	if r.Attempt != nil {
		before := slices.DeleteFunc(slices.Clone(r.Delivery.Attempts), func(a holdfast.Attempt) bool { return a.Number >= r.Attempt.Number })
		r.Delivery.Attempts = append(before, *r.Attempt)
	}
	return d.Store.Record(ctx, r)
}

// Records is the input of RecordOutcomes.
type Records struct {
	Records []Record `json:"records"`
}

// Recorded is the result of RecordOutcomes.
type Recorded struct {
	// Disconnects are the webhooks that the ends among the records disconnect.
	Disconnects []WebhookDisconnect `json:"disconnects,omitempty"`
}

// WebhookDisconnect says that a webhook is to be disconnected.
type WebhookDisconnect struct {
	WebhookID string `json:"webhook_id"`
	Disconnect
}

// RecordOutcomes writes records that could not be written when they arose.
func (d *Deliveries) RecordOutcomes(ctx context.Context, in Records) (Recorded, error) {
	var out Recorded
	for _, r := range in.Records {
		failures, err := d.record(ctx, r)
		if err != nil {
			return Recorded{}, ours(err)
		}
		status := 0
		if r.Attempt != nil {
			status = r.Attempt.ResponseStatus
		}
		if why := d.disconnect(r.Delivery.WebhookID, r.Delivery.State, status, failures); why != nil {
			out.Disconnects = append(out.Disconnects, WebhookDisconnect{r.Delivery.WebhookID, *why})
		}
	}
	return out, nil
}

// StateChange is a change of a delivery's state without an attempt.
type StateChange struct {
	WebhookID string                 `json:"webhook_id"`
	EventID   string                 `json:"event_id"`
	EventType string                 `json:"event_type"`
	CreatedAt int64                  `json:"created_at"`
	State     holdfast.DeliveryState `json:"state"`
	Reason    string                 `json:"reason"`
}

// RecordState records a state that a signal or a timer brought about.
func (d *Deliveries) RecordState(ctx context.Context, in StateChange) error {
	info := activity.GetInfo(ctx)
	r := Record{Delivery: holdfast.Delivery{
		WebhookID: in.WebhookID, EventID: in.EventID, EventType: in.EventType, State: in.State, Reason: in.Reason,
		CreatedAt: in.CreatedAt, UpdatedAt: time.Now().UnixMilli(),
		WorkflowID: info.WorkflowExecution.ID, RunID: info.WorkflowExecution.RunID,
	}}
	_, err := d.record(ctx, r)
	return ours(err)
}
