package app_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
)

// Every node hears every message of the job broker; together they deliver it once.
func TestD22_BrokerMessagesAreDeliveredOnceWithTwoNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := []*testNode{c.node(), c.node()}
	receiver := testkit.NewReceiver(t)
	types := []string{
		"job_submitted", "update_job_progress", "complete_job", "job_failed", "workflow_submitted", "workflow_completed",
		"workflow_failed",
	}
	webhook := nodes[0].register(t, receiver.URL(), types...).GetWebhook().GetId()
	redis := testkit.RedisClient(t, c.redis)
	messages := map[string]string{}
	for i, channel := range types {
		messages[channel] = fmt.Sprintf(`{"job_id":"job-%d","workflow_id":"wf-%d","worker_id":"w-%d","status":"x","progress":100,"timestamp":%d}`,
			i, i, i, 1757066400000+i)
	}
	for channel, message := range messages {
		heard, err := redis.Publish(t.Context(), channel, message).Result()
		require.NoError(t, err)
		require.EqualValues(t, 2, heard, "both nodes listen to %s", channel)
	}
	arrived(t, receiver, len(messages))
	stats := c.stats(c.store(), webhook, int64(len(messages)))
	requireNoneOpen(t, c)
	requests := receiver.Requests()
	require.Len(t, requests, len(messages))
	got := map[string]int{}
	ids := map[string]bool{}
	for _, r := range requests {
		got[r.Header.Get("X-Webhook-Event")]++
		ids[r.Header.Get("X-Event-Id")] = true
		var body struct{ Data map[string]any }
		require.NoError(t, json.Unmarshal(r.Body, &body))
		require.NotEmpty(t, body.Data)
	}
	require.Len(t, ids, len(messages))
	for _, eventType := range types {
		require.Equal(t, 1, got[eventType], eventType)
	}
	require.EqualValues(t, len(messages), stats.Delivered)
}

func TestD22_TheSameEventIDIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := []*testNode{c.node(), c.node()}
	receivers := []*testkit.Receiver{testkit.NewReceiver(t), testkit.NewReceiver(t)}
	for _, r := range receivers {
		nodes[0].register(t, r.URL(), "complete_job")
	}
	const events, callers = 10, 6
	for i := range events {
		type answer struct {
			first bool
			ids   []string
			err   error
		}
		answers := make(chan answer, callers)
		for k := range callers {
			go func() {
				got, err := nodes[k%2].tryPublish(t.Context(), fmt.Sprintf("complete_job:%d", i), "complete_job", `{"job_id":"j"}`)
				a := answer{err: err, first: !got.GetDuplicate()}
				for _, d := range got.GetDeliveries() {
					a.ids = append(a.ids, d.GetId())
				}
				answers <- a
			}()
		}
		firsts := 0
		var ids []string
		for range callers {
			a := <-answers
			require.NoError(t, a.err)
			require.Len(t, a.ids, 2)
			if ids == nil {
				ids = a.ids
			}
			require.Equal(t, ids, a.ids, "a duplicate names the same deliveries")
			if a.first {
				firsts++
			}
		}
		require.Equal(t, 1, firsts)
	}
	for _, r := range receivers {
		arrived(t, r, events)
	}
	requireNoneOpen(t, c)
	for _, r := range receivers {
		require.Len(t, r.Requests(), events)
	}
	late := time.Now()
	again, err := nodes[1].tryPublish(t.Context(), "complete_job:0", "complete_job", `{"job_id":"another"}`)
	require.NoError(t, err)
	require.True(t, again.GetDuplicate())
	require.Less(t, time.Since(late), 5*time.Second)
}
