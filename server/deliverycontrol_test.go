package server_test

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

// fakeControl knows one delivery and one replay, and notes what was asked.
type fakeControl struct {
	retried, cancelled []string
	matching           []holdfast.ReplayFilter
	replays            []server.ReplayRequest
	ended              bool // the replay has ended
	changes            chan server.DeliveryChange
	watched            server.DeliveryFilter
}

func (f *fakeControl) known(webhookID, eventID string) (*holdfast.Delivery, error) {
	if webhookID != "wh_1" || eventID != "evt_1" {
		return nil, holdfast.Errorf(holdfast.CodeNotFound, "no such delivery")
	}
	return failedDelivery(), nil
}

func (f *fakeControl) Retry(_ context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	f.retried = append(f.retried, eventID)
	return f.known(webhookID, eventID)
}

func (f *fakeControl) Cancel(_ context.Context, webhookID, eventID, reason string) (*holdfast.Delivery, error) {
	if reason == "again" {
		return nil, holdfast.Errorf(holdfast.CodePrecondition, "this delivery has ended already")
	}
	f.cancelled = append(f.cancelled, eventID+": "+reason)
	return f.known(webhookID, eventID)
}

func (f *fakeControl) Matching(_ context.Context, filter holdfast.ReplayFilter) (int64, bool, error) {
	f.matching = append(f.matching, filter)
	return 7, true, nil
}

func (f *fakeControl) Replay(_ context.Context, r server.ReplayRequest, expected int64) (server.Replay, error) {
	f.replays = append(f.replays, r)
	return server.Replay{ID: "r1", State: holdfast.ReplayRunning, Filter: r.Filter, Expected: expected, StartedAt: 1000, WorkflowID: "replay/r1", Actor: r.Actor}, nil
}

func (f *fakeControl) ReplayStatus(_ context.Context, id string) (server.Replay, error) {
	if id != "r1" {
		return server.Replay{}, holdfast.Errorf(holdfast.CodeNotFound, "no such replay")
	}
	return server.Replay{ID: id, State: holdfast.ReplayDone, Replayed: 5, Refused: 2, LastRefusal: "gone", EndedAt: 2000}, nil
}

func (f *fakeControl) steer(id string, state holdfast.ReplayState) (server.Replay, error) {
	if f.ended {
		return server.Replay{}, holdfast.Errorf(holdfast.CodePrecondition, "this replay has ended already")
	}
	return server.Replay{ID: id, State: state}, nil
}

func (f *fakeControl) PauseReplay(_ context.Context, id string) (server.Replay, error) {
	return f.steer(id, holdfast.ReplayPaused)
}

func (f *fakeControl) ResumeReplay(_ context.Context, id string) (server.Replay, error) {
	return f.steer(id, holdfast.ReplayRunning)
}

func (f *fakeControl) CancelReplay(_ context.Context, id string) (server.Replay, error) {
	return f.steer(id, holdfast.ReplayCancelled)
}

func (f *fakeControl) Watch(_ context.Context, filter server.DeliveryFilter) (<-chan server.DeliveryChange, error) {
	f.watched = filter
	return f.changes, nil
}

func TestRetryAndCancelDelivery(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		got, err := c.deliveries.RetryDelivery(t.Context(), &holdfastv1.RetryDeliveryRequest{Id: "wh_1/evt_1"})
		require.NoError(t, err)
		require.Equal(t, "wh_1/evt_1", got.GetDelivery().GetId())
		_, err = c.deliveries.RetryDelivery(t.Context(), &holdfastv1.RetryDeliveryRequest{Id: "wh_1/evt_2"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		_, err = c.deliveries.RetryDelivery(t.Context(), &holdfastv1.RetryDeliveryRequest{Id: "nonsense"})
		require.Equal(t, []string{"id"}, fieldsOf(t, err))

		_, err = c.deliveries.CancelDelivery(t.Context(), &holdfastv1.CancelDeliveryRequest{Id: "wh_1/evt_1", Reason: "wrong receiver"})
		require.NoError(t, err)
		require.Equal(t, []string{"evt_1: wrong receiver"}, b.control.cancelled)
		_, err = c.deliveries.CancelDelivery(t.Context(), &holdfastv1.CancelDeliveryRequest{Id: "wh_1/evt_1", Reason: "again"})
		require.Equal(t, connect.CodeFailedPrecondition, connect.CodeOf(err))
		_, err = c.deliveries.CancelDelivery(t.Context(), &holdfastv1.CancelDeliveryRequest{Id: "wh_1/evt_1", Reason: string(make([]byte, 257))})
		require.Equal(t, []string{"reason"}, fieldsOf(t, err))
	})
}

