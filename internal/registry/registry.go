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
	degraded atomic.Pointer[string] // nil: not degraded

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
	wiped       = "the registry in storage was wiped"
)

// Those that are states rather than findings: one pointer each, however often they are noted.
var (
	slow       = "a refresh takes longer than an event can wait"
	rebuilding = "the registry is being rebuilt"
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
	why := r.Degraded()
	return why == wiped || why == rebuilding
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
	return r.CurrentBy(ctx, r.position)
}

// CurrentBy is Current for a caller that reads the source's position together with something else: look reads it.
func (r *Registry) CurrentBy(ctx context.Context, look func(context.Context) (Position, error)) error {
	before := r.degraded.Load()
	position, err := look(ctx)
	if err != nil {
		return r.degrade(unreachable, err)
	}
	if s := r.snapshot.Load(); s != nil && s.position == position {
		r.settle(s, before)
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

func (r *Registry) position(ctx context.Context) (Position, error) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	return r.source.Position(ctx)
}

// settle notes that the snapshot is what the source had at a look; before is what degraded held when that look began. What
// was found wrong since then stays: the look says nothing of it.
func (r *Registry) settle(s *Snapshot, before *string) {
	now := r.degraded.Load()
	if now != before && now != &slow {
		return
	}
	if s.position.Complete {
		r.degraded.CompareAndSwap(now, nil)
		return
	}
	if r.degraded.CompareAndSwap(now, &rebuilding) && now == nil {
		r.logger.Warn("webhook registry is not complete: waiting for the registrations to be written again",
			zap.Int("webhooks", s.Len()))
	}
}

// lag notes that a refresh takes longer than its caller can wait, which its end settles.
func (r *Registry) lag(cause error) error {
	if r.degraded.CompareAndSwap(nil, &slow) {
		r.warn(slow, cause)
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, cause, "%s", slow)
}

// degrade notes what was found wrong. Each time has a pointer of its own, so that settle can tell it from the times before.
func (r *Registry) degrade(why string, cause error) error {
	if r.degraded.Swap(&why) == nil {
		r.warn(why, cause)
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, cause, "%s", why)
}

func (r *Registry) warn(why string, cause error) {
	r.logger.Warn("webhook registry is degraded: matching on the last good snapshot", zap.String("reason", why), zap.Error(cause))
}
