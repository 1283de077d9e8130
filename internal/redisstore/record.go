package redisstore

import (
	"context"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"time"

	holdfast "github.com/emprops/holdfast"
)

// Record is one step of a delivery to be recorded.
type Record struct {
	Delivery holdfast.Delivery // the whole record, with every attempt so far, ascending
	Attempt  *holdfast.Attempt // the new attempt; nil for a change of state without one
	Terminal bool              // for the caller's own use: whether a state is final is known from the state

	// Reopen says that the delivery was opened again, after it had ended, and no attempt was made since: without it, only
	// a new attempt leads out of a final state. The first such record must have it; with it on all of them until the next
	// attempt they may also arrive in any order. Among them the later UpdatedAt decides.
	Reopen bool

	// ConsecutiveFailures is set by Store.Record when the delivery is exhausted: the webhook's failures in a row, this one
	// included. A repeated record is told again, so that the step that follows from it is not lost to a crash.
	ConsecutiveFailures int64
}

// Record records steps of deliveries in one round trip: the record itself, the indexes, the webhook's statistics and
// attempts, the delivery log. Each step counts once, however often and in whatever order it is recorded: what a later
// step finds missing of the earlier ones it makes up for. Of a webhook that is not in the registry only the delivery log
// tells (D10). The webhook's configuration is never touched (D6, D7).
//
// A delivery that is opened again, by an attempt or by Record.Reopen, leaves the counter of its end: it counts in one
// only, that of its latest end.
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
		replies, err := s.pipeline(ctx, s.record, calls)
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
	short    []byte // the same for an open delivery among too many
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

	d.Attempts = p.attempts
	encoded, err := s.encodeRecord(d)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, err, "a delivery cannot be encoded")
	}
	p.stored = p.head(encoded)
	if !d.State.Final() {
		short := firstAndLast(p.attempts, 1)
		for i := range short {
			cut(&short[i], 0, shortMessage)
		}
		d.Attempts, d.Reason = short, truncated(d.Reason, shortMessage)
		if encoded, err = marshal(&d); err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInternal, err, "a delivery cannot be encoded")
		}
		p.short = p.head(encoded)
	}
	return p, nil
}

// shortMessage bounds the error message in a record that is kept short.
const shortMessage = 256

// head puts what the script reads before a record's JSON.
func (p *step) head(encoded []byte) []byte {
	d := &p.record.Delivery
	head := strconv.AppendInt(make([]byte, 0, len(encoded)+48), int64(p.made), 10)
	head = append(append(append(head, '|'), d.State...), '|')
	head = strconv.AppendInt(head, max(d.UpdatedAt, 0), 10)
	if p.record.Reopen {
		head = append(head, 'r')
	}
	return append(append(head, '|'), encoded...)
}

// hourOf is the hour since the epoch of a time in ms.
func hourOf(ms int64) int64 { return max(ms, 0) / time.Hour.Milliseconds() }

// looksAtCaps tells whether to look if the caps of deliveries are exceeded: for one delivery in eight, where the caps are so
// large that it does not show.
func (s *Store) looksAtCaps(eventID string) bool {
	const every, large = 8, 256
	l := &s.opts.Limits
	return min(l.Deliveries, l.GlobalDeliveries) < large || maphash.String(s.seed, eventID)%every == 0
}

func (s *Store) callOf(p *step) (call, error) {
	d, l := &p.record.Delivery, s.opts.Limits
	flags := ""
	if p.record.Reopen {
		flags = "r"
	}
	if s.looksAtCaps(d.EventID) {
		flags += "c"
	}
	args := make([]any, 0, 19)
	args = append(args, d.WebhookID, d.EventID, p.made, string(d.State), max(d.UpdatedAt, 0), d.CreatedAt, p.stored, p.from,
		flags, p.short, hourOf(d.UpdatedAt))
	for i := range p.attempts {
		if p.attempts[i].Number < p.from {
			continue
		}
		a := p.attempts[i]
		if !(a.DurationMS >= 0) || math.IsInf(a.DurationMS, 1) {
			a.DurationMS = 0 // one impossible number would spoil every sum
		}
		cut(&a, l.ResponseBody, l.ErrorMessage)
		attempt, err := marshal(&a)
		if err != nil {
			return call{}, err
		}
		cut(&a, l.Excerpt, min(l.ErrorMessage, l.Excerpt))
		entry, err := marshal(&holdfast.LogEntry{
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
		args = append(args, a.Number, success, a.Timestamp, a.DurationMS, attempt, entry,
			hourOf(a.Timestamp), latencyClass(a.DurationMS))
	}
	return call{keys: s.keys.forRecord(d.WebhookID), args: args}, nil
}
