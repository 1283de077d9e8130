package server

import (
	"bytes"
	"slices"
	"strings"
)

// liftEventData splits a PublishEventRequest's JSON into the value at event.data and the rest, where {} stands in its
// place. Both are copies. A google.protobuf.Struct would lose the order of keys and the spelling of numbers, refuse lone
// surrogates, and cost several times as much.
//
// It returns nil where the JSON is not plainly of that form (broken, keys with escapes, data absent or null): the
// protobuf decoder then has the whole to read. A value is found by its brackets and quotes alone; whether it is valid
// JSON is checked by whoever reads it.
func liftEventData(body []byte) (data, rest []byte) {
	event, ok := member(body, 0, `"event"`)
	if !ok {
		return nil, nil
	}
	at, ok := member(body[:event.end], event.start, `"data"`)
	if !ok || at.end == at.start || string(body[at.start:at.end]) == "null" {
		return nil, nil
	}
	return bytes.Clone(body[at.start:at.end]), slices.Concat(body[:at.start], []byte("{}"), body[at.end:])
}

type span struct{ start, end int }

// member finds the value of a member, by its key in quotes, of the object that begins at or after position i.
func member(b []byte, i int, key string) (span, bool) {
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != '{' {
		return span{}, false
	}
	for i = skipSpace(b, i+1); i < len(b) && b[i] == '"'; i = skipSpace(b, i+1) {
		keyStart, keyEnd := i, skipString(b, i)
		i = skipSpace(b, keyEnd)
		if i >= len(b) || b[i] != ':' {
			return span{}, false
		}
		start := skipSpace(b, i+1)
		i = skipValue(b, start)
		if i < 0 {
			return span{}, false
		}
		if string(b[keyStart:keyEnd]) == key {
			return span{start, i}, true
		}
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ',' {
			return span{}, false
		}
	}
	return span{}, false
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the position after the string that begins at i, len(b) when it does not end.
func skipString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// skipValue returns the position after the value that begins at i, -1 when it does not end.
func skipValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ',', ':', ' ', '\n', '\t', '\r':
			i++ // between the members of what is being skipped; a value never begins so
			if depth == 0 {
				return -1
			}
		default:
			i = skipScalar(b, i)
		}
		if depth <= 0 {
			if depth < 0 {
				return -1
			}
			return i
		}
	}
	return -1
}

func skipScalar(b []byte, i int) int {
	for i < len(b) && strings.IndexByte(",:{}[]\" \n\t\r", b[i]) < 0 {
		i++
	}
	return i
}
