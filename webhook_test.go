package holdfast_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

func TestStateOfAStoredWebhook(t *testing.T) {
	t.Parallel()
	cases := []struct {
		active, disconnected bool
		want                 holdfast.WebhookState
	}{
		{true, false, holdfast.WebhookActive},
		{true, true, holdfast.WebhookDisconnected},
		{false, false, holdfast.WebhookPaused},
		{false, true, holdfast.WebhookPaused}, // its owner's switch comes first
	}
	for _, c := range cases {
		w := holdfast.Webhook{Active: c.active, Disconnected: c.disconnected}
		require.Equal(t, c.want, w.State())
	}
}

func TestSubscribedIsExact(t *testing.T) {
	t.Parallel()
	w := holdfast.Webhook{Events: []string{"job_failed"}}
	require.True(t, w.Subscribed("job_failed"))
	require.False(t, w.Subscribed("job_failed_"))
	require.False(t, (&holdfast.Webhook{}).Subscribed(""))
}

func TestG8_CredentialsAreTakenOutAndPutBack(t *testing.T) {
	t.Parallel()
	w := validWebhook()
	taken := w.TakeCredentials()
	require.Empty(t, w.Secret)
	require.Empty(t, w.Headers)
	w.PutCredentials(taken)
	require.Equal(t, validWebhook(), w)
}

func TestStoredJSONHasTheOriginalsFieldsInItsOrder(t *testing.T) {
	t.Parallel()
	w := holdfast.Webhook{
		ID: "wh_1_a", CreatedAt: 1, UpdatedAt: 2, RetryConfig: holdfast.DefaultRetryPolicy(), URL: "https://a/", Active: true,
		Events: []string{"job_failed"}, Secret: "s", Filters: holdfast.Filters{WorkerIDs: []string{"w"}},
	}
	got, err := json.Marshal(&w)
	require.NoError(t, err)
	require.Equal(t, `{"id":"wh_1_a","created_at":1,"updated_at":2,"consecutive_failures":0,"disconnected":false,`+
		`"retry_config":{"max_attempts":3,"initial_delay_ms":1000,"backoff_multiplier":2,"max_delay_ms":30000},`+
		`"url":"https://a/","events":["job_failed"],"active":true,"secret":"s","filters":{"worker_ids":["w"]}}`, string(got))
}

func TestHoldReason(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]holdfast.Webhook{
		"":                            {Active: true},
		"the webhook is paused":       {Disconnected: true, Disconnection: &holdfast.Disconnection{Reason: "x"}},
		"the webhook is disconnected": {Active: true, Disconnected: true}, // by the original, which keeps no reason
		"the webhook is disconnected (10 deliveries failed in a row)": {
			Active: true, Disconnected: true, Disconnection: &holdfast.Disconnection{Reason: "10 deliveries failed in a row"},
		},
		"the webhook is disconnected (" + strings.Repeat("é", 100) + "…)": {
			Active: true, Disconnected: true, Disconnection: &holdfast.Disconnection{Reason: strings.Repeat("é", 500)},
		},
	} {
		require.Equal(t, want, w.HoldReason())
	}
}
