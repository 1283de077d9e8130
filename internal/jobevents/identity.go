package jobevents

import (
	"encoding/json"

	"github.com/emprops/holdfast"
)

// WorkflowEventID is the id of the event that tells of a workflow's outcome, for every broker that publishes it (D67) and
// for who finds it out otherwise. eventType is workflow_completed or workflow_failed. The occasion tells apart the outcomes
// of a workflow that was run again, by what all that speak of one outcome agree on: for a completion EMPROPS' completed_at,
// in any form that instant reads; for a failure the job that failed. It may be "" where nobody knows: then the workflow has
// one such outcome for as long as event marks are kept.
func WorkflowEventID(eventType, workflowID, occasion string) string {
	at, ok := instant(occasion)
	if ok {
		occasion = "" // spelled in one way
	}
	return holdfast.DerivedEventID(at, eventType, workflowID+"\x00"+occasion)
}

// occasions name the field that is the occasion of an outcome.
var occasions = map[string]string{channelCompleted: "completed_at", channelWorkflowFailed: "failed_job_id"}

// identify gives an event its id, from the message and never from the time or place it was heard (D22). What publishers say
// more than once, and not in the same bytes, is known by what it tells of:
//
//   - a completion by job and timestamp: the broker publishes the same one again and again with marks of its own (D15);
//   - a workflow's outcome as WorkflowEventID says, unless a person has it sent again (D67);
//   - a machine's status by what the event says and the message's time.
//
// "" is for the repetition of a completion that cannot be told from others.
func identify(m *message, e *holdfast.Event, sent int64, raw []byte) string {
	identity := string(raw)
	switch {
	case e.Type == channelComplete:
		job := m.fields["job_id"]
		switch {
		case truthy(job) && sent > 0:
			identity = string(job)
		case truthy(m.fields["retry_verification"]):
			return ""
		}
	case e.Type == machineStatus:
		identity = string(e.Data)
	case occasions[e.Type] != "" && truthy(m.fields["workflow_id"]) && !truthy(m.fields["manual_trigger"]):
		occasion := ""
		if v := m.fields[occasions[e.Type]]; truthy(v) {
			occasion = text(v)
		}
		return WorkflowEventID(e.Type, text(m.fields["workflow_id"]), occasion)
	}
	return holdfast.DerivedEventID(sent, e.Type, identity)
}

// jobOf is a message's job_id as JSON; "" when it has none.
func jobOf(fields map[string]json.RawMessage) string {
	if job := fields["job_id"]; truthy(job) {
		return string(job)
	}
	return ""
}
