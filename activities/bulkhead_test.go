package activities

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/httpsend"
	"github.com/emprops/holdfast/internal/testkit"
)

// peak is a count and the most it has been.
type peak struct{ now, most atomic.Int64 }

func (p *peak) add(n int64) {
	now := p.now.Add(n)
	for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
}

// Eight hundred events at once: never more requests or connections than the limits, and a slow receiver, which takes what
// it may have, leaves the fast slots to the others.
func TestD24_BurstStaysWithinTheLimits(t *testing.T) {
	t.Parallel()
	const events, slowEvents, per = 760, 40, 6
	var all, slow, connections peak
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all.add(1)
		defer all.add(-1)
		takes := testCutoff / 20
		if r.URL.Path == "/slow" {
			slow.add(1)
			defer slow.add(-1)
			takes = 2 * testCutoff
		}
		select {
		case <-time.After(takes):
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			connections.add(1)
		case http.StateClosed, http.StateHijacked:
			connections.add(-1)
		default:
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	sender := httpsend.New(httpsend.Config{Timeout: 10 * time.Second, Policy: httpsend.AddressPolicy{AllowLoopback: true}})
	n := newNode(t, func(d *DeliveryDeps) {
		d.Lanes, d.Sender = NewLanes(LaneLimits{Fast: 16, Slow: 8, PerWebhook: per}, time.Minute), sender
	})
	hooks := []string{"wh_slow", "wh_1", "wh_2", "wh_3"}
	for _, id := range hooks {
		path := "/quick"
		if id == "wh_slow" {
			path = "/slow"
		}
		n.webhook(id, holdfast.DefaultRetryPolicy()).URL = server.URL + path
	}
	var wait sync.WaitGroup
	for batch := range 10 {
		in := FirstAttempts{CreatedAt: createdAt}
		add := func(webhook string, event int) {
			e := holdfast.Event{ID: fmt.Sprintf("evt_%d", event), Type: "job_failed", Data: []byte(`{}`)}
			in.Events = append(in.Events, e)
			in.Targets = append(in.Targets, Target{Event: len(in.Events) - 1, WebhookID: webhook})
		}
		for i := range events / 10 {
			add(hooks[1+i%3], batch*1000+i)
		}
		for i := range slowEvents / 10 {
			add("wh_slow", batch*1000+i)
		}
		wait.Go(func() {
			value, err := environment().ExecuteLocalActivity(n.AttemptFirst, in)
			if err != nil {
				t.Errorf("first attempts: %v", err)
				return
			}
			var r FirstResult
			_ = value.Get(&r)
			for _, open := range r.Open {
				wait.Go(func() {
					n.seeThrough(t, in.Targets[open.Index].WebhookID, in.Events[in.Targets[open.Index].Event].ID, open.Outcome)
				})
			}
		})
	}
	wait.Wait()
	delivered := 0
	n.store.set(func(s *fakeStore) {
		for _, r := range s.records {
			if r.State == holdfast.DeliveryDelivered {
				delivered++
			}
		}
	})
	require.Equal(t, events+slowEvents, delivered)
	require.Greater(t, all.most.Load(), int64(8), "the slots are used")
	require.LessOrEqual(t, all.most.Load(), int64(16+8))
	require.LessOrEqual(t, slow.most.Load(), int64(per))
	require.LessOrEqual(t, connections.most.Load(), int64(2*(16+8)), "a connection that was asked for and not needed is kept for the next")
	t.Logf("most at once: %d requests, %d of them to the slow receiver, over %d connections", all.most.Load(), slow.most.Load(), connections.most.Load())
}

// seeThrough does what a delivery's workflow does, without its waits.
func (n *node) seeThrough(t *testing.T, webhook, event string, o Outcome) {
	for number := 1; !o.State.Final(); {
		in := attemptRequest(webhook, number)
		in.EventID = event
		attempt := n.Attempt
		if o.InFlight != "" {
			attempt = n.JoinAttempt
		}
		var err error
		if o, err = run(t, attempt, in); err != nil {
			t.Errorf("attempt of %s/%s: %v", webhook, event, err)
			return
		}
		number = max(number, o.Attempts+1)
	}
}

// A receiver that turns out slow while its attempts are under way gives the fast slots back before it answers.
func TestG7_SlowAttemptsLeaveTheFastSlots(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *DeliveryDeps) { d.Lanes = NewLanes(LaneLimits{Fast: 2, Slow: 2, PerWebhook: 2}, time.Minute) })
	answered := make(chan struct{})
	n.sender.send = func(_ context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error) {
		if w.ID == "wh_slow" {
			<-answered
		}
		return answer(w.ID, number, 200), nil
	}
	for _, id := range []string{"wh_slow", "wh_1"} {
		n.webhook(id, holdfast.DefaultRetryPolicy())
	}
	in := FirstAttempts{Events: []holdfast.Event{event(), event()}, Targets: []Target{{0, "wh_slow"}, {1, "wh_slow"}}, CreatedAt: createdAt}
	in.Events[1].ID = "evt_2"
	value, err := environment().ExecuteLocalActivity(n.AttemptFirst, in)
	require.NoError(t, err)
	var r FirstResult
	require.NoError(t, value.Get(&r))
	require.Len(t, r.Open, 2)
	testkit.Await(t, "the fast slots to be free", func() bool { return len(n.Lanes.fast) == 0 && len(n.Lanes.slow) == 2 })
	require.Equal(t, FirstResult{Delivered: 1}, n.first(t, "wh_1"))
	o, err := run(t, n.Attempt, request("wh_1", 7, 1))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryPending, o.State, "the slow ones are taken")
	close(answered)
	require.NoError(t, n.flights.wait(t.Context()))
	require.Empty(t, n.Lanes.slow)
}

