package jobevents

import (
	"encoding/json"
	"strconv"
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
	if len(v) == 0 || v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		return 0
	}
	f, _ := strconv.ParseFloat(string(v), 64) // the value is JSON; the only error left is overflow, with f infinite
	return f
}
