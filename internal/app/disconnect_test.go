package app_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

const (
	active       = holdfastv1.WebhookState_WEBHOOK_STATE_ACTIVE
	disconnected = holdfastv1.WebhookState_WEBHOOK_STATE_DISCONNECTED
	held         = holdfastv1.DeliveryState_DELIVERY_STATE_HELD
)

func (n *testNode) webhook(tb testing.TB, id string) *holdfastv1.Webhook {
	tb.Helper()
	got, err := n.webhooks.GetWebhook(tb.Context(), &holdfastv1.GetWebhookRequest{Id: id})
	require.NoError(tb, err)
	return got.GetWebhook()
}

func (n *testNode) awaitState(tb testing.TB, id string, state holdfastv1.WebhookState) *holdfastv1.Webhook {
	tb.Helper()
	return await(tb, id+" to be "+state.String(), func() (*holdfastv1.Webhook, bool) {
		w := n.webhook(tb, id)
		return w, w.GetState() == state
	})
}

// operationsOf counts the operations of a kind in an audit trail by their first step.
func operationsOf(r *holdfastv1.Registration, operation string) int {
	count := 0
	for _, s := range r.GetSteps() {
		if s.GetOperation() == operation && s.GetName() == "check" {
			count++
		}
	}
	return count
}

// 30 deliveries fail for good at the same time: the webhook is disconnected, exactly once, and people are told once. What
// comes afterwards is held. When the receiver is well again a single probe finds it out, and what was held arrives.
func TestD36_D26_D38_ThirtyConcurrentFailuresDisconnectOnceAndOneProbeReconnects(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) { cfg.Delivery.ReconnectDelay = 2 * time.Second })
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusInternalServerError)
	id := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(1, time.Millisecond),
	}).GetWebhook().GetId()
	const failures = 30
	var publishing sync.WaitGroup
	for i := range failures {
		publishing.Go(func() {
			if _, err := n.tryPublish(t.Context(), fmt.Sprintf("bad-%d", i), "complete_job", `{}`); err != nil {
				t.Errorf("publishing: %v", err)
			}
		})
	}
	publishing.Wait()
	w := n.awaitState(t, id, disconnected)
	require.Equal(t, holdfastv1.DisconnectCause_DISCONNECT_CAUSE_FAILURES, w.GetDisconnection().GetCause())
	require.NotEmpty(t, w.GetDisconnection().GetReason())
	n.awaitRegistration(t, id, confirmed)
	before := len(receiver.Requests())
	require.GreaterOrEqual(t, before, 10)

	const waiting = 5
	for i := range waiting {
		got, err := n.tryPublish(t.Context(), fmt.Sprintf("held-%d", i), "complete_job", `{}`)
		require.NoError(t, err)
		require.Equal(t, []string{id}, webhookIDs(got), "an event for a disconnected webhook is not dropped")
		n.awaitDelivery(t, id+"/"+fmt.Sprintf("held-%d", i), held)
	}
	r := n.registration(t, id)
	require.Equal(t, 1, operationsOf(r, "disconnect"), "%v", r.GetSteps())
	alerts, err := n.operations.ListAlerts(t.Context(), &holdfastv1.ListAlertsRequest{})
	require.NoError(t, err)
	require.Equal(t, 1, alertsOf(alerts, "webhook_disconnected", id), "%v", alerts)

	// The first probe meets a receiver that is still ill: one request, and all stays as it is.
	probed := arrived(t, receiver, before+1)
	require.Equal(t, disconnected, n.webhook(t, id).GetState())
	receiver.Status(http.StatusOK)
	n.awaitState(t, id, active)
	for i := range waiting {
		n.awaitDelivery(t, id+"/"+fmt.Sprintf("held-%d", i), delivered)
	}
	probes := 0
	for _, s := range n.registration(t, id).GetSteps() {
		if s.GetOperation() == "probe" {
			probes++
		}
	}
	require.GreaterOrEqual(t, probes, 2, "one that failed, one that did not")
	require.LessOrEqual(t, len(receiver.Requests())-len(probed), waiting+1+failures, "no stampede")
	awaitTrue(t, "the alert to be resolved", func() bool {
		alerts, err := n.operations.ListAlerts(t.Context(), &holdfastv1.ListAlertsRequest{})
		return err == nil && alertsOf(alerts, "webhook_disconnected", id) == 0
	})
	require.Zero(t, n.webhook(t, id).GetConsecutiveFailures())
}

func alertsOf(got *holdfastv1.ListAlertsResponse, kind, subject string) int {
	count := 0
	for _, a := range got.GetAlerts() {
		if a.GetKind() == kind && a.GetSubject() == subject {
			count++
		}
	}
	return count
}

