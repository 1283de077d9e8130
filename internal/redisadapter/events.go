package redisadapter

import (
	"context"
	"time"

	"github.com/emprops/holdfast/internal/eventstream"
	"github.com/emprops/holdfast/internal/redisstore"
)

// Events is the stream of events as its consumer sees it.
type Events struct{ *redisstore.Store }

// ReadEntries implements eventstream.Stream.
func (e Events) ReadEntries(ctx context.Context, consumer string, count int, wait time.Duration) ([]eventstream.Entry, error) {
	got, err := e.Store.ReadEntries(ctx, consumer, count, wait)
	return streamEntries(got), err
}

// ClaimEntries implements eventstream.Stream.
func (e Events) ClaimEntries(ctx context.Context, consumer string, count int, idle time.Duration) ([]eventstream.Entry, error) {
	got, err := e.Store.ClaimEntries(ctx, consumer, count, idle)
	return streamEntries(got), err
}

// RefuseEntry implements eventstream.Stream.
func (e Events) RefuseEntry(ctx context.Context, id, reason string) error {
	return e.Store.RefuseEntry(ctx, id, reason, eventstream.Fields...)
}

func streamEntries(stored []redisstore.StreamEntry) []eventstream.Entry {
	out := make([]eventstream.Entry, len(stored))
	for i, s := range stored {
		out[i] = eventstream.Entry(s)
	}
	return out
}
