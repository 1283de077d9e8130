package redisadapter

import (
	"context"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobrecovery"
	"github.com/emprops/holdfast/internal/redisstore"
)

// Attestations is the storage as the recovery of missed outcomes sees it.
type Attestations struct {
	Store *redisstore.Store
	Node  string // who looks
}

var patterns = map[jobrecovery.Kind]string{
	jobrecovery.Completions:     redisstore.CompletionAttestations,
	jobrecovery.Failures:        redisstore.FailureAttestations,
	jobrecovery.WorkersFailures: redisstore.WorkersFailureAttestations,
}

// Lease implements jobrecovery.Store.
func (a Attestations) Lease(ctx context.Context, length time.Duration) (bool, error) {
	return a.Store.LeaseRecovery(ctx, a.Node, length)
}

// Keys implements jobrecovery.Store.
func (a Attestations) Keys(ctx context.Context, kind jobrecovery.Kind, visit func(context.Context, []string) error) error {
	return a.Store.Attestations(ctx, patterns[kind], visit)
}

// Read implements jobrecovery.Store.
func (a Attestations) Read(ctx context.Context, key string) (string, error) {
	return a.Store.Attestation(ctx, key)
}

// Known implements jobrecovery.Store. Of an event that somebody is just making durable it cannot be told: CodeAborted.
func (a Attestations) Known(ctx context.Context, eventID string) (time.Time, error) {
	mark, err := a.Store.EventMark(ctx, eventID)
	switch {
	case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case mark.Claimed:
		return time.Time{}, holdfast.Errorf(holdfast.CodeAborted, "the event %s is being published", eventID)
	}
	return time.UnixMilli(mark.CreatedAt), nil
}
