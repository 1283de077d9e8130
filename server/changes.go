package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// How long a secret that is rotated out still signs.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

func (h *webhooks) UpdateWebhook(ctx context.Context, req *holdfastv1.UpdateWebhookRequest) (*holdfastv1.UpdateWebhookResponse, error) {
	requested, violations := requestedOf(ctx, req)
	change, v := changeOf(req.GetWebhook(), req.GetUpdateMask().GetPaths(), h.retry)
	if err := holdfast.Invalid(append(violations, v...)); err != nil {
		return nil, err
	}
	change.Requested = requested
	result, err := h.registrations.Change(ctx, change)
	if err != nil {
		return nil, belowWebhook(err)
	}
	return &holdfastv1.UpdateWebhookResponse{
		Webhook:      webhookIn(&result.Webhook, &result.Registration),
		Registration: registrationMessage(&result.Registration), Secret: optional(result.Secret),
	}, nil
}

func (h *webhooks) RotateSecret(ctx context.Context, req *holdfastv1.RotateSecretRequest) (*holdfastv1.RotateSecretResponse, error) {
	requested, violations := requestedOf(ctx, req)
	overlap, v := overlapOf(req.GetOverlap())
	violations = append(violations, v...)
	if secret := req.GetSecret(); len(secret) > holdfast.MaxSecretLength || !utf8.ValidString(secret) {
		violations = append(violations, holdfast.Violation{
			Field: "secret", Description: fmt.Sprintf("must be valid UTF-8 of at most %d bytes", holdfast.MaxSecretLength),
		})
	}
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	result, err := h.registrations.RotateSecret(ctx, RotateRequest{requested, req.GetSecret(), overlap})
	if err != nil {
		return nil, err
	}
	return &holdfastv1.RotateSecretResponse{
		Webhook:      webhookIn(&result.Webhook, &result.Registration),
		Registration: registrationMessage(&result.Registration), Secret: optional(result.Secret),
	}, nil
}

func (h *webhooks) DisconnectWebhook(ctx context.Context, req *holdfastv1.DisconnectWebhookRequest) (*holdfastv1.DisconnectWebhookResponse, error) {
	result, err := switched(ctx, req, h.registrations.Disconnect)
	if err != nil {
		return nil, err
	}
	return &holdfastv1.DisconnectWebhookResponse{
		Webhook:      webhookIn(&result.Webhook, &result.Registration),
		Registration: registrationMessage(&result.Registration),
	}, nil
}

func (h *webhooks) ReconnectWebhook(ctx context.Context, req *holdfastv1.ReconnectWebhookRequest) (*holdfastv1.ReconnectWebhookResponse, error) {
	result, err := switched(ctx, req, h.registrations.Reconnect)
	if err != nil {
		return nil, err
	}
	return &holdfastv1.ReconnectWebhookResponse{
		Webhook:      webhookIn(&result.Webhook, &result.Registration),
		Registration: registrationMessage(&result.Registration),
	}, nil
}

func (h *webhooks) DeleteWebhook(ctx context.Context, req *holdfastv1.DeleteWebhookRequest) (*holdfastv1.DeleteWebhookResponse, error) {
	requested, violations := requestedOf(ctx, req)
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	r, err := h.registrations.Delete(ctx, requested)
	if err != nil {
		return nil, err
	}
	return &holdfastv1.DeleteWebhookResponse{Registration: registrationMessage(&r)}, nil
}

// change is what the requests that change a webhook have in common.
type change interface {
	GetId() string
	GetExpectedRevision() int64
	GetRequestId() string
	GetWait() *durationpb.Duration
}

func requestedOf(ctx context.Context, req change) (Requested, []holdfast.Violation) {
	violations := required("id", req.GetId())
	if req.GetExpectedRevision() < 0 {
		violations = append(violations, holdfast.Violation{Field: "expectedRevision", Description: "must not be negative"})
	}
	if len(req.GetRequestId()) > holdfast.MaxIdempotencyKey {
		violations = append(violations, holdfast.Violation{
			Field: "requestId", Description: fmt.Sprintf("must not be longer than %d bytes", holdfast.MaxIdempotencyKey),
		})
	}
	wait, v := waitOf(ctx, req.GetWait())
	return Requested{
		ID: req.GetId(), ExpectedRevision: req.GetExpectedRevision(), RequestID: req.GetRequestId(), Actor: actorOf(ctx), Wait: wait,
	}, append(violations, v...)
}

// switched disconnects or reconnects.
func switched(ctx context.Context, req interface {
	change
	GetReason() string
}, operation func(context.Context, SwitchRequest) (RegisterResult, error),
) (RegisterResult, error) {
	requested, violations := requestedOf(ctx, req)
	if len(req.GetReason()) > holdfast.MaxDescriptionLength {
		violations = append(violations, holdfast.Violation{
			Field: "reason", Description: fmt.Sprintf("must not be longer than %d bytes", holdfast.MaxDescriptionLength),
		})
	}
	if err := holdfast.Invalid(violations); err != nil {
		return RegisterResult{}, err
	}
	return operation(ctx, SwitchRequest{requested, req.GetReason()})
}

func overlapOf(d *durationpb.Duration) (time.Duration, []holdfast.Violation) {
	if d == nil {
		return DefaultOverlap, nil
	}
	overlap := d.AsDuration()
	if d.CheckValid() != nil || overlap < 0 || overlap > MaxOverlap {
		return 0, []holdfast.Violation{{Field: "overlap", Description: "must be between 0s and 30 days (2592000s)"}}
	}
	return overlap, nil
}

// besideWebhook are the fields of requests that are not the webhook's.
var besideWebhook = []string{"id", "webhook", "idempotencyKey", "updateMask", "expectedRevision", "requestId", "wait"}

// belowWebhook makes field paths that begin at the webhook begin at the request.
func belowWebhook(err error) error {
	e, ok := errors.AsType[*holdfast.Error](err)
	if !ok || len(e.Violations) == 0 {
		return err
	}
	moved := *e
	moved.Violations = slices.Clone(e.Violations)
	for i, v := range moved.Violations {
		if !slices.Contains(besideWebhook, v.Field) && !strings.HasPrefix(v.Field, "webhook.") {
			moved.Violations[i].Field = "webhook." + v.Field
		}
	}
	return &moved
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
