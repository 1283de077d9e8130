package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protojson"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

type events struct {
	events Events
	errors *errorMapping
}

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
	return &holdfastv1.PublishEventResponse{
		EventId: result.EventID, Duplicate: result.Duplicate, Deliveries: publishedDeliveries(result.Deliveries),
	}, nil
}

func publishedDeliveries(refs []DeliveryRef) []*holdfastv1.PublishedDelivery {
	out := make([]*holdfastv1.PublishedDelivery, len(refs))
	for i, d := range refs {
		out[i] = &holdfastv1.PublishedDelivery{Id: d.ID, WebhookId: d.WebhookID}
	}
	return out
}

const (
	maxPublished        = 1000 // events in one call
	publishedAtOnce     = 256  // of one call: what a start of a workflow carries
	procedurePublishAll = holdfastv1connect.EventServicePublishEventsProcedure
)

func (h *events) PublishEvents(ctx context.Context, req *holdfastv1.PublishEventsRequest) (*holdfastv1.PublishEventsResponse, error) {
	in := req.GetEvents()
	if len(in) == 0 || len(in) > maxPublished {
		return nil, holdfast.Invalid([]holdfast.Violation{{Field: "events", Description: fmt.Sprintf("must be 1 to %d", maxPublished)}})
	}
	res := &holdfastv1.PublishEventsResponse{Events: make([]*holdfastv1.PublishedEvent, len(in))}
	var group errgroup.Group
	group.SetLimit(publishedAtOnce)
	for i, event := range in {
		group.Go(func() error {
			res.Events[i] = h.publishOne(ctx, event)
			return nil
		})
	}
	_ = group.Wait() // each event has its own error
	return res, nil
}

// publishOne says what became of one event among others.
func (h *events) publishOne(ctx context.Context, in *holdfastv1.Event) *holdfastv1.PublishedEvent {
	event, err := eventFrom(in)
	var result PublishResult
	if err == nil {
		result, err = h.events.Publish(ctx, event)
	}
	if err == nil {
		return &holdfastv1.PublishedEvent{
			EventId: result.EventID, Duplicate: result.Duplicate, Deliveries: publishedDeliveries(result.Deliveries),
		}
	}
	shown := &holdfastv1.PublishError{Retryable: retryable[holdfast.ErrorCode(err)]}
	if public, ok := errors.AsType[*connect.Error](h.errors.public(ctx, procedurePublishAll, err)); ok {
		shown.Code, shown.Message = public.Code().String(), public.Message()
	}
	if coded, ok := errors.AsType[*holdfast.Error](err); ok && len(coded.Violations) > 0 {
		shown.Message = (&holdfast.Error{Message: shown.GetMessage(), Violations: coded.Violations}).Error() // there are no details here
	}
	return &holdfastv1.PublishedEvent{EventId: in.GetId(), Error: shown}
}

// retryable are the codes of errors after which the same event may be accepted.
var retryable = map[holdfast.Code]bool{holdfast.CodeExhausted: true, holdfast.CodeUnavailable: true, holdfast.CodeAborted: true}

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
