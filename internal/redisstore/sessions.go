package redisstore

import (
	"context"
	_ "embed" // for the Lua source
	"time"

	"github.com/redis/go-redis/v9"

	holdfast "github.com/emprops/holdfast"
)

// The bounds of monitor sessions (CONTRACT 6.2, D54). At most 400 MiB of Redis hold what visitors send to them.
const (
	maxSessions     = 100
	maxSessionBytes = 4 << 20       // of the requests of one; the newest is kept whatever its size
	sessionTTL      = 1 * time.Hour // after the newest request
)

var (
	//go:embed lua/add_session_request.lua
	addSessionRequestSource string

	addSessionRequestScript = redis.NewScript(addSessionRequestSource)
)

// AddSessionRequest keeps a request of a monitor session. A session begins with its first request and ends an hour after
// its newest; the session used least recently makes room for one too many. CodeUnavailable.
func (s *Store) AddSessionRequest(ctx context.Context, id string, r ReceivedRequest) error {
	encoded, err := marshal(r)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the request cannot be encoded")
	}
	for {
		oldest, err := s.client.ZRange(ctx, s.keys.sessions(), 0, 0).Result()
		if err != nil {
			return unavailable("keeping a request of a session", err)
		}
		victim := id
		if len(oldest) > 0 {
			victim = oldest[0]
		}
		added, err := addSessionRequestScript.Run(ctx, s.client, s.keys.forAddSessionRequest(id, victim), id, encoded,
			s.opts.Limits.ReceivedRequests, maxSessionBytes, sessionTTL.Milliseconds(), maxSessions, victim).Int()
		if err != nil {
			return unavailable("keeping a request of a session", err)
		}
		if added == 1 {
			return nil
		}
	}
}

// SessionRequests reads the requests of a monitor session, newest first: limit of them, or all that are kept when limit is
// not positive; total is how many are kept. None of a session there is not. CodeUnavailable.
func (s *Store) SessionRequests(ctx context.Context, id string, limit int) (requests []ReceivedRequest, total int64, err error) {
	total, err = s.client.LLen(ctx, s.keys.sessionRequests(id)).Result()
	if err != nil {
		return nil, 0, unavailable("reading the requests of a session", err)
	}
	requests, err = list[ReceivedRequest](ctx, s, "reading the requests of a session", s.keys.sessionRequests(id), limit)
	return requests, total, err
}

// ClearSessionRequests ends a monitor session and tells how many requests it had. CodeUnavailable.
func (s *Store) ClearSessionRequests(ctx context.Context, id string) (int64, error) {
	var count *redis.IntCmd
	cmds, err := s.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		count = p.LLen(ctx, s.keys.sessionRequests(id))
		p.Del(ctx, s.keys.sessionRequests(id))
		p.ZRem(ctx, s.keys.sessions(), id)
		return nil
	})
	if err := failure(cmds, err); err != nil {
		return 0, unavailable("clearing the requests of a session", err)
	}
	return count.Val(), nil
}
