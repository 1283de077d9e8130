package redisstore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	holdfast "github.com/emprops/holdfast"
)

// DeliveryKey names a delivery.
type DeliveryKey struct{ WebhookID, EventID string }

// DeliveryFilter narrows a list of deliveries; empty fields do not.
type DeliveryFilter struct {
	WebhookID, EventID, EventType string
	State                         holdfast.DeliveryState
	From, To                      int64 // creation times in ms, both included
	OldestFirst                   bool  // the order of the list; a token belongs to one order
}

// Bounds of a page of deliveries.
const (
	defaultPage = 50
	maxPage     = 500
)

// Settled reads the states of deliveries in one round trip, in the order of ids: "" for one without a record.
// CodeUnavailable.
func (s *Store) Settled(ctx context.Context, ids []DeliveryKey) ([]holdfast.DeliveryState, error) {
	positions := map[string][]int{}
	for i, id := range ids {
		positions[id.WebhookID] = append(positions[id.WebhookID], i)
	}
	var calls []call
	var order [][]int
	for webhook, at := range positions {
		args := make([]any, len(at))
		for j, i := range at {
			args[j] = ids[i].EventID
		}
		calls = append(calls, call{keys: []string{s.keys.records(webhook)}, args: args})
		order = append(order, at)
	}
	replies, err := s.pipeline(ctx, settledScript, calls)
	if err != nil {
		return nil, unavailable("reading the states of deliveries", err)
	}
	states := make([]holdfast.DeliveryState, len(ids))
	for k, at := range order {
		values, err := reply(replies[k], len(at))
		if err != nil {
			return nil, unavailable("reading the states of deliveries", err)
		}
		for j, i := range at {
			states[i] = holdfast.DeliveryState(text(values[j]))
		}
	}
	return states, nil
}

// Delivery reads the record of a delivery. CodeNotFound when there is none, or none any more; CodeInternal when it
// cannot be read; CodeUnavailable.
func (s *Store) Delivery(ctx context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	stored, err := s.client.HGet(ctx, s.keys.records(webhookID), eventID).Result()
	if errors.Is(err, redis.Nil) {
		return nil, holdfast.Errorf(holdfast.CodeNotFound, "delivery %q is not known", holdfast.DeliveryID(webhookID, eventID))
	}
	if err != nil {
		return nil, unavailable("reading a delivery", err)
	}
	_, encoded := splitRecord(stored)
	d, err := decodeDelivery(encoded)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, fmt.Errorf("delivery %s/%s: %w", webhookID, eventID, err), "the stored delivery cannot be read")
	}
	return d, nil
}

