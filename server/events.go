package server

import (
	"bytes"
	"context"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

type events struct{ events Events }

var _ holdfastv1connect.EventServiceHandler = (*events)(nil)

func (h *events) PublishEvent(ctx context.Context, req *holdfastv1.PublishEventRequest) (*holdfastv1.PublishEventResponse, error) {
	event, err := eventFrom(req.GetEvent())
	if err != nil {
		return nil, err
	}
	result, err := h.events.Publish(ctx, event)
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.PublishEventResponse{
		EventId: result.EventID, Duplicate: result.Duplicate,
		Deliveries: make([]*holdfastv1.PublishedDelivery, len(result.Deliveries)),
	}
	for i, d := range result.Deliveries {
		res.Deliveries[i] = &holdfastv1.PublishedDelivery{Id: d.ID, WebhookId: d.WebhookID}
	}
	return res, nil
}

func eventFrom(in *holdfastv1.Event) (*holdfast.Event, error) {
	if in == nil {
		return nil, holdfast.Invalid([]holdfast.Violation{{Field: "event", Description: "is required"}})
	}
	data, violations := dataOf(in)
	e := &holdfast.Event{ID: in.GetId(), Type: in.GetType(), Data: data}
	if t := in.GetTimestamp(); t != nil {
		if t.CheckValid() != nil {
			violations = append(violations, holdfast.Violation{Field: "event.timestamp", Description: "is not a valid time"})
		}
		e.Timestamp = t.AsTime().UnixMilli()
	}
	return e, holdfast.Invalid(violations)
}

// dataOf returns the event's data as JSON text. That it begins as an object is checked here, the rest by the parser
// behind Events.
func dataOf(in *holdfastv1.Event) (json.RawMessage, []holdfast.Violation) {
	wrong := func(text string) (json.RawMessage, []holdfast.Violation) {
		return nil, []holdfast.Violation{{Field: "event.data", Description: text}}
	}
	data := in.GetDataJson()
	switch {
	case in.GetData() != nil && len(data) > 0:
		return wrong("must not be given together with dataJson")
	case in.GetData() != nil:
		text, err := protojson.Marshal(in.GetData())
		if err != nil {
			return wrong("holds a value that JSON cannot express")
		}
		return text, nil
	case len(data) == 0:
		return wrong("is required: exactly one of data and dataJson")
	case !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")):
		return wrong("must be a JSON object")
	}
	return data, nil
}
