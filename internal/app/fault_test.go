package app_test

import (
	"flag"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/workflows"
)

var outage = flag.Duration("outage", 5*time.Second, "how long Redis and Temporal are away in the fault table")

// The fault table: whatever dies, and whenever, no acknowledged event is lost; an event arrives more often than its
// attempts are recorded only if an attempt was in flight when its node died; and the statistics are exact afterwards.
//
// A jump of the clock is not among the faults: it would take the right to set the clock of the machine, which is one for
// all processes on it, and Go programs read it past the C library, where it could be faked for one of them.
func TestG3_G4_G6_FaultTable(t *testing.T) {
	t.Parallel()
	soaking(t)
	bin := testkit.Build(t, "./cmd/holdfast", "lean")
	for _, row := range []kill{
		{
			// The claim is in Redis; its answer, and so the start, is not to be.
			name: "kill -9 before the start", events: 8, answer: mixed, unanswered: true, inFlight: 7,
			moment: moment{redis: func(string) string { return "webhooks:event:" }},
		},
		{
			// What is written of an event's outcome comes after its start. That it does not get there, the next node cannot know.
			name: "kill -9 after the start", events: 8, answer: mixed, unanswered: true, durable: true, inFlight: 8,
			moment: moment{redis: func(string) string { return `"webhook_ids":` }, before: true},
		},
		{
			name: "kill -9 during an attempt", events: 8, answer: mixed, hang: true, inFlight: 8,
			at: func(t *testing.T, l *load, _ []string, _ *cluster) {
				awaitTrue(t, "an attempt at each event", func() bool { return l.hanging() == 8 })
			},
		},
		{
			// No attempt is in flight: all have failed once, and Temporal has their timers.
			name: "kill -9 between attempts", events: 8, answer: func(int) []int { return []int{http.StatusServiceUnavailable, http.StatusOK} },
			at: func(t *testing.T, l *load, ids []string, c *cluster) {
				for _, id := range ids {
					awaitTrue(t, "the timer of the next attempt", func() bool { return c.hasTimer(t, l.webhookID, id) })
				}
			},
		},
		{
			// Redis has recorded an attempt; that it has, the node does not hear.
			name: "kill -9 during the record", events: 8, answer: mixed, hang: true, inFlight: 7,
			moment: moment{redis: func(id string) string { return "webhooks:latencies:" + id }},
		},
		{
			name: "kill -9 before the record", events: 8, answer: mixed, hang: true, inFlight: 8,
			moment: moment{redis: func(id string) string { return "webhooks:latencies:" + id }, before: true},
		},
		{
			name: "kill -9 during a group's hand-over", events: 64, answer: mixed, hang: true, inFlight: 16,
			at: func(t *testing.T, _ *load, _ []string, c *cluster) {
				awaitTrue(t, "the first delivery of its own", func() bool { return c.handedOver(t) > 0 })
				t.Logf("%d deliveries of their own when the node died", c.handedOver(t))
			},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.run(t, bin)
		})
	}
	t.Run("Redis killed", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		l := newLoad(t, mixed)
		n := c.node()
		l.register(t, n.webhooks)
		l.publishDuring(t, n.events, func() { require.NoError(t, c.redis.Kill()) }, func() { require.NoError(t, c.redis.Restart(t.Context())) })
		l.requireExact(t, c, n, 0)
	})
	t.Run("Redis cut off", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		target, err := url.Parse(c.redis.URL())
		require.NoError(t, err)
		way := newRelay(t, target.Host)
		way.Open()
		l := newLoad(t, mixed)
		n := c.node(func(cfg *config.Config) { cfg.Redis.URL = "redis://" + way.addr })
		l.register(t, n.webhooks)
		l.publishDuring(t, n.events, way.Cut, way.Open)
		l.requireExact(t, c, n, 0)
	})
	t.Run("Temporal cut off", func(t *testing.T) {
		t.Parallel()
		c := newCluster(t)
		way := newRelay(t, c.temporal.HostPort())
		way.Open()
		l := newLoad(t, mixed)
		n := c.node(func(cfg *config.Config) { cfg.Temporal.Address = way.addr })
		l.register(t, n.webhooks)
		l.publishDuring(t, n.events, way.Cut, way.Open)
		l.requireExact(t, c, n, 0)
	})
}

