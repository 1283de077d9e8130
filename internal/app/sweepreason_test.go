package app_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// Whoever looks at a delivery that waited for its next attempt reads what became of its webhook.
func TestASweepTellsEachDeliveryWhy(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) { cfg.Delivery.DisconnectThreshold = 2 })
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusInternalServerError)
	waiting := func(i int) (webhookID, deliveryID string) {
		t.Helper()
		id := n.registerInput(t, &holdfastv1.WebhookInput{
			Url: receiver.URL(), EventTypes: []string{"job_failed"}, RetryPolicy: retries(2, time.Hour), Static: new(i != 3),
		}).GetWebhook().GetId()
		event := fmt.Sprintf("evt-%d", i)
		_, err := n.tryPublish(t.Context(), event, "job_failed", `{}`)
		require.NoError(t, err)
		n.awaitDelivery(t, id+"/"+event, holdfastv1.DeliveryState_DELIVERY_STATE_RETRYING)
		return id, id + "/" + event
	}
	for i, tc := range []struct {
		change func(id string) error
		reason string
	}{
		{func(id string) error {
			_, err := n.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{Id: id, Reason: "maintenance"})
			return err
		}, "the webhook is disconnected (maintenance)"},
		{func(id string) error {
			_, err := n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{Id: id, Webhook: &holdfastv1.WebhookInput{Active: new(false)}})
			return err
		}, "the webhook is paused"},
		{func(id string) error {
			_, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: id})
			return err
		}, "the webhook is deleted"},
	} {
		id, delivery := waiting(i)
		require.NoError(t, tc.change(id))
		state := held
		if tc.reason == "the webhook is deleted" {
			state = holdfastv1.DeliveryState_DELIVERY_STATE_CANCELLED
		}
		require.Equal(t, tc.reason, n.awaitDelivery(t, delivery, state).GetReason())
	}

	// Two that fail at once, the third waits.
	id, delivery := waiting(3)
	_, err := n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
		Id: id, Webhook: &holdfastv1.WebhookInput{RetryPolicy: retries(1, time.Millisecond)},
	})
	require.NoError(t, err)
	for i := range 2 {
		_, err := n.tryPublish(t.Context(), fmt.Sprintf("bad-%d", i), "job_failed", `{}`)
		require.NoError(t, err)
	}
	require.Equal(t, "the webhook is disconnected (2 deliveries failed in a row)", n.awaitDelivery(t, delivery, held).GetReason())
}
