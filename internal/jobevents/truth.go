package jobevents

import (
	"encoding/json"
	"strconv"
	"time"
)

// truthy tells whether JavaScript takes a JSON value for true. The presence rules of CONTRACT 2.2 are made of it: absent,
// null, false, "" and zero in any spelling do not count.
func truthy(v json.RawMessage) bool {
	if len(v) == 0 {
		return false
	}
	switch v[0] {
	case 'n', 'f':
		return false
	case '"':
		return len(v) > 2
	case '{', '[', 't':
		return true
	}
	return number(v) != 0
}

// number is the double that JavaScript reads: 0 for anything but a number, infinite for what overflows.
func number(v json.RawMessage) float64 {
	if !isNumber(v) {
		return 0
	}
	f, _ := strconv.ParseFloat(string(v), 64) // the value is JSON; the only error left is overflow, with f infinite
	return f
}

// isNumber tells whether a JSON value is a number.
func isNumber(v json.RawMessage) bool {
	return len(v) > 0 && (v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

// text is a string's value, and any other JSON value as it is written.
func text(v json.RawMessage) string {
	var s string
	if len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// instant reads a time in either form that publishers use, ISO 8601 or ms since the epoch, as ms.
func instant(s string) (ms int64, ok bool) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UnixMilli(), t.UnixMilli() > 0
	}
	return timestamp(json.RawMessage(s))
}

// maxTimestamp is the last instant of a JavaScript Date, in ms.
const maxTimestamp = 8.64e15

// timestamp reads a message's time in ms; ok is false when it is not a truthy number that a date can have.
func timestamp(v json.RawMessage) (ms int64, ok bool) {
	if f := number(v); f >= 1 && f <= maxTimestamp {
		return int64(f), true
	}
	return 0, false
}
