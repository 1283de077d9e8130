package server

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// WatchReceivedRequests streams requests until the caller leaves. The first message is empty: it says that nothing that
// arrives from now on is missed, unless more than MaxReceivedRequests arrive between two looks.
func (h *receivers) WatchReceivedRequests(
	ctx context.Context, req *holdfastv1.WatchReceivedRequestsRequest,
	stream *connect.ServerStream[holdfastv1.WatchReceivedRequestsResponse],
) error {
	id := req.GetReceiverId()
	if err := holdfast.Invalid(required("receiverId", id)); err != nil {
		return err
	}
	arrived, err := h.receivers.WatchReceiver(ctx, id)
	if err != nil {
		return err
	}
	_, seen, err := h.unseen(ctx, id, nil)
	if err != nil {
		return err
	}
	if err := stream.Send(&holdfastv1.WatchReceivedRequestsResponse{}); err != nil {
		return err
	}
	for {
		select {
		case _, open := <-arrived:
			if !open && ctx.Err() == nil {
				return holdfast.Errorf(holdfast.CodeUnavailable, "the stream of requests ended; watch again")
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the caller has left
		}
		var fresh []ReceivedRequest
		if fresh, seen, err = h.unseen(ctx, id, seen); err != nil {
			return err
		}
		secrets, err := h.secrets(ctx, id, req.GetWebhookId())
		if err != nil {
			return err
		}
		for i := range fresh {
			if err := stream.Send(&holdfastv1.WatchReceivedRequestsResponse{Request: receivedMessage(&fresh[i], secrets)}); err != nil {
				return err
			}
		}
	}
}

// unseen returns the requests whose ids are not among those seen, the oldest first, and the ids of all there are.
func (h *receivers) unseen(ctx context.Context, id string, seen map[string]bool) (fresh []ReceivedRequest, now map[string]bool, err error) {
	kept, err := h.receivers.ReceivedRequests(ctx, id, MaxReceivedRequests)
	if err != nil {
		return nil, nil, err
	}
	now = map[string]bool{}
	for _, r := range slices.Backward(kept) {
		now[r.ID] = true
		if !seen[r.ID] {
			fresh = append(fresh, r)
		}
	}
	return fresh, now, nil
}
