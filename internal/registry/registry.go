package registry

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventfilter"
)

// Source is where the registry is kept. What fails has CodeUnavailable.
type Source interface {
	// Position is one cheap read; the zero Position means that there is no registry.
	Position(ctx context.Context) (Position, error)
	// Changes returns what brings a snapshot at revision since up to date, which is everything when since is 0.
	Changes(ctx context.Context, since int64) (Feed, error)
	// Everything returns everything for a snapshot at revision since, or that since is foreign.
	Everything(ctx context.Context, since int64) (Feed, error)
	// Distrust begins a new incarnation of the registry, not complete, in place of one that was restored from a backup. It
	// does nothing when another incarnation is there.
	Distrust(ctx context.Context, incarnation, reason string) error
}

// Options configure a Registry. The functions say how the source computes its digest and are required, but for Compile.
type Options struct {
	// DigestOf is a webhook's part of the digest, which is the exclusive or of all parts.
	DigestOf func(id string, revision int64) uint64
	// ParseDigest reads a digest as Position has it.
	ParseDigest func(text string) uint64
	// Compile makes a filter expression ready to be asked. A webhook whose expression it refuses is poisoned. All filters
	// that an event meets look at one view of it, which decodes its data once.
	Compile func(expression string) (func(*eventfilter.View) bool, error)

	Timeout     time.Duration // of a look at the position; default 3 s
	LoadTimeout time.Duration // of a refresh; default 2 min
}

// Registry keeps a node's snapshot of the registry. Make it with New.
//
// A snapshot never loses a webhook because the source did: it was wiped, restored from a backup, or cannot be read. The
// registry in the source has an incarnation, which is complete once everything that was ever registered is known to be in
// it. While it is not, the snapshot keeps what it has and the source lacks, except what is removed explicitly.
type Registry struct {
	source Source
	opts   Options
	logger *zap.Logger

	snapshot atomic.Pointer[Snapshot]
	degraded atomic.Pointer[string]

	mu     sync.Mutex
	flight *flight // the refresh under way
}

// New returns a registry with nothing loaded.
func New(source Source, opts Options, logger *zap.Logger) *Registry {
	opts.Timeout = cmp.Or(opts.Timeout, 3*time.Second)
	opts.LoadTimeout = cmp.Or(opts.LoadTimeout, 2*time.Minute)
	return &Registry{source: source, opts: opts, logger: logger}
}

// Snapshot returns the current snapshot; CodeUnavailable before the first verified load.
func (r *Registry) Snapshot() (*Snapshot, error) {
	s := r.snapshot.Load()
	if s == nil {
		return nil, holdfast.Errorf(holdfast.CodeUnavailable, "the webhook registry is not loaded yet")
	}
	return s, nil
}

// Matchable is Snapshot for matching events: CodeUnavailable also while the only registry this node has ever seen is one
// that lacks webhooks, after a wipe, so that no event misses one (G2, D5).
func (r *Registry) Matchable() (*Snapshot, error) {
	s, err := r.Snapshot()
	if err == nil && !s.Whole() {
		err = holdfast.Errorf(holdfast.CodeUnavailable, "the webhook registry is being rebuilt")
	}
	return s, err
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

// Why a snapshot may not be what the registry should be.
const (
	unreachable = "storage is unavailable"
	slow        = "a refresh takes longer than an event can wait"
	wiped       = "the registry in storage was wiped"
	rebuilding  = "the registry is being rebuilt"
)

// Degraded returns why the snapshot may be behind or lack webhooks, or "" when it was found current and complete at the
// last look.
func (r *Registry) Degraded() string {
	if why := r.degraded.Load(); why != nil {
		return *why
	}
	return ""
}

// Incomplete tells whether the registry in the source is known to lack webhooks: it was wiped or restored, and has not been
// filled again.
func (r *Registry) Incomplete() bool {
	switch r.Degraded() {
	case "", unreachable:
		return false
	}
	return true
}

// NotReady returns why a node should not be asked to match events (D5), or "" when it should: its snapshot is loaded,
// current and complete.
func (r *Registry) NotReady() string {
	if r.snapshot.Load() == nil {
		return "not loaded"
	}
	if why := r.Degraded(); why != "" {
		return "degraded: " + why
	}
	return ""
}

// Current compares the snapshot with the source and refreshes it when it is behind. On an error the last good snapshot
// stays in use and the registry counts as degraded. A snapshot of a registry that is being rebuilt is current.
func (r *Registry) Current(ctx context.Context) error {
	position, err := r.position(ctx)
	if err != nil {
		return r.degrade(unreachable, err)
	}
	return r.CurrentAt(ctx, position)
}

// CurrentAt is Current for a caller that has read the source's position already.
func (r *Registry) CurrentAt(ctx context.Context, position Position) error {
	if s := r.snapshot.Load(); s != nil && s.position == position {
		r.settle(s)
		return nil
	}
	return r.refresh(ctx, position, false)
}

// Refresh brings the snapshot to at least the revision, verified, and returns its position.
func (r *Registry) Refresh(ctx context.Context, atLeast int64) (revision int64, digest string, count int, err error) {
	return r.report(atLeast, r.Current(ctx))
}

// Rebuild is Refresh with everything read anew.
func (r *Registry) Rebuild(ctx context.Context) (revision int64, digest string, count int, err error) {
	return r.report(0, r.refresh(ctx, Position{}, true))
}

func (r *Registry) report(atLeast int64, err error) (int64, string, int, error) {
	s := r.snapshot.Load()
	if s == nil {
		return 0, "", 0, err
	}
	if err == nil && s.position.Revision < atLeast {
		err = holdfast.Errorf(holdfast.CodeUnavailable, "storage is at revision %d, not yet at %d", s.position.Revision, atLeast)
	}
	return s.position.Revision, s.position.Digest, s.Len(), err
}

// Unreachable notes that the source cannot be read, as a caller has found.
func (r *Registry) Unreachable(cause error) { _ = r.degrade(unreachable, cause) }

func (r *Registry) position(ctx context.Context) (Position, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	return r.source.Position(ctx)
}

// settle notes that the snapshot is what the source has.
func (r *Registry) settle(s *Snapshot) {
	if s.position.Complete {
		r.degraded.Store(nil)
		return
	}
	why := rebuilding
	if r.degraded.Swap(&why) == nil {
		r.logger.Warn("webhook registry is not complete: waiting for the registrations to be written again",
			zap.Int("webhooks", s.Len()))
	}
}

func (r *Registry) degrade(why string, cause error) error {
	if r.degraded.Swap(&why) == nil {
		r.logger.Warn("webhook registry is degraded: matching on the last good snapshot", zap.String("reason", why), zap.Error(cause))
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, cause, "%s", why)
}
