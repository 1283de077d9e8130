package jobrecovery

import (
	"encoding/json"

	"github.com/emprops/holdfast"
)

const completionType = "workflow_completed"

// ToldID is the id under which it is remembered, like an event, that somebody was told of the completion of a workflow,
// whichever run of it: who asks may not know EMPROPS' time of it, which is in the id of the event itself. It is no event's
// id: an event that was only handed over would count as published.
func ToldID(workflowID string) string { return holdfast.DerivedEventID(0, "told", workflowID) }

// ToldBy is the ToldID of the workflow whose completion an event is; "" for every other event.
func ToldBy(e *holdfast.Event) string {
	var data struct {
		Workflow string `json:"workflow_id"`
	}
	if e.Type != completionType || json.Unmarshal(e.Data, &data) != nil || data.Workflow == "" {
		return ""
	}
	return ToldID(data.Workflow)
}
