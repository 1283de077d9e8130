package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/workflows"
)

// Planted credentials; no other text of the tests has them.
const (
	plantedSecret = "pl4nted-s3cret-of-the-webhook"
	plantedHeader = "Bearer pl4nted-header-credential"
	plantedChange = "pl4nted-s3cret-of-a-change"
	plantedTurn   = "pl4nted-s3cret-of-a-rotation"
	plantedToken  = "pl4nted-bearer-token"
)

func TestG8_NoCredentialInHistoriesRedisOrLogs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	observed, logs := observer.New(zapcore.DebugLevel)
	c.logger = zap.New(zapcore.NewTee(c.logger.Core(), observed))
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Respond(func(i int, _ *http.Request) (int, http.Header, string) {
		if i%3 == 1 {
			return http.StatusServiceUnavailable, nil, "not now"
		}
		return http.StatusOK, nil, "ok"
	})
	input := func(events ...string) *holdfastv1.WebhookInput {
		return &holdfastv1.WebhookInput{
			Url: receiver.URL(), EventTypes: events, Secret: plantedSecret, Headers: map[string]string{"Authorization": plantedHeader},
			RetryPolicy: retries(12, 50*time.Millisecond),
		}
	}
	planted := map[string]string{
		"secret": plantedSecret, "header": plantedHeader, "changed secret": plantedChange, "rotated secret": plantedTurn, "token": plantedToken,
	}

	// Successes, retries, groups, a webhook that is rejected, one that is refused, one that is deleted, one whose receiver
	// is gone for good.
	webhook := n.registerInput(t, input("job_submitted")).GetWebhook()
	require.True(t, webhook.GetHasSecret())
	require.Equal(t, []string{"Authorization"}, webhook.GetHeaderNames())
	n.registerInput(t, input("job_submitted"))
	generated := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: receiver.URL(), EventTypes: []string{"job_submitted"}, RetryPolicy: retries(12, 50*time.Millisecond),
	})
	planted["generated secret"] = strings.TrimPrefix(generated.GetSecret(), "whsec_")
	gone := testkit.NewReceiver(t)
	lost := input("job_failed")
	lost.Url, lost.RetryPolicy = gone.URL(), retries(2, 50*time.Millisecond)
	n.registerInput(t, lost)
	gone.Close()
	deleted := n.registerInput(t, input("cancel_job")).GetWebhook().GetId()
	_, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: deleted, Wait: durationpb.New(patience)})
	require.NoError(t, err)
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Reject: "no"}))
	rejected := n.registerFor(t, patience, "key", input("cancel_job"))
	require.Equal(t, failed, rejected.GetRegistration().GetStatus())
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	refused := input("cancel_job")
	refused.Url = "http://169.254.169.254/latest"
	_, err = n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{Webhook: refused})
	require.Error(t, err)
	for name, value := range planted {
		require.NotContains(t, err.Error(), value, name)
	}

	planted["generated secret of a rotation"] = strings.TrimPrefix(liveOn(t, n, webhook.GetId()), "whsec_")

	var deliveries []string
	for i := range 6 {
		for _, d := range n.publish(t, "job_submitted", fmt.Sprintf(`{"i":%d}`, i)).GetDeliveries() {
			deliveries = append(deliveries, d.GetId())
		}
	}
	for _, id := range deliveries {
		n.awaitDelivery(t, id, delivered)
	}
	ended := n.publish(t, "job_failed", `{}`).GetDeliveries()
	require.Len(t, ended, 1)
	n.awaitDelivery(t, ended[0].GetId(), exhausted)
	for _, r := range receiver.Requests() {
		if r.Header.Get("X-Webhook-Id") != generated.GetWebhook().GetId() {
			require.Equal(t, plantedHeader, r.Header.Get("Authorization"), "the credential is used all the same")
		}
	}
	// Redis is wiped and filled again from the registrations, secrets included.
	redis := testkit.RedisClient(t, c.redis)
	require.NoError(t, redis.FlushAll(t.Context()).Err())
	restored := c.store()
	awaitTrue(t, "the webhook to be written again", func() bool {
		w, _, err := restored.ReadWebhook(t.Context(), webhook.GetId())
		return err == nil && w.Secret != ""
	})
	asked, err := c.temporal.Client.QueryWorkflow(t.Context(), workflows.RegistrationID(webhook.GetId()), "", workflows.QueryStatus)
	require.NoError(t, err)
	var status json.RawMessage
	require.NoError(t, asked.Get(&status))
	require.NoError(t, n.Stop(t.Context()))

	places := map[string]string{"logs": logText(logs.All()), "EMPROPS": fmt.Sprint(c.emprops.Log())}
	histories := historiesOf(t, c)
	require.Greater(t, len(histories), 15)
	places["answer of the status query"] = string(status)
	for id, text := range histories {
		places["history of "+id] = text
	}
	keys := everythingIn(t, redis)
	require.NotEmpty(t, keys["webhooks:registry"])
	for key, text := range keys {
		places["Redis key "+key] = text
	}
	for place, text := range places {
		require.NotEmpty(t, text, place)
		for name, value := range planted {
			require.NotContains(t, text, value, "%s in %s", name, place)
		}
	}
}

