package activities

import (
	"context"
	"time"

	"github.com/emprops/holdfast"
)

// Enricher completes events whose message only refers to a part of what receivers are to get.
type Enricher interface {
	// Enrich adds that part to the event. CodeRejected and CodeNotFound: it can never be added; every other error: perhaps
	// later.
	Enrich(ctx context.Context, e *holdfast.Event) error
	// Without marks an event that goes without that part, because of the error Enrich gave.
	Without(e *holdfast.Event, because error) error
}

// EventPublisher makes an event durable.
type EventPublisher interface {
	// PublishMessage returns nil once the event is durable or was before (same id).
	PublishMessage(ctx context.Context, e *holdfast.Event) error
}

// Enrichments completes events before they are published.
type Enrichments struct {
	Enricher  Enricher
	Publisher EventPublisher
	Now       func() time.Time
}

// Enrichment is an event that is to be completed.
type Enrichment struct {
	Event    holdfast.Event `json:"event"`
	GiveUpAt int64          `json:"give_up_at"` // ms; from then on it goes without
}

// PublishEnriched completes the event and publishes it. While it cannot be completed the activity fails, to be repeated;
// past the event's time it is published as it is, with a mark that says so. Not being able to publish is never a reason to
// give up (G3).
func (a *Enrichments) PublishEnriched(ctx context.Context, in Enrichment) error {
	event := in.Event
	if err := a.Enricher.Enrich(ctx, &event); err != nil {
		never := holdfast.ErrorCode(err) == holdfast.CodeRejected || holdfast.ErrorCode(err) == holdfast.CodeNotFound
		if !never && a.Now().UnixMilli() < in.GiveUpAt {
			return ours(err)
		}
		event = in.Event
		if err := a.Enricher.Without(&event, err); err != nil {
			return ours(err)
		}
	}
	return ours(a.Publisher.PublishMessage(ctx, &event))
}
