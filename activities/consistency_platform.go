package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/emprops/holdfast"
)

// CheckedPlatform is the EMPROPS API as the consistency check uses it (CONTRACT 7.5).
type CheckedPlatform interface {
	Platform
	// Health asks whether EMPROPS is up; CodeUnavailable when it is not.
	Health(ctx context.Context) error
	// Shows reads the webhook and tells whether EMPROPS knows it as it is; otherwise detail says what differs.
	// CodeUnavailable when EMPROPS did not say.
	Shows(ctx context.Context, w *holdfast.Webhook) (same bool, detail string, err error)
}

// WebhookSample walks over the webhooks of a node's cache.
type WebhookSample interface {
	// WebhooksAfter returns up to limit webhooks whose ids come after id, ordered by id. They must not be changed.
	WebhooksAfter(id string, limit int) ([]*holdfast.Webhook, error)
}

const (
	platformAtOnce = 8
	platformPage   = 256
	// platformGiveUp is how many calls in a row may fail before EMPROPS counts as away after all.
	platformGiveUp = 5
	// platformSettled is how long ago a webhook must have changed to be asked about: before, its own registration may be
	// about to tell EMPROPS.
	platformSettled = time.Minute
)

// PlatformInspection asks to compare webhooks with what EMPROPS knows.
type PlatformInspection struct {
	After string `json:"after,omitempty"` // the last id of the previous sample
	Limit int    `json:"limit"`           // how many; 0 is all
}

// PlatformState is what InspectPlatform found and repaired.
type PlatformState struct {
	Skipped   bool   `json:"skipped,omitempty"`   // EMPROPS is off
	Unhealthy string `json:"unhealthy,omitempty"` // why EMPROPS counts as away; nothing more was asked then
	Required  bool   `json:"required,omitempty"`  // every webhook must be known there
	Asked     int    `json:"asked"`
	Known     int    `json:"known"` // those it knew as they are
	// Confirmed are those it knows again; Failed those it does not.
	Confirmed ReconcileTally `json:"confirmed"`
	Failed    ReconcileTally `json:"failed"`
	Detail    string         `json:"detail,omitempty"` // of the first that failed
	Next      string         `json:"next,omitempty"`   // where the next sample begins; "" at the beginning
}

// InspectPlatform asks EMPROPS for its health and compares a sample of webhooks. Those it does not know as they are get
// confirmed again.
func (a *Consistency) InspectPlatform(ctx context.Context, in PlatformInspection) (PlatformState, error) {
	s := PlatformState{Required: a.Platform.Required(), Next: in.After}
	if !a.Platform.Enabled() {
		return PlatformState{Skipped: true}, nil
	}
	if err := a.Platform.Health(ctx); err != nil {
		s.Unhealthy = truncated(holdfast.ErrorMessage(err), 200)
		return s, nil
	}
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &s); err != nil {
			return PlatformState{}, failure(err)
		}
	}
	beat := beatWith(ctx, s)
	defer beat.stop()
	for left := in.Limit - s.Asked; in.Limit == 0 || left > 0; left = in.Limit - s.Asked {
		page := platformPage
		if in.Limit > 0 {
			page = min(page, left)
		}
		webhooks, err := a.Sample.WebhooksAfter(s.Next, page)
		if err != nil {
			return PlatformState{}, failure(err)
		}
		a.comparePage(ctx, webhooks, &s)
		if err := leaving(ctx); err != nil {
			return PlatformState{}, err
		}
		if s.Unhealthy != "" {
			return s, nil
		}
		s.Next = ""
		if len(webhooks) < page {
			break
		}
		s.Next = webhooks[len(webhooks)-1].ID
		beat.with(s)
	}
	return s, nil
}

// comparison is how one webhook compares.
type comparison struct {
	skipped, known, confirmed bool
	err                       error
}

func (a *Consistency) comparePage(ctx context.Context, webhooks []*holdfast.Webhook, s *PlatformState) {
	settled := time.Now().Add(-platformSettled).UnixMilli()
	failed := 0 // in a row
	for len(webhooks) > 0 && ctx.Err() == nil {
		part := webhooks[:min(platformAtOnce, len(webhooks))]
		webhooks = webhooks[len(part):]
		results := make([]comparison, len(part))
		var running sync.WaitGroup
		for i, w := range part {
			running.Go(func() {
				if w.UpdatedAt > settled {
					results[i] = comparison{skipped: true}
					return
				}
				results[i] = a.compare(ctx, w)
			})
		}
		running.Wait()
		if ctx.Err() != nil {
			return
		}
		for i, r := range results {
			failed = s.count(part[i].ID, r, failed)
		}
		if failed >= platformGiveUp && s.Known+s.Confirmed.Count == 0 {
			s.Unhealthy = s.Detail
			return
		}
	}
}

func (s *PlatformState) count(id string, r comparison, failedBefore int) (failed int) {
	s.Asked++
	switch {
	case r.skipped:
		s.Asked--
		return failedBefore
	case r.err != nil:
		s.Failed.add(id)
		if s.Detail == "" {
			s.Detail = truncated(holdfast.ErrorMessage(r.err), 200)
		}
		return failedBefore + 1
	case r.confirmed:
		s.Confirmed.add(id)
	case r.known:
		s.Known++
	}
	return 0
}

// compare looks at one webhook and confirms it again where EMPROPS knows it otherwise or not at all.
func (a *Consistency) compare(ctx context.Context, w *holdfast.Webhook) comparison {
	if same, _, err := a.Platform.Shows(ctx, w); same || err != nil {
		return comparison{known: same, err: err}
	}
	// The cache may be behind: what Redis holds counts.
	stored, _, err := a.Registry.ReadWebhook(ctx, w.ID)
	switch {
	case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
		return comparison{skipped: true}
	case err != nil:
		return comparison{err: err}
	}
	if same, _, err := a.Platform.Shows(ctx, stored); same || err != nil {
		return comparison{known: same, err: err}
	}
	return a.confirm(ctx, stored)
}

// confirm makes EMPROPS know the webhook. A deletion or a change may have come in between, and would be undone there: so
// Redis is asked once more afterwards.
func (a *Consistency) confirm(ctx context.Context, w *holdfast.Webhook) comparison {
	const changes = 3
	for range changes {
		if err := a.Platform.Confirm(ctx, w); err != nil {
			return comparison{err: err}
		}
		now, _, err := a.Registry.ReadWebhook(ctx, w.ID)
		switch {
		case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
			err := a.Platform.Remove(ctx, w.ID)
			return comparison{skipped: err == nil, err: err}
		case err != nil:
			return comparison{err: err}
		case now.URL == w.URL && now.Active == w.Active && now.UpdatedAt == w.UpdatedAt && now.Revision == w.Revision:
			return comparison{confirmed: true}
		}
		w = now
	}
	return comparison{err: holdfast.Errorf(holdfast.CodeUnavailable, "the webhook %s keeps changing", w.ID)}
}
