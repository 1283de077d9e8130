package dispatch

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// An event for 10,000 webhooks is one start that carries it once, whatever the bounds of groups are, and small ones that
// come at the same time are not refused because of it.
func TestD24_LargeFanOutIsOneDurableWrite(t *testing.T) {
	t.Parallel()
	for name, grouping := range map[string]bool{"grouping": true, "no grouping": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hooks := append(webhooks(10_000, "job_failed"), &holdfast.Webhook{ID: "wh_small", Active: true, Events: []string{"complete_job"}})
			b := newBundle(t, hooks, func(o *Options) { o.Grouping, o.QueueMaxDeliveries = grouping, 1000 })
			gate := make(chan struct{})
			b.starter.setGate(gate)
			var wait sync.WaitGroup
			publish := func(e *holdfast.Event, want int) {
				wait.Go(func() {
					r, err := b.Publish(t.Context(), e)
					if err != nil || len(r.WebhookIDs) != want {
						t.Errorf("%s: %d webhooks, %v", e.ID, len(r.WebhookIDs), err)
					}
				})
			}
			publish(event("evt_large"), 10_000)
			for i := range 5 {
				publish(&holdfast.Event{ID: fmt.Sprintf("evt_%d", i), Type: "complete_job", Data: []byte(`{}`)}, 1)
			}
			close(gate)
			wait.Wait()
			large := 0
			for _, g := range b.starter.groups() {
				if len(g.targets) < 1000 {
					continue
				}
				large++
				require.Len(t, g.targets, 10_000)
				require.Len(t, g.events, 1)
				require.NotEmpty(t, g.id, "a group, which fans out")
			}
			require.Equal(t, 1, large)
			require.Len(t, b.marks.of("evt_large").WebhookIDs, 10_000)
			require.Zero(t, b.commits.count)
			require.Zero(t, b.commits.bytes)
		})
	}
}

// Deliveries of webhooks that want an order go to the queue of their key; equal values have equal keys, others have
// others, and an event without the field goes with the rest.
func TestPublish_OrderedDeliveriesGoToTheirQueues(t *testing.T) {
	t.Parallel()
	b := newBundle(t, fixed{
		{ID: "wh_ordered", Active: true, Events: []string{"job_failed"}, OrderingKey: "job_id"},
		{ID: "wh_plain", Active: true, Events: []string{"job_failed"}},
	})
	keys := map[string]string{}
	for i, data := range []string{`{"job_id":"a"}`, `{"x":1,"job_id":"a"}`, `{"job_id":"b"}`, `{"job_id":1}`, `{"job_id":"1"}`, `{"x":1}`} {
		id := fmt.Sprintf("evt_%d", i)
		r, err := b.Publish(t.Context(), &holdfast.Event{ID: id, Type: "job_failed", Data: []byte(data)})
		require.NoError(t, err)
		require.Equal(t, []string{"wh_ordered", "wh_plain"}, r.WebhookIDs)
		require.False(t, b.marks.of(id).Claimed)
	}
	plain := map[string]int{}
	for _, g := range b.starter.groups() {
		if g.key != "" {
			require.Equal(t, "wh_ordered", g.targets[0].WebhookID)
			keys[g.events[0].ID] = g.key
			continue
		}
		plain[g.events[0].ID] = len(g.targets)
	}
	require.Equal(t, map[string]int{"evt_0": 1, "evt_1": 1, "evt_2": 1, "evt_3": 1, "evt_4": 1, "evt_5": 2}, plain)
	require.Len(t, keys, 5)
	require.Equal(t, keys["evt_0"], keys["evt_1"])
	different := map[string]bool{keys["evt_0"]: true, keys["evt_2"]: true, keys["evt_3"]: true, keys["evt_4"]: true}
	require.Len(t, different, 4)
	require.Zero(t, b.commits.count)
	require.Zero(t, b.commits.bytes)
}

// What is durable in a queue stays claimed when the rest of the event could not be started.
func TestG6_PartlyOrderedEventKeepsTheClaim(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]int{"the rest fails": 2, "the queue fails": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, fixed{
				{ID: "wh_ordered", Active: true, Events: []string{"job_failed"}, OrderingKey: "a"},
				{ID: "wh_plain", Active: true, Events: []string{"job_failed"}},
			})
			b.starter.fail = func(start int) error {
				if start == failing {
					return holdfast.Errorf(holdfast.CodeInternal, "refused")
				}
				return nil
			}
			_, err := b.Publish(t.Context(), event("evt_1"))
			require.Error(t, err)
			mark := b.marks.of("evt_1")
			require.Equal(t, failing == 2, mark != nil && mark.Claimed)
		})
	}
}

// An event that nobody can be told of yet is as durable as any other: what holds it comes after.
func TestD26_EventForHeldWebhooksIsDurable(t *testing.T) {
	t.Parallel()
	b := newBundle(t, fixed{{ID: "wh_1", Active: true, Events: []string{"job_failed"}}})
	b.intake.Stop() // the snapshot's own rules are tested where it is
	held := []*holdfast.Webhook{{ID: "wh_off", Disconnected: true, Active: true}, {ID: "wh_paused"}}
	r, err := b.accept(t.Context(), event("evt_1"), intakeResult{matched: held, claimed: true}, true)
	require.NoError(t, err)
	require.Equal(t, []string{"wh_off", "wh_paused"}, r.WebhookIDs)
	require.Len(t, b.starter.groups(), 1)
	require.Len(t, b.starter.groups()[0].targets, 2)
	require.NotEmpty(t, b.marks.of("evt_1").WorkflowID)
}
