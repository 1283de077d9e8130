package server_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func failedDelivery() *holdfast.Delivery {
	return &holdfast.Delivery{
		WebhookID: "wh_1", EventID: "evt_1", EventType: "job_failed", State: holdfast.DeliveryRetrying,
		CreatedAt: 1000, UpdatedAt: 2000, NextAttemptAt: 3000, WorkflowID: "delivery/wh_1/evt_1", RunID: "r-1",
		Attempts: []holdfast.Attempt{{
			Number: 1, Timestamp: 1500, DurationMS: 12.5, ResponseStatus: 503, ResponseBody: "busy \xff",
			ErrorMessage: "503", ErrorClass: holdfast.ClassStatus, Node: "n1",
		}},
	}
}

func TestGetDelivery(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.delivery = func(_ context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
			if webhookID != "wh_1" || eventID != "evt_1" {
				return nil, holdfast.Errorf(holdfast.CodeNotFound, "no such delivery")
			}
			return failedDelivery(), nil
		}
		res, err := c.deliveries.GetDelivery(t.Context(), &holdfastv1.GetDeliveryRequest{Id: "wh_1/evt_1"})
		require.NoError(t, err)
		d := res.GetDelivery()
		require.Equal(t, []string{"wh_1/evt_1", "wh_1", "evt_1", "job_failed"},
			[]string{d.GetId(), d.GetWebhookId(), d.GetEventId(), d.GetEventType()})
		require.Equal(t, holdfastv1.DeliveryState_DELIVERY_STATE_RETRYING, d.GetState())
		require.Equal(t, int64(3000), d.GetNextAttemptTime().AsTime().UnixMilli())
		require.Equal(t, "http://ui.test/namespaces/default/workflows/delivery%2Fwh_1%2Fevt_1/r-1", d.GetTemporalUrl())
		a := d.GetAttempts()[0]
		require.Equal(t, 12500*time.Microsecond, a.GetDuration().AsDuration())
		require.Equal(t, []any{int32(1), int32(503), "busy \uFFFD", "503", "status", "n1"},
			[]any{a.GetNumber(), a.GetResponseStatus(), a.GetResponseBody(), a.GetError(), a.GetErrorClass(), a.GetNode()})

		_, err = c.deliveries.GetDelivery(t.Context(), &holdfastv1.GetDeliveryRequest{Id: "wh_1/evt_2"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		for _, id := range []string{"", "wh_1", "a/b/c", "/x"} {
			_, err = c.deliveries.GetDelivery(t.Context(), &holdfastv1.GetDeliveryRequest{Id: id})
			require.Equal(t, []string{"id"}, fieldsOf(t, err), id)
		}
	})
}

func TestGetDelivery_linksToWhatThereIs(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ base, workflow, run, want string }{
		{"", "w", "r", ""},
		{"http://ui", "", "r", ""},
		{"http://ui", "group/n/1", "", "http://ui/namespaces/default/workflows/group%2Fn%2F1"},
	} {
		b := setup(t, func(o *server.Options) { o.TemporalUIBase = tc.base })
		b.delivery = func(context.Context, string, string) (*holdfast.Delivery, error) {
			return &holdfast.Delivery{WorkflowID: tc.workflow, RunID: tc.run}, nil
		}
		_, _, answer := b.post(t, "DeliveryService/GetDelivery", `{"id":"wh_1/evt_1"}`)
		require.Equal(t, tc.want, answer["delivery"].(map[string]any)["temporalUrl"])
	}
}

func TestListDeliveries(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		var filter server.DeliveryFilter
		var size int
		b.list = func(_ context.Context, f server.DeliveryFilter, n int, token string) ([]*holdfast.Delivery, string, error) {
			filter, size = f, n
			if token == "bad" {
				return nil, "", holdfast.Invalid([]holdfast.Violation{{Field: "pageToken", Description: "is not a token"}})
			}
			return []*holdfast.Delivery{failedDelivery()}, "next", nil
		}
		res, err := c.deliveries.ListDeliveries(t.Context(), &holdfastv1.ListDeliveriesRequest{
			WebhookId: "wh_1", EventId: "evt_1", EventType: "job_failed", State: holdfastv1.DeliveryState_DELIVERY_STATE_HELD,
			PageSize: 1000,
		})
		require.NoError(t, err)
		require.Equal(t, server.DeliveryFilter{
			WebhookID: "wh_1", EventID: "evt_1", EventType: "job_failed", State: holdfast.DeliveryHeld,
		}, filter)
		require.Equal(t, 500, size)
		require.Equal(t, "next", res.GetNextPageToken())
		require.Equal(t, "wh_1/evt_1", res.GetDeliveries()[0].GetId())

		_, err = c.deliveries.ListDeliveries(t.Context(), &holdfastv1.ListDeliveriesRequest{})
		require.NoError(t, err)
		require.Equal(t, 50, size)
		require.Equal(t, server.DeliveryFilter{}, filter)
		_, err = c.deliveries.ListDeliveries(t.Context(), &holdfastv1.ListDeliveriesRequest{PageToken: "bad"})
		require.Equal(t, []string{"pageToken"}, fieldsOf(t, err))
		_, err = c.deliveries.ListDeliveries(t.Context(), &holdfastv1.ListDeliveriesRequest{EventType: "x", PageSize: -1, State: 77})
		require.Equal(t, []string{"eventType", "pageSize", "state"}, fieldsOf(t, err))
	})
}
