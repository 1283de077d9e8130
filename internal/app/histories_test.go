package app_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/workflows"
)

// recordHistories makes TestRecordHistories write the corpus that the replay test replays: `make histories`.
var recordHistories = flag.String("record-histories", "", "write recorded workflow histories into this directory")

// TestRecordHistories drives every way through the workflows on a real server. With -record-histories it writes their
// histories; without, it proves that they can be driven.
func TestRecordHistories(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) { cfg.Node.ID = "recorder" })
	r := &recorder{t: t, cluster: c}

	good := testkit.NewReceiver(t)
	first := n.register(t, good.URL(), "job_submitted")
	r.save("registration-confirmed", workflows.RegistrationID(first.GetWebhook().GetId()))
	event := n.publish(t, "job_submitted", `{"job_id":"a<b>&c","1":1}`)
	r.saveDone("delivery-delivered", workflows.DeliveryWorkflowID(first.GetWebhook().GetId(), event.GetEventId()))

	flaky := testkit.NewReceiver(t)
	flaky.Status(http.StatusServiceUnavailable, http.StatusOK)
	retried := n.register(t, flaky.URL(), "job_failed")
	event = n.publish(t, "job_failed", `{"job_id":"j2","error":"x"}`)
	r.saveDone("delivery-retried", workflows.DeliveryWorkflowID(retried.GetWebhook().GetId(), event.GetEventId()))

	dead := testkit.NewReceiver(t)
	dead.Respond(func(int, *http.Request) (int, http.Header, string) { return http.StatusInternalServerError, nil, "no" })
	exhausted := r.register(n, dead.URL(), "complete_job", 2, 50*time.Millisecond)
	event = n.publish(t, "complete_job", `{"job_id":"j3"}`)
	r.saveDone("delivery-exhausted", workflows.DeliveryWorkflowID(exhausted, event.GetEventId()))

	slow := testkit.NewReceiver(t)
	slow.Slow(2 * config.Default().Delivery.FastCutoff)
	joined := n.register(t, slow.URL(), "cancel_job")
	event = n.publish(t, "cancel_job", `{"job_id":"j4"}`)
	r.saveDone("delivery-joined", workflows.DeliveryWorkflowID(joined.GetWebhook().GetId(), event.GetEventId()))

	also := testkit.NewReceiver(t)
	n.register(t, also.URL(), "workflow_completed")
	failing := r.register(n, dead.URL(), "workflow_completed", 3, 50*time.Millisecond)
	event = n.publish(t, "workflow_completed", `{"workflow_id":"w1"}`)
	r.saveDone("group-handed-over", r.workflowOf(n, event.GetDeliveries()[0].GetId()))
	r.saveDone("delivery-handed-over", workflows.DeliveryWorkflowID(failing, event.GetEventId()))

	later := r.register(n, dead.URL(), "workflow_submitted", 2, time.Minute)
	event = n.publish(t, "workflow_submitted", `{}`)
	waiting := holdfast.DeliveryID(later, event.GetEventId())
	n.awaitDelivery(t, waiting, retrying)
	_, err := n.deliveries.RetryDelivery(t.Context(), &holdfastv1.RetryDeliveryRequest{Id: waiting})
	require.NoError(t, err)
	r.saveDone("delivery-hurried", "delivery/"+waiting)

	n.register(t, also.URL(), "workflow_failed")
	n.register(t, also.URL(), "workflow_failed")
	event = n.publish(t, "workflow_failed", `{"workflow_id":"w2"}`)
	r.saveDone("group-delivered", r.workflowOf(n, event.GetDeliveries()[0].GetId()))

	_, err = n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: first.GetWebhook().GetId()})
	require.NoError(t, err)
	r.saveDone("registration-deleted", workflows.RegistrationID(first.GetWebhook().GetId()))

	refers := testkit.NewReceiver(t)
	n.register(t, refers.URL(), "workflow_completed")
	c.setJob(t, "w3", `{"id":"w3","status":"completed","data":{"outputs":[1]}}`)
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: true}))
	asked := len(c.askedOfEMPROPS())
	c.say(t, 1, "workflow_completed", completed("w3"))
	awaitTrue(t, "EMPROPS to be asked", func() bool { return len(c.askedOfEMPROPS()) > asked })
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	r.saveDone("enrichment-published", workflows.EnrichmentID(arrived(t, refers, 1)[0].Header.Get("X-Event-Id")))

	require.NoError(t, c.emprops.SetFaults(standin.Faults{Reject: "not wanted"}))
	rejected, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{Url: good.URL(), EventTypes: []string{"job_submitted"}},
	})
	require.NoError(t, err)
	require.Equal(t, holdfastv1.RegistrationStatus_REGISTRATION_STATUS_FAILED, rejected.GetRegistration().GetStatus())
	r.saveDone("registration-rejected", workflows.RegistrationID(rejected.GetWebhook().GetId()))
}

