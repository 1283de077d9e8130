package jobevents

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// mappings gives each type of event the keys of its data: first those of the original, in the order and by the presence
// rules that its receivers rely on (CONTRACT 4.4), then what the original lost (D17) and what makes unambiguous what it
// damaged (D21). Of the latter:
//
//   - …_iso is a time as ISO 8601 text in UTC, whatever form the key without it has;
//   - workflow_step and workflow_total_steps are the job's place in its workflow, numbers, 0 included. total_steps and
//     current_step are the same where not 0, but in progress they are the service's own: a number of sampling steps and
//     the label of a step, which sampling_steps and step_label are too (D18);
//   - can_retry and will_retry say the same, whichever the message has: whether the job is tried again (D14).
//
// A priority of 0 stays 0. The original made it 50, so that neither filters nor receivers saw the lowest priority.
var mappings = map[string][]field{
	channelSubmitted: slices.Concat(
		commons("service_required"),
		[]field{
			literal("job_status", `"pending"`), number0("priority", "50"), copied("payload"), copied("requirements"),
			copied("customer_id"), stamped("submitted_at", "created_at"),
			iso("submitted_at_iso", "created_at", stampOf), copied("status"),
		}, workflowSteps),
	channelProgress: slices.Concat(commons(jobTypes...), []field{
		defaulted("progress", "0"),
		copied("status"), copiedFrom("progress_message", "message"), copied("estimated_completion"),
		copiedFrom("step_label", "current_step"), copiedFrom("sampling_steps", "total_steps"), copied("updated_at"),
	}),
	channelComplete: slices.Concat(commons(jobTypes...), []field{
		copied("result"), copiedFrom("completed_at", "timestamp"),
		iso("completed_at_iso", "completed_at", "timestamp"), copied("progress"), copied("status"), copied("message"),
		copied("customer_id"), copied("retry_verification"), copied("retry_attempt"),
	}, workflowSteps),
	channelFailed: slices.Concat(commons(jobTypes...), []field{
		defaulted("error", `"Unknown error"`), either("failed_at", "failed_at", "timestamp"),
		iso("failed_at_iso", "failed_at", "timestamp"), copied("status"), copiedFrom("can_retry", "can_retry", "will_retry"),
		copiedFrom("will_retry", "will_retry", "can_retry"), copied("retry_count"),
	}, workflowSteps),
	channelCancel: slices.Concat([]field{
		common("job_id"), common("worker_id"), iso("cancelled_at", "cancelled_at", stampOf), copied("reason"),
		copied("cancelled_by"), copied("status"), commonFrom("job_type", jobTypes...), common("machine_id"),
		common("workflow_id"), common("workflow_priority"), common("workflow_datetime"), common("total_steps"),
		common("current_step"),
	}, workflowSteps),
	channelWorker: {
		common("worker_id"), common("machine_id"), copiedFrom("status", "new_status", "status"),
		copiedFrom("previous_status", "old_status", "previous_status"), copied("capabilities"), copied("current_job_id"),
	},
	machineStatus: machineFields,
	channelStarted: {
		common("workflow_id"), common("workflow_priority"), common("workflow_datetime"), common("total_steps"),
		commonFrom("job_type", jobTypes...),
		stamped("timestamp", "timestamp"), copied("first_job_id"), copied("customer_id"), copied("service_required"),
		copied("workflow_type"), copied("message"),
	},
	channelCompleted: {
		common("workflow_id"), stamped("timestamp", "timestamp"), copied("status"), copied("completed_at"),
		copied("verified"), copied("message"),
		picked("workflow_details", "id", "name", "job_type", "status", "progress", "created_at", "completed_at"),
		copied("outputs_available"), copied("outputs_count"), copied("workflow_output_verified_at"), copied("outputs"),
		copied("manual_trigger"), copied("trigger_source"), copied("attestations_available"), copied("recovered"),
	},
	channelWorkflowFailed: {
		common("worker_id"), common("workflow_id"), common("total_steps"), stamped("timestamp", "timestamp"),
		copied("failed_job_id"), copied("failed_at_step"), copied("error"), copied("failed_at"), copied("workflow_type"),
		copied("message"), iso("failed_at_iso", "failed_at"), copied("manual_trigger"), copied("trigger_source"),
		copied("recovered"),
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

var workflowSteps = []field{numeric("workflow_step", "current_step"), numeric("workflow_total_steps", "total_steps")}

// Map makes the event that a message on a channel stands for. It has no state: the same channel and message give the same
// id and, when the message has a timestamp, the same bytes on every replica (D22); now, used only for messages without a
// truthy timestamp, is the one thing that can differ (CONTRACT 2.2).
//
// ok is false, without an error, for a channel that has no mapping and for the re-publication of a completion that cannot
// be told from others. The error is CodeInvalid for a message that is not a JSON object (D16).
//
// What a Subscriber knows besides one message is not in it: the other message of a failure, by which it is known as well
// (D14), and what the broker keeps of the job (D18).
func Map(channel string, message []byte, now time.Time) (ev *holdfast.Event, ok bool, err error) {
	m, err := mapMessage(channel, message, now)
	if m == nil {
		return nil, false, err
	}
	return m.event, true, nil
}

// mapped is an event with what the ingress needs to know of its message.
type mapped struct {
	message
	event *holdfast.Event
	job   string // the job_id as JSON; "" when the message has none
}

func mapMessage(channel string, raw []byte, now time.Time) (*mapped, error) {
	if mappings[typeOf(channel)] == nil {
		return nil, nil
	}
	m := message{channel: channel}
	if !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")) {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "a message on %s is not a JSON object", channel)
	}
	if err := json.Unmarshal(raw, &m.fields); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "a message on %s is not JSON", channel)
	}
	return m.mapped(raw, now)
}

// mapped makes the event of a message whose bytes are raw; nil when it is none.
func (m message) mapped(raw []byte, now time.Time) (*mapped, error) {
	sent, hasTime := timestamp(m.fields["timestamp"])
	e := &holdfast.Event{Type: typeOf(m.channel), Timestamp: sent}
	if !hasTime {
		e.Timestamp = now.UnixMilli()
	}
	if m.stamp = m.fields["timestamp"]; !truthy(m.stamp) {
		m.stamp = integer(e.Timestamp)
	}
	var err error
	if e.Data, err = m.data(mappings[e.Type]); err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "a message on %s has values that cannot be sent on", m.channel)
	}
	if e.ID = identify(&m, e, sent, raw); e.ID == "" {
		return nil, nil
	}
	return &mapped{message: m, event: e, job: jobOf(m.fields)}, nil
}

// data is the object of the fields in JavaScript's bytes.
func (m *message) data(fields []field) (json.RawMessage, error) {
	var o object
	for _, f := range fields {
		f.add(m, &o)
	}
	return jsjson.CanonicalObject(nil, o.close())
}
