package app_test

import (
	"flag"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

var clockJump = flag.Duration("clock-jump", time.Hour, "by how much the clock goes forward, then twice as much back, in the fault table")

// The rows of the fault table in which the clock on the wall jumps, of Redis, of a node or of Temporal, forward and then back
// to before the beginning, while deliveries wait for their next attempt. The clocks of the test and of the others go on.
//
// A node whose clock is ahead of Temporal's by more than an activity may take is of no use for activities, as its SDK takes
// their time to be over; what it is given is repeated elsewhere. It accepts events and makes first attempts all the same, and
// no registration is confirmed without it.
func TestG2_G4_G6_FaultTableOfClocks(t *testing.T) {
	t.Parallel()
	soaking(t)
	t.Run("the clock of Redis", func(t *testing.T) {
		t.Parallel()
		clock := testkit.NewClock(t)
		c := newCluster(t)
		c.redis = testkit.RedisWithClock(t, clock)
		c.requireClock(t, 0)
		// What is paced by Redis' clock goes on, too: this webhook takes two events a second.
		paced := testkit.NewReceiver(t)
		n, other := c.node(checking), c.node(checking)
		pacedID := n.registerInput(t, &holdfastv1.WebhookInput{
			Url: paced.URL(), EventTypes: []string{"job_failed"}, RateLimit: new(2.0),
		}).GetWebhook().GetId()
		published := 0
		publishPaced := func() {
			for range 4 {
				n.publish(t, "job_failed", fmt.Sprintf(`{"job_id":"%d"}`, published))
				published++
			}
		}
		c.jump(t, clock, n.events, n.webhooks, []*testNode{n, other}, publishPaced, false)
		c.requireClock(t, -*clockJump)
		publishPaced()
		const events = 8
		arrived(t, paced, events)
		stats := c.stats(c.store(), pacedID, events)
		require.EqualValues(t, events, stats.Delivered)
		require.Len(t, paced.Requests(), events)

		// Wiped now, Redis gives revisions that lie before those that the nodes know.
		late := n.register(t, paced.URL(), "workflow_submitted").GetWebhook().GetId()
		require.NoError(t, testkit.RedisClient(t, c.redis).FlushAll(t.Context()).Err())
		for _, node := range []*testNode{n, other} {
			require.Equal(t, []string{late}, webhookIDs(node.publish(t, "workflow_submitted", `{}`)), "right after the wipe")
		}
		awaitTrue(t, "the registry to be complete again", func() bool {
			active, err := c.store().ActiveIDs(t.Context())
			status, _ := n.readiness(t)
			return err == nil && len(active) == 5 && status == http.StatusOK
		})
		fresh := c.node(checking)
		require.Equal(t, []string{late}, webhookIDs(fresh.publish(t, "workflow_submitted", `{}`)))
	})
	t.Run("the clock of a node", func(t *testing.T) {
		t.Parallel()
		clock := testkit.NewClock(t)
		c := newCluster(t)
		bin := testkit.BuildWithClock(t, "./cmd/holdfast", "lean")
		_, base := c.processIn(t, clock.Env(), bin)
		other := c.node(func(cfg *config.Config) { cfg.Node.ID = "other" })
		c.jump(t, clock, holdfastv1connect.NewEventServiceClient(http.DefaultClient, base),
			holdfastv1connect.NewWebhookServiceClient(http.DefaultClient, base), []*testNode{other}, func() {}, true)
	})
	t.Run("the clock of Temporal", func(t *testing.T) {
		t.Parallel()
		clock := testkit.NewClock(t)
		c := newClusterOn(t, testkit.TemporalWithClock(t, clock).TemporalEnv)
		c.jumpTemporal(t, clock)
	})
}

// jumpTemporal lets Temporal's clock go forward, back to before the beginning, and forward again to past all it has seen,
// while events are published. At the first two jumps there are deliveries in the middle of an attempt, before their second
// attempt in half of the jump, and held; at the third, what has come to wait meanwhile.
//
// The third jump stands for the time that would have to pass: Temporal reads no timer twice, so that one which is set after
// its clock went back fires no sooner than when the clock is where it has been. It lies another jump ahead, for the timers
// that were set while the clock was forward.
func (c *cluster) jumpTemporal(t *testing.T, clock *testkit.Clock) {
	t.Helper()
	n, other := c.node(checking), c.node(checking)
	once := func(int) []int { return []int{http.StatusOK} }
	stream := newLoad(t, mixed)
	hanging := newLoadOf(t, "job_submitted", time.Second, once)
	waiting := newLoadOf(t, "job_failed", *clockJump/2, func(int) []int { return []int{http.StatusServiceUnavailable, http.StatusOK} })
	paused := newLoadOf(t, "cancel_job", time.Second, once)
	loads := []*load{stream, hanging, waiting, paused}
	for _, l := range loads {
		l.register(t, n.webhooks)
	}
	paused.setActive(t, n, false)

	// inEachState publishes four events for each state, and returns when they are in it.
	inEachState := func() {
		const each = 4
		hung := hanging.hanging()
		hanging.setHang(true)
		for range each {
			for _, l := range []*load{hanging, waiting, paused} {
				require.True(t, l.publish(t, n.events, l.add(), patience))
			}
		}
		awaitTrue(t, "attempts in flight", func() bool { return hanging.hanging() == hung+each })
		for _, id := range waiting.ids[len(waiting.ids)-each:] {
			awaitTrue(t, "the timer of the next attempt", func() bool { return c.hasTimer(t, waiting.webhookID, id) })
		}
		for _, id := range paused.ids[len(paused.ids)-each:] {
			n.awaitDelivery(t, holdfast.DeliveryID(paused.webhookID, id), held)
		}
	}
	inFlight := map[*load]int{} // at the jumps: these may be made twice, as Temporal gives up to wait for them
	jump := func(by, off time.Duration) {
		for _, l := range loads {
			unrecorded, err := l.unrecorded(t.Context(), c.store())
			require.NoError(t, err)
			inFlight[l] += unrecorded
		}
		clock.Jump(by)
		c.requireTemporalClock(t, off)
		t.Logf("Temporal's clock is off by %v: %d published, %d held, %d wait half of a jump; in flight at the jumps so far: %d and %d of the stream",
			off, len(stream.ids), len(paused.ids), len(waiting.ids)*2-len(waiting.receiver.Requests()), inFlight[hanging], inFlight[stream])
	}

	c.requireTemporalClock(t, 0)
	stream.publishDuring(t, n.events, func() {
		inEachState()
		jump(*clockJump, *clockJump)
		arrived(t, waiting.receiver, 2*len(waiting.ids)) // its timers go by it, too
		hanging.setHang(false)
		n.register(t, stream.receiver.URL(), "worker_status")
	}, func() {
		inEachState()
		jump(-2**clockJump, -*clockJump)
		hanging.setHang(false)
	})
	register := &holdfastv1.RegisterWebhookRequest{
		Webhook:        &holdfastv1.WebhookInput{Url: stream.receiver.URL(), EventTypes: []string{"machine_status"}},
		IdempotencyKey: "while it is back", Wait: durationpb.New(2 * time.Second),
	}
	stream.publishDuring(t, n.events, func() {
		got, err := other.webhooks.RegisterWebhook(t.Context(), register)
		t.Logf("registering while Temporal's clock is back: %v %v", got.GetRegistration().GetStatus(), err)
		require.True(t, connect.CodeOf(err) == connect.CodeUnavailable || got.GetRegistration().GetStatus() == pending,
			"what is asked of Temporal waits for its timers: no success that is not true")
	}, func() {
		require.Len(t, waiting.receiver.Requests(), 2*len(waiting.ids)-4, "what waits goes on waiting")
		jump(3**clockJump, 2**clockJump)
	})
	register.Wait = durationpb.New(patience)
	got, err := other.webhooks.RegisterWebhook(t.Context(), register)
	require.NoError(t, err)
	require.Equal(t, confirmed, got.GetRegistration().GetStatus())
	paused.setActive(t, n, true)
	for _, l := range loads {
		l.requireExact(t, c, n, inFlight[l])
	}
}

// requireTemporalClock requires Temporal's clock to be off by that much.
func (c *cluster) requireTemporalClock(t *testing.T, off time.Duration) {
	t.Helper()
	run, err := c.temporal.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "nobody's"}, "nothing")
	require.NoError(t, err)
	got, err := c.temporal.Client.DescribeWorkflowExecution(t.Context(), run.GetID(), run.GetRunID())
	require.NoError(t, err)
	require.InDelta(t, off, time.Until(got.GetWorkflowExecutionInfo().GetStartTime().AsTime()), float64(30*time.Second))
	require.NoError(t, c.temporal.Client.TerminateWorkflow(t.Context(), run.GetID(), run.GetRunID(), ""))
}

