package app

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
)

// presence makes the node known: it keeps the registry cache current and says so in a heartbeat. A node counts as alive
// only after its first verified load, so that no registration waits for one that cannot match yet. That load may be of a
// registry that is not complete: the consistency check, which completes it, needs a node that works.
type presence struct {
	store    *redisstore.Store
	registry *registry.Registry
	node     redisstore.Node
	interval time.Duration
	logger   *zap.Logger

	loaded chan struct{} // closed after the first verified load
	quit   chan struct{}
	once   sync.Once
	loop   sync.WaitGroup
}

func newPresence(store *redisstore.Store, reg *registry.Registry, id, address string, interval time.Duration, logger *zap.Logger) *presence {
	return &presence{
		store: store, registry: reg, interval: interval, logger: logger,
		node:   redisstore.Node{ID: id, Address: address, StartedAt: time.Now().UnixMilli()},
		loaded: make(chan struct{}), quit: make(chan struct{}),
	}
}

// start begins in the background: Redis may be away.
func (p *presence) start() { p.loop.Go(p.run) }

func (p *presence) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	first := true
	for {
		current := p.registry.Current(ctx)
		if s, err := p.registry.Snapshot(); err == nil {
			if first && current == nil {
				first = false
				close(p.loaded)
			}
			p.beat(ctx, s)
		}
		select {
		case <-time.After(p.interval):
		case <-p.quit:
			return
		}
	}
}

func (p *presence) beat(ctx context.Context, s *registry.Snapshot) {
	n := p.node
	position := s.Position()
	n.Revision, n.Digest, n.Webhooks, n.Degraded = position.Revision, position.Digest, s.Len(), p.registry.Degraded()
	ctx, cancel := context.WithTimeout(ctx, redisOperation)
	defer cancel()
	if err := p.store.Heartbeat(ctx, n); err != nil {
		p.logger.Debug("heartbeat failed", zap.Error(err))
	}
}

// stop takes the node off the list, so that registrations no longer wait for it.
func (p *presence) stop(ctx context.Context) {
	p.once.Do(func() {
		close(p.quit)
		p.loop.Wait()
		if err := p.store.RemoveNode(ctx, p.node.ID); err != nil {
			p.logger.Debug("the node's heartbeat is left to lapse", zap.Error(err))
		}
	})
}
