package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// The life of a test receiver: it is watched while a webhook delivers to it, listed, cleared and deleted (D53).
func TestD53_ReceiversAreWatchedListedClearedAndDeleted(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n, other := c.node(), c.node()
	ctx := t.Context()
	client := holdfastv1connect.NewReceiverServiceClient(http.DefaultClient, n.base)
	made, err := client.CreateReceiver(ctx, &holdfastv1.CreateReceiverRequest{})
	require.NoError(t, err)
	id := made.GetReceiver().GetId()
	// The URL is that of the configured base; in the test the node listens elsewhere.
	_, path, _ := strings.Cut(made.GetReceiver().GetUrl(), "/test-receivers/")
	n.register(t, n.base+"/test-receivers/"+path, "job_failed")

	watched, err := client.WatchReceivedRequests(ctx, &holdfastv1.WatchReceivedRequestsRequest{ReceiverId: id})
	require.NoError(t, err)
	require.True(t, watched.Receive())
	require.Nil(t, watched.Msg().GetRequest(), "from now on nothing is missed")
	const events = 5
	seen := map[string]bool{}
	for i := range events {
		event := other.publish(t, "job_failed", fmt.Sprintf(`{"i":%d}`, i))
		require.True(t, watched.Receive(), watched.Err())
		got := watched.Msg().GetRequest()
		require.Equal(t, event.GetEventId(), got.GetHeaders()["webhook-id"])
		require.Equal(t, "valid", got.GetSignature().GetStandard())
		seen[got.GetId()] = true
	}
	require.Len(t, seen, events)

	listed, err := client.ListReceivers(ctx, &holdfastv1.ListReceiversRequest{})
	require.NoError(t, err)
	require.Len(t, listed.GetReceivers(), 1)
	require.EqualValues(t, events, listed.GetReceivers()[0].GetRequestCount())
	require.Equal(t, made.GetReceiver().GetUrl(), listed.GetReceivers()[0].GetUrl())
	cleared, err := client.ClearReceivedRequests(ctx, &holdfastv1.ClearReceivedRequestsRequest{ReceiverId: id})
	require.NoError(t, err)
	require.EqualValues(t, events, cleared.GetClearedCount())
	one, err := client.GetReceiver(ctx, &holdfastv1.GetReceiverRequest{ReceiverId: id})
	require.NoError(t, err)
	require.Zero(t, one.GetReceiver().GetRequestCount())

	status, answer := n.rest(t, http.MethodDelete, "/test-receivers/"+id, "")
	require.Equal(t, http.StatusOK, status, answer)
	_, err = client.DeleteReceiver(ctx, &holdfastv1.DeleteReceiverRequest{ReceiverId: id})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	_, err = client.GetReceiver(ctx, &holdfastv1.GetReceiverRequest{ReceiverId: id})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	require.NoError(t, watched.Close())
}

// Events that are published together are as durable and as known as those that come alone.
func TestG3_EventsPublishedTogetherAreDeliveredOnceEach(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	id := n.register(t, receiver.URL(), "job_failed").GetWebhook().GetId()
	const events = 300
	in := &holdfastv1.PublishEventsRequest{}
	for i := range events {
		in.Events = append(in.Events, &holdfastv1.Event{Id: fmt.Sprintf("e%d", i), Type: "job_failed", DataJson: []byte(`{}`)})
	}
	in.Events = append(in.Events, &holdfastv1.Event{Id: "wrong", Type: "job_failed", DataJson: []byte(`[]`)})
	for round := range 2 {
		got, err := n.events.PublishEvents(t.Context(), in)
		require.NoError(t, err)
		require.Len(t, got.GetEvents(), events+1)
		for i, one := range got.GetEvents()[:events] {
			require.Nil(t, one.GetError())
			require.Equal(t, fmt.Sprintf("e%d", i), one.GetEventId())
			require.Equal(t, round == 1, one.GetDuplicate())
			require.Len(t, one.GetDeliveries(), 1)
		}
		require.Equal(t, "invalid_argument", got.GetEvents()[events].GetError().GetCode())
	}
	arrived(t, receiver, events)
	stats := c.stats(c.store(), id, events)
	requireNoneOpen(t, c)
	require.EqualValues(t, events, stats.Delivered)
	require.Len(t, receiver.Requests(), events)
}