// TestRecordLifeHistories drives what webhooks and deliveries live through after they have begun, and the workflows that
// look after all of them.
func TestRecordLifeHistories(t *testing.T) {
	t.Parallel()
	if *recordHistories == "" {
		soaking(t)
	}
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) {
		cfg.Node.ID = "recorder"
		cfg.Delivery.DisconnectThreshold, cfg.Delivery.ReconnectDelay = 1, 2*time.Second
	})
	r := &recorder{t: t, cluster: c}
	ctx := t.Context()

	ill := testkit.NewReceiver(t)
	ill.Status(http.StatusInternalServerError)
	id := r.register(n, ill.URL(), "job_failed", 1, 50*time.Millisecond)
	text := "changed"
	_, err := n.webhooks.UpdateWebhook(ctx, &holdfastv1.UpdateWebhookRequest{
		Id: id, Webhook: &holdfastv1.WebhookInput{Description: &text}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"description"}},
	})
	require.NoError(t, err)
	_, err = n.webhooks.RotateSecret(ctx, &holdfastv1.RotateSecretRequest{Id: id, Overlap: durationpb.New(time.Second)})
	require.NoError(t, err)
	n.publish(t, "job_failed", `{"job_id":"first"}`)
	n.awaitState(t, id, disconnected)
	kept := n.publish(t, "job_failed", `{"job_id":"kept"}`).GetDeliveries()[0].GetId()
	n.awaitDelivery(t, kept, held)
	awaitTrue(t, "a probe that fails", func() bool { return len(ill.Requests()) > 1 })
	ill.Status(http.StatusOK)
	n.awaitDelivery(t, kept, delivered)
	n.awaitState(t, id, active)
	r.saveDone("delivery-held-and-probed", "delivery/"+kept)
	_, err = n.webhooks.DisconnectWebhook(ctx, &holdfastv1.DisconnectWebhookRequest{Id: id})
	require.NoError(t, err)
	kept = n.publish(t, "job_failed", `{"job_id":"kept too"}`).GetDeliveries()[0].GetId()
	n.awaitDelivery(t, kept, held)
	_, err = n.webhooks.ReconnectWebhook(ctx, &holdfastv1.ReconnectWebhookRequest{Id: id})
	require.NoError(t, err)
	n.awaitDelivery(t, kept, delivered)
	r.saveDone("delivery-held-and-released", "delivery/"+kept)
	r.saveDone("sweep-released", workflows.SweepID(id))
	awaitTrue(t, "the rotated secret to retire", func() bool { return operationsOf(n.registration(t, id), "retire-secret") == 1 })
	r.save("registration-lived", workflows.RegistrationID(id))

	_, err = n.deliveries.RetryDelivery(ctx, &holdfastv1.RetryDeliveryRequest{Id: kept})
	require.NoError(t, err)
	awaitTrue(t, "another attempt", func() bool {
		got, err := n.deliveries.GetDelivery(ctx, &holdfastv1.GetDeliveryRequest{Id: kept})
		return err == nil && len(got.GetDelivery().GetAttempts()) == 2
	})
	r.saveDone("delivery-sent-again", "delivery/"+kept)
	replay, err := n.deliveries.ReplayDeliveries(ctx, &holdfastv1.ReplayDeliveriesRequest{Filter: &holdfastv1.ReplayFilter{WebhookId: id}})
	require.NoError(t, err)
	r.saveDone("replay-done", workflows.ReplayWorkflowID(replay.GetReplay().GetId()))

	ordered := n.registerInput(t, &holdfastv1.WebhookInput{
		Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"update_job_progress"}, OrderingKey: new("job_id"),
	}).GetWebhook().GetId()
	event := n.publish(t, "update_job_progress", `{"job_id":"one","progress":1}`)
	n.awaitDelivery(t, event.GetDeliveries()[0].GetId(), delivered)
	sum := sha256.Sum256([]byte(`"one"`))
	r.saveDone("ordered-done", workflows.OrderedID(ordered, hex.EncodeToString(sum[:16])))

	require.NoError(t, testkit.RedisClient(t, c.redis).SRem(ctx, "webhooks:active", id).Err())
	_, err = n.operations.CheckConsistency(ctx, &holdfastv1.CheckConsistencyRequest{})
	require.NoError(t, err)
	r.saveDone("consistency-repaired", workflows.ConsistencyOnDemandID)
	require.NoError(t, testkit.RedisClient(t, c.redis).FlushAll(ctx).Err())
	store := c.store()
	awaitTrue(t, "the registration to be written again, long before the next check on schedule", func() bool {
		_, active, err := store.ReadWebhook(ctx, id)
		return err == nil && active
	})
	r.save("registration-restored", workflows.RegistrationID(id))
}