// kill is a row of the table in which a node dies.
type kill struct {
	name       string
	moment     moment                                                // seen in what the node says to Redis
	at         func(t *testing.T, l *load, ids []string, c *cluster) // waits for a moment seen elsewhere
	events     int                                                   // that are published at once
	answer     func(event int) (statuses []int)                      // of the receiver
	hang       bool                                                  // the receiver does not answer while the node lives
	unanswered bool                                                  // some publishers do not hear of their events
	durable    bool                                                  // and some of those are durable all the same
	inFlight   int                                                   // attempts that are not recorded when the node dies, at most
}

func (k kill) run(t *testing.T, bin string) {
	c := newCluster(t)
	l := newLoad(t, k.answer)
	victim := newVictim(t, c, bin, k.moment, l.webhookID)
	l.register(t, victim.webhooks)

	// Nothing is said for the first time at the moment of death.
	const before = 4
	for range before {
		l.publish(t, victim.events, l.add(), patience)
	}
	store := c.store()
	for _, id := range l.ids {
		awaitTrue(t, "the events before to be over", func() bool {
			d, err := store.Delivery(t.Context(), l.webhookID, id)
			return err == nil && d.State.Final()
		})
	}

	l.setHang(k.hang)
	var publishing sync.WaitGroup
	if k.unanswered {
		victim.arm()
	}
	for range k.events {
		id := l.add()
		publishing.Go(func() { l.publish(t, victim.events, id, patience) })
	}
	switch {
	case k.at != nil:
		k.at(t, l, l.ids[before:], c)
		victim.arm()
		go victim.now()
	case !k.unanswered: // the moment is to come after the answers to all publishers
		publishing.Wait()
		victim.arm()
		l.setHang(false)
	}
	<-victim.dead
	inFlight := l.unrecorded(t, store)
	l.setHang(false)
	publishing.Wait()
	acknowledged := l.acknowledgedCount()
	t.Logf("death: %d events acknowledged, %d not; %d requests received, %d of them in flight or not recorded",
		acknowledged, len(l.ids)-acknowledged, len(l.receiver.Requests()), inFlight)
	require.Equal(t, k.unanswered, acknowledged < len(l.ids), "publishers without an answer")
	require.LessOrEqual(t, inFlight, k.inFlight, "attempts in flight")

	survivor := c.node()
	if k.durable {
		awaitTrue(t, "an event to arrive whose publisher had no answer", func() bool { return l.arrived(l.unacknowledged()) > 0 })
	}
	// Who had no answer publishes again, under the same id.
	for _, id := range l.unacknowledged() {
		publishing.Go(func() { l.publish(t, survivor.events, id, patience) })
	}
	publishing.Wait()
	l.requireExact(t, c, survivor, inFlight)
}

// handedOver is how many deliveries of their own groups have started.
func (c *cluster) handedOver(t *testing.T) int64 {
	t.Helper()
	got, err := c.temporal.Client.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: c.temporal.Namespace, Query: `WorkflowType = "Delivery" AND ParentWorkflowId IS NOT NULL`,
	})
	require.NoError(t, err)
	return got.GetCount()
}

// hasTimer tells whether a delivery has begun to wait for its next attempt.
func (c *cluster) hasTimer(t *testing.T, webhookID, eventID string) bool {
	t.Helper()
	id := workflows.DeliveryWorkflowID(webhookID, eventID)
	events := c.temporal.Client.GetWorkflowHistory(t.Context(), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return false
		}
		if e.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED {
			return true
		}
	}
	return false
}

// mixed is a receiver that takes half of the events, takes a quarter with the second attempt, and never takes the rest.
func mixed(event int) []int {
	switch event % 4 {
	case 1:
		return []int{http.StatusServiceUnavailable, http.StatusOK}
	case 3:
		return []int{http.StatusInternalServerError}
	}
	return []int{http.StatusOK}
}
