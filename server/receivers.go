package server

import (
	"context"
	"net/url"
	"strings"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

type receivers struct {
	receivers Receivers
	webhooks  Webhooks
	publicURL string
}

var _ holdfastv1connect.ReceiverServiceHandler = (*receivers)(nil)

func (h *receivers) CreateReceiver(ctx context.Context, _ *holdfastv1.CreateReceiverRequest) (*holdfastv1.CreateReceiverResponse, error) {
	r, err := h.receivers.CreateReceiver(ctx, holdfast.NewReceiverID())
	if err != nil {
		return nil, err
	}
	return &holdfastv1.CreateReceiverResponse{Receiver: h.message(&r)}, nil
}

func (h *receivers) message(r *Receiver) *holdfastv1.Receiver {
	return &holdfastv1.Receiver{
		Id: r.ID, Url: ReceiverURL(h.publicURL, r.ID),
		CreateTime: timeOfMS(r.CreatedAt), ExpireTime: timeOfMS(r.ExpiresAt), RequestCount: int32(r.RequestCount),
	}
}

func (h *receivers) ListReceivers(ctx context.Context, _ *holdfastv1.ListReceiversRequest) (*holdfastv1.ListReceiversResponse, error) {
	all, err := h.receivers.Receivers(ctx)
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.ListReceiversResponse{}
	for i := range all {
		res.Receivers = append(res.Receivers, h.message(&all[i]))
	}
	return res, nil
}

func (h *receivers) GetReceiver(ctx context.Context, req *holdfastv1.GetReceiverRequest) (*holdfastv1.GetReceiverResponse, error) {
	if err := holdfast.Invalid(required("receiverId", req.GetReceiverId())); err != nil {
		return nil, err
	}
	r, err := h.receivers.Receiver(ctx, req.GetReceiverId())
	if err != nil {
		return nil, err
	}
	return &holdfastv1.GetReceiverResponse{Receiver: h.message(&r)}, nil
}

func (h *receivers) DeleteReceiver(ctx context.Context, req *holdfastv1.DeleteReceiverRequest) (*holdfastv1.DeleteReceiverResponse, error) {
	if err := holdfast.Invalid(required("receiverId", req.GetReceiverId())); err != nil {
		return nil, err
	}
	return &holdfastv1.DeleteReceiverResponse{}, h.receivers.DeleteReceiver(ctx, req.GetReceiverId())
}

func (h *receivers) ClearReceivedRequests(
	ctx context.Context, req *holdfastv1.ClearReceivedRequestsRequest,
) (*holdfastv1.ClearReceivedRequestsResponse, error) {
	if err := holdfast.Invalid(required("receiverId", req.GetReceiverId())); err != nil {
		return nil, err
	}
	n, err := h.receivers.ClearReceivedRequests(ctx, req.GetReceiverId())
	return &holdfastv1.ClearReceivedRequestsResponse{ClearedCount: n}, err
}

func (h *receivers) ListReceivedRequests(ctx context.Context, req *holdfastv1.ListReceivedRequestsRequest) (*holdfastv1.ListReceivedRequestsResponse, error) {
	size, v := pageSizeOf(req.GetPageSize(), MaxReceivedRequests)
	if err := holdfast.Invalid(append(required("receiverId", req.GetReceiverId()), v...)); err != nil {
		return nil, err
	}
	requests, err := h.receivers.ReceivedRequests(ctx, req.GetReceiverId(), size)
	if err != nil {
		return nil, err
	}
	secrets, err := h.secrets(ctx, req.GetReceiverId(), req.GetWebhookId())
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.ListReceivedRequestsResponse{}
	for i := range requests {
		res.Requests = append(res.Requests, receivedMessage(&requests[i], secrets))
	}
	return res, nil
}

// secrets returns those of the webhook, or without its id those of every webhook that points at the receiver.
func (h *receivers) secrets(ctx context.Context, receiverID, webhookID string) ([]string, error) {
	var candidates []*holdfast.Webhook
	if webhookID != "" {
		w, err := h.webhooks.Webhook(ctx, webhookID)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, w)
	} else {
		all, err := h.webhooks.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, w := range all {
			if pointsAt(w.URL, receiverID) {
				candidates = append(candidates, w)
			}
		}
	}
	var secrets []string
	for _, w := range candidates {
		if w.Secret != "" {
			secrets = append(secrets, w.Secret)
		}
	}
	return secrets, nil
}

// ReceiverURL is where the outside reaches a receiver.
func ReceiverURL(publicURL, id string) string {
	return strings.TrimRight(publicURL, "/") + receiverPath(id)
}

// receiverPath is where a receiver receives (CONTRACT 6.1).
func receiverPath(id string) string { return "/test-receivers/" + id + "/webhook" }

// pointsAt tells whether a URL is that of the receiver. The host is left out: one server has many names, and no two
// receivers have one id.
func pointsAt(raw, receiverID string) bool {
	path := receiverPath(receiverID)
	if !strings.Contains(raw, path) { // spares parsing nearly every URL
		return false
	}
	u, err := url.Parse(raw)
	return err == nil && strings.HasSuffix(u.Path, path)
}

func receivedMessage(r *ReceivedRequest, secrets []string) *holdfastv1.ReceivedRequest {
	out := &holdfastv1.ReceivedRequest{
		Id: r.ID, Time: timeOfMS(r.Time), Method: r.Method, Body: r.Body, Query: strings.ToValidUTF8(r.Query, "\uFFFD"),
		Headers:   r.ShownHeaders(),
		Signature: checkSignatures(r, secrets),
	}
	return out
}

// ShownHeaders are the headers as they are shown: names in lower case, each with all its values in one text.
func (r *ReceivedRequest) ShownHeaders() map[string]string {
	shown := make(map[string]string, len(r.Headers))
	for name, values := range r.Headers {
		shown[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\uFFFD")
	}
	return shown
}
