package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// readiness is what /readyz says.
func (n *testNode) readiness(t *testing.T) (status int, components map[string]string) {
	t.Helper()
	status, body := n.get(t, "/readyz")
	var answer struct{ Components map[string]string }
	require.NoError(t, json.Unmarshal([]byte(body), &answer), body)
	return status, answer.Components
}

func (n *testNode) requireAlive(t *testing.T) {
	t.Helper()
	status, body := n.get(t, "/livez")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "ok", body)
}

func TestG5_RedisDownDeliversAndCountsLater(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	good, flaky := testkit.NewReceiver(t), testkit.NewReceiver(t)
	flaky.Status(http.StatusServiceUnavailable, http.StatusOK)
	goodID := n.register(t, good.URL(), "job_submitted").GetWebhook().GetId()
	flakyID := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: flaky.URL(), EventTypes: []string{"job_failed"}, RetryPolicy: retries(3, 100*time.Millisecond),
	}).GetWebhook().GetId()

	require.NoError(t, c.redis.Kill())
	const events = 10
	var ids []string
	for i := range events {
		got := n.publish(t, "job_submitted", fmt.Sprintf(`{"i":%d}`, i))
		require.Len(t, got.GetDeliveries(), 1)
		ids = append(ids, got.GetDeliveries()[0].GetId())
	}
	ids = append(ids, n.publish(t, "job_failed", `{}`).GetDeliveries()[0].GetId())
	arrived(t, good, events)
	arrived(t, flaky, 2)
	status, components := n.readiness(t)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unreachable", components["redis"])
	require.Equal(t, "ok", components["temporal"])
	n.requireAlive(t)
	_, err := n.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), "D9: never an empty list")

	require.NoError(t, c.redis.Restart(t.Context()))
	store := c.store()
	for _, id := range ids {
		n.awaitDelivery(t, id, delivered)
	}
	stats := c.stats(store, goodID, events)
	require.Equal(t, []int64{events, events, events, 0}, []int64{
		stats.TotalDeliveries, stats.SuccessfulDeliveries, stats.Delivered, stats.FailedDeliveries,
	})
	stats = c.stats(store, flakyID, 2)
	require.Equal(t, []int64{2, 1, 1, 1}, []int64{
		stats.TotalDeliveries, stats.SuccessfulDeliveries, stats.Delivered, stats.FailedDeliveries,
	})
	require.Len(t, good.Requests(), events)
	require.Len(t, flaky.Requests(), 2)
	awaitTrue(t, "readiness", func() bool { status, _ := n.readiness(t); return status == http.StatusOK })
}

func TestG1_G5_RegisteringWhileRedisIsDownIsNeverConfirmed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	require.NoError(t, c.redis.Kill())
	receiver := testkit.NewReceiver(t)
	got := n.registerFor(t, 500*time.Millisecond, "", &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"job_submitted"}})
	id := got.GetWebhook().GetId()
	require.Equal(t, pending, got.GetRegistration().GetStatus())
	awaitTrue(t, "a second attempt at the write", func() bool {
		r := n.registration(t, id)
		require.Equal(t, pending, r.GetStatus())
		last := r.GetSteps()[len(r.GetSteps())-1]
		return last.GetName() == "write" && last.GetAttempts() > 1
	})
	require.Empty(t, c.askedOfEMPROPS(), "nothing is confirmed that is not written")
	require.NoError(t, c.redis.Restart(t.Context()))
	n.awaitRegistration(t, id, confirmed)
	require.Len(t, n.publish(t, "job_submitted", `{}`).GetDeliveries(), 1)
	arrived(t, receiver, 1)
}

func TestTemporalUnreachableAtTheStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	other := c.node()
	receiver := testkit.NewReceiver(t)
	other.register(t, receiver.URL(), "job_submitted")
	way := newRelay(t, c.temporal.HostPort())
	n := c.start(func(cfg *config.Config) {
		cfg.Temporal.Address = way.addr
		cfg.Ingress.PubSub = false
	})
	awaitTrue(t, "the registry to be loaded", func() bool {
		_, components := n.readiness(t)
		return components["registry"] == "ok"
	})
	status, components := n.readiness(t)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unreachable", components["temporal"])
	require.Equal(t, "ok", components["redis"])
	n.requireAlive(t)
	_, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"job_submitted"}},
	})
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	require.NotContains(t, err.Error(), way.addr, "no internals for callers")

	// The caller gives up first; the event stays on its way and arrives as soon as there is a Temporal. Asked again under
	// the same id, the answer is the same event.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = n.tryPublish(ctx, "event-1", "job_submitted", `{"job_id":"j"}`)
	require.Contains(t, []connect.Code{connect.CodeUnavailable, connect.CodeDeadlineExceeded}, connect.CodeOf(err))
	require.Empty(t, receiver.Requests())

	way.Open()
	ready, done := context.WithTimeout(t.Context(), patience)
	defer done()
	require.NoError(t, n.WaitReady(ready))
	got, err := n.tryPublish(t.Context(), "event-1", "job_submitted", `{"job_id":"j"}`)
	require.NoError(t, err)
	require.True(t, got.GetDuplicate(), "the first call's event was finished without its caller")
	require.Len(t, got.GetDeliveries(), 1)
	n.awaitDelivery(t, got.GetDeliveries()[0].GetId(), delivered)
	require.Len(t, receiver.Requests(), 1)
}

func TestRedisUnreachableAtTheStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	require.NoError(t, c.redis.Kill())
	n := c.start()
	status, components := n.readiness(t)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "unreachable", components["redis"])
	require.Equal(t, "not loaded", components["registry"])
	n.requireAlive(t)
	_, err := n.tryPublish(t.Context(), "", "job_submitted", `{}`)
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err), "D5: nothing is matched on an empty registry")

	require.NoError(t, c.redis.Restart(t.Context()))
	ready, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, n.WaitReady(ready))
	receiver := testkit.NewReceiver(t)
	n.register(t, receiver.URL(), "job_submitted")
	n.publish(t, "job_submitted", `{}`)
	arrived(t, receiver, 1)
}

// A registration that Temporal has taken on is answered as pending, whatever happens to the connection afterwards: the
// caller needs its id. Which secret it has is then not known under an idempotency key, and not told.
func TestD11_TemporalLostDuringARegistrationIsPending(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	way := newRelay(t, c.temporal.HostPort())
	way.Open()
	n := c.node(func(cfg *config.Config) { cfg.Temporal.Address = way.addr })
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: true}))
	in := &holdfastv1.WebhookInput{Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"job_submitted"}}
	id := holdfast.IdempotentWebhookID("order-18")
	answered := make(chan *holdfastv1.RegisterWebhookResponse, 1)
	go func() {
		got, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
			Webhook: in, IdempotencyKey: "order-18", Wait: durationpb.New(3 * time.Second),
		})
		if err != nil {
			t.Errorf("a registration that was taken on: %v", err)
		}
		answered <- got
	}()
	awaitTrue(t, "EMPROPS to be asked", func() bool { return len(c.askedOfEMPROPS()) > 0 })
	way.Cut()
	got := <-answered
	require.Equal(t, id, got.GetWebhook().GetId())
	require.Equal(t, pending, got.GetRegistration().GetStatus())
	require.Nil(t, got.Secret)
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	way.Open()
	awaitTrue(t, "the registration to be confirmed", func() bool {
		r, err := n.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: id})
		return err == nil && r.GetRegistration().GetStatus() == confirmed
	})
	require.NotEmpty(t, n.registerFor(t, patience, "order-18", in).GetSecret(), "asked again, the answer is whole")
}
