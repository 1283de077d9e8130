package holdfast

import (
	"encoding/json"
	"slices"
)

// EventTypes is the complete list of event types (CONTRACT 3.2), in the order the original's user interface shows them.
var EventTypes = []string{
	"job_submitted", "update_job_progress", "complete_job", "job_failed", "cancel_job",
	"worker_status", "machine_status", "workflow_completed", "workflow_submitted", "workflow_failed",
}

// IsEventType tells whether name is one of EventTypes.
func IsEventType(name string) bool { return slices.Contains(EventTypes, name) }

// Event is something that happened and that webhooks are told about. Its id is the same for every webhook, attempt,
// replica and restart (G6).
type Event struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Timestamp int64  `json:"timestamp"` // ms since the epoch; the envelope's timestamp
	// Data is a JSON object in the exact bytes that JavaScript's JSON.stringify would give (CONTRACT 4.3), so that
	// receivers that verify over re-serialised JSON accept the body.
	Data json.RawMessage `json:"data"`
	// Test marks an event that was made up to try a webhook out; its payload says so (CONTRACT 4.5). It is never stored.
	Test bool `json:"-"`
}

// Size is the event's weight in bytes against the bounds of queues and groups.
func (e *Event) Size() int { return len(e.Data) + len(e.ID) + len(e.Type) + 64 }

// Facts are the fields of an event's data that filters look at (CONTRACT 3.3). A nil pointer means the event does not
// carry the field, and then the filter passes.
type Facts struct {
	JobType   *string
	Priority  *float64
	MachineID *string
	WorkerID  *string
}

// FactsOf reads the facts from an event's data. Values of another JSON type than the filter compares count as absent.
// Names are exact, as in JavaScript: decoding into a struct would take Job_Type for job_type.
func FactsOf(data json.RawMessage) Facts {
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return Facts{}
	}
	return Facts{
		JobType:   fact[string](fields["job_type"]),
		Priority:  fact[float64](fields["priority"]),
		MachineID: fact[string](fields["machine_id"]),
		WorkerID:  fact[string](fields["worker_id"]),
	}
}

// fact decodes one value; nil when it is absent, null or of another type.
func fact[T any](raw json.RawMessage) *T {
	var value *T
	if len(raw) == 0 || json.Unmarshal(raw, &value) != nil {
		return nil
	}
	return value
}

// Filters narrow the events a webhook receives: every given filter must pass, any value of one filter suffices, and a
// filter applies only to events that carry its field (CONTRACT 3.3). A nil slice is no filter; an empty one matches
// nothing that carries the field. The JSON is the original's; readers of foreign JSON accept "priorities" besides (D28).
type Filters struct {
	JobTypes   []string  `json:"job_types,omitzero"`
	Priorities []float64 `json:"job_priorities,omitzero"`
	MachineIDs []string  `json:"machine_ids,omitzero"`
	WorkerIDs  []string  `json:"worker_ids,omitzero"`
}

// Pass tells whether an event of the type with these facts passes. Worker filters do not apply to workflow_completed
// (CONTRACT 3.3).
func (f *Filters) Pass(eventType string, facts Facts) bool {
	return within(f.JobTypes, facts.JobType) && within(f.Priorities, facts.Priority) &&
		within(f.MachineIDs, facts.MachineID) &&
		(eventType == "workflow_completed" || within(f.WorkerIDs, facts.WorkerID))
}

// None tells whether no filter is set, so that an event's facts need not be read.
func (f *Filters) None() bool {
	return f.JobTypes == nil && f.Priorities == nil && f.MachineIDs == nil && f.WorkerIDs == nil
}

func within[T comparable](allowed []T, value *T) bool {
	return allowed == nil || value == nil || slices.Contains(allowed, *value)
}
