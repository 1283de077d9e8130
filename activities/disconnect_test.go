package activities

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// Thirty deliveries that fail for good at the same time: every one is counted, and from the tenth on each says so.
func TestD36_ConcurrentPermanentFailuresAreAllCounted(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.RetryPolicy{MaxAttempts: 1})
	n.sender.status(500, 0)
	var mu sync.Mutex
	counts := map[int]int{}
	var wait sync.WaitGroup
	for i := range 30 {
		wait.Go(func() {
			o, err := run(t, n.Attempt, request("wh_1", i, 1))
			for err == nil && o.State == holdfast.DeliveryPending { // no slot in time
				o, err = run(t, n.Attempt, request("wh_1", i, 1))
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil && o.Disconnect != nil && o.Disconnect.Cause == holdfast.DisconnectedByFailures {
				counts[o.Disconnect.Failures]++
			}
		})
	}
	wait.Wait()
	require.Equal(t, 30, n.store.failures["wh_1"])
	want := map[int]int{}
	for count := 10; count <= 30; count++ {
		want[count] = 1
	}
	require.Equal(t, want, counts)
}

func TestD36_WhoIsNotDisconnected(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change    func(*holdfast.Webhook)
		threshold int
		failures  int
		want      bool
	}{
		"at the threshold":  {func(*holdfast.Webhook) {}, 10, 10, true},
		"past it":           {func(*holdfast.Webhook) {}, 10, 40, true},
		"below it":          {func(*holdfast.Webhook) {}, 10, 9, false},
		"switched off":      {func(*holdfast.Webhook) {}, 0, 1000, false},
		"static":            {func(w *holdfast.Webhook) { w.Static = true }, 10, 10, false},
		"disconnected":      {func(w *holdfast.Webhook) { w.Disconnected = true }, 10, 10, false},
		"not in this cache": {nil, 10, 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, func(d *DeliveryDeps) { d.DisconnectThreshold = c.threshold })
			if c.change != nil {
				c.change(n.webhook("wh_1", holdfast.DefaultRetryPolicy()))
			}
			why := n.disconnect("wh_1", holdfast.DeliveryExhausted, 500, c.failures)
			if !c.want {
				require.Nil(t, why)
				return
			}
			require.Equal(t, &Disconnect{
				Cause: holdfast.DisconnectedByFailures, Failures: c.failures, Reason: fmt.Sprintf("%d deliveries in a row failed", c.failures),
			}, why)
			require.Nil(t, n.disconnect("wh_1", holdfast.DeliveryCancelled, 500, c.failures))
		})
	}
}

// The count is told again to an attempt that was recorded by a run that died before anybody heard of it, and by the record
// that could be written only later.
func TestD36_CountSurvivesACrashAndAnOutage(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.webhook("wh_1", holdfast.RetryPolicy{MaxAttempts: 1})
	n.sender.status(500, 0)
	n.store.failures["wh_1"] = 9
	first, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
	require.NoError(t, err)
	require.Equal(t, 10, first.Disconnect.Failures)
	again, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
	require.NoError(t, err)
	require.Equal(t, first, again)
	require.Equal(t, 10, n.store.failures["wh_1"], "and is counted once")
	require.Len(t, n.sender.requests(), 1)

	n.store.set(func(s *fakeStore) { s.recordErr = errUnavailable })
	unrecorded, err := run(t, n.Attempt, request("wh_1", 2, 1))
	require.NoError(t, err)
	require.Nil(t, unrecorded.Disconnect, "nobody knows yet")
	n.store.set(func(s *fakeStore) { s.recordErr = nil })
	env := environment()
	env.RegisterActivity(n.RecordOutcomes)
	value, err := env.ExecuteActivity(n.RecordOutcomes, Records{[]Record{*unrecorded.Unrecorded}})
	require.NoError(t, err)
	var out Recorded
	require.NoError(t, value.Get(&out))
	require.Equal(t, []WebhookDisconnect{{"wh_1", *tooManyFailures(11)}}, out.Disconnects)
}
