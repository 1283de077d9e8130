package jobevents

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// mappings gives each channel the keys of its event's data, in the order and by the presence rules that receivers of the
// original rely on (CONTRACT 4.4).
var mappings = map[string][]field{
	"job_submitted": slices.Concat(
		commons("service_required"),
		[]field{
			literal("job_status", `"pending"`), defaulted("priority", "50"), copied("payload"), copied("requirements"),
			copied("customer_id"), stamped("submitted_at", "created_at"),
		}),
	channelProgress: slices.Concat(commons(jobTypes...), []field{defaulted("progress", "0")}),
	channelComplete: slices.Concat(commons(jobTypes...), []field{copied("result"), copiedFrom("completed_at", "timestamp")}),
	"job_failed": slices.Concat(commons(jobTypes...), []field{
		defaulted("error", `"Unknown error"`), either("failed_at", "failed_at", "timestamp"),
	}),
	"workflow_submitted": {
		common("workflow_id"), common("workflow_priority"), common("workflow_datetime"), common("total_steps"),
		commonFrom("job_type", jobTypes...),
	},
	"workflow_completed": {
		common("workflow_id"), stamped("timestamp", "timestamp"), copied("status"), copied("completed_at"),
		copied("verified"), copied("message"),
		picked("workflow_details", "id", "name", "job_type", "status", "progress", "created_at", "completed_at"),
		copied("outputs_available"),
	},
	"workflow_failed": {
		common("worker_id"), common("workflow_id"), common("total_steps"), stamped("timestamp", "timestamp"),
		copied("failed_job_id"), copied("failed_at_step"), copied("error"), copied("failed_at"), copied("workflow_type"),
		copied("message"),
	},
}

// jobTypes are the names under which publishers tell a job's type. The original read the first alone, which none of them
// uses, so that events whose type was known passed every filter for job types (D27).
var jobTypes = []string{"job_type", "service_required", "service_type"}

// commons are the keys that every job event may have (CONTRACT 2.2).
func commons(jobTypes ...string) []field {
	return []field{
		common("job_id"), commonFrom("job_type", jobTypes...), common("worker_id"), common("machine_id"), common("workflow_id"),
		common("workflow_priority"), common("workflow_datetime"), common("total_steps"), common("current_step"),
	}
}

// maxTimestamp is the last instant of a JavaScript Date, in ms.
const maxTimestamp = 8.64e15

// Map makes the event that a message on a channel stands for. It has no state: the same channel and message give the same
// id and, when the message has a timestamp, the same bytes on every replica (D22); now, used only for messages without a
// truthy timestamp, is the one thing that can differ (CONTRACT 2.2).
//
// ok is false, without an error, for a channel that has no mapping and for the re-publication of a completion that cannot
// be told from others. The error is CodeInvalid for a message that is not a JSON object (D16).
//
// A completion is known by job and timestamp, not by its bytes: the broker publishes the same one again and again with
// marks of its own, and that must stay one event (D15).
func Map(channel string, message []byte, now time.Time) (ev *holdfast.Event, ok bool, err error) {
	m, err := mapMessage(channel, message, now)
	if m == nil {
		return nil, false, err
	}
	return m.event, true, nil
}

// mapped is an event with what the ingress needs to know of its message.
type mapped struct {
	event *holdfast.Event
	job   string // the job_id as JSON; "" when the message has none
}

func mapMessage(channel string, raw []byte, now time.Time) (*mapped, error) {
	fields, ok := mappings[channel]
	if !ok {
		return nil, nil
	}
	m := message{}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "a message on %s is not a JSON object", channel)
	}
	if err := json.Unmarshal(raw, &m.fields); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "a message on %s is not JSON", channel)
	}
	sent, hasTime := timestamp(m.fields["timestamp"])
	e := &holdfast.Event{Type: channel, Timestamp: sent}
	if !hasTime {
		e.Timestamp = now.UnixMilli()
	}
	if m.stamp = m.fields["timestamp"]; !truthy(m.stamp) {
		m.stamp = integer(e.Timestamp)
	}

	result := &mapped{event: e}
	if job := m.fields["job_id"]; truthy(job) {
		result.job = string(job)
	}
	identity := string(raw)
	if channel == channelComplete {
		switch {
		case result.job != "" && hasTime:
			identity = result.job
		case truthy(m.fields["retry_verification"]):
			return nil, nil
		}
	}
	e.ID = holdfast.DerivedEventID(sent, channel, identity)

	var data object
	for _, f := range fields {
		f.add(&m, &data)
	}
	var err error
	if e.Data, err = jsjson.CanonicalObject(nil, data.close()); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "a message on %s has values that cannot be sent on", channel)
	}
	return result, nil
}

// timestamp reads a message's time in ms; ok is false when it is not a truthy number that a date can have.
func timestamp(v json.RawMessage) (ms int64, ok bool) {
	if f := number(v); f >= 1 && f <= maxTimestamp {
		return int64(f), true
	}
	return 0, false
}
