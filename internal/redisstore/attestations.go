package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	holdfast "github.com/emprops/holdfast"
)

// The patterns of the keys under which the job broker and its workers attest the outcome of a workflow, before anybody is
// told of it (CONTRACT 5.2). The keys have no lifetime.
const (
	CompletionAttestations           = "api:workflow:completion:*"
	FailureAttestations              = "api:workflow:failure:*"
	WorkersFailureAttestations       = "workflow:failure:*:permanent"
	attestationsPerScan              = 1000
	maxAttestationBytes        int64 = 1 << 20
)

// Attestations calls visit with the keys that match the pattern, a page at a time; a key may come twice. It passes over all
// keys of the database, without keeping Redis busy. An error of visit ends it. CodeUnavailable.
func (s *Store) Attestations(ctx context.Context, pattern string, visit func(ctx context.Context, keys []string) error) error {
	scan := func(ctx context.Context, c *redis.Client) error {
		for cursor := uint64(0); ; {
			keys, next, err := c.ScanType(ctx, cursor, pattern, attestationsPerScan, "string").Result()
			if err != nil {
				return unavailable("looking for attestations", err)
			}
			if len(keys) > 0 {
				if err := visit(ctx, keys); err != nil {
					return err
				}
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	switch c := s.client.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, scan)
	case *redis.Client:
		return scan(ctx, c)
	}
	return holdfast.Errorf(holdfast.CodeInternal, "the keys of a %T cannot be passed over", s.client)
}

// Attestation reads one; "" when it is gone, or longer than one may be. CodeUnavailable.
func (s *Store) Attestation(ctx context.Context, key string) (string, error) {
	text, err := s.client.GetRange(ctx, key, 0, maxAttestationBytes).Result()
	if err != nil || int64(len(text)) > maxAttestationBytes {
		return "", unavailable("reading an attestation", err)
	}
	return text, nil
}

// LeaseRecovery lets one node at a time look for what was missed: true for the first that asks, until the time is over.
// CodeUnavailable.
func (s *Store) LeaseRecovery(ctx context.Context, node string, length time.Duration) (bool, error) {
	ours, err := s.client.SetNX(ctx, s.keys.recovery(), node, length).Result()
	return ours, unavailable("leasing the recovery", err)
}