// Holding costs no slot: a node whose every slot is taken still tells at once that a delivery is held.
func TestD26_HoldingNeedsNoSlot(t *testing.T) {
	t.Parallel()
	n := newNode(t, func(d *DeliveryDeps) { d.Lanes = NewLanes(LaneLimits{Fast: 1, Slow: 1, PerWebhook: 1}, time.Minute) })
	n.webhook("wh_1", holdfast.DefaultRetryPolicy()).Disconnected = true
	for _, slow := range []bool{false, true} {
		slot, err := n.Lanes.Acquire(t.Context(), fmt.Sprint(slow), slow)
		require.NoError(t, err)
		defer slot.Release()
	}
	in := FirstAttempts{CreatedAt: createdAt}
	for i := range 200 {
		e := event()
		e.ID = fmt.Sprintf("evt_%d", i)
		in.Events = append(in.Events, e)
		in.Targets = append(in.Targets, Target{Event: i, WebhookID: "wh_1"})
	}
	value, err := environment().ExecuteLocalActivity(n.AttemptFirst, in)
	require.NoError(t, err)
	var r FirstResult
	require.NoError(t, value.Get(&r))
	require.Len(t, r.Open, 200)
	for _, o := range r.Open {
		require.Equal(t, Outcome{State: holdfast.DeliveryHeld, Reason: "the webhook is disconnected", Here: true}, o.Outcome)
	}
	o, err := run(t, n.Attempt, request("wh_1", 3, 1))
	require.NoError(t, err)
	require.Equal(t, holdfast.DeliveryHeld, o.State)
	require.Equal(t, holdfast.DeliveryHeld, n.store.record("wh_1").State)
	require.Empty(t, n.sender.requests())
}

// A webhook that was reconnected while a delivery of it was being held is looked at again: whoever releases what is held
// may have come before the record.
func TestD26_ReconnectedWhileBeingHeld(t *testing.T) {
	t.Parallel()
	for name, attempt := range map[string]func(*node) Outcome{
		"first": func(n *node) Outcome { return n.first(t, "wh_1").one(t) },
		"later": func(n *node) Outcome {
			o, err := run(t, n.Attempt, attemptRequest("wh_1", 1))
			require.NoError(t, err)
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t)
			n.webhook("wh_1", holdfast.DefaultRetryPolicy()).Disconnected = true
			n.store.onRecord = func() { n.webhook("wh_1", holdfast.DefaultRetryPolicy()) }
			require.Equal(t, Outcome{State: holdfast.DeliveryPending, Here: true}, attempt(n))
		})
	}
}
