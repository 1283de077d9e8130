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
	"github.com/emprops/holdfast/internal/testevents"
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
	got, err := r.temporal.Register(ctx, w, in.Actor, in.Wait)
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
	if err := (filterChecker{}).Check(w.Filter); err != nil {
		return w, false, err
	}
	now := r.now()
	w.CreatedAt, w.UpdatedAt = now.UnixMilli(), now.UnixMilli()
	w.ID = holdfast.NewWebhookID(now)
	if in.IdempotencyKey != "" {
		w.ID = holdfast.IdempotentWebhookID(in.IdempotencyKey)
	}
	if w.Secret == "" {
		w.Secret, generated = newSecret(), true
	}
	return w, generated, nil
}

func newSecret() string {
	key := make([]byte, secretBytes)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}

// Change changes the fields named.
func (r *registrations) Change(ctx context.Context, in server.ChangeRequest) (server.RegisterResult, error) {
	w := in.Webhook
	w.ID = in.ID
	got, err := r.temporal.Change(ctx, asked(in.Requested), w, in.Fields, in.Wait)
	return server.RegisterResult{Webhook: got.Webhook, Registration: got.Registration}, err
}

// RotateSecret replaces the signing secret. One that is generated is told only when the outcome is known: an earlier
// request under the same id may have made another.
func (r *registrations) RotateSecret(ctx context.Context, in server.RotateRequest) (server.RegisterResult, error) {
	secret, generated := in.Secret, false
	if secret == "" {
		secret, generated = newSecret(), true
	}
	got, err := r.temporal.RotateSecret(ctx, in.ID, asked(in.Requested), secret, in.Overlap, in.Wait)
	if err != nil {
		return server.RegisterResult{}, err
	}
	result := server.RegisterResult{Webhook: got.Webhook, Registration: got.Registration}
	if generated && !got.Unread && got.Registration.Status != holdfast.RegistrationFailed {
		result.Secret = secret
		if in.RequestID != "" {
			result.Secret = got.Webhook.Secret
		}
	}
	return result, nil
}

// Disconnect stops deliveries.
func (r *registrations) Disconnect(ctx context.Context, in server.SwitchRequest) (server.RegisterResult, error) {
	got, err := r.temporal.Disconnect(ctx, in.ID, workflows.SwitchRequest{Request: asked(in.Requested), Reason: in.Reason}, in.Wait)
	return server.RegisterResult{Webhook: got.Webhook, Registration: got.Registration}, err
}

// Reconnect ends a disconnection.
func (r *registrations) Reconnect(ctx context.Context, in server.SwitchRequest) (server.RegisterResult, error) {
	got, err := r.temporal.Reconnect(ctx, in.ID, workflows.SwitchRequest{Request: asked(in.Requested), Reason: in.Reason}, in.Wait)
	return server.RegisterResult{Webhook: got.Webhook, Registration: got.Registration}, err
}

// Delete deletes a webhook.
func (r *registrations) Delete(ctx context.Context, in server.Requested) (holdfast.Registration, error) {
	return r.temporal.Delete(ctx, in.ID, asked(in), in.Wait)
}

func asked(in server.Requested) workflows.Request {
	return workflows.Request{RequestID: in.RequestID, Actor: in.Actor, ExpectedRevision: in.ExpectedRevision}
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
	if holdfast.ErrorCode(err) != holdfast.CodeNotFound {
		return got, err
	}
	// A registry that was wiped and is being filled again lacks webhooks that there are.
	if unreadable := w.registry.Current(ctx); unreadable != nil {
		return nil, unreadable
	}
	if known, cached := w.registry.Webhook(id); cached == nil {
		return known, nil
	}
	return nil, err
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

func (w *webhooks) Stats(ctx context.Context, id string) (server.WebhookStats, error) {
	if _, _, err := w.store.ReadWebhook(ctx, id); err != nil {
		return server.WebhookStats{}, err
	}
	s, err := w.store.Stats(ctx, id)
	if err != nil {
		return server.WebhookStats{}, err
	}
	return server.WebhookStats{
		Attempts: s.TotalDeliveries, SuccessfulAttempts: s.SuccessfulDeliveries, FailedAttempts: s.FailedDeliveries,
		Delivered: s.Delivered, Exhausted: s.Exhausted, Cancelled: s.Cancelled, Held: s.Held, ConsecutiveFailures: s.ConsecutiveFailures,
		LastAttemptAt: s.LastDeliveryAt, LastSuccessAt: s.LastSuccessAt, LastFailureAt: s.LastFailureAt,
		AverageResponseMS: s.AverageMS, P50MS: s.P50MS, P95MS: s.P95MS, P99MS: s.P99MS,
	}, nil
}

func (w *webhooks) Series(ctx context.Context, id string, step server.SeriesStep) ([]server.StatsBucket, error) {
	return series(ctx, w.store, id, step)
}

// webhookTests is the API's way to try webhooks out.
type webhookTests struct{ tester *testevents.Tester }

func (t webhookTests) Test(
	ctx context.Context, webhookID string, eventTypes []string, timeout time.Duration,
) ([]server.TestedEvent, error) {
	sent, err := t.tester.Test(ctx, webhookID, eventTypes, timeout)
	out := make([]server.TestedEvent, len(sent))
	for i := range sent {
		out[i] = server.TestedEvent(sent[i])
	}
	return out, err
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
	return d.store.ListDeliveries(ctx, redisstore.DeliveryFilter{
		WebhookID: f.WebhookID, EventID: f.EventID, EventType: f.EventType, State: f.State,
	}, pageSize, pageToken)
}
