package redisstore

import (
	"context"
	"crypto/rand"

	holdfast "github.com/emprops/holdfast"
)

// MarkComplete says that the registry of this incarnation has every webhook there is: from then on, what it lacks is gone
// and nodes drop it. "" is the incarnation of a Redis that holds none yet, as after an installation. It is a change with
// a revision. Marking again is harmless. CodeAborted when it is another incarnation by now: Redis was wiped or restored
// meanwhile, and nothing is known of what it has now; CodeUnavailable.
func (s *Store) MarkComplete(ctx context.Context, incarnation string) error {
	ok, err := s.mark(ctx, "complete", incarnation, "")
	if err == nil && !ok {
		return holdfast.Errorf(holdfast.CodeAborted, "the registry was wiped or restored meanwhile")
	}
	return err
}

// MarkIncomplete begins a new incarnation of the registry, which is not complete: from then on nodes keep what they have
// and it lacks. A registry that is not complete stays as it is. The reason is kept for people who look into Redis. It is
// a change with a revision. CodeUnavailable.
func (s *Store) MarkIncomplete(ctx context.Context, reason string) error {
	_, err := s.mark(ctx, "incomplete", "*", reason)
	return err
}

// Distrust is MarkIncomplete for somebody who has found that this incarnation was restored from a backup. Of many who
// find it one begins the new incarnation; for the others nothing happens. CodeUnavailable.
func (s *Store) Distrust(ctx context.Context, incarnation, reason string) error {
	_, err := s.mark(ctx, "incomplete", incarnation, reason)
	return err
}

func (s *Store) mark(ctx context.Context, as, incarnation, reason string) (ok bool, err error) {
	marked, err := markScript.Run(ctx, s.client, s.keys.forMark(),
		as, incarnation, rand.Text(), s.opts.Limits.Changes, reason).Int()
	return marked == 1, unavailable("marking the registry's incarnation", err)
}
