package app_test

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast/internal/app"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

var rounds = flag.Int("rounds", 10, "registrations of the test over several nodes")

// Five strands of rounds run side by side, so that registrations also race one another. Each round's webhook alone wants
// the job type of its round.
func TestG2_D01_D04_D08_RegisteredAndDeletedHoldOnEveryNodeAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := []*testNode{c.node(), c.node(), c.node()}
	const strands = 5
	var running sync.WaitGroup
	problems := make(chan error, strands)
	for strand := range strands {
		receiver := testkit.NewReceiver(t)
		running.Go(func() {
			for round := range *rounds / strands {
				if err := roundOverNodes(t, nodes, receiver, fmt.Sprintf("type-%d-%d", strand, round)); err != nil {
					problems <- fmt.Errorf("strand %d, round %d: %w", strand, round, err)
					return
				}
			}
		})
	}
	running.Wait()
	close(problems)
	for err := range problems {
		require.NoError(t, err)
	}
}

// roundOverNodes registers on the first node, publishes on the other two at the same time, deletes on the second and
// publishes on the first and third. It runs apart from the test's goroutine and so returns what is wrong.
func roundOverNodes(t *testing.T, nodes []*testNode, receiver *testkit.Receiver, jobType string) error {
	data := fmt.Sprintf(`{"job_id":"j","job_type":%q}`, jobType)
	registered, err := nodes[0].webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{
			Url: receiver.URL(), EventTypes: []string{"job_submitted"}, Filters: &holdfastv1.Filters{JobTypes: []string{jobType}},
		},
		Wait: durationpb.New(patience),
	})
	if err != nil {
		return err
	}
	r := registered.GetRegistration()
	if r.GetStatus() != confirmed || r.GetCachesConfirmed() != 3 || r.GetCachesTotal() != 3 {
		return fmt.Errorf("not confirmed by all three nodes: %v", r)
	}
	id := registered.GetWebhook().GetId()
	if err := publishOn(t, nodes[1:], data, id); err != nil {
		return fmt.Errorf("after the registration: %w", err)
	}
	deleted, err := nodes[1].webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: id, Wait: durationpb.New(patience)})
	if err != nil {
		return err
	}
	if deleted.GetRegistration().GetStatus() != confirmed {
		return fmt.Errorf("deletion: %v", deleted.GetRegistration())
	}
	if err := publishOn(t, []*testNode{nodes[0], nodes[2]}, data); err != nil {
		return fmt.Errorf("after the deletion: %w", err)
	}
	for _, n := range nodes {
		if _, err := n.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{Id: id}); connect.CodeOf(err) != connect.CodeNotFound {
			return fmt.Errorf("reading the deleted webhook: %w", err)
		}
	}
	return nil
}

// publishOn publishes an event on each node at the same time and returns an error unless each matched exactly the
// webhooks.
func publishOn(t *testing.T, nodes []*testNode, data string, webhooks ...string) error {
	problems := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() {
			got, err := n.tryPublish(t.Context(), "", "job_submitted", data)
			switch {
			case err != nil:
				problems[i] = err
			case len(got.GetDeliveries()) != len(webhooks) || len(webhooks) == 1 && got.GetDeliveries()[0].GetWebhookId() != webhooks[0]:
				problems[i] = fmt.Errorf("an event on node %d matched %v instead of %v", i, got.GetDeliveries(), webhooks)
			}
		})
	}
	all.Wait()
	for _, err := range problems {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestG2_ADeliveryGoesToTheReceiverOfEveryNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := []*testNode{c.node(), c.node()}
	receiver := testkit.NewReceiver(t)
	registered := nodes[0].register(t, receiver.URL(), "job_submitted")
	require.EqualValues(t, 2, registered.GetRegistration().GetCachesConfirmed())
	require.EqualValues(t, 2, registered.GetRegistration().GetCachesTotal())
	want := map[string]bool{}
	for i := range 20 {
		want[nodes[i%2].publish(t, "job_submitted", `{"job_id":"j"}`).GetEventId()] = true
	}
	got := map[string]bool{}
	for _, r := range arrived(t, receiver, 20) {
		got[r.Header.Get("X-Event-Id")] = true
	}
	require.Equal(t, want, got)
	require.Len(t, receiver.Requests(), 20)
}

