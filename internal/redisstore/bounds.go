package redisstore

import (
	"slices"
	"strings"
	"unicode/utf8"

	holdfast "github.com/emprops/holdfast"
)

// wholeAttempts is how many of a delivery's last attempts keep their response body in the record, besides the first one.
const wholeAttempts = 20

// recordAttempts is how many attempts a record holds: the first one and the last ones.
const recordAttempts = 100

// shrinkings say how a record that is too large is made smaller, one after the other: attempts kept, those with a body,
// and the share of the usual bounds.
var shrinkings = []struct{ attempts, bodies, divisor int }{
	{recordAttempts, wholeAttempts, 1},
	{recordAttempts, wholeAttempts, 8},
	{recordAttempts, 1, 8},
	{wholeAttempts, 1, 64},
	{1, 0, 1024},
}

// encodeRecord gives the JSON of a delivery's record, whatever receivers have sent (D33).
func (s *Store) encodeRecord(d holdfast.Delivery) (encoded []byte, err error) {
	attempts := d.Attempts
	l := s.opts.Limits
	for _, to := range shrinkings {
		d.Attempts = firstAndLast(attempts, to.attempts)
		d.Reason = truncated(d.Reason, l.ErrorMessage/to.divisor)
		for i := range d.Attempts {
			body, message := l.Excerpt/to.divisor, min(l.ErrorMessage, l.Excerpt)/to.divisor
			switch last := len(d.Attempts) - 1; {
			case i == last && to.bodies > 0:
				body, message = l.ResponseBody/to.divisor, l.ErrorMessage/to.divisor
			case i > 0 && i <= last-to.bodies || to.bodies == 0:
				body = 0
			}
			cut(&d.Attempts[i], body, message)
			if to.divisor > 8 {
				d.Attempts[i].URL = truncated(d.Attempts[i].URL, l.ErrorMessage/to.divisor)
			}
		}
		if encoded, err = marshal(&d); err != nil || len(encoded) <= l.RecordSize {
			return encoded, err
		}
	}
	return encoded, nil
}

// firstAndLast returns a copy of at most n attempts.
func firstAndLast(attempts []holdfast.Attempt, n int) []holdfast.Attempt {
	if len(attempts) <= n {
		return slices.Clone(attempts)
	}
	last := attempts[len(attempts)-max(n-1, 1):]
	if n == 1 {
		return slices.Clone(last)
	}
	return append([]holdfast.Attempt{attempts[0]}, last...)
}

// cut bounds the parts of an attempt whose length a receiver decides (D33).
func cut(a *holdfast.Attempt, body, message int) {
	if body <= 0 {
		a.ResponseBody = ""
	}
	a.ResponseBody = truncated(a.ResponseBody, body)
	a.ErrorMessage = truncated(a.ErrorMessage, message)
}

// truncated shortens s to bound bytes, the mark included, at a character's boundary.
func truncated(s string, bound int) string {
	if len(s) <= bound {
		return s
	}
	s = strings.TrimSuffix(s, holdfast.TruncationMark)
	end := min(len(s), max(bound-len(holdfast.TruncationMark), 0))
	for end > 0 && end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + holdfast.TruncationMark
}