// A disconnection by hand holds what comes; reconnecting releases it, the oldest first.
func TestD26_WhatIsHeldIsReleasedInOrder(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) { cfg.Delivery.PerWebhookConcurrent = 1 })
	receiver := testkit.NewReceiver(t)
	id := n.register(t, receiver.URL(), "complete_job").GetWebhook().GetId()
	off, err := n.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{Id: id, Reason: "maintenance", Wait: durationpb.New(patience)})
	require.NoError(t, err)
	require.Equal(t, confirmed, off.GetRegistration().GetStatus())
	require.Equal(t, disconnected, off.GetWebhook().GetState())
	const events = 12
	for i := range events {
		n.publish(t, "complete_job", fmt.Sprintf(`{"n":%d}`, i))
	}
	for _, d := range await(t, "all to be held", func() ([]*holdfastv1.Delivery, bool) {
		got, err := n.deliveries.ListDeliveries(t.Context(), &holdfastv1.ListDeliveriesRequest{WebhookId: id, State: held})
		return got.GetDeliveries(), err == nil && len(got.GetDeliveries()) == events
	}) {
		require.Contains(t, d.GetReason(), "disconnected")
		require.Empty(t, d.GetAttempts())
	}
	require.Empty(t, receiver.Requests())
	on, err := n.webhooks.ReconnectWebhook(t.Context(), &holdfastv1.ReconnectWebhookRequest{Id: id, Wait: durationpb.New(patience)})
	require.NoError(t, err)
	require.Equal(t, active, on.GetWebhook().GetState())
	got := arrived(t, receiver, events)
	for i := range events {
		require.Contains(t, string(got[i].Body), fmt.Sprintf(`"n":%d}`, i))
	}
	requireNoneOpen(t, c)
}

// D34: setting active to false stops waiting retries; nothing is lost, they go on when it is active again.
func TestD34_PausingStopsWaitingRetries(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusServiceUnavailable, http.StatusOK)
	id := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(3, time.Hour),
	}).GetWebhook().GetId()
	delivery := n.publish(t, "complete_job", `{}`).GetDeliveries()[0].GetId()
	n.awaitDelivery(t, delivery, holdfastv1.DeliveryState_DELIVERY_STATE_RETRYING)
	setActive := func(on bool) {
		got, err := n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
			Id: id, Webhook: &holdfastv1.WebhookInput{Active: &on}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"active"}},
			Wait: durationpb.New(patience),
		})
		require.NoError(t, err)
		require.Equal(t, confirmed, got.GetRegistration().GetStatus())
	}
	setActive(false)
	d := n.awaitDelivery(t, delivery, held) // at once, an hour before its retry is due
	require.Len(t, d.GetAttempts(), 1)
	require.Len(t, receiver.Requests(), 1)
	setActive(true)
	n.awaitDelivery(t, delivery, delivered)
	require.Len(t, receiver.Requests(), 2)
}

// Of two changes made on the same revision one is refused: no update is lost. The same request is carried out once.
func TestD48_ChangesAreGuardedByRevisionAndRequestID(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	w := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"complete_job"}, Secret: "first", Description: new("old"),
		Headers: map[string]string{"X-Team": "a"}, RetryPolicy: retries(7, time.Second),
	}).GetWebhook()
	change := func(text, requestID string) (*holdfastv1.UpdateWebhookResponse, error) {
		return n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
			Id: w.GetId(), Webhook: &holdfastv1.WebhookInput{Description: &text}, ExpectedRevision: w.GetRevision(), RequestId: requestID,
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"description"}}, Wait: durationpb.New(patience),
		})
	}
	first, err := change("new", "r1")
	require.NoError(t, err)
	require.Greater(t, first.GetWebhook().GetRevision(), w.GetRevision())
	again, err := change("new", "r1")
	require.NoError(t, err, "repeated, it answers what it came to")
	require.Equal(t, first.GetWebhook().GetRevision(), again.GetWebhook().GetRevision())
	_, err = change("other", "r2")
	require.Equal(t, connect.CodeAborted, connect.CodeOf(err))
	now := n.webhook(t, w.GetId())
	require.Equal(t, "new", now.GetDescription())
	require.Equal(t, []any{true, int32(7), []string{"X-Team"}}, []any{now.GetHasSecret(), now.GetRetryPolicy().GetMaxAttempts(), now.GetHeaderNames()},
		"what is not named stays")
}

// A webhook that is disconnected after failures is told to people, once, and so is its return.
func TestRule10_AutoDisableNotifies(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	people := testkit.NewReceiver(t)
	n := c.node(func(cfg *config.Config) {
		cfg.Alerts.URL, cfg.Alerts.Token = people.URL(), "token-for-people"
		cfg.Delivery.DisconnectThreshold = 2
	})
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusInternalServerError)
	id := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(1, time.Millisecond),
	}).GetWebhook().GetId()
	for range 2 {
		n.publish(t, "complete_job", `{}`)
	}
	told := arrived(t, people, 1)[0]
	require.Equal(t, "Bearer token-for-people", told.Header.Get("Authorization"))
	require.Contains(t, string(told.Body), `"kind":"webhook_disconnected"`)
	require.Contains(t, string(told.Body), id)
	n.awaitState(t, id, disconnected)
	_, err := n.webhooks.ReconnectWebhook(t.Context(), &holdfastv1.ReconnectWebhookRequest{Id: id, Wait: durationpb.New(patience)})
	require.NoError(t, err)
	require.Contains(t, string(arrived(t, people, 2)[1].Body), `"resolved_at"`)
	require.Len(t, people.Requests(), 2)
}
