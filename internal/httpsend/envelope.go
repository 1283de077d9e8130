package httpsend

import (
	"strconv"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// AppendEnvelope appends the body of a webhook request to dst: the original's envelope with its key order (CONTRACT 4.4).
// The event's data goes in byte for byte; it is canonical since the event was accepted (CONTRACT 4.3).
func AppendEnvelope(dst []byte, webhookID string, e *holdfast.Event) []byte {
	dst = append(dst, `{"event_type":`...)
	dst = jsjson.AppendString(dst, e.Type)
	dst = append(dst, `,"event_id":`...)
	dst = jsjson.AppendString(dst, e.ID)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, e.Timestamp, 10)
	dst = append(dst, `,"webhook_id":`...)
	dst = jsjson.AppendString(dst, webhookID)
	dst = append(dst, `,"data":`...)
	dst = append(dst, e.Data...)
	return append(dst, '}')
}

// envelopeOverhead is room for the envelope around the data.
func envelopeOverhead(webhookID string, e *holdfast.Event) int {
	return len(`{"event_type":"","event_id":"","timestamp":-9223372036854775808,"webhook_id":"","data":}`) +
		len(webhookID) + len(e.ID) + len(e.Type)
}
