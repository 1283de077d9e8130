package httpsend

import (
	"fmt"
	"strconv"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// Content types of the payload formats.
const (
	contentTypeJSON        = "application/json"
	contentTypeCloudEvents = "application/cloudevents+json" // CloudEvents JSON format 1.0, section 3
)

// appendPayload appends the body of a request in the webhook's format. It depends on the webhook's id and format and on
// the event alone, so it is the same at every attempt. ok is false for a format that is none.
func (s *Sender) appendPayload(dst []byte, w *holdfast.Webhook, e *holdfast.Event) (body []byte, contentType string, ok bool) {
	switch w.Format {
	case "", holdfast.FormatEnvelope:
		if e.Test {
			return appendTestEnvelope(dst, w.ID, e), contentTypeJSON, true
		}
		return AppendEnvelope(dst, w.ID, e), contentTypeJSON, true
	case holdfast.FormatStandard:
		return AppendStandard(dst, e), contentTypeJSON, true
	case holdfast.FormatCloudEvents:
		return AppendCloudEvent(dst, s.source, w.ID, e), contentTypeCloudEvents, true
	}
	return dst, "", false
}

// Payload is the body of every request that carries the event to the webhook: nil in a format that is not known.
func (s *Sender) Payload(w *holdfast.Webhook, e *holdfast.Event) []byte {
	body, _, ok := s.payload(w, e)
	if !ok {
		return nil
	}
	return body
}

// payload returns the body in a buffer of its own.
func (s *Sender) payload(w *holdfast.Webhook, e *holdfast.Event) (body []byte, contentType string, ok bool) {
	return s.appendPayload(make([]byte, 0, s.payloadOverhead(w, e)+len(e.Data)), w, e)
}

// payloadOverhead is room for what the format with the longest frame puts around the data.
func (s *Sender) payloadOverhead(w *holdfast.Webhook, e *holdfast.Event) int {
	return 192 + len(s.source) + len(w.ID) + len(e.ID) + len(e.Type)
}

// AppendEnvelope appends the original's envelope with its key order to dst (CONTRACT 4.4). The event's data goes in byte
// for byte; it is canonical since the event was accepted (CONTRACT 4.3).
func AppendEnvelope(dst []byte, webhookID string, e *holdfast.Event) []byte {
	dst = append(dst, `{"event_type":`...)
	dst = jsjson.AppendString(dst, e.Type)
	dst = append(dst, `,"event_id":`...)
	dst = jsjson.AppendString(dst, e.ID)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, e.Timestamp, 10)
	dst = append(dst, `,"webhook_id":`...)
	dst = jsjson.AppendString(dst, webhookID)
	return appendData(dst, e)
}

// appendTestEnvelope appends the original's envelope of test events, whose keys come in another order (CONTRACT 4.5).
func appendTestEnvelope(dst []byte, webhookID string, e *holdfast.Event) []byte {
	dst = append(dst, `{"event_id":`...)
	dst = jsjson.AppendString(dst, e.ID)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, e.Timestamp, 10)
	dst = append(dst, `,"webhook_id":`...)
	dst = jsjson.AppendString(dst, webhookID)
	dst = appendTestMetadata(dst, e)
	dst = append(dst, `,"event_type":`...)
	dst = jsjson.AppendString(dst, e.Type)
	return appendData(dst, e)
}

func appendTestMetadata(dst []byte, e *holdfast.Event) []byte {
	dst = append(dst, `,"metadata":{"original_timestamp":`...)
	dst = strconv.AppendInt(dst, e.Timestamp, 10)
	return append(dst, `,"test_event":true}`...)
}

// AppendStandard appends the payload that the Standard Webhooks specification recommends ("Payload structure"). The id is
// in the header webhook-id. A test event has the envelope's metadata besides.
func AppendStandard(dst []byte, e *holdfast.Event) []byte {
	dst = append(dst, `{"type":`...)
	dst = jsjson.AppendString(dst, e.Type)
	dst = append(dst, `,"timestamp":"`...)
	dst = append(appendTime(dst, e.Timestamp), '"')
	if e.Test {
		dst = appendTestMetadata(dst, e)
	}
	return appendData(dst, e)
}

// AppendCloudEvent appends the event in structured JSON (CloudEvents 1.0, JSON format 1.0). The webhook's id is in the
// extension attribute webhookid; a test event has the attribute testevent besides.
func AppendCloudEvent(dst []byte, source, webhookID string, e *holdfast.Event) []byte {
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = jsjson.AppendString(dst, e.ID)
	dst = append(dst, `,"source":`...)
	dst = jsjson.AppendString(dst, source)
	dst = append(dst, `,"type":`...)
	dst = jsjson.AppendString(dst, e.Type)
	dst = append(dst, `,"time":"`...)
	dst = appendTime(dst, e.Timestamp)
	dst = append(dst, `","datacontenttype":"application/json","webhookid":`...)
	dst = jsjson.AppendString(dst, webhookID)
	if e.Test {
		dst = append(dst, `,"testevent":true`...)
	}
	return appendData(dst, e)
}

func appendData(dst []byte, e *holdfast.Event) []byte {
	dst = append(dst, `,"data":`...)
	dst = append(dst, e.Data...)
	return append(dst, '}')
}

// lastTime is the last millisecond that RFC 3339 can name.
var lastTime = time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()

// appendTime appends a time in ms as JavaScript's toISOString writes it, which is RFC 3339.
func appendTime(dst []byte, ms int64) []byte {
	t := time.UnixMilli(min(max(ms, 0), lastTime)).UTC()
	return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

func unknownFormat(f holdfast.PayloadFormat) string {
	return fmt.Sprintf("the webhook's payload format %q is not known to this version", clip(string(f)))
}
