package redisstore

import (
	"context"
	"crypto/sha256"
	_ "embed" // for the Lua source
	"encoding/hex"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/since.lua
	sinceSource string
	sinceScript = redis.NewScript(sinceSource)
)

// Since tells since when, in ms, a subject is in a state, by what all nodes have said: at, when that is news to them. A
// state that was seen before the present one began changes nothing. What nobody asks about for as long as keep is
// forgotten. CodeUnavailable.
func (s *Store) Since(ctx context.Context, subject, state string, at int64, keep time.Duration) (since int64, err error) {
	since, err = sinceScript.Run(ctx, s.client, []string{s.keys.state(digest(subject))}, digest(state), at, keep.Milliseconds()).Int64()
	return since, unavailable("agreeing with the other nodes", err)
}

// digest makes a short text of one of any length and content.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// BrokerJob returns those of the fields that the job broker's hash of a job has (CONTRACT 5.2); none when it has no such
// job. Nothing is ever written there. CodeUnavailable.
func (s *Store) BrokerJob(ctx context.Context, id string, fields ...string) (map[string]string, error) {
	values, err := s.client.HMGet(ctx, brokerJob(id), fields...).Result()
	if err != nil {
		return nil, unavailable("reading a job", err)
	}
	found := map[string]string{}
	for i, value := range values {
		if text, ok := value.(string); ok {
			found[fields[i]] = text
		}
	}
	return found, nil
}
