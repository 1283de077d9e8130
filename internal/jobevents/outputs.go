package jobevents

import (
	"encoding/json"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// OutputsOf names the workflow whose outputs an event's message refers to without carrying them: a workflow_completed with
// outputs_available (CONTRACT 2.11). ok is false for every other event.
func OutputsOf(e *holdfast.Event) (workflowID string, ok bool) {
	var data struct {
		Available json.RawMessage `json:"outputs_available"`
		Outputs   json.RawMessage `json:"outputs"`
		Workflow  string          `json:"workflow_id"`
	}
	if e.Type != channelCompleted || json.Unmarshal(e.Data, &data) != nil {
		return "", false
	}
	return data.Workflow, truthy(data.Available) && data.Outputs == nil && data.Workflow != ""
}

// AddOutputs adds a workflow's outputs to the data of its completion, as the original was meant to (CONTRACT 2.11, D19).
// CodeRejected: they cannot be sent on, or the event would be larger than one may be.
func AddOutputs(e *holdfast.Event, outputs json.RawMessage) error {
	data, err := with(e.Data, "outputs", outputs)
	switch {
	case err != nil:
		return holdfast.Wrap(holdfast.CodeRejected, err, "the workflow's outputs cannot be sent on")
	case len(data) > holdfast.MaxEventBytes:
		return holdfast.Errorf(holdfast.CodeRejected, "the workflow's outputs make the event larger than %d bytes", holdfast.MaxEventBytes)
	}
	e.Data = data
	return nil
}

// AddOutputsMissing marks a completion whose outputs could not be had: data.outputs_missing is "not_found" (EMPROPS does
// not know the workflow), "rejected" (too large, or no JSON) or "unavailable" (EMPROPS could not be asked, or has
// none yet), by the code of the error.
func AddOutputsMissing(e *holdfast.Event, because holdfast.Code) (err error) {
	reason := "unavailable"
	if because == holdfast.CodeNotFound || because == holdfast.CodeRejected {
		reason = string(because)
	}
	e.Data, err = with(e.Data, "outputs_missing", jsjson.AppendString(nil, reason))
	return err
}

// with appends a member to an object.
func with(data json.RawMessage, key string, value json.RawMessage) (json.RawMessage, error) {
	var o object
	if len(data) > len("{}") {
		o.bytes = append(make([]byte, 0, len(data)+len(key)+len(value)+4), data[:len(data)-1]...)
	}
	o.add(key, value)
	return jsjson.CanonicalObject(nil, o.close())
}
