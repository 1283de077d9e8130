package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	holdfast "github.com/emprops/holdfast"
)

// claimMark begins every claim; a mark is JSON and begins with a brace.
const claimMark = "claim:"

// EventMark says what became of an event, so that a repeated one is recognised. Claimed means that somebody is starting
// it just now and there is no outcome yet: only EventID is set then.
type EventMark struct {
	EventID    string   `json:"event_id"`
	Claimed    bool     `json:"-"`
	WorkflowID string   `json:"workflow_id"`
	RunID      string   `json:"run_id"`
	WebhookIDs []string `json:"webhook_ids"`
	CreatedAt  int64    `json:"created_at"` // ms
}

// BeginEvents reads the registry's position and claims events, in one round trip. Where the result is nil the claim is
// the caller's: it starts the event and then calls SettleEvents or ReleaseEvents; a claim that is never settled ends by
// itself after Options.ClaimTTL. Where it is not, the event was begun before. With no ids it reads the position only.
// CodeUnavailable; then claims may have been made and end by themselves.
func (s *Store) BeginEvents(ctx context.Context, ids []string) (Position, []*EventMark, error) {
	// The token is the call's own: a client that repeats a pipeline whose answer got lost finds its own claim.
	token := s.claim + rand.Text()
	pipe := s.client.Pipeline()
	at := pipe.MGet(ctx, s.keys.forPosition()...)
	claims := make([]*redis.StatusCmd, len(ids))
	for i, id := range ids {
		claims[i] = pipe.SetArgs(ctx, s.keys.event(id), token, redis.SetArgs{Mode: "NX", Get: true, TTL: s.opts.ClaimTTL})
	}
	cmds, err := pipe.Exec(ctx)
	if err := failure(cmds, err); err != nil {
		return Position{}, nil, unavailable("claiming events", err)
	}
	marks := make([]*EventMark, len(ids))
	own := map[string]bool{}
	for i, claim := range claims {
		switch found := claim.Val(); {
		case claim.Err() != nil: // the nil reply: there was nothing
			own[ids[i]] = true
		case found == token && !own[ids[i]]: // ours, from a repeated pipeline; the same id twice in ids is not
			own[ids[i]] = true
		default:
			marks[i] = decodeMark(ids[i], found)
		}
	}
	values := at.Val()
	return position(text(values[0]), text(values[1]), text(values[2])), marks, nil
}

// decodeMark reads a mark. One that cannot be read is taken for a claim: it says that the event was begun, not how.
func decodeMark(id, stored string) *EventMark {
	m := &EventMark{EventID: id}
	if strings.HasPrefix(stored, claimMark) || json.Unmarshal([]byte(stored), m) != nil {
		return &EventMark{EventID: id, Claimed: true}
	}
	m.EventID = id
	return m
}

// SettleEvents stores what became of events in place of their claims, for Options.MarkTTL. CodeUnavailable.
func (s *Store) SettleEvents(ctx context.Context, marks []EventMark) error {
	if len(marks) == 0 {
		return nil
	}
	pipe := s.client.Pipeline()
	for i := range marks {
		encoded, err := marshal(&marks[i])
		if err != nil {
			return holdfast.Wrap(holdfast.CodeInternal, fmt.Errorf("event %s: %w", marks[i].EventID, err), "the mark cannot be encoded")
		}
		pipe.Set(ctx, s.keys.event(marks[i].EventID), encoded, s.opts.MarkTTL)
	}
	cmds, err := pipe.Exec(ctx)
	return unavailable("settling events", failure(cmds, err))
}

// ReleaseEvents takes claims back that this Store made, so that the events can be begun again at once. Marks and the
// claims of others, who may have taken over after ours ended, stay. CodeUnavailable.
func (s *Store) ReleaseEvents(ctx context.Context, ids []string) error {
	calls := make([]call, len(ids))
	for i, id := range ids {
		calls[i] = call{keys: []string{s.keys.event(id)}, args: []any{s.claim}}
	}
	_, err := s.pipeline(ctx, releaseScript, calls)
	return unavailable("releasing events", err)
}

// EventMark reads what became of an event. CodeNotFound when it is unknown or too long ago; CodeUnavailable.
func (s *Store) EventMark(ctx context.Context, id string) (*EventMark, error) {
	stored, err := s.client.Get(ctx, s.keys.event(id)).Result()
	if errors.Is(err, redis.Nil) {
		return nil, holdfast.Errorf(holdfast.CodeNotFound, "event %q is not known", id)
	}
	if err != nil {
		return nil, unavailable("reading an event's mark", err)
	}
	return decodeMark(id, stored), nil
}