func TestReplayDeliveries(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		filter := &holdfastv1.ReplayFilter{
			WebhookId: "wh_1", EventType: "job_failed", States: []holdfastv1.DeliveryState{holdfastv1.DeliveryState_DELIVERY_STATE_DELIVERED},
			From: timestamppb.New(time.UnixMilli(1000)), To: timestamppb.New(time.UnixMilli(2000)),
		}
		preview, err := c.deliveries.ReplayDeliveries(t.Context(), &holdfastv1.ReplayDeliveriesRequest{Filter: filter, Preview: true})
		require.NoError(t, err)
		require.Equal(t, int64(7), preview.GetMatching())
		require.True(t, preview.GetMatchingExact())
		require.Nil(t, preview.GetReplay())
		require.Empty(t, b.control.replays, "a preview only counts")
		require.Equal(t, holdfast.ReplayFilter{
			WebhookID: "wh_1", EventType: "job_failed", States: []holdfast.DeliveryState{holdfast.DeliveryDelivered}, From: 1000, To: 2000,
		}, b.control.matching[0])

		got, err := c.deliveries.ReplayDeliveries(t.Context(), &holdfastv1.ReplayDeliveriesRequest{
			Filter: &holdfastv1.ReplayFilter{WebhookId: "wh_1"}, PerSecond: proto.Float64(5), RequestId: "r-1",
		})
		require.NoError(t, err)
		r := got.GetReplay()
		require.Equal(t, holdfastv1.ReplayState_REPLAY_STATE_RUNNING, r.GetState())
		require.Equal(t, "http://ui.test/namespaces/default/workflows/replay%2Fr1", r.GetTemporalUrl())
		asked := b.control.replays[0]
		require.Equal(t, []any{5.0, "r-1", "api"}, []any{asked.PerSecond, asked.RequestID, asked.Actor})
		require.Equal(t, []holdfast.DeliveryState{holdfast.DeliveryExhausted, holdfast.DeliveryCancelled}, asked.Filter.States)
		require.InDelta(t, time.Now().UnixMilli(), asked.Filter.To, 60_000, "what comes later is not replayed")

		_, err = c.deliveries.ReplayDeliveries(t.Context(), &holdfastv1.ReplayDeliveriesRequest{
			Filter: &holdfastv1.ReplayFilter{
				EventType: "x", States: []holdfastv1.DeliveryState{99},
				From: timestamppb.New(time.UnixMilli(5)), To: timestamppb.New(time.UnixMilli(4)),
			}, PerSecond: proto.Float64(0), RequestId: "a/b",
		})
		require.ElementsMatch(t, []string{"filter.eventType", "filter.states", "filter.from", "perSecond", "requestId"}, fieldsOf(t, err))
		_, err = c.deliveries.ReplayDeliveries(t.Context(), &holdfastv1.ReplayDeliveriesRequest{})
		require.Equal(t, []string{"filter.webhookId"}, fieldsOf(t, err), "nobody replays everything by accident")
	})
}

func TestReplaysAreSteered(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		got, err := c.deliveries.GetReplay(t.Context(), &holdfastv1.GetReplayRequest{Id: "r1"})
		require.NoError(t, err)
		r := got.GetReplay()
		require.Equal(t, []any{holdfastv1.ReplayState_REPLAY_STATE_DONE, int64(5), int64(2), "gone"},
			[]any{r.GetState(), r.GetReplayed(), r.GetRefused(), r.GetLastRefusal()})
		_, err = c.deliveries.GetReplay(t.Context(), &holdfastv1.GetReplayRequest{Id: "r2"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		_, err = c.deliveries.GetReplay(t.Context(), &holdfastv1.GetReplayRequest{})
		require.Equal(t, []string{"id"}, fieldsOf(t, err))

		paused, err := c.deliveries.PauseReplay(t.Context(), &holdfastv1.PauseReplayRequest{Id: "r1"})
		require.NoError(t, err)
		require.Equal(t, holdfastv1.ReplayState_REPLAY_STATE_PAUSED, paused.GetReplay().GetState())
		resumed, err := c.deliveries.ResumeReplay(t.Context(), &holdfastv1.ResumeReplayRequest{Id: "r1"})
		require.NoError(t, err)
		require.Equal(t, holdfastv1.ReplayState_REPLAY_STATE_RUNNING, resumed.GetReplay().GetState())
		b.control.ended = true
		_, err = c.deliveries.CancelReplay(t.Context(), &holdfastv1.CancelReplayRequest{Id: "r1"})
		require.Equal(t, connect.CodeFailedPrecondition, connect.CodeOf(err))
	})
}

func TestWatchDeliveries(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.control.changes = make(chan server.DeliveryChange, 1)
		stream, err := c.deliveries.WatchDeliveries(t.Context(), &holdfastv1.WatchDeliveriesRequest{
			WebhookId: "wh_1", State: holdfastv1.DeliveryState_DELIVERY_STATE_HELD,
		})
		require.NoError(t, err)
		require.True(t, stream.Receive(), "%v", stream.Err())
		require.Nil(t, stream.Msg().GetDelivery(), "the first message says that watching has begun")
		b.control.changes <- server.DeliveryChange{Delivery: failedDelivery(), Skipped: 3}
		require.True(t, stream.Receive(), "%v", stream.Err())
		require.Equal(t, "wh_1/evt_1", stream.Msg().GetDelivery().GetId())
		require.Equal(t, int64(3), stream.Msg().GetSkipped())
		require.Equal(t, server.DeliveryFilter{WebhookID: "wh_1", State: holdfast.DeliveryHeld}, b.control.watched)
		close(b.control.changes)
		require.False(t, stream.Receive())
		require.Equal(t, connect.CodeUnavailable, connect.CodeOf(stream.Err()), "a stream that ends by itself says so")
	})
}
