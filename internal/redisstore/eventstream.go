package redisstore

import (
	"context"
	_ "embed" // for the Lua sources
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// StreamEntry is an entry of the stream of events.
type StreamEntry struct {
	ID     string
	Fields map[string]string
}

const (
	// streamGroup is the consumer group that all nodes share.
	streamGroup = "holdfast"
	// refusedKept and refusedBytes bound what is kept of refused entries: how many, and of each field.
	refusedKept, refusedBytes = 1000, 16 << 10
)

var (
	//go:embed lua/take_entries.lua
	takeEntriesSource string
	//go:embed lua/refuse_entry.lua
	refuseEntrySource string
	//go:embed lua/tidy_consumers.lua
	tidyConsumersSource string

	takeEntriesScript   = redis.NewScript(takeEntriesSource)
	refuseEntryScript   = redis.NewScript(refuseEntrySource)
	tidyConsumersScript = redis.NewScript(tidyConsumersSource)
)

// ReadEntries hands out entries that nobody has, at most count, and waits a while for the first. They are the consumer's
// until TakeEntries or RefuseEntry, or until another claims them. The stream and its group are made when they are missing,
// which hands out what was added before. CodeUnavailable.
func (s *Store) ReadEntries(ctx context.Context, consumer string, count int, wait time.Duration) ([]StreamEntry, error) {
	read := func() ([]redis.XStream, error) {
		return s.client.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: streamGroup, Consumer: consumer, Streams: []string{s.keys.eventStream(), ">"}, Count: int64(count), Block: wait,
		}).Result()
	}
	streams, err := read()
	if missing(err) {
		if err = s.makeStream(ctx); err == nil {
			streams, err = read()
		}
	}
	if errors.Is(err, redis.Nil) || err == nil && len(streams) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable("reading the stream of events", err)
	}
	return entries(streams[0].Messages), nil
}

// ClaimEntries takes over, at most count, entries that other consumers have had for longer than idle: they died, or cannot
// get rid of them. CodeUnavailable.
func (s *Store) ClaimEntries(ctx context.Context, consumer string, count int, idle time.Duration) ([]StreamEntry, error) {
	for from := "0-0"; ; {
		messages, next, err := s.client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
			Stream: s.keys.eventStream(), Group: streamGroup, Consumer: consumer, MinIdle: idle, Start: from, Count: int64(count),
		}).Result()
		switch {
		case missing(err):
			return nil, nil
		case err != nil:
			return nil, unavailable("claiming entries of the stream of events", err)
		case len(messages) > 0 || next == "0-0":
			return entries(messages), nil
		}
		from = next // one call looks at no more than ten times as many as it may return
	}
}

// TakeEntries takes entries off the stream for good. CodeUnavailable.
func (s *Store) TakeEntries(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	args := []any{streamGroup}
	for _, id := range ids {
		args = append(args, id)
	}
	return unavailable("taking entries off the stream of events",
		takeEntriesScript.Run(ctx, s.client, []string{s.keys.eventStream()}, args...).Err())
}

// RefuseEntry moves an entry to the stream of those that can never be accepted, of which the last 1,000 are kept, with its
// reason and the beginnings of the fields named. CodeUnavailable.
func (s *Store) RefuseEntry(ctx context.Context, id, reason string, fields ...string) error {
	args := []any{streamGroup, id, reason, refusedKept, refusedBytes}
	for _, f := range fields {
		args = append(args, f)
	}
	keys := []string{s.keys.eventStream(), s.keys.refusedEvents()}
	return unavailable("refusing an entry of the stream of events",
		refuseEntryScript.Run(ctx, s.client, keys, args...).Err())
}

// TidyConsumers forgets consumers that were not heard of for longer than idle and hold no entries. CodeUnavailable.
func (s *Store) TidyConsumers(ctx context.Context, idle time.Duration) error {
	err := tidyConsumersScript.Run(ctx, s.client, []string{s.keys.eventStream()}, streamGroup, idle.Milliseconds()).Err()
	if missing(err) {
		return nil
	}
	return unavailable("tidying the consumers of the stream of events", err)
}

func (s *Store) makeStream(ctx context.Context) error {
	err := s.client.XGroupCreateMkStream(ctx, s.keys.eventStream(), streamGroup, "0").Err()
	if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return nil // another node was faster
	}
	return err
}

// missing tells that there is no stream, or no group on it.
func missing(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "NOGROUP") || strings.Contains(err.Error(), "no such key"))
}

func entries(messages []redis.XMessage) []StreamEntry {
	out := make([]StreamEntry, 0, len(messages))
	for _, m := range messages {
		e := StreamEntry{ID: m.ID, Fields: make(map[string]string, len(m.Values))}
		for k, v := range m.Values {
			e.Fields[k], _ = v.(string)
		}
		out = append(out, e)
	}
	return out
}
