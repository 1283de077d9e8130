package redisadapter

import (
	"context"

	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
)

// Registry is the storage as the registry cache sees it.
type Registry struct{ Store *redisstore.Store }

// Position implements registry.Source.
func (s Registry) Position(ctx context.Context) (registry.Position, error) {
	p, err := s.Store.Position(ctx)
	return registry.Position(p), err
}

// Changes implements registry.Source.
func (s Registry) Changes(ctx context.Context, since int64) (registry.Feed, error) {
	f, err := s.Store.Changes(ctx, since)
	return feed(f), err
}

// Everything implements registry.Source.
func (s Registry) Everything(ctx context.Context, since int64) (registry.Feed, error) {
	f, err := s.Store.Everything(ctx, since)
	return feed(f), err
}

// Distrust implements registry.Source.
func (s Registry) Distrust(ctx context.Context, incarnation, reason string) error {
	return s.Store.Distrust(ctx, incarnation, reason)
}

func feed(f redisstore.Feed) registry.Feed {
	out := registry.Feed{
		Position: registry.Position(f.Position), Full: f.Full, Foreign: f.Foreign, Webhooks: f.Webhooks, Removed: f.Removed,
	}
	for _, p := range f.Poisoned {
		out.Poisoned = append(out.Poisoned, registry.Poisoned(p))
	}
	return out
}
