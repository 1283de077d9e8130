package telemetry

import (
	"bytes"
	"encoding/json"
)

// maxID bounds what is taken for an id, in bytes. Something longer is none; sent along, it would fill the queue's memory and
// have the collector refuse the batch.
const maxID = 256

const unknown = "unknown"

// ids are the members of an event's data that traces name; "unknown" where they are absent, null, empty or too long.
type ids struct{ workflow, job, customer string }

// idsOf passes over the data once and decodes nothing else: an attempt waits for it, and data can be a megabyte. Names are
// exact, as in JavaScript. Data is in canonical form (holdfast.Event); of other data the ids may be unknown.
func idsOf(data []byte) ids {
	out := ids{unknown, unknown, unknown}
	for rest := bytes.TrimPrefix(data, []byte("{")); len(rest) > 0 && rest[0] == '"'; {
		colon := textEnd(rest, 0)
		if colon >= len(rest) {
			break
		}
		name, value := rest[:colon], rest[colon+1:]
		end := valueEnd(value)
		switch string(name) {
		case `"workflow_id"`:
			out.workflow = id(value[:end])
		case `"job_id"`:
			out.job = id(value[:end])
		case `"customer_id"`:
			out.customer = id(value[:end])
		}
		rest = value[min(end+1, len(value)):]
	}
	return out
}

// textEnd is the index after the text that begins with the quote at i.
func textEnd(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// valueEnd is the index of the comma or bracket after the value that data begins with.
func valueEnd(data []byte) int {
	depth := 0
	for i := 0; i < len(data); {
		switch data[i] {
		case '"':
			i = textEnd(data, i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if depth < 0 || depth == 0 && data[i] == ',' {
			return i
		}
		i++
	}
	return len(data)
}

// id is a value as text.
func id(value []byte) string {
	text := string(value[:min(len(value), maxID+1)])
	if len(text) > maxID || text == "null" || len(text) == 0 {
		return unknown
	}
	if text[0] == '"' && (json.Unmarshal(value, &text) != nil || text == "") {
		return unknown
	}
	return text
}
