package app_test

import (
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
)

// What a producer adds to the stream is delivered once, whether a node runs at the time, whether it stops in between, and
// by however many nodes the stream is read.
func TestG3_EventsOfTheStreamAreDelivered(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	client := testkit.RedisClient(t, c.redis)
	receiver := testkit.NewReceiver(t)
	first := c.node()
	id := first.register(t, receiver.URL(), "job_submitted", "complete_job").GetWebhook().GetId()
	add := func(fields ...any) {
		t.Helper()
		require.NoError(t, client.XAdd(t.Context(), &redis.XAddArgs{Stream: "webhooks:events", Values: fields}).Err())
	}
	const each = 20
	for i := range each {
		add("type", "job_submitted", "id", fmt.Sprintf("order-%d", i), "data", fmt.Sprintf(`{"i":%d}`, i))
	}
	arrived(t, receiver, each)
	require.NoError(t, first.Stop(t.Context()))
	for i := range each { // nobody listens
		add("channel", "complete_job", "message", fmt.Sprintf(`{"job_id":"j%d","timestamp":1757066400000}`, i))
	}
	add("type", "job_submitted", "id", "order-3", "data", `{"i":3}`) // once more
	add("type", "job_submitted", "id", "wrong", "data", `[]`)
	second, _ := c.node(), c.node()
	arrived(t, receiver, 2*each)
	stats := c.stats(c.store(), id, 2*each)
	awaitTrue(t, "the stream to be empty", func() bool {
		n, err := client.XLen(t.Context(), "webhooks:events").Result()
		return err == nil && n == 0
	})
	requireNoneOpen(t, c)
	require.Len(t, receiver.Requests(), 2*each)
	require.EqualValues(t, 2*each, stats.Delivered)
	refused, err := client.XRange(t.Context(), "webhooks:events:refused", "-", "+").Result()
	require.NoError(t, err)
	require.Len(t, refused, 1)
	require.Equal(t, "wrong", refused[0].Values["id"])
	_, components := second.readiness(t)
	require.NotContains(t, components, "stream")
}
