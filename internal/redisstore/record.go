package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	holdfast "github.com/emprops/holdfast"
)

// Record is one step of a delivery to be recorded.
type Record struct {
	Delivery holdfast.Delivery // the whole record, with every attempt so far, ascending
	Attempt  *holdfast.Attempt // the new attempt; nil for a change of state without one
	Terminal bool              // for the caller's own use: whether a state is final is known from the state

	// ConsecutiveFailures is set by Store.Record when the delivery is exhausted: the webhook's failures in a row, this one
	// included. A repeated record is told again, so that the step that follows from it is not lost to a crash.
	ConsecutiveFailures int64
}

// LogEntry is one line of the delivery log over all webhooks (CONTRACT 4.7), with fields of Holdfast's own at the end.
type LogEntry struct {
	WebhookID      string              `json:"webhook_id"`
	EventID        string              `json:"event_id"`
	EventType      string              `json:"event_type"`
	Success        bool                `json:"success"`
	Timestamp      int64               `json:"timestamp"` // the attempt's start, ms
	AttemptNumber  int                 `json:"attempt_number"`
	ResponseStatus int                 `json:"response_status,omitempty"`
	ErrorMessage   string              `json:"error_message,omitempty"`
	ResponseBody   string              `json:"response_body,omitempty"`
	URL            string              `json:"url,omitempty"`
	DurationMS     float64             `json:"response_time_ms"`
	ErrorClass     holdfast.ErrorClass `json:"error_class,omitempty"`
}

// Record records steps of deliveries in one round trip: the record itself, the indexes, the webhook's statistics and
// attempts, the delivery log. Each step counts once, however often and in whatever order it is recorded: what a later
// step finds missing of the earlier ones it makes up for. Of a webhook that is not in the registry only the delivery log
// tells (D10). The webhook's configuration is never touched (D6, D7).
//
// CodeInvalid when a delivery lacks an id; CodeUnavailable, and then any part of the records may have been recorded:
// repeat them all.
func (s *Store) Record(ctx context.Context, records []Record) error {
	pending := make([]*step, len(records))
	for i := range records {
		p, err := s.newStep(&records[i])
		if err != nil {
			return err
		}
		pending[i] = p
	}
	// A record whose forerunner was never recorded goes again with the attempts that are missing. The number of attempts
	// stored only grows, so one more round is enough unless others record the same delivery at the same time.
	for round := 0; len(pending) > 0 && round < 4; round++ {
		calls := make([]call, len(pending))
		for i, p := range pending {
			var err error
			if calls[i], err = s.callOf(p); err != nil {
				return holdfast.Wrap(holdfast.CodeInternal, err, "a delivery cannot be encoded")
			}
		}
		replies, err := s.pipeline(ctx, recordScript, calls)
		if err != nil {
			return unavailable("recording deliveries", err)
		}
		again := pending[:0]
		for i, p := range pending {
			n, err := replies[i].Int64()
			if err != nil {
				return unavailable("recording deliveries", err)
			}
			if n < 0 {
				p.from = int(-n)
				again = append(again, p)
				continue
			}
			p.record.ConsecutiveFailures = n
		}
		pending = again
	}
	if len(pending) > 0 {
		return unavailable("recording deliveries", fmt.Errorf("%d records changed while they were written", len(pending)))
	}
	return nil
}

// step is a record on its way.
type step struct {
	record   *Record
	attempts []holdfast.Attempt
	made     int    // number of the last attempt
	from     int    // number of the first attempt to give to the script
	stored   []byte // what the record hash gets
}

func (s *Store) newStep(r *Record) (*step, error) {
	d := r.Delivery
	if d.WebhookID == "" || d.EventID == "" {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "a delivery to record lacks its webhook's or event's id")
	}
	p := &step{record: r, attempts: d.Attempts}
	if r.Attempt != nil && !slices.ContainsFunc(d.Attempts, func(a holdfast.Attempt) bool { return a.Number == r.Attempt.Number }) {
		p.attempts = append(slices.Clip(d.Attempts), *r.Attempt)
	}
	for i := range p.attempts {
		p.made = max(p.made, p.attempts[i].Number)
	}
	p.from = p.made + 1
	if r.Attempt != nil {
		p.from = r.Attempt.Number
	}

	d.Attempts = slices.Clone(p.attempts)
	for i := range d.Attempts {
		bound := s.opts.Limits.Excerpt
		if i == len(d.Attempts)-1 {
			bound = s.opts.Limits.ResponseBody
		}
		cut(&d.Attempts[i], bound)
	}
	encoded, err := marshal(&d)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, err, "a delivery cannot be encoded")
	}
	head := strconv.AppendInt(make([]byte, 0, len(encoded)+48), int64(p.made), 10)
	head = append(append(append(head, '|'), d.State...), '|')
	head = append(strconv.AppendInt(head, max(d.UpdatedAt, 0), 10), '|')
	p.stored = append(head, encoded...)
	return p, nil
}

func (s *Store) callOf(p *step) (call, error) {
	d, l := &p.record.Delivery, s.opts.Limits
	final := "0"
	if d.State.Final() {
		final = "1"
	}
	args := make([]any, 0, 20)
	args = append(args, d.WebhookID, d.EventID, p.made, string(d.State), final, d.UpdatedAt, d.CreatedAt, p.stored, p.from,
		l.Attempts, l.Log, l.Deliveries, l.Deliveries+l.OpenDeliveries, l.GlobalDeliveries)
	for i := range p.attempts {
		if p.attempts[i].Number < p.from {
			continue
		}
		a := p.attempts[i]
		cut(&a, l.ResponseBody)
		attempt, err := marshal(&a)
		if err != nil {
			return call{}, err
		}
		cut(&a, l.Excerpt)
		entry, err := marshal(&LogEntry{
			WebhookID: d.WebhookID, EventID: d.EventID, EventType: a.EventType, Success: a.Success, Timestamp: a.Timestamp,
			AttemptNumber: a.Number, ResponseStatus: a.ResponseStatus, ErrorMessage: a.ErrorMessage,
			ResponseBody: a.ResponseBody, URL: a.URL, DurationMS: a.DurationMS, ErrorClass: a.ErrorClass,
		})
		if err != nil {
			return call{}, err
		}
		success := "0"
		if a.Success {
			success = "1"
		}
		args = append(args, a.Number, success, a.Timestamp, a.DurationMS, attempt, entry)
	}
	return call{keys: s.keys.forRecord(d.WebhookID), args: args}, nil
}

// cut bounds the parts of an attempt whose length a receiver decides (D33).
func cut(a *holdfast.Attempt, bound int) {
	a.ResponseBody = truncated(a.ResponseBody, bound)
	a.ErrorMessage = truncated(a.ErrorMessage, bound)
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
