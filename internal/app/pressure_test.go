package app_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
)

// With Temporal out of reach nothing leaves the queue, so that it is full after as many events as it holds.
func TestD24_AFullQueueRefusesAndSaysWhenToRetry(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	way := newRelay(t, c.temporal.HostPort())
	way.Open()
	const room = 4
	n := c.node(func(cfg *config.Config) {
		cfg.Temporal.Address = way.addr
		cfg.Delivery.QueueMaxDeliveries, cfg.Delivery.GroupMaxDeliveries = room, 2
	})
	receiver := testkit.NewReceiver(t)
	n.register(t, receiver.URL(), "job_submitted")
	way.Cut()
	for i := range room {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := n.tryPublish(ctx, "", "job_submitted", fmt.Sprintf(`{"i":%d}`, i))
		cancel()
		require.Contains(t, []connect.Code{connect.CodeDeadlineExceeded, connect.CodeUnavailable}, connect.CodeOf(err), "%v", err)
	}
	_, err := n.tryPublish(t.Context(), "", "job_submitted", `{"i":"too many"}`)
	require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err), "%v", err)
	var refusal *connect.Error
	require.ErrorAs(t, err, &refusal)
	require.NotEmpty(t, refusal.Meta().Get("Retry-After"))
	require.Len(t, refusal.Details(), 1)
	detail, err := refusal.Details()[0].Value()
	require.NoError(t, err)
	retry, ok := detail.(*errdetails.RetryInfo)
	require.True(t, ok)
	require.Positive(t, retry.GetRetryDelay().AsDuration())
	n.requireAlive(t)

	way.Open()
	arrived(t, receiver, room)
	n.publish(t, "job_submitted", `{"i":"after"}`)
	for _, r := range arrived(t, receiver, room+1) {
		require.NotContains(t, string(r.Body), "too many", "what was refused was not accepted")
	}
}
