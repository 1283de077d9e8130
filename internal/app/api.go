package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/httpsend"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/server"
	"github.com/emprops/holdfast/workflows"
)

// registrations is the API's way to the registration workflows.
type registrations struct {
	temporal *temporalclient.Registrations
	policy   httpsend.AddressPolicy
	now      func() time.Time
}

// secretBytes is the length of a generated secret's key: 256 bits, as HMAC-SHA256 uses at most.
const secretBytes = 32

// Register checks everything that needs nobody else first, so that bad input is refused with nothing written.
func (r *registrations) Register(ctx context.Context, in server.RegisterRequest) (server.RegisterResult, error) {
	w, generated, err := r.complete(in)
	if err != nil {
		return server.RegisterResult{}, err
	}
	got, err := r.temporal.Register(ctx, w, "", in.Wait)
	if err != nil {
		return server.RegisterResult{}, err
	}
	result := server.RegisterResult{Webhook: got.Webhook, Registration: got.Registration}
	// The first registration's secret, when this one repeats it; which one it is must be known.
	if generated && (!got.Unread || in.IdempotencyKey == "") {
		result.Secret = got.Webhook.Secret
	}
	return result, nil
}

func (r *registrations) complete(in server.RegisterRequest) (w holdfast.Webhook, generated bool, err error) {
	w = in.Webhook
	if err := holdfast.Invalid(w.Violations()); err != nil {
		return w, false, err
	}
	if err := r.policy.Check(w.URL); err != nil {
		return w, false, err
	}
	now := r.now()
	w.CreatedAt, w.UpdatedAt = now.UnixMilli(), now.UnixMilli()
	w.ID = holdfast.NewWebhookID(now)
	if in.IdempotencyKey != "" {
		w.ID = holdfast.IdempotentWebhookID(in.IdempotencyKey)
	}
	if w.Secret == "" {
		key := make([]byte, secretBytes)
		_, _ = rand.Read(key) // never fails (crypto/rand)
		w.Secret, generated = "whsec_"+base64.StdEncoding.EncodeToString(key), true
	}
	return w, generated, nil
}

// Delete deletes a webhook.
func (r *registrations) Delete(ctx context.Context, id string, wait time.Duration) (holdfast.Registration, error) {
	return r.temporal.Delete(ctx, id, workflows.Request{}, wait)
}

// Registration returns a registration with its audit trail.
func (r *registrations) Registration(ctx context.Context, id string) (holdfast.Registration, error) {
	got, err := r.temporal.Registration(ctx, id)
	return got.Registration, err
}

// webhooks reads the registry: first the node's cache is brought up to date, so that what was confirmed is seen (G2).
type webhooks struct {
	registry *registry.Registry
	store    *redisstore.Store
}

func (w *webhooks) Webhook(ctx context.Context, id string) (*holdfast.Webhook, error) {
	got, _, err := w.store.ReadWebhook(ctx, id)
	return got, err
}

func (w *webhooks) List(ctx context.Context) ([]*holdfast.Webhook, error) {
	if err := w.registry.Current(ctx); err != nil {
		return nil, err // an old list would look like the truth (D9)
	}
	s, err := w.registry.Snapshot()
	if err != nil {
		return nil, err
	}
	return s.All(), nil
}

// events is the API's way to the dispatcher.
type events struct{ dispatcher *dispatch.Dispatcher }

func (e events) Publish(ctx context.Context, event *holdfast.Event) (server.PublishResult, error) {
	got, err := e.dispatcher.Publish(ctx, event)
	if err != nil {
		return server.PublishResult{}, err
	}
	result := server.PublishResult{EventID: got.EventID, Duplicate: got.Duplicate}
	for _, id := range got.WebhookIDs {
		result.Deliveries = append(result.Deliveries, server.DeliveryRef{ID: holdfast.DeliveryID(id, got.EventID), WebhookID: id})
	}
	return result, nil
}

// deliveries reads records, and for what has none the delivery's own workflow or the mark that its event left.
type deliveries struct {
	store    *redisstore.Store
	temporal *temporalclient.Deliveries
}

func (d deliveries) Delivery(ctx context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	record, err := d.store.Delivery(ctx, webhookID, eventID)
	if err == nil || holdfast.ErrorCode(err) != holdfast.CodeNotFound {
		return record, err
	}
	known, temporalErr := d.temporal.Delivery(ctx, webhookID, eventID)
	if temporalErr == nil {
		if record, err := d.store.Delivery(ctx, webhookID, eventID); err == nil {
			return record, nil // it was written meanwhile and tells more
		}
		return known, nil
	}
	if holdfast.ErrorCode(temporalErr) != holdfast.CodeNotFound {
		err = temporalErr
	}
	mark, markErr := d.store.EventMark(ctx, eventID)
	if markErr != nil {
		if holdfast.ErrorCode(markErr) != holdfast.CodeNotFound {
			err = markErr
		}
		return nil, err
	}
	for _, id := range mark.WebhookIDs {
		if id == webhookID && !mark.Claimed {
			return &holdfast.Delivery{
				WebhookID: webhookID, EventID: eventID, State: holdfast.DeliveryPending, CreatedAt: mark.CreatedAt,
				UpdatedAt: mark.CreatedAt, WorkflowID: mark.WorkflowID, RunID: mark.RunID,
			}, nil
		}
	}
	return nil, err
}

func (d deliveries) ListDeliveries(
	ctx context.Context, f server.DeliveryFilter, pageSize int, pageToken string,
) ([]*holdfast.Delivery, string, error) {
	return d.store.ListDeliveries(ctx, redisstore.DeliveryFilter(f), pageSize, pageToken)
}
