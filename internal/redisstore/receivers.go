package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	holdfast "github.com/emprops/holdfast"
)

// Receiver is a place that keeps the requests sent to it, for trying webhooks out (CONTRACT 6.1).
type Receiver struct {
	ID                   string
	CreatedAt, ExpiresAt int64 // ms; use does not move the end
	RequestCount         int64 // of those kept
}

// ReceivedRequest is one request to a receiver, its body byte for byte.
type ReceivedRequest struct {
	ID         string              `json:"id"`
	Time       int64               `json:"timestamp"` // ms
	Method     string              `json:"method"`
	Headers    map[string][]string `json:"headers"`
	Body       []byte              `json:"body"` // base64 in JSON
	Query      string              `json:"query"`
	RemoteAddr string              `json:"ip"`
}

// storedReceiver is the original's JSON. Its requests are in a list of their own here (D52); the empty array keeps the
// original's code working on the same data.
type storedReceiver struct {
	ID        string            `json:"id"`
	CreatedAt int64             `json:"created_at"`
	ExpiresAt int64             `json:"expires_at"`
	Requests  []json.RawMessage `json:"requests"`
}

// CreateReceiver creates a receiver. Creating one that exists returns it unchanged. Expired ones make room first; at the
// limit the error is CodeExhausted (D53). CodeUnavailable.
func (s *Store) CreateReceiver(ctx context.Context, id string) (Receiver, error) {
	listed, err := s.client.SMembers(ctx, s.keys.receivers()).Result()
	if err != nil {
		return Receiver{}, unavailable("creating a receiver", err)
	}
	now := time.Now()
	encoded, err := marshal(storedReceiver{
		ID: id, CreatedAt: now.UnixMilli(), ExpiresAt: now.Add(s.opts.ReceiverTTL).UnixMilli(), Requests: []json.RawMessage{},
	})
	if err != nil {
		return Receiver{}, holdfast.Wrap(holdfast.CodeInternal, err, "the receiver cannot be encoded")
	}
	args := []any{id, encoded, s.opts.ReceiverTTL.Milliseconds(), s.opts.Limits.Receivers}
	for _, other := range listed {
		args = append(args, other)
	}
	values, err := createReceiverScript.Run(ctx, s.client, s.keys.forCreateReceiver(id, listed), args...).Slice()
	if err != nil {
		return Receiver{}, unavailable("creating a receiver", err)
	}
	if len(values) == 0 {
		return Receiver{}, holdfast.Errorf(holdfast.CodeExhausted,
			"there are %d test receivers already; delete one or wait for one to expire", s.opts.Limits.Receivers)
	}
	return decodeReceiver(id, text(values[0]), 0), nil
}

// Receiver reads a receiver. CodeNotFound when there is none or it has expired; CodeUnavailable.
func (s *Store) Receiver(ctx context.Context, id string) (Receiver, error) {
	found, err := s.readReceivers(ctx, []string{id})
	if err != nil {
		return Receiver{}, unavailable("reading a receiver", err)
	}
	if len(found) == 0 {
		return Receiver{}, noReceiver(id)
	}
	return found[0], nil
}

// Receivers lists the receivers, newest first. CodeUnavailable.
func (s *Store) Receivers(ctx context.Context) ([]Receiver, error) {
	ids, err := s.client.SMembers(ctx, s.keys.receivers()).Result()
	if err != nil {
		return nil, unavailable("listing receivers", err)
	}
	found, err := s.readReceivers(ctx, ids)
	if err != nil {
		return nil, unavailable("listing receivers", err)
	}
	slices.SortFunc(found, func(a, b Receiver) int {
		if a.CreatedAt != b.CreatedAt {
			return int(b.CreatedAt - a.CreatedAt)
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found, nil
}

// readReceivers reads those of the receivers that exist.
func (s *Store) readReceivers(ctx context.Context, ids []string) ([]Receiver, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pipe := s.client.Pipeline()
	stored, counts := make([]*redis.StringCmd, len(ids)), make([]*redis.IntCmd, len(ids))
	for i, id := range ids {
		stored[i] = pipe.Get(ctx, s.keys.receiver(id))
		counts[i] = pipe.LLen(ctx, s.keys.requests(id))
	}
	cmds, err := pipe.Exec(ctx)
	if err := failure(cmds, err); err != nil {
		return nil, err
	}
	var found []Receiver
	for i, id := range ids {
		if stored[i].Err() == nil {
			found = append(found, decodeReceiver(id, stored[i].Val(), counts[i].Val()))
		}
	}
	return found, nil
}

// decodeReceiver reads what can be read: a receiver exists through its key.
func decodeReceiver(id, encoded string, requests int64) Receiver {
	var r storedReceiver
	_ = json.Unmarshal([]byte(encoded), &r)
	return Receiver{ID: id, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, RequestCount: requests}
}

// DeleteReceiver deletes a receiver with its requests (D53). CodeNotFound; CodeUnavailable.
func (s *Store) DeleteReceiver(ctx context.Context, id string) error {
	var deleted *redis.IntCmd
	cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		deleted = p.Del(ctx, s.keys.receiver(id))
		p.Del(ctx, s.keys.requests(id))
		p.SRem(ctx, s.keys.receivers(), id)
		return nil
	})
	if err := failure(cmds, err); err != nil {
		return unavailable("deleting a receiver", err)
	}
	if deleted.Val() == 0 {
		return noReceiver(id)
	}
	return nil
}

// AddReceivedRequest keeps a request; the newest ones are kept (D52). Adding the same one again changes nothing.
// CodeNotFound when there is no such receiver or it has expired; CodeUnavailable.
func (s *Store) AddReceivedRequest(ctx context.Context, receiverID string, r ReceivedRequest) error {
	encoded, err := marshal(r)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the request cannot be encoded")
	}
	found, err := addRequestScript.Run(ctx, s.client, s.keys.forAddRequest(receiverID), encoded, s.opts.Limits.ReceivedRequests).Int()
	if err != nil {
		return unavailable("keeping a request", err)
	}
	if found == 0 {
		return noReceiver(receiverID)
	}
	return nil
}

// ReceivedRequests reads the requests of a receiver, newest first: limit of them, or all that are kept when limit is not
// positive. Entries that cannot be read are left out. CodeNotFound; CodeUnavailable.
func (s *Store) ReceivedRequests(ctx context.Context, receiverID string, limit int) ([]ReceivedRequest, error) {
	if err := s.client.Get(ctx, s.keys.receiver(receiverID)).Err(); errors.Is(err, redis.Nil) {
		return nil, noReceiver(receiverID)
	} else if err != nil {
		return nil, unavailable("reading received requests", err)
	}
	return list[ReceivedRequest](ctx, s, "reading received requests", s.keys.requests(receiverID), limit)
}

// ClearReceivedRequests deletes the requests of a receiver and tells how many there were. CodeNotFound; CodeUnavailable.
func (s *Store) ClearReceivedRequests(ctx context.Context, receiverID string) (int64, error) {
	var receiver *redis.StringCmd
	var count *redis.IntCmd
	cmds, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		receiver = p.Get(ctx, s.keys.receiver(receiverID))
		count = p.LLen(ctx, s.keys.requests(receiverID))
		p.Del(ctx, s.keys.requests(receiverID))
		return nil
	})
	if err := failure(cmds, err); err != nil {
		return 0, unavailable("clearing received requests", err)
	}
	if receiver.Err() != nil {
		return 0, noReceiver(receiverID)
	}
	return count.Val(), nil
}

func noReceiver(id string) error {
	return holdfast.Errorf(holdfast.CodeNotFound, "test receiver %q does not exist or has expired", id)
}
