package registry

import (
	"context"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// flight is one refresh, shared by all who need it.
type flight struct {
	done   chan struct{}
	forced bool
	err    error // set before done is closed
}

// refresh brings the snapshot to the wanted position or past it. A refresh that is under way may have looked before want
// was read, and the next one has not; so nobody waits for more than two, however many ask.
func (r *Registry) refresh(ctx context.Context, want Position, force bool) error {
	for joined := false; ; {
		f, own := r.board(ctx, force)
		select {
		case <-f.done:
		case <-ctx.Done():
			return r.lag(ctx.Err())
		}
		if own || joined && (f.forced || !force) {
			return f.err
		}
		if s := r.snapshot.Load(); !force && s != nil && s.position == want {
			return nil
		}
		joined = true
	}
}

// board joins the refresh under way or begins one, which goes on when the caller leaves: others wait for it.
func (r *Registry) board(ctx context.Context, force bool) (f *flight, own bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight != nil {
		return r.flight, false
	}
	f = &flight{done: make(chan struct{}), forced: force}
	r.flight = f
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.LoadTimeout)
		defer cancel()
		f.err = r.advance(ctx, force)
		r.mu.Lock()
		r.flight = nil
		r.mu.Unlock()
		close(f.done)
	}()
	return f, true
}

// advance makes the next snapshot the one in use.
func (r *Registry) advance(ctx context.Context, force bool) error {
	for range 5 {
		old, before := r.snapshot.Load(), r.degraded.Load()
		at, err := r.position(ctx)
		if err != nil {
			return r.degrade(unreachable, err)
		}
		switch {
		case old == nil:
		case old.position == at && !force:
			r.settle(old, before)
			return nil
		case old.position != at && at == (Position{}):
			return r.degrade(wiped, nil)
		}
		next, err := r.next(ctx, old, at, force)
		if err != nil {
			return r.degrade(unreachable, err)
		}
		if next != nil {
			r.snapshot.Store(next)
			r.settle(next, before)
			return nil
		}
	}
	return r.degrade(unreachable, holdfast.Errorf(holdfast.CodeAborted, "the registry is wiped and restored faster than it can be read"))
}

// next makes the snapshot that follows old when the registry is at a position; nil when that was overtaken by a wipe or a
// restore.
func (r *Registry) next(ctx context.Context, old *Snapshot, at Position, force bool) (*Snapshot, error) {
	if old == nil {
		feed, err := r.source.Changes(ctx, 0)
		if err != nil {
			return nil, err
		}
		return r.load(nil, feed, false), nil
	}
	same := at.Incarnation == old.position.Incarnation
	if same && at.Revision < old.position.Revision || !same && at.Born <= old.horizon {
		return r.restored(ctx, old, at)
	}
	if !same {
		feed, err := r.source.Everything(ctx, 0)
		return r.verifiedLoad(old, at, feed, true, err)
	}
	if !force && at.Complete == old.position.Complete {
		feed, err := r.source.Changes(ctx, old.position.Revision)
		switch {
		case err != nil:
			return nil, err
		case feed.Foreign:
			return r.restored(ctx, old, feed.Position)
		case overtaken(at, feed.Position):
			return nil, nil
		case feed.Full:
			return r.load(old, feed, false), nil
		}
		if next := r.opts.follow(old, feed); next.verified(&r.opts) {
			r.tell(feed)
			return next, nil
		}
		r.logger.Warn("registry snapshot does not match the stored digest; loading it anew", zap.Int64("revision", feed.Position.Revision))
	}
	feed, err := r.source.Everything(ctx, old.position.Revision)
	if err == nil && feed.Foreign {
		return r.restored(ctx, old, feed.Position)
	}
	return r.verifiedLoad(old, at, feed, false, err)
}

// restored makes the next snapshot after the registry went back to a state before old. If it still says that it is
// complete, or is the incarnation of old, which somebody may be completing by what was there before, it begins a new one.
func (r *Registry) restored(ctx context.Context, old *Snapshot, at Position) (*Snapshot, error) {
	r.logger.Warn("the webhook registry in storage went back: keeping what the snapshot knows", zap.Int64("revision", at.Revision),
		zap.Int64("known_revision", old.horizon))
	if at.Complete || at.Incarnation == old.position.Incarnation {
		if err := r.source.Distrust(ctx, at.Incarnation, "it was restored from a backup"); err != nil {
			return nil, err
		}
	}
	feed, err := r.source.Everything(ctx, 0)
	if err == nil && feed.Position.Incarnation == at.Incarnation && feed.Position.Complete {
		return nil, nil
	}
	return r.verifiedLoad(old, Position{Incarnation: feed.Position.Incarnation}, feed, true, err)
}

// verifiedLoad is load for a feed that may have been overtaken.
func (r *Registry) verifiedLoad(old *Snapshot, at Position, feed Feed, foreign bool, err error) (*Snapshot, error) {
	if err != nil {
		return nil, err
	}
	if overtaken(at, feed.Position) {
		return nil, nil
	}
	return r.load(old, feed, foreign), nil
}

// overtaken tells whether the registry was wiped, restored or completed between a look and the read that followed.
func overtaken(at, read Position) bool {
	return read.Incarnation != at.Incarnation || read.Revision < at.Revision || read.Complete && !at.Complete && at.Revision > 0
}

// load makes a snapshot of a full feed.
func (r *Registry) load(old *Snapshot, feed Feed, foreign bool) *Snapshot {
	s := r.opts.load(old, feed, foreign)
	r.tell(feed)
	if s.skewDigest != 0 || s.skewCount != 0 {
		// The stored digest itself is off: someone wrote around the scripts. The entries are what counts.
		r.logger.Warn("the stored registry digest does not match the entries", zap.Int64("revision", feed.Position.Revision))
	}
	if !feed.Position.Complete && old != nil {
		r.logger.Info("webhook registry is being rebuilt", zap.Int("webhooks", s.Len()), zap.Int("kept", s.kept()))
	}
	return s
}

func (r *Registry) tell(feed Feed) {
	for _, p := range feed.Poisoned {
		r.logger.Warn("a stored webhook cannot be read and is left out", zap.String("webhook_id", p.ID), zap.Error(p.Err))
	}
}
