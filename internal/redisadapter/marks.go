package redisadapter

import (
	"context"

	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
)

// Marks is the storage as the dispatcher sees it.
type Marks struct{ Store *redisstore.Store }

// Begin implements dispatch.Marks.
func (m Marks) Begin(ctx context.Context, ids []string) (registry.Position, []*dispatch.Mark, error) {
	p, stored, err := m.Store.BeginEvents(ctx, ids)
	if err != nil {
		return registry.Position{}, nil, err
	}
	marks := make([]*dispatch.Mark, len(stored))
	for i, mark := range stored {
		marks[i] = (*dispatch.Mark)(mark)
	}
	return registry.Position(p), marks, nil
}

// Settle implements dispatch.Marks.
func (m Marks) Settle(ctx context.Context, marks []dispatch.Mark) error {
	stored := make([]redisstore.EventMark, len(marks))
	for i, mark := range marks {
		stored[i] = redisstore.EventMark(mark)
	}
	return m.Store.SettleEvents(ctx, stored)
}

// Release implements dispatch.Marks.
func (m Marks) Release(ctx context.Context, ids []string) error {
	return m.Store.ReleaseEvents(ctx, ids)
}
