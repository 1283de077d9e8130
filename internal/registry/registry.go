package registry

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// Source is where the registry is kept.
type Source interface {
	// Position is one cheap read; the zero Position means that there is no registry. CodeUnavailable when it fails.
	Position(ctx context.Context) (Position, error)
	// Changes returns what brings a snapshot at revision since up to date; everything when since is 0.
	Changes(ctx context.Context, since int64) (Feed, error)
}

// Registry keeps a node's snapshot of the registry. Make it with New.
type Registry struct {
	source   Source
	digestOf DigestOf
	logger   *zap.Logger
	timeout  time.Duration

	snapshot atomic.Pointer[Snapshot]
	degraded atomic.Pointer[string]
	refresh  sync.Mutex // one refresh at a time; whoever waits finds it done
}

// New returns a registry with nothing loaded. timeout bounds each read of the source.
func New(source Source, digestOf DigestOf, timeout time.Duration, logger *zap.Logger) *Registry {
	return &Registry{source: source, digestOf: digestOf, timeout: timeout, logger: logger}
}

// Snapshot returns the current snapshot; CodeUnavailable before the first verified load.
func (r *Registry) Snapshot() (*Snapshot, error) {
	s := r.snapshot.Load()
	if s == nil {
		return nil, holdfast.Errorf(holdfast.CodeUnavailable, "the webhook registry is not loaded yet")
	}
	return s, nil
}

// Webhook returns a webhook from the snapshot. CodeNotFound when the snapshot does not hold it.
func (r *Registry) Webhook(id string) (*holdfast.Webhook, error) {
	s, err := r.Snapshot()
	if err != nil {
		return nil, err
	}
	if w := s.Webhook(id); w != nil {
		return w, nil
	}
	return nil, holdfast.Errorf(holdfast.CodeNotFound, "there is no webhook %q", id)
}

// Degraded returns why the snapshot may be behind, or "" when it was found current at the last look.
func (r *Registry) Degraded() string {
	if why := r.degraded.Load(); why != nil {
		return *why
	}
	return ""
}

// Current compares the snapshot with the source and refreshes it when it is behind. On an error the last good snapshot
// stays in use and the registry counts as degraded.
func (r *Registry) Current(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	position, err := r.source.Position(ctx)
	if err != nil {
		return r.degrade("storage is unavailable", err)
	}
	return r.CurrentAt(ctx, position)
}

// CurrentAt is Current for a caller that has read the source's position already.
func (r *Registry) CurrentAt(ctx context.Context, position Position) error {
	if s := r.snapshot.Load(); s != nil && s.position == position {
		r.degraded.Store(nil)
		return nil
	}
	return r.advance(ctx, position)
}

// Refresh brings the snapshot to at least the revision, verified, and returns its position.
func (r *Registry) Refresh(ctx context.Context, atLeast int64) (revision int64, digest string, count int, err error) {
	err = r.Current(ctx)
	s := r.snapshot.Load()
	if s == nil {
		return 0, "", 0, err
	}
	if err == nil && s.position.Revision < atLeast {
		err = holdfast.Errorf(holdfast.CodeUnavailable, "storage is at revision %d, not yet at %d", s.position.Revision, atLeast)
	}
	return s.position.Revision, s.position.Digest, s.Len(), err
}

const wentBack = "the registry in storage went back; it was wiped or restored"

// advance refreshes to the wanted position or past it.
func (r *Registry) advance(ctx context.Context, want Position) error {
	r.refresh.Lock()
	defer r.refresh.Unlock()
	old := r.snapshot.Load()
	if old != nil && old.position.Revision > want.Revision {
		// Either another call refreshed after this one read its position, or the registry really went back.
		var err error
		if want, err = r.source.Position(ctx); err != nil {
			return r.degrade("storage is unavailable", err)
		}
		if want.Revision < old.position.Revision {
			// Wiped or restored. Emptying the snapshot would lose webhooks that are still registered, so the last good
			// state stays until the registrations have been written again (G5).
			return r.degrade(wentBack, nil)
		}
	}
	if old != nil && old.position == want {
		r.degraded.Store(nil)
		return nil
	}
	since := int64(0)
	if old != nil {
		since = old.position.Revision
	}
	next, err := r.load(ctx, old, since)
	if err != nil {
		return r.degrade("storage is unavailable", err)
	}
	if old != nil && next.position.Revision < old.position.Revision { // wiped after the look at its position
		return r.degrade(wentBack, nil)
	}
	r.snapshot.Store(next)
	r.degraded.Store(nil)
	return nil
}

// load applies the changes since a revision and verifies the result; a mismatch is answered by a full load.
func (r *Registry) load(ctx context.Context, old *Snapshot, since int64) (*Snapshot, error) {
	feed, err := r.source.Changes(ctx, since)
	if err != nil {
		return nil, err
	}
	if old == nil {
		old = &Snapshot{}
	}
	next := old.apply(feed, r.digestOf)
	for id, why := range feed.Poisoned {
		r.logger.Warn("a stored webhook cannot be read and is left out", zap.String("webhook_id", id), zap.Error(why))
	}
	if feed.Full && len(next.poisoned) == 0 && (next.unread != 0 || next.unreadDigest != 0) {
		// The stored digest itself is off: someone wrote around the scripts. The entries are what counts.
		r.logger.Warn("the stored registry digest does not match the entries", zap.Int64("revision", feed.Position.Revision))
	}
	if next.verified() {
		return next, nil
	}
	r.logger.Warn("registry snapshot does not match the stored digest; loading it anew", zap.Int64("revision", feed.Position.Revision))
	return r.load(ctx, nil, 0)
}

// Unreachable notes that the source cannot be read, as a caller has found.
func (r *Registry) Unreachable(cause error) { _ = r.degrade("storage is unavailable", cause) }

func (r *Registry) degrade(why string, cause error) error {
	if r.degraded.Swap(&why) == nil {
		r.logger.Warn("webhook registry is degraded: matching on the last good snapshot", zap.String("reason", why), zap.Error(cause))
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, cause, "%s", why)
}
