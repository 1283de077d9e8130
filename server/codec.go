package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// jsonCodec is protojson with five differences from Connect's own codec: an unknown field is an error, since a
// misspelt one would silently lose a setting; fields with default values are written, so that answers have one shape;
// an event's data arrives in the bytes it was sent in (see liftEventData); the mask of an update may be spelled as the
// schema does (see unmarshalMask); and the filter for priorities has the original's two names (see originalNames).
type jsonCodec struct{ name string }

// Name implements connect.Codec.
func (c jsonCodec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (c jsonCodec) Marshal(message any) ([]byte, error) { return c.MarshalAppend(nil, message) }

// MarshalAppend is used by Connect in place of Marshal, with a pooled buffer.
func (c jsonCodec) MarshalAppend(dst []byte, message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a protobuf message", message)
	}
	return protojson.MarshalOptions{EmitDefaultValues: true}.MarshalAppend(dst, m)
}

// MarshalStable is used by Connect for requests in a URL.
func (c jsonCodec) MarshalStable(message any) ([]byte, error) {
	raw, err := c.Marshal(message)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	err = json.Compact(&compact, raw) // protojson varies its white space on purpose
	return compact.Bytes(), err
}

// IsBinary tells Connect that the bytes are text.
func (c jsonCodec) IsBinary() bool { return false }

// Unmarshal implements connect.Codec.
func (c jsonCodec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a protobuf message", message)
	}
	if len(data) == 0 {
		return errors.New("the body is empty; send at least {}")
	}
	if publish, ok := message.(*holdfastv1.PublishEventRequest); ok && unmarshalLifted(data, publish) {
		return nil
	}
	if publish, ok := message.(*holdfastv1.PublishEventsRequest); ok && c.unmarshalEvents(data, publish) {
		return nil
	}
	err := protojson.Unmarshal(data, m)
	if err != nil {
		if renamed := originalNames(data, message); renamed != nil {
			data, err = renamed, protojson.Unmarshal(renamed, m)
		}
	}
	if update, ok := message.(*holdfastv1.UpdateWebhookRequest); ok && err != nil && unmarshalMask(data, update) {
		return nil
	}
	return readable(err)
}

// originalNames gives the filter for priorities the name it has here where a request has the one that the original's
// matching reads, job_priorities, or jobPriorities (D28). It returns nil where there is nothing to rename, or both are given.
func originalNames(body []byte, message any) []byte {
	switch message.(type) {
	case *holdfastv1.RegisterWebhookRequest, *holdfastv1.UpdateWebhookRequest:
	default:
		return nil
	}
	var request, webhook, filters map[string]json.RawMessage
	if json.Unmarshal(body, &request) != nil || json.Unmarshal(request["webhook"], &webhook) != nil ||
		json.Unmarshal(webhook["filters"], &filters) != nil {
		return nil
	}
	alias := "job_priorities"
	if _, given := filters[alias]; !given {
		alias = "jobPriorities"
	}
	value, given := filters[alias]
	if _, both := filters["priorities"]; !given || both {
		return nil
	}
	delete(filters, alias)
	filters["priorities"] = value
	var err error
	for _, part := range []struct {
		of   map[string]json.RawMessage
		name string
		from map[string]json.RawMessage
	}{{webhook, "filters", filters}, {request, "webhook", webhook}} {
		if part.of[part.name], err = json.Marshal(part.from); err != nil {
			return nil
		}
	}
	out, err := json.Marshal(request)
	if err != nil {
		return nil
	}
	return out
}

// unmarshalMask reads a request whose mask protojson refuses: it knows paths in the spelling of JSON only and no "*".
func unmarshalMask(body []byte, m *holdfastv1.UpdateWebhookRequest) bool {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return false
	}
	var mask string
	for _, name := range []string{"updateMask", "update_mask"} {
		raw, given := fields[name]
		if !given {
			continue
		}
		if mask != "" || json.Unmarshal(raw, &mask) != nil {
			return false
		}
		delete(fields, name)
	}
	rest, err := json.Marshal(fields)
	if err != nil || mask == "" || protojson.Unmarshal(rest, m) != nil {
		return false
	}
	paths := strings.Split(mask, ",")
	for i, path := range paths {
		paths[i] = strings.TrimSpace(path)
	}
	m.UpdateMask = &fieldmaskpb.FieldMask{Paths: paths}
	return true
}

// unmarshalLifted reads a request whose data can be lifted out. It returns false when there is none or the rest cannot
// be read: reading the whole then finds the same mistake, with a position that is true.
func unmarshalLifted(body []byte, m *holdfastv1.PublishEventRequest) bool {
	data, rest := liftEventData(body)
	if data == nil || protojson.Unmarshal(rest, m) != nil {
		return false
	}
	if e := m.GetEvent(); len(e.GetDataJson()) == 0 { // with both given, both stay, and the handler refuses
		e.Data, e.DataJson = nil, data
	}
	return true
}

// unmarshalEvents reads each of many events as the one of a PublishEventRequest is. It returns false when that cannot be
// done: reading the whole then finds the same mistake, with a position that is true.
func (c jsonCodec) unmarshalEvents(body []byte, m *holdfastv1.PublishEventsRequest) bool {
	var parts map[string]json.RawMessage
	var events []json.RawMessage
	if json.Unmarshal(body, &parts) != nil || len(parts) != 1 || json.Unmarshal(parts["events"], &events) != nil {
		return false
	}
	for _, event := range events {
		var one holdfastv1.PublishEventRequest
		if c.Unmarshal(slices.Concat([]byte(`{"event":`), event, []byte("}")), &one) != nil {
			m.Events = nil
			return false
		}
		m.Events = append(m.Events, one.GetEvent())
	}
	return true
}

// readable drops the prefix that protojson puts before every text; the module varies its white space on purpose.
func readable(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimLeft(strings.TrimPrefix(err.Error(), "proto:"), " \u00a0"))
}
