package server_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func TestD35_TestWebhookTellsOfEachEvent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.test = func(_ context.Context, id string, eventTypes []string, timeout time.Duration) ([]server.TestedEvent, error) {
			require.Equal(t, []any{"wh_1", []string{"job_failed", "complete_job"}, 5 * time.Second}, []any{id, eventTypes, timeout})
			return []server.TestedEvent{
				{&holdfast.Event{ID: "test_1", Type: "job_failed"}, []byte(`{"a":1}`), holdfast.Attempt{
					Timestamp: 1000, DurationMS: 2.5, ResponseStatus: 503, ResponseBody: "no\xff", ErrorMessage: "HTTP 503", ErrorClass: holdfast.ClassStatus,
				}},
				{&holdfast.Event{ID: "test_2", Type: "complete_job"}, nil, holdfast.Attempt{Success: true, ResponseStatus: 200}},
			}, nil
		}
		got, err := c.webhooks.TestWebhook(t.Context(), &holdfastv1.TestWebhookRequest{
			WebhookId: "wh_1", EventTypes: []string{"job_failed", "complete_job"}, Timeout: durationpb.New(5 * time.Second),
		})
		require.NoError(t, err)
		require.Len(t, got.GetResults(), 2)
		r := got.GetResults()[0]
		require.Equal(t, []any{"test_1", "job_failed", false, int32(503), "HTTP 503", "status", "no\uFFFD", `{"a":1}`}, []any{
			r.GetEventId(), r.GetEventType(), r.GetDelivered(), r.GetResponseStatus(), r.GetError(), r.GetErrorClass(), r.GetResponseBody(), r.GetPayload(),
		})
		require.Equal(t, time.UnixMilli(1000).UTC(), r.GetTime().AsTime())
		require.Equal(t, 2500*time.Microsecond, r.GetDuration().AsDuration())
		require.True(t, got.GetResults()[1].GetDelivered())
		require.Nil(t, got.GetResults()[1].GetTime())
	})
}

func TestD35_TestWebhookRefusesBadInputAndPassesOnWhyItCannot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.clients(protocols()[1]) // JSON has no way to write an invalid duration
	var timeouts []time.Duration
	answer := error(nil)
	b.test = func(_ context.Context, _ string, _ []string, timeout time.Duration) ([]server.TestedEvent, error) {
		timeouts = append(timeouts, timeout)
		return nil, answer
	}
	for _, req := range []*holdfastv1.TestWebhookRequest{
		{}, {WebhookId: "wh_1", Timeout: durationpb.New(0)}, {WebhookId: "wh_1", Timeout: durationpb.New(61 * time.Second)},
		{WebhookId: "wh_1", Timeout: &durationpb.Duration{Seconds: 1, Nanos: -1}},
	} {
		_, err := c.webhooks.TestWebhook(t.Context(), req)
		require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), req)
	}
	require.Empty(t, timeouts, "nothing was sent")

	for code, want := range map[holdfast.Code]connect.Code{
		holdfast.CodeNotFound: connect.CodeNotFound, holdfast.CodeUnavailable: connect.CodeUnavailable, holdfast.CodeExhausted: connect.CodeResourceExhausted,
	} {
		answer = holdfast.Errorf(code, "no")
		_, err := c.webhooks.TestWebhook(t.Context(), &holdfastv1.TestWebhookRequest{WebhookId: "wh_1"})
		require.Equal(t, want, connect.CodeOf(err))
	}
	require.Equal(t, server.MaxTestTimeout, timeouts[0])

	answer = nil
	hurried, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := c.webhooks.TestWebhook(hurried, &holdfastv1.TestWebhookRequest{WebhookId: "wh_1"})
	require.NoError(t, err)
	require.Less(t, timeouts[len(timeouts)-1], 20*time.Second, "the answer is back before the caller's deadline")
}
