package server

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

type webhooks struct {
	registrations Registrations
	webhooks      Webhooks
	tests         Tests
	retry         holdfast.RetryPolicy
}

var _ holdfastv1connect.WebhookServiceHandler = (*webhooks)(nil)

func (h *webhooks) RegisterWebhook(ctx context.Context, req *holdfastv1.RegisterWebhookRequest) (*holdfastv1.RegisterWebhookResponse, error) {
	webhook, violations := webhookFromInput(req.GetWebhook(), h.retry)
	wait, v := waitOf(ctx, req.GetWait())
	violations = append(violations, v...)
	if len(req.GetIdempotencyKey()) > holdfast.MaxIdempotencyKey {
		violations = append(violations, holdfast.Violation{
			Field: "idempotencyKey", Description: fmt.Sprintf("must not be longer than %d bytes", holdfast.MaxIdempotencyKey),
		})
	}
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	result, err := h.registrations.Register(ctx, RegisterRequest{webhook, req.GetIdempotencyKey(), actorOf(ctx), wait})
	if err != nil {
		return nil, belowWebhook(err)
	}
	return &holdfastv1.RegisterWebhookResponse{
		Webhook:      webhookIn(&result.Webhook, &result.Registration),
		Registration: registrationMessage(&result.Registration), Secret: optional(result.Secret),
	}, nil
}

func (h *webhooks) GetWebhook(ctx context.Context, req *holdfastv1.GetWebhookRequest) (*holdfastv1.GetWebhookResponse, error) {
	if err := holdfast.Invalid(required("id", req.GetId())); err != nil {
		return nil, err
	}
	w, err := h.webhooks.Webhook(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &holdfastv1.GetWebhookResponse{Webhook: webhookMessage(w)}, nil
}

func (h *webhooks) ListWebhooks(ctx context.Context, req *holdfastv1.ListWebhooksRequest) (*holdfastv1.ListWebhooksResponse, error) {
	page, err := webhookPageOf(req)
	if err != nil {
		return nil, err
	}
	all, err := h.webhooks.List(ctx)
	if err != nil {
		return nil, err
	}
	items, next, total := page.cut(all)
	res := &holdfastv1.ListWebhooksResponse{NextPageToken: next, TotalSize: int32(total)}
	for _, w := range items {
		res.Webhooks = append(res.Webhooks, webhookMessage(w))
	}
	return res, nil
}

func (h *webhooks) GetWebhookStats(ctx context.Context, req *holdfastv1.GetWebhookStatsRequest) (*holdfastv1.GetWebhookStatsResponse, error) {
	query, violations := seriesOf(req.GetSeries())
	if err := holdfast.Invalid(append(required("id", req.GetId()), violations...)); err != nil {
		return nil, err
	}
	stats, err := h.webhooks.Stats(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	series, err := query.read(func(step SeriesStep) ([]StatsBucket, error) { return h.webhooks.Series(ctx, req.GetId(), step) })
	if err != nil {
		return nil, err
	}
	return &holdfastv1.GetWebhookStatsResponse{Stats: statsMessage(&stats), Series: series}, nil
}

func (h *webhooks) GetRegistration(ctx context.Context, req *holdfastv1.GetRegistrationRequest) (*holdfastv1.GetRegistrationResponse, error) {
	if err := holdfast.Invalid(required("webhookId", req.GetWebhookId())); err != nil {
		return nil, err
	}
	r, err := h.registrations.Registration(ctx, req.GetWebhookId())
	if err != nil {
		return nil, err
	}
	return &holdfastv1.GetRegistrationResponse{Registration: registrationMessage(&r)}, nil
}

// webhookPage is one page of the list of webhooks.
type webhookPage struct {
	eventType string
	state     holdfast.WebhookState
	size      int
	after     *cursor // nil on the first page
}

func webhookPageOf(req *holdfastv1.ListWebhooksRequest) (webhookPage, error) {
	violations := knownEventType(req.GetEventType())
	size, v := pageSizeOf(req.GetPageSize(), maxPageSize)
	violations = append(violations, v...)
	state, v := wordOf(holdfastv1.WebhookState_name, int32(req.GetState()), webhookStatePrefix)
	violations = append(violations, v...)
	page := webhookPage{eventType: req.GetEventType(), state: holdfast.WebhookState(state), size: size}
	if req.GetPageToken() != "" {
		after, v := parseCursor(req.GetPageToken())
		violations = append(violations, v...)
		page.after = &after
	}
	return page, holdfast.Invalid(violations)
}

// cut returns the page, the token of the next one and how many webhooks match at all.
func (p webhookPage) cut(all []*holdfast.Webhook) (items []*holdfast.Webhook, next string, total int) {
	for _, w := range all {
		if (p.eventType == "" || w.Subscribed(p.eventType)) && (p.state == "" || w.State() == p.state) {
			items = append(items, w)
		}
	}
	total = len(items)
	newestFirst := func(w *holdfast.Webhook, c cursor) int {
		return cmp.Or(cmp.Compare(c.createdAt, w.CreatedAt), cmp.Compare(c.id, w.ID))
	}
	slices.SortFunc(items, func(a, b *holdfast.Webhook) int { return newestFirst(a, cursor{b.CreatedAt, b.ID}) })
	if p.after != nil {
		i, found := slices.BinarySearchFunc(items, *p.after, newestFirst)
		if found {
			i++
		}
		items = items[i:]
	}
	if len(items) > p.size {
		items = items[:p.size]
		last := items[p.size-1]
		next = cursor{last.CreatedAt, last.ID}.token()
	}
	return items, next, total
}