// jump publishes events while the clock jumps forward, and goes back when half of the time is over. In between and
// afterwards a webhook is registered: none is hidden from any node, and the revision grows all the time. With a skewed
// node the first is confirmed only when the clock is back.
func (c *cluster) jump(
	t *testing.T, clock *testkit.Clock, events holdfastv1connect.EventServiceClient, webhooks holdfastv1connect.WebhookServiceClient, nodes []*testNode,
	whileForward func(), skewed bool,
) {
	t.Helper()
	l := newLoad(t, mixed)
	l.register(t, webhooks)
	receiver := testkit.NewReceiver(t)
	var registered []string
	var revision int64
	register := func(when string, wait time.Duration) {
		began := time.Now()
		got, err := webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
			Webhook: &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"worker_status"}}, Wait: durationpb.New(wait),
		})
		require.NoError(t, err)
		if wait == patience {
			require.Equal(t, confirmed, got.GetRegistration().GetStatus(), "%v", got.GetRegistration())
			require.Greater(t, got.GetRegistration().GetRevision(), revision, "the revision grows")
			revision = got.GetRegistration().GetRevision()
		} else {
			require.Equal(t, pending, got.GetRegistration().GetStatus(), "%v", got.GetRegistration())
		}
		registered = append(registered, got.GetWebhook().GetId())
		for _, n := range nodes {
			require.ElementsMatch(t, registered, webhookIDs(n.publish(t, "worker_status", `{}`)), when)
		}
		t.Logf("%s: registered in %v, %v, revision %d, seen by all nodes", when, time.Since(began).Round(time.Millisecond),
			got.GetRegistration().GetStatus(), got.GetRegistration().GetRevision())
	}
	l.publishDuring(t, events, func() {
		clock.Jump(*clockJump)
		if skewed {
			register("the clock is forward", 2*time.Second)
		} else {
			register("the clock is forward", patience)
		}
		whileForward()
	}, func() {
		clock.Jump(-2 * *clockJump)
		register("the clock is back", patience)
		for _, id := range registered {
			nodes[0].awaitRegistration(t, id, confirmed)
		}
	})
	l.requireExact(t, c, nodes[0], 0)
	awaitTrue(t, "what was published between", func() bool {
		return len(receiver.Requests()) == len(nodes)*3
	})
}

// requireClock requires Redis' clock to be off by that much.
func (c *cluster) requireClock(t *testing.T, off time.Duration) {
	t.Helper()
	now, err := testkit.RedisClient(t, c.redis).Time(t.Context()).Result()
	require.NoError(t, err)
	require.InDelta(t, off, time.Until(now), float64(30*time.Second))
}
