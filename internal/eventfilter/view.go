package eventfilter

import (
	"encoding/json"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/emprops/holdfast"
)

// View is one event as filters see it. Its data is decoded when a filter first looks at the event, and once, however many
// filters look. It is not safe for concurrent use.
type View struct {
	event *holdfast.Event
	read  bool
	data  ref.Val
	err   error
}

// NewView returns a view of the event, which must not be modified as long as the view is used.
func NewView(e *holdfast.Event) *View { return &View{event: e} }

// Event returns the event.
func (v *View) Event() *holdfast.Event { return v.event }

// fields decodes the event's data.
func (v *View) fields() (ref.Val, error) {
	if v.read {
		return v.data, v.err
	}
	v.read = true
	var data map[string]any
	if err := json.Unmarshal(v.event.Data, &data); err != nil {
		v.err = holdfast.Wrap(holdfast.CodePrecondition, err, "the event's data is not a JSON object")
		return nil, v.err
	}
	v.data = types.DefaultTypeAdapter.NativeToValue(data)
	return v.data, nil
}

// evaluation is what one evaluation of one expression sees, and its deadline.
type evaluation struct {
	view     *View
	deadline time.Time // set when the first loop asks
}

func newEvaluation(v *View) *evaluation { return &evaluation{view: v} }

// ResolveName implements cel.Activation. Loops ask for the name "#interrupted" once in every round.
func (e *evaluation) ResolveName(name string) (any, bool) {
	switch name {
	case "type":
		return types.String(e.view.event.Type), true
	case "id":
		return types.String(e.view.event.ID), true
	case "time":
		return types.Timestamp{Time: time.UnixMilli(e.view.event.Timestamp).UTC()}, true
	case "data":
		data, err := e.view.fields()
		return data, err == nil
	case "#interrupted":
		now := time.Now()
		if e.deadline.IsZero() {
			e.deadline = now.Add(maxTime)
		}
		return now.After(e.deadline), true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (e *evaluation) Parent() cel.Activation { return nil }
