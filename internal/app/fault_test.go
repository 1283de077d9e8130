package app_test

import (
	"flag"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/workflows"
)

var outage = flag.Duration("outage", 5*time.Second, "how long Redis and Temporal are away in the fault table; what is promised of a minute is seen with 60s")

// victims are what dies in the fault table. Of Temporal and of Redis the process alone is killed: the node lives, and they
// come back with what they have on disk.
var victims = []string{"the node", "Temporal", "Redis"}

// The fault table: whatever dies, and whenever, no acknowledged event is lost; an event arrives more often than its
// attempts are recorded only if an attempt was in flight at the death; and the statistics are exact afterwards.
func TestG3_G4_G6_FaultTable(t *testing.T) {
	t.Parallel()
	soaking(t)
	bin := testkit.Build(t, "./cmd/holdfast", "lean")
	for _, row := range []kill{
		{
			// The claim is in Redis; its answer, and so the start, is not to be.
			name: "before the start", events: 8, answer: mixed, unanswered: true, inFlight: 7,
			moment: moment{redis: func(string) string { return "webhooks:event:" }},
		},
		{
			// What is written of an event's outcome comes after its start. That it does not get there, the next node cannot know.
			name: "after the start", events: 8, answer: mixed, unanswered: true, durable: true, inFlight: 8,
			moment: moment{redis: func(string) string { return `"webhook_ids":` }, before: true},
		},
		{
			name: "during an attempt", events: 8, answer: mixed, hang: true, inFlight: 8,
			at: func(t *testing.T, l *load, _ []string, _ *cluster) {
				awaitTrue(t, "an attempt at each event", func() bool { return l.hanging() == 8 })
			},
		},
		{
			// No attempt is in flight: all have failed once, and Temporal has their timers.
			name: "between attempts", events: 8, answer: failingOnce, delay: 6 * time.Second,
			at: func(t *testing.T, l *load, ids []string, c *cluster) {
				for _, id := range ids {
					awaitTrue(t, "the timer of the next attempt", func() bool { return c.hasTimer(t, l.webhookID, id) })
				}
			},
		},
		{
			// The same, when it is the process that waits for the next attempt.
			name: "between attempts within seconds", events: 8, answer: failingOnce, delay: 3 * time.Second,
			at: func(t *testing.T, l *load, ids []string, c *cluster) {
				store := c.store()
				for _, id := range ids {
					awaitTrue(t, "a failed attempt on record", func() bool {
						d, err := store.Delivery(t.Context(), l.webhookID, id)
						return err == nil && d.State == holdfast.DeliveryRetrying
					})
				}
			},
		},
		{
			// Redis has recorded an attempt; that it has, the node does not hear.
			name: "during the record", events: 8, answer: mixed, hang: true, inFlight: 7,
			moment: moment{redis: func(id string) string { return "webhooks:latencies:" + id }},
		},
		{
			name: "before the record", events: 8, answer: mixed, hang: true, inFlight: 8,
			moment: moment{redis: func(id string) string { return "webhooks:latencies:" + id }, before: true},
		},
		{
			name: "during a group's hand-over", events: 64, answer: mixed, hang: true, inFlight: 16,
			at: func(t *testing.T, _ *load, _ []string, c *cluster) {
				awaitTrue(t, "the first delivery of its own", func() bool { return c.handedOver(t) > 0 })
				t.Logf("%d deliveries of their own at the death", c.handedOver(t))
			},
		},
	} {
		for _, victim := range victims {
			row := row
			row.victim = victim
			t.Run("kill -9 of "+row.victim+" "+row.name, func(t *testing.T) {
				t.Parallel()
				row.run(t, bin)
			})
		}
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
		way := newRelay(t, c.redisAddress())
		way.Open()
		l := newLoad(t, mixed)
		n := c.node(func(cfg *config.Config) { cfg.Redis.URL = "redis://" + way.addr })
		l.register(t, n.webhooks)
		l.publishDuring(t, n.events, way.Cut, way.Open)
		l.requireExact(t, c, n, 0)
	})
	t.Run("Temporal killed", func(t *testing.T) {
		t.Parallel()
		temporal := testkit.StartTemporalProcess(t)
		c := newClusterOn(t, temporal.TemporalEnv)
		l := newLoad(t, mixed)
		n := c.node()
		l.register(t, n.webhooks)
		l.publishDuring(t, n.events, temporal.Kill, temporal.Restart)
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

// failingOnce is a receiver that fails the first attempt at each event.
func failingOnce(int) []int { return []int{http.StatusServiceUnavailable, http.StatusOK} }

// kill is a row of the table in which something dies. What of it is about the answers to publishers and the attempts in
// flight is about the death of a node.
type kill struct {
	name       string
	victim     string
	moment     moment                                                // seen in what the node says to Redis
	at         func(t *testing.T, l *load, ids []string, c *cluster) // waits for a moment seen elsewhere
	events     int                                                   // that are published at once
	answer     func(event int) (statuses []int)                      // of the receiver
	delay      time.Duration                                         // between two attempts; 0: a second
	hang       bool                                                  // the receiver does not answer while the victim lives
	unanswered bool                                                  // some publishers do not hear of their events
	durable    bool                                                  // and some of those are durable all the same
	inFlight   int                                                   // attempts that are not recorded at the death, at most
}

func (k kill) run(t *testing.T, bin string) {
	l := newLoadOf(t, "complete_job", max(k.delay, time.Second), k.answer)
	var c *cluster
	var v *victim
	var store *redisstore.Store
	atDeath := -1 // attempts that were not recorded, looked at just before the death
	kill := func(it func()) func() {
		return func() {
			var err error
			if atDeath, err = l.unrecorded(t.Context(), store); err != nil {
				t.Errorf("reading the records before the death: %v", err)
			}
			it()
		}
	}
	switch k.victim {
	case "the node":
		c = newCluster(t)
		store = c.store()
		v = newVictim(t, c, bin, k.moment, l.webhookID)
	case "Temporal":
		temporal := testkit.StartTemporalProcess(t)
		c = newClusterOn(t, temporal.TemporalEnv)
		store = c.store()
		v = newBystander(t, c, k.moment, l.webhookID, kill(temporal.Kill), temporal.Restart)
		v.goesOn = true
	case "Redis":
		c = newCluster(t)
		store = c.store()
		v = newBystander(t, c, k.moment, l.webhookID, kill(func() { _ = c.redis.Kill() }), func() {
			require.NoError(t, c.redis.Restart(t.Context()))
		})
	}
	l.register(t, v.webhooks)

	// Nothing is said for the first time at the moment of death.
	const before = 4
	for range before {
		l.publish(t, v.events, l.add(), patience)
	}
	for _, id := range l.ids {
		awaitTrue(t, "the events before to be over", func() bool {
			d, err := store.Delivery(t.Context(), l.webhookID, id)
			return err == nil && d.State.Final()
		})
	}

	l.setHang(k.hang)
	var publishing sync.WaitGroup
	if k.unanswered {
		v.arm()
	}
	for range k.events {
		id := l.add()
		publishing.Go(func() { l.publish(t, v.events, id, patience) })
	}
	switch {
	case k.at != nil:
		k.at(t, l, l.ids[before:], c)
		v.arm()
		go v.now()
	case !k.unanswered: // the moment is to come after the answers to all publishers
		publishing.Wait()
		v.arm()
		l.setHang(false)
	}
	<-v.dead
	if k.victim == "the node" {
		var err error
		atDeath, err = l.unrecorded(t.Context(), store)
		require.NoError(t, err)
	}
	received, acknowledgedBefore := len(l.receiver.Requests()), l.acknowledgedCount()
	l.setHang(false)
	var n *testNode
	if k.victim == "the node" {
		publishing.Wait()
		acknowledgedBefore = l.acknowledgedCount()
		n = v.revive()
	} else {
		n = v.revive()
		publishing.Wait()
	}
	t.Logf("death of %s: %d events acknowledged before, %d not; %d requests received, %d of them in flight or not recorded",
		k.victim, acknowledgedBefore, len(l.ids)-acknowledgedBefore, received, atDeath)
	twice := atDeath
	switch k.victim {
	case "the node":
		require.Equal(t, k.unanswered, acknowledgedBefore < len(l.ids), "publishers without an answer")
		require.LessOrEqual(t, atDeath, k.inFlight, "attempts in flight")
		if k.durable {
			awaitTrue(t, "an event to arrive whose publisher had no answer", func() bool { return l.arrived(l.unacknowledged()) > 0 })
		}
	default: // the node lives, and with it the attempts in flight and what it knows of them
		twice = 0
	}
	// Who had no answer publishes again, under the same id.
	for _, id := range l.unacknowledged() {
		publishing.Go(func() { l.publish(t, n.events, id, patience) })
	}
	publishing.Wait()
	l.requireExact(t, c, n, twice)
}

// handedOver is how many deliveries of their own groups have started.
func (c *cluster) handedOver(t *testing.T) int64 {
	t.Helper()
	got, err := c.temporal.Client.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: c.temporal.Namespace, Query: `WorkflowType = "Delivery" AND TaskQueue = "` + workflows.QueueSlow + `"`,
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
