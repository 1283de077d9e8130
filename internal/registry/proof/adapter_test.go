package proof_test

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/redisadapter"
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
	return registry.New(redisadapter.Registry{Store: store}, registry.Options{
		DigestOf: redisstore.DigestOf, ParseDigest: redisstore.ParseDigest, Timeout: redisTimeout,
	}, zap.NewNop())
}

func newDispatcher(c cache, store *redisstore.Store, starter dispatch.Starter) *dispatch.Dispatcher {
	return dispatch.New(c, redisadapter.Marks{Store: store}, starter, dispatch.Options{
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
