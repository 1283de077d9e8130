package app

import (
	"context"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/emprops"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/temporalclient"
)

// checkedRegistry is the storage as the consistency check sees it.
type checkedRegistry struct{ *redisstore.Store }

func (c checkedRegistry) Audit(ctx context.Context) (activities.Audit, error) {
	a, err := c.Store.Audit(ctx)
	out := activities.Audit{
		Position: activities.RegistryPosition{
			Revision: a.Position.Revision, Count: a.Position.Count, Digest: a.Position.Digest,
			Incarnation: a.Position.Incarnation, Born: a.Position.Born, Complete: a.Position.Complete,
		},
		Active: a.Active, Revisions: a.Revisions, ActiveSetWrong: a.ActiveSetWrong, Changed: a.Changed, Orphans: a.Orphans,
		OldKey: a.OldKey, DigestOK: a.DigestOK,
	}
	for _, p := range a.Poisoned {
		out.Poisoned = append(out.Poisoned, activities.PoisonedEntry{ID: p.ID, Reason: holdfast.ErrorMessage(p.Err)})
	}
	return out, err
}

// reconciler is the way from the consistency check to the registrations.
type reconciler struct{ registrations *temporalclient.Registrations }

func (r reconciler) Reconcile(ctx context.Context, webhookID string, adopt bool) (activities.Reconciled, error) {
	got, err := r.registrations.Reconcile(ctx, webhookID, adopt)
	return activities.Reconciled{Action: got.Action, Revision: got.Revision, Detail: got.Detail}, err
}

// adopt registers a webhook that only Redis has, for a change of it that cannot wait for the next check.
func (r reconciler) adopt(store *redisstore.Store) func(context.Context, string) (bool, error) {
	return func(ctx context.Context, webhookID string) (bool, error) {
		_, _, err := store.ReadWebhook(ctx, webhookID)
		if err != nil {
			if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
				return false, nil
			}
			return false, err
		}
		got, err := r.registrations.Reconcile(ctx, webhookID, true)
		return err == nil && got.Action != activities.ReconcileGone && got.Action != activities.ReconcileRemoved, err
	}
}

// Health and Shows complete what the consistency check asks EMPROPS.

func (p platform) Health(ctx context.Context) error { return p.client.Health(ctx) }

func (p platform) Shows(ctx context.Context, w *holdfast.Webhook) (same bool, detail string, err error) {
	return p.client.Shows(ctx, w)
}

var _ activities.CheckedPlatform = platform{(*emprops.Client)(nil)}

// cache is the node's registry cache as the check inspects it and as EMPROPS' sample is taken from.
type cache struct{ *registry.Registry }

func (c cache) Poisoned() int {
	s, err := c.Snapshot()
	if err != nil {
		return 0
	}
	return len(s.Poisoned())
}

func (c cache) WebhooksAfter(id string, limit int) ([]*holdfast.Webhook, error) {
	s, err := c.Snapshot()
	if err != nil {
		return nil, err
	}
	webhooks := make([]*holdfast.Webhook, 0, limit)
	for w := range s.After(id) {
		if len(webhooks) == limit {
			break
		}
		webhooks = append(webhooks, w)
	}
	return webhooks, nil
}
