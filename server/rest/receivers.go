package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

// What the original tells of its receivers (CONTRACT 6.1).
const (
	maxReceivers     = 100
	receiverHours    = 24
	defaultReceived  = 50
	receiversAreFull = "Maximum number of test receivers reached. Try again later."
)

type shownReceiver struct {
	ID        string `json:"id"`
	URL       string `json:"url"`
	ViewURL   string `json:"view_url"`
	CreatedAt int64  `json:"created_at"`
	ExpiresAt int64  `json:"expires_at"`
	Hours     int    `json:"expires_in_hours,omitempty"`
	Requests  *int64 `json:"request_count,omitempty"`
}

// showReceiver gives a page that exists as the one to look at: that of the original did not know the receiver (D59).
func (a *api) showReceiver(r *server.Receiver) shownReceiver {
	url := server.ReceiverURL(a.PublicURL, r.ID)
	return shownReceiver{
		ID: r.ID, URL: url, ViewURL: strings.TrimSuffix(url, "/webhook") + "/requests", CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt,
	}
}

func (a *api) createReceiver(r *http.Request) (answer, error) {
	made, err := a.Receivers.CreateReceiver(r.Context(), holdfast.NewReceiverID())
	if holdfast.ErrorCode(err) == holdfast.CodeExhausted {
		return answer{}, &refusal{http.StatusTooManyRequests, receiversAreFull, err}
	}
	if err != nil {
		return answer{}, err
	}
	out := a.showReceiver(&made)
	out.Hours = receiverHours
	return created(out)
}

func (a *api) receivers(r *http.Request) (answer, error) {
	all, err := a.Receivers.Receivers(r.Context())
	if err != nil {
		return answer{}, err
	}
	slices.SortStableFunc(all, func(x, y server.Receiver) int { return int(y.CreatedAt - x.CreatedAt) })
	data := make([]shownReceiver, len(all))
	for i := range all {
		data[i] = a.showReceiver(&all[i])
		data[i].Requests = &all[i].RequestCount
	}
	return ok(map[string]any{"data": data, "total": len(data), "max_receivers": maxReceivers})
}

func ofReceiver(err error) error { return notFound(err, "Test receiver not found") }

func (a *api) received(r *http.Request) (answer, error) {
	id, limit := r.PathValue("id"), limitOf(r, defaultReceived, server.MaxReceivedRequests)
	receiver, err := a.Receivers.Receiver(r.Context(), id)
	if err != nil {
		return answer{}, ofReceiver(err)
	}
	stored, err := a.Receivers.ReceivedRequests(r.Context(), id, limit)
	if err != nil {
		return answer{}, ofReceiver(err)
	}
	requests := a.showReceived(r.Context(), stored)
	shown := a.showReceiver(&receiver)
	return ok(map[string]any{"data": map[string]any{
		"receiver_id": id, "receiver_url": shown.URL, "created_at": receiver.CreatedAt, "expires_at": receiver.ExpiresAt,
		"requests": requests, "total_requests": receiver.RequestCount, "returned_count": len(requests),
	}})
}

// showReceived shows requests, with whether their signatures are right by the secrets of the webhooks that they say to come
// from (D62).
func (a *api) showReceived(ctx context.Context, stored []server.ReceivedRequest) []map[string]any {
	secrets := map[string]string{}
	shown := make([]map[string]any, len(stored))
	for i := range stored {
		r := &stored[i]
		id := http.Header(r.Headers).Get("X-Webhook-ID")
		secret, known := secrets[id]
		if !known && id != "" {
			if w, err := a.Webhooks.Webhook(ctx, id); err == nil { // else the verdict is unknown
				secret = w.Secret
			}
			secrets[id] = secret
		}
		shown[i] = showRequest(r, secret)
	}
	return shown
}

// showRequest shows a request as the original stored it. A body that is neither JSON nor a form is shown as its text, where
// the original lost it; raw_body has the bytes as they came, in base64.
func showRequest(r *server.ReceivedRequest, secret string) map[string]any {
	headers := r.ShownHeaders()
	query := map[string]string{}
	if values, err := url.ParseQuery(r.Query); err == nil {
		for name, all := range values {
			query[name] = strings.Join(all, ",")
		}
	}
	legacy, standard := server.SignatureVerdicts(r, secret)
	return map[string]any{
		"id": r.ID, "timestamp": r.Time, "method": r.Method, "headers": headers, "body": showBody(r.Body, headers["content-type"]),
		"query": query, "user_agent": headers["user-agent"], "ip": r.RemoteAddr,
		"raw_body": r.Body, "signature": map[string]string{"legacy": legacy, "standard": standard},
	}
}

func showBody(body []byte, contentType string) any {
	kind, _, _ := mime.ParseMediaType(contentType)
	switch {
	case len(body) == 0:
		return struct{}{}
	case kind == "application/x-www-form-urlencoded":
		if form, err := formAsJSON(string(body)); err == nil {
			return json.RawMessage(form)
		}
	case json.Valid(body) && (kind == "application/json" || strings.HasSuffix(kind, "+json")):
		return json.RawMessage(body)
	}
	return strings.ToValidUTF8(string(body), "\uFFFD")
}

// deleteReceiver is a route that the original lacked: its hundred receivers blocked everybody for a day (D53).
func (a *api) deleteReceiver(r *http.Request) (answer, error) {
	if err := a.Receivers.DeleteReceiver(r.Context(), r.PathValue("id")); err != nil {
		return answer{}, ofReceiver(err)
	}
	return ok(map[string]any{"message": "Test receiver deleted successfully"})
}

func (a *api) clearReceived(r *http.Request) (answer, error) {
	n, err := a.Receivers.ClearReceivedRequests(r.Context(), r.PathValue("id"))
	if err != nil {
		return answer{}, ofReceiver(err)
	}
	return ok(map[string]any{"message": fmt.Sprintf("Cleared %d test receiver requests", n), "cleared_count": n})
}