// A node that is alive by its heartbeat and does not refresh its cache keeps a registration from being confirmed: it could
// match events on an old state.
func TestG1_G2_ASilentNodeIsNamedAndWaitedFor(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	store := c.store()
	require.NoError(t, store.Heartbeat(t.Context(), redisstore.Node{ID: "silent-node"}))
	registered, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"job_submitted"}},
		Wait:    durationpb.New(0),
	})
	require.NoError(t, err)
	id := registered.GetWebhook().GetId()
	require.Equal(t, pending, registered.GetRegistration().GetStatus())
	waiting := await(t, "the silent node to be named", func() (*holdfastv1.Registration, bool) {
		require.NoError(t, store.Heartbeat(t.Context(), redisstore.Node{ID: "silent-node"}))
		r := n.registration(t, id)
		return r, len(r.GetSilentNodes()) > 0
	})
	require.Equal(t, []string{"silent-node"}, waiting.GetSilentNodes())
	require.Equal(t, pending, waiting.GetStatus())
	require.EqualValues(t, 1, waiting.GetCachesConfirmed())
	require.EqualValues(t, 2, waiting.GetCachesTotal())
	require.NoError(t, store.RemoveNode(t.Context(), "silent-node"))
	done := n.awaitRegistration(t, id, confirmed)
	require.EqualValues(t, 1, done.GetCachesConfirmed())
	require.Empty(t, done.GetSilentNodes())
}

// A node that lives, serves and publishes, but never gets to refresh its cache when it is asked to, because nothing polls its
// task queue. It is named in the answer and in an alert. It matches what is true all the same: it looks at the revision
// before each match.
func TestG2_ABlockedNodeIsNamedAndAlertedAndMatchesNothingStale(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) { cfg.Registry.ConfirmTimeout = time.Second })
	first := n.register(t, testkit.NewReceiver(t).URL(), "job_submitted").GetWebhook().GetId()
	blocked := c.startAs(app.Roles{API: true}, func(cfg *config.Config) { cfg.Node.ID = "blocked" })
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, blocked.WaitReady(ready))
	require.Equal(t, []string{first}, webhookIDs(blocked.publish(t, "job_submitted", `{}`)))

	registered, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"job_submitted"}},
		Wait:    durationpb.New(10 * time.Second),
	})
	require.NoError(t, err)
	second := registered.GetWebhook().GetId()
	require.Equal(t, pending, registered.GetRegistration().GetStatus())
	require.Equal(t, []string{"blocked"}, registered.GetRegistration().GetSilentNodes())
	require.ElementsMatch(t, []string{first, second}, webhookIDs(blocked.publish(t, "job_submitted", `{}`)))
	await(t, "an alert", func() (struct{}, bool) {
		alerts, err := n.operations.ListAlerts(t.Context(), &holdfastv1.ListAlertsRequest{})
		return struct{}{}, err == nil && alertsOf(alerts, "node_silent", "blocked") == 1
	})

	_, err = n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: first, Wait: durationpb.New(5 * time.Second)})
	require.NoError(t, err)
	require.Equal(t, []string{second}, webhookIDs(blocked.publish(t, "job_submitted", `{}`)))

	require.NoError(t, blocked.Stop(context.WithoutCancel(t.Context())))
	n.awaitRegistration(t, second, confirmed)
	awaitTrue(t, "the alert to be resolved", func() bool {
		alerts, err := n.operations.ListAlerts(t.Context(), &holdfastv1.ListAlertsRequest{})
		return err == nil && alertsOf(alerts, "node_silent", "blocked") == 0
	})
}