// ListDeliveries lists deliveries, newest first by creation time, then id, or the other way round: those of one webhook, or
// of all as far as the list over all webhooks goes back. One call looks at a bounded number of deliveries, so a page may be short or empty
// and still have a next one; the end is reached when next is "". A page size that is not positive means 50; no page has
// more than 500. CodeInvalid for a token that is not from here; CodeUnavailable.
func (s *Store) ListDeliveries(ctx context.Context, f DeliveryFilter, pageSize int, pageToken string) (items []*holdfast.Delivery, next string, err error) {
	from, err := parsePageToken(pageToken, f.WebhookID == "")
	if err != nil {
		return nil, "", err
	}
	pageSize = pageOf(pageSize)
	if f.WebhookID != "" && f.EventID != "" {
		d, err := s.Delivery(ctx, f.WebhookID, f.EventID)
		if holdfast.ErrorCode(err) == holdfast.CodeNotFound || err == nil && (pageToken != "" || !f.matches(d)) {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
		return []*holdfast.Delivery{d}, "", nil
	}
	for budget := s.opts.Limits.Scan; budget > 0; {
		chunk := min(max(pageSize-len(items), 50), budget)
		if f.State != "" || f.EventType != "" || f.EventID != "" {
			chunk = min(budget, 500)
		}
		marks, end, err := s.indexAfter(ctx, s.indexFor(f), f.window(), from, chunk)
		if err != nil {
			return nil, "", unavailable("listing deliveries", err)
		}
		records, err := s.recordsOf(ctx, f, marks)
		if err != nil {
			return nil, "", unavailable("listing deliveries", err)
		}
		for i, m := range marks {
			from = m
			state, encoded := splitRecord(records[i])
			if encoded == "" || f.State != "" && state != f.State {
				continue
			}
			// A record that cannot be read does not keep the others from being listed.
			if d, err := decodeDelivery(encoded); err == nil && f.matches(d) {
				if items = append(items, d); len(items) == pageSize {
					if end && i == len(marks)-1 {
						return items, "", nil
					}
					return items, from.token(), nil
				}
			}
		}
		if end {
			return items, "", nil
		}
		budget -= len(marks)
	}
	return items, from.token(), nil
}

// CountDeliveries counts the deliveries that a list with the same filter would have. It looks at a bounded number of them;
// exact is false when that was not all, and over all webhooks once their list is full. CodeUnavailable.
func (s *Store) CountDeliveries(ctx context.Context, f DeliveryFilter) (count int64, exact bool, err error) {
	if f.WebhookID != "" && f.EventID != "" {
		items, _, err := s.ListDeliveries(ctx, f, 1, "")
		return int64(len(items)), err == nil, err
	}
	if f.WebhookID != "" && f.EventType == "" && (f.State == "" || f.State == holdfast.DeliveryHeld) {
		oldest, newest := f.window().bounds()
		count, err = s.client.ZCount(ctx, s.indexFor(f), oldest, newest).Result()
		return count, err == nil, unavailable("counting deliveries", err)
	}
	counts, exact, err := s.countIn(ctx, s.indexFor(f), f)
	if f.State != "" {
		return counts[f.State], exact, err
	}
	for _, n := range counts {
		count += n
	}
	return count, exact, err
}

// CountByState counts the deliveries that fit by state, whatever state the filter names, in one pass over their index. Its
// bounds and what exact tells are those of CountDeliveries. CodeUnavailable.
func (s *Store) CountByState(ctx context.Context, f DeliveryFilter) (counts map[holdfast.DeliveryState]int64, exact bool, err error) {
	f.State = ""
	return s.countIn(ctx, s.indexFor(f), f)
}

// countIn counts by state the entries of an index whose records fit.
func (s *Store) countIn(ctx context.Context, key string, f DeliveryFilter) (counts map[holdfast.DeliveryState]int64, exact bool, err error) {
	counts, exact = map[holdfast.DeliveryState]int64{}, true
	if f.WebhookID == "" {
		kept, err := s.client.ZCard(ctx, key).Result()
		if err != nil {
			return nil, false, unavailable("counting deliveries", err)
		}
		exact = kept < int64(s.opts.Limits.GlobalDeliveries)
	}
	from := mark{}
	for budget := s.opts.Limits.Count; ; {
		marks, end, err := s.indexAfter(ctx, key, f.window(), from, min(budget, countChunk))
		if err == nil {
			err = s.countOf(ctx, f, marks, counts)
		}
		if err != nil {
			return nil, false, unavailable("counting deliveries", err)
		}
		if end {
			return counts, exact, nil
		}
		if budget -= len(marks); budget <= 0 {
			return counts, false, nil
		}
		from = marks[len(marks)-1]
	}
}

// countChunk bounds what a script of CountDeliveries looks at, and so how long others wait for it.
const countChunk = 500

// countOf adds the index entries whose records fit to the counts of their states, in one round trip.
func (s *Store) countOf(ctx context.Context, f DeliveryFilter, marks []mark, counts map[holdfast.DeliveryState]int64) error {
	eventType := ""
	if f.EventType != "" {
		encoded, err := marshal(f.EventType)
		if err != nil {
			return err
		}
		eventType = `"event_type":` + string(encoded)
	}
	args := map[string][]any{}
	for _, m := range marks {
		webhook, event, fits := f.names(m)
		if !fits {
			continue
		}
		if args[webhook] == nil {
			args[webhook] = []any{eventType}
		}
		args[webhook] = append(args[webhook], event)
	}
	calls := make([]call, 0, len(args))
	for webhook, a := range args {
		calls = append(calls, call{keys: []string{s.keys.records(webhook)}, args: a})
	}
	if len(calls) == 0 {
		return nil
	}
	replies, err := s.pipeline(ctx, countScript, calls)
	if err != nil {
		return err
	}
	for _, r := range replies {
		values, err := reply(r, 0)
		if err != nil {
			return err
		}
		for i := 0; i+1 < len(values); i += 2 {
			n, _ := values[i+1].(int64)
			counts[holdfast.DeliveryState(text(values[i]))] += n
		}
	}
	return nil
}

func (f DeliveryFilter) matches(d *holdfast.Delivery) bool {
	return (f.EventType == "" || d.EventType == f.EventType) && (f.State == "" || d.State == f.State) &&
		(f.EventID == "" || d.EventID == f.EventID) && d.CreatedAt >= f.From && (f.To <= 0 || d.CreatedAt <= f.To)
}

// names takes an index entry apart; fits is false when the filter excludes the event.
func (f DeliveryFilter) names(m mark) (webhookID, eventID string, fits bool) {
	webhookID, eventID = f.WebhookID, m.member
	if webhookID == "" {
		webhookID, eventID, _ = strings.Cut(m.member, "/")
	}
	return webhookID, eventID, f.EventID == "" || eventID == f.EventID
}

func (f DeliveryFilter) window() window { return window{f.From, f.To, f.OldestFirst} }

// indexFor is the smallest index that has everything the filter asks for.
func (s *Store) indexFor(f DeliveryFilter) string {
	switch {
	case f.WebhookID == "":
		return s.keys.deliveries()
	case f.State == holdfast.DeliveryHeld:
		return s.keys.held(f.WebhookID)
	}
	return s.keys.deliveriesOf(f.WebhookID)
}

func pageOf(size int) int {
	if size <= 0 {
		size = defaultPage
	}
	return min(size, maxPage)
}

// window is the part of an index to read, and its order. Zero bounds are none.
type window struct {
	from, to    int64
	oldestFirst bool
}

func (w window) bounds() (oldest, newest string) {
	oldest, newest = "-inf", "+inf"
	if w.from > 0 {
		oldest = strconv.FormatInt(w.from, 10)
	}
	if w.to > 0 {
		newest = strconv.FormatInt(w.to, 10)
	}
	return oldest, newest
}

// mark is an entry of an index: a creation time and an event id, or a delivery id in the index over all webhooks.
type mark struct {
	score  int64
	member string
}

// after tells whether an entry comes after a mark in the window's order.
func (w window) after(m, before mark) bool {
	if before.member == "" {
		return true
	}
	if w.oldestFirst {
		m, before = before, m
	}
	return m.score < before.score || m.score == before.score && m.member < before.member
}

// indexAfter reads up to n entries that come after a mark in the window's order; end tells that there are no more, and
// without it there is at least one.
func (s *Store) indexAfter(ctx context.Context, key string, w window, after mark, n int) (marks []mark, end bool, err error) {
	by := redis.ZRangeBy{Count: int64(n) + 1} // one more than asked for tells whether there are more
	by.Min, by.Max = w.bounds()
	read := s.client.ZRevRangeByScoreWithScores
	switch at := strconv.FormatInt(after.score, 10); {
	case w.oldestFirst:
		read = s.client.ZRangeByScoreWithScores
		if after.member != "" && after.score > w.from {
			by.Min = at
		}
	case after.member != "" && (w.to <= 0 || after.score < w.to):
		by.Max = at
	}
	for ; ; by.Offset += by.Count {
		found, err := read(ctx, key, &by).Result()
		if err != nil {
			return nil, false, err
		}
		for _, z := range found {
			if m := (mark{int64(z.Score), text(z.Member)}); w.after(m, after) {
				marks = append(marks, m)
			}
		}
		end = len(found) <= n
		marks = marks[:min(len(marks), n)]
		// A chunk of nothing but entries of the same millisecond that came before: go on behind them.
		if end || len(marks) > 0 {
			return marks, end, nil
		}
	}
}

// recordsOf reads the stored records of index entries in one round trip, "" where there is none or where the filter
// already excludes the event.
func (s *Store) recordsOf(ctx context.Context, f DeliveryFilter, marks []mark) ([]string, error) {
	records := make([]string, len(marks))
	type wanted struct {
		fields []string
		at     []int
	}
	byWebhook := map[string]*wanted{}
	for i, m := range marks {
		webhook, event, fits := f.names(m)
		if !fits {
			continue
		}
		w := byWebhook[webhook]
		if w == nil {
			w = &wanted{}
			byWebhook[webhook] = w
		}
		w.fields, w.at = append(w.fields, event), append(w.at, i)
	}
	if len(byWebhook) == 0 {
		return records, nil
	}
	pipe := s.client.Pipeline()
	replies := make(map[string]*redis.SliceCmd, len(byWebhook))
	for webhook, w := range byWebhook {
		replies[webhook] = pipe.HMGet(ctx, s.keys.records(webhook), w.fields...)
	}
	cmds, err := pipe.Exec(ctx)
	if err := failure(cmds, err); err != nil {
		return nil, err
	}
	for webhook, w := range byWebhook {
		for j, value := range replies[webhook].Val() {
			records[w.at[j]] = text(value)
		}
	}
	return records, nil
}

// splitRecord takes a stored record apart: "<attempts>|<state>|<updated ms>|<JSON>", the time with an "r" when reopened.
func splitRecord(stored string) (state holdfast.DeliveryState, encoded string) {
	parts := strings.SplitN(stored, "|", 4)
	if len(parts) < 4 {
		return "", ""
	}
	return holdfast.DeliveryState(parts[1]), parts[3]
}

func decodeDelivery(encoded string) (*holdfast.Delivery, error) {
	d := &holdfast.Delivery{}
	if err := json.Unmarshal([]byte(encoded), d); err != nil {
		return nil, err
	}
	return d, nil
}

// maxPageToken is more than the longest ids allow.
const maxPageToken = 1024

func (m mark) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(m.score, 10) + ":" + m.member))
}

func parsePageToken(token string, global bool) (mark, error) {
	if token == "" {
		return mark{}, nil
	}
	invalid := holdfast.Invalid([]holdfast.Violation{{Field: "pageToken", Description: "is not a token of this list"}})
	if len(token) > maxPageToken {
		return mark{}, invalid
	}
	decoded, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return mark{}, invalid
	}
	score, member, _ := strings.Cut(string(decoded), ":")
	n, err := strconv.ParseInt(score, 10, 64)
	if err != nil || n < 0 || member == "" || strings.Contains(member, "/") != global {
		return mark{}, invalid
	}
	return mark{n, member}, nil
}
