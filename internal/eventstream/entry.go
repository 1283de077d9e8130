package eventstream

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
)

// Entry is an entry of the stream: an event by the fields "type", "data" (a JSON object) and, where the producer has them,
// "id" and "timestamp" (ms); or a message of the job broker by "channel" and "message", which is mapped as if it had been
// heard there.
type Entry struct {
	ID     string // "<ms>-<n>", of the stream
	Fields map[string]string
}

// The fields that mean something.
const (
	fieldID        = "id"
	fieldType      = "type"
	fieldTimestamp = "timestamp"
	fieldData      = "data"
	fieldChannel   = "channel"
	fieldMessage   = "message"
)

// Fields are the fields of an Entry that mean something.
var Fields = []string{fieldID, fieldType, fieldTimestamp, fieldData, fieldChannel, fieldMessage}

// event makes the event of an entry. It depends on nothing but the entry, so that one that is taken a second time is known
// by its id (G6). nil without an error: no event comes of it. CodeInvalid names the field.
func (e *Entry) event() (*holdfast.Event, error) {
	added := e.time()
	if channel, ok := e.Fields[fieldChannel]; ok {
		got, ok, err := jobevents.Map(channel, []byte(e.Fields[fieldMessage]), added)
		if err != nil || !ok {
			return nil, err
		}
		return got, nil
	}
	event := &holdfast.Event{
		ID: e.Fields[fieldID], Type: e.Fields[fieldType], Timestamp: added.UnixMilli(), Data: json.RawMessage(e.Fields[fieldData]),
	}
	var wrong []holdfast.Violation
	if event.Type == "" {
		wrong = append(wrong, holdfast.Violation{Field: fieldType, Description: "is required, or channel and message"})
	}
	if len(event.Data) == 0 {
		wrong = append(wrong, holdfast.Violation{Field: fieldData, Description: "is required, a JSON object"})
	}
	if text, ok := e.Fields[fieldTimestamp]; ok {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms <= 0 {
			wrong = append(wrong, holdfast.Violation{Field: fieldTimestamp, Description: "must be ms since the epoch"})
		}
		event.Timestamp = ms
	}
	if event.ID == "" {
		event.ID = holdfast.DerivedEventID(event.Timestamp, "stream", e.identity())
	}
	return event, holdfast.Invalid(wrong)
}

// time is when the entry was added, by Redis' clock.
func (e *Entry) time() time.Time {
	text, _, _ := strings.Cut(e.ID, "-")
	ms, _ := strconv.ParseInt(text, 10, 64) // Redis made it
	return time.UnixMilli(ms)
}

// identity is all that there is of the entry: a stream that was wiped may give an id a second time.
func (e *Entry) identity() string {
	var b strings.Builder
	b.WriteString(e.ID)
	for _, field := range slices.Sorted(maps.Keys(e.Fields)) {
		b.WriteString("\x00" + field + "\x00" + e.Fields[field])
	}
	return b.String()
}