type recorder struct {
	t       *testing.T
	cluster *cluster
}

// register registers a webhook with a retry policy.
func (r *recorder) register(n *testNode, url, event string, attempts int32, delay time.Duration) string {
	got, err := n.webhooks.RegisterWebhook(r.t.Context(), &holdfastv1.RegisterWebhookRequest{Webhook: &holdfastv1.WebhookInput{
		Url: url, EventTypes: []string{event},
		RetryPolicy: &holdfastv1.RetryPolicy{MaxAttempts: &attempts, InitialDelay: durationpb.New(delay)},
	}})
	require.NoError(r.t, err)
	return got.GetWebhook().GetId()
}

// workflowOf waits for a delivery's record, which names the workflow that made it.
func (r *recorder) workflowOf(n *testNode, deliveryID string) string {
	return await(r.t, "a record of "+deliveryID, func() (string, bool) {
		got, err := n.deliveries.GetDelivery(r.t.Context(), &holdfastv1.GetDeliveryRequest{Id: deliveryID})
		return got.GetDelivery().GetWorkflowId(), err == nil && len(got.GetDelivery().GetAttempts()) > 0
	})
}

// saveDone waits for the workflow's end and saves its history.
func (r *recorder) saveDone(name, workflowID string) {
	require.NoError(r.t, r.cluster.temporal.Client.GetWorkflow(r.t.Context(), workflowID, "").Get(r.t.Context(), nil))
	r.save(name, workflowID)
}

func (r *recorder) save(name, workflowID string) {
	events := r.cluster.temporal.Client.GetWorkflowHistory(r.t.Context(), workflowID, "", false,
		enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	history := &historypb.History{}
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(r.t, err)
		history.Events = append(history.Events, e)
	}
	require.NotEmpty(r.t, history.GetEvents())
	if *recordHistories == "" {
		return
	}
	text, err := protojson.Marshal(history)
	require.NoError(r.t, err)
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(text)
	require.NoError(r.t, err)
	require.NoError(r.t, w.Close())
	require.NoError(r.t, os.WriteFile(filepath.Join(*recordHistories, name+".json.gz"), packed.Bytes(), 0o600))
}