// liveOn takes a webhook through the rest of its life, with more credentials, and returns the secret it ends with.
func liveOn(t *testing.T, n *testNode, id string) (secret string) {
	t.Helper()
	wait := durationpb.New(patience)
	_, err := n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{Id: id, Wait: wait, Webhook: &holdfastv1.WebhookInput{
		Secret: plantedChange, Headers: map[string]string{"X-Key": plantedToken},
	}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"secret"}}})
	require.NoError(t, err)
	_, err = n.webhooks.RotateSecret(t.Context(), &holdfastv1.RotateSecretRequest{Id: id, Secret: plantedTurn, Wait: wait})
	require.NoError(t, err)
	_, err = n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{Id: id, Wait: wait, Webhook: &holdfastv1.WebhookInput{
		Secret: "x", Url: "http://169.254.169.254/?" + plantedToken[:3],
	}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"url"}}})
	require.Error(t, err, "refused by the address policy")
	_, err = n.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{Id: id, Reason: "for a moment", Wait: wait})
	require.NoError(t, err)
	_, err = n.webhooks.ReconnectWebhook(t.Context(), &holdfastv1.ReconnectWebhookRequest{Id: id, Wait: wait})
	require.NoError(t, err)
	got, err := n.webhooks.RotateSecret(t.Context(), &holdfastv1.RotateSecretRequest{Id: id, Wait: wait})
	require.NoError(t, err)
	require.NotEmpty(t, got.GetSecret())
	return got.GetSecret()
}

// logText is everything that was logged, fields included.
func logText(entries []observer.LoggedEntry) string {
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&b, e.Level, e.LoggerName, e.Message, e.Stack, e.ContextMap())
	}
	return b.String()
}

// historiesOf reads the whole history of every run of every workflow in the namespace, in the bytes it is kept in.
func historiesOf(t *testing.T, c *cluster) map[string]string {
	t.Helper()
	all := map[string]string{}
	var token []byte
	for {
		page, err := c.temporal.Client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: c.temporal.Namespace, NextPageToken: token,
		})
		require.NoError(t, err)
		for _, w := range page.GetExecutions() {
			text, err := proto.Marshal(w) // memo and search attributes
			require.NoError(t, err)
			run := w.GetExecution()
			events := c.temporal.Client.GetWorkflowHistory(t.Context(), run.GetWorkflowId(), run.GetRunId(), false,
				enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for events.HasNext() {
				e, err := events.Next()
				require.NoError(t, err)
				text, err = proto.MarshalOptions{}.MarshalAppend(text, e)
				require.NoError(t, err)
			}
			all[run.GetWorkflowId()+" "+run.GetRunId()] = string(text)
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return all
		}
	}
}

// everythingIn reads every key with its fields and values.
func everythingIn(t *testing.T, client *redis.Client) map[string]string {
	t.Helper()
	read := map[string]func(ctx context.Context, key string) (any, error){
		"string": func(ctx context.Context, key string) (any, error) { return client.Get(ctx, key).Result() },
		"hash":   func(ctx context.Context, key string) (any, error) { return client.HGetAll(ctx, key).Result() },
		"set":    func(ctx context.Context, key string) (any, error) { return client.SMembers(ctx, key).Result() },
		"list":   func(ctx context.Context, key string) (any, error) { return client.LRange(ctx, key, 0, -1).Result() },
		"zset":   func(ctx context.Context, key string) (any, error) { return client.ZRange(ctx, key, 0, -1).Result() },
		"stream": func(ctx context.Context, key string) (any, error) { return client.XRange(ctx, key, "-", "+").Result() },
	}
	all := map[string]string{}
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	for _, key := range keys {
		kind, err := client.Type(t.Context(), key).Result()
		require.NoError(t, err)
		if kind == "none" { // it has expired meanwhile
			continue
		}
		require.Contains(t, read, kind, key)
		value, err := read[kind](t.Context(), key)
		require.NoError(t, err)
		all[key] = fmt.Sprint(value)
	}
	return all
}
