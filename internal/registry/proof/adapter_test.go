package proof_test

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
)

// This file joins the parts under test as the composition root does; everything that depends on their signatures is here.

// cache is a node's registry cache as dispatcher and activities use it. Tests that must fail put something between.
type cache interface {
	dispatch.Registry
	activities.SnapshotSource
	Degraded() string
}

const redisTimeout = 5 * time.Second

func newCache(store *redisstore.Store) cache {
	return registry.New(source{store}, registry.Options{
		DigestOf: redisstore.DigestOf, ParseDigest: redisstore.ParseDigest, Timeout: redisTimeout,
	}, zap.NewNop())
}

func newDispatcher(c cache, store *redisstore.Store, starter dispatch.Starter) *dispatch.Dispatcher {
	return dispatch.New(c, marks{store}, starter, dispatch.Options{
		Grouping: true, GroupMaxDeliveries: 100, GroupMaxBytes: 1 << 20, QueueMaxDeliveries: 1000, QueueMaxBytes: 1 << 20,
		AttemptTimeout: time.Second, HoldFor: time.Hour,
	}, zap.NewNop())
}

// newRegistrations are the activities of the confirmed path. The platform is off, every target is allowed, and no webhook
// here has credentials.
func newRegistrations(store *redisstore.Store) *activities.Registrations {
	return &activities.Registrations{Store: store, Platform: off{}, Targets: anywhere{}, Sealed: unsealed{}}
}

// demanded tells what matching must do with a webhook in a state: find it, or not. Where neither is demanded, a match is
// right as long as the webhook that is found says by its state that its deliveries are held.
func demanded(s state) (must, may bool) {
	must = s.present && s.webhook.State() == holdfast.WebhookActive
	held := s.present && !must
	return must, must || held
}

type source struct{ store *redisstore.Store }

func (s source) Position(ctx context.Context) (registry.Position, error) {
	p, err := s.store.Position(ctx)
	return registry.Position(p), err
}

func (s source) Changes(ctx context.Context, since int64) (registry.Feed, error) {
	f, err := s.store.Changes(ctx, since)
	return feed(f), err
}

func (s source) Everything(ctx context.Context, since int64) (registry.Feed, error) {
	f, err := s.store.Everything(ctx, since)
	return feed(f), err
}

func (s source) Distrust(ctx context.Context, incarnation, reason string) error {
	return s.store.Distrust(ctx, incarnation, reason)
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

type marks struct{ store *redisstore.Store }

func (m marks) Begin(ctx context.Context, ids []string) (registry.Position, []*dispatch.Mark, error) {
	p, stored, err := m.store.BeginEvents(ctx, ids)
	if err != nil {
		return registry.Position{}, nil, err
	}
	found := make([]*dispatch.Mark, len(stored))
	for i, mark := range stored {
		found[i] = (*dispatch.Mark)(mark)
	}
	return registry.Position(p), found, nil
}

func (m marks) Settle(ctx context.Context, all []dispatch.Mark) error {
	stored := make([]redisstore.EventMark, len(all))
	for i, mark := range all {
		stored[i] = redisstore.EventMark(mark)
	}
	return m.store.SettleEvents(ctx, stored)
}

func (m marks) Release(ctx context.Context, ids []string) error {
	return m.store.ReleaseEvents(ctx, ids)
}

type heartbeats struct{ store *redisstore.Store }

func (h heartbeats) LiveNodes(ctx context.Context) ([]string, error) {
	live, _, err := h.store.Nodes(ctx)
	ids := make([]string, len(live))
	for i, n := range live {
		ids[i] = n.ID
	}
	return ids, err
}

type off struct{}

func (off) Enabled() bool                                    { return false }
func (off) Required() bool                                   { return false }
func (off) Confirm(context.Context, *holdfast.Webhook) error { return nil }
func (off) Remove(context.Context, string) error             { return nil }

type anywhere struct{}

func (anywhere) Check(string) error { return nil }

type unsealed struct{}

func (unsealed) SealCredentials(holdfast.Credentials) (string, error) { return "", nil }

func (unsealed) Open(string) (holdfast.Credentials, error) { return holdfast.Credentials{}, nil }
