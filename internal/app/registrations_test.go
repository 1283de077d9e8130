package app_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// Short names for what the tests compare most.
const (
	pending   = holdfastv1.RegistrationStatus_REGISTRATION_STATUS_PENDING
	confirmed = holdfastv1.RegistrationStatus_REGISTRATION_STATUS_CONFIRMED
	failed    = holdfastv1.RegistrationStatus_REGISTRATION_STATUS_FAILED
)

func TestG1_D11_RegisterProvesAndDelivers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	got := n.register(t, receiver.URL(), "job_submitted")
	var names []string
	for _, s := range got.GetRegistration().GetSteps() {
		require.Equal(t, holdfastv1.StepStatus_STEP_STATUS_DONE, s.GetStatus(), "%s: %s", s.GetName(), s.GetDetail())
		require.Equal(t, "register", s.GetOperation())
		require.False(t, s.GetEndTime().AsTime().Before(s.GetTime().AsTime()))
		names = append(names, s.GetName())
	}
	require.Equal(t, []string{"check", "write", "confirm", "verify", "refresh", "activate"}, names)

	id := got.GetWebhook().GetId()
	redis := testkit.RedisClient(t, c.redis)
	require.True(t, redis.HExists(t.Context(), "webhooks:registry", id).Val())
	require.True(t, redis.SIsMember(t.Context(), "webhooks:active", id).Val())
	requests := c.askedOfEMPROPS()
	require.Equal(t, "GET", requests[len(requests)-1].Method, "EMPROPS was read back")

	published := n.publish(t, "job_submitted", `{"job_id":"j1"}`)
	require.Len(t, published.GetDeliveries(), 1)
	require.Equal(t, published.GetEventId(), arrived(t, receiver, 1)[0].Header.Get("X-Event-Id"))
}

// registerFor registers with a bound on the wait for the outcome.
func (n *testNode) registerFor(t *testing.T, wait time.Duration, key string, in *holdfastv1.WebhookInput) *holdfastv1.RegisterWebhookResponse {
	t.Helper()
	got, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: in, IdempotencyKey: key, Wait: durationpb.New(wait),
	})
	require.NoError(t, err)
	return got
}

// confirmStep is the line of the audit trail about EMPROPS.
func confirmStep(t *testing.T, r *holdfastv1.Registration) *holdfastv1.RegistrationStep {
	t.Helper()
	for _, s := range r.GetSteps() {
		if s.GetName() == "confirm" && s.GetOperation() == "register" {
			return s
		}
	}
	require.Fail(t, "no confirm step", "%v", r)
	return nil
}

func TestD11_EMPROPSDownIsPendingUntilItIsBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: true}))
	receiver := testkit.NewReceiver(t)
	began := time.Now()
	got := n.registerFor(t, 300*time.Millisecond, "", &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"job_submitted"}})
	require.Equal(t, pending, got.GetRegistration().GetStatus())
	require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_PENDING, got.GetWebhook().GetState())
	require.NotEmpty(t, got.GetSecret())
	require.Less(t, time.Since(began), 5*time.Second, "the answer comes within the wait")

	id := got.GetWebhook().GetId()
	waiting := await(t, "a second attempt at EMPROPS", func() (*holdfastv1.RegistrationStep, bool) {
		r := n.registration(t, id)
		require.Equal(t, pending, r.GetStatus())
		s := confirmStep(t, r)
		return s, s.GetAttempts() > 1
	})
	require.Equal(t, holdfastv1.StepStatus_STEP_STATUS_RUNNING, waiting.GetStatus())
	require.NotEmpty(t, waiting.GetDetail(), "the last failure is shown")

	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	r := n.awaitRegistration(t, id, confirmed)
	require.Equal(t, holdfastv1.StepStatus_STEP_STATUS_DONE, confirmStep(t, r).GetStatus())
	n.publish(t, "job_submitted", `{"job_id":"j"}`)
	arrived(t, receiver, 1)
}

func TestD12_RejectedLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := []*testNode{c.node(), c.node()}
	kept := nodes[0].register(t, testkit.NewReceiver(t).URL(), "job_failed").GetWebhook().GetId()
	redis := testkit.RedisClient(t, c.redis)
	before := redis.Get(t.Context(), "webhooks:digest").Val()

	require.NoError(t, c.emprops.SetFaults(standin.Faults{Reject: "events are not wanted"}))
	receiver := testkit.NewReceiver(t)
	got := nodes[0].registerFor(t, patience, "", &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"job_submitted"}})
	id := got.GetWebhook().GetId()
	require.Equal(t, failed, got.GetRegistration().GetStatus())
	require.Equal(t, "rejected", got.GetRegistration().GetReason())
	require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_FAILED, got.GetWebhook().GetState())
	step := confirmStep(t, got.GetRegistration())
	require.Equal(t, holdfastv1.StepStatus_STEP_STATUS_FAILED, step.GetStatus())
	require.Contains(t, step.GetDetail(), "events are not wanted")
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))

	require.Equal(t, []string{kept}, redis.HKeys(t.Context(), "webhooks:registry").Val())
	require.Equal(t, []string{kept}, redis.SMembers(t.Context(), "webhooks:active").Val())
	require.Equal(t, []string{kept}, redis.HKeys(t.Context(), "webhooks:revisions").Val())
	require.Equal(t, before, redis.Get(t.Context(), "webhooks:digest").Val(), "count and digest are those of before")
	require.Empty(t, redis.Keys(t.Context(), "*"+id+"*").Val())
	requireAtEMPROPS(t, c, []string{kept})

	for _, n := range nodes {
		require.Equal(t, failed, n.registration(t, id).GetStatus(), "the audit trail stays")
		_, err := n.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{Id: id})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		list, err := n.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
		require.NoError(t, err)
		require.Len(t, list.GetWebhooks(), 1)
		require.Empty(t, n.publish(t, "job_submitted", `{}`).GetDeliveries())
	}
	require.Empty(t, receiver.Requests())
}

// A platform that answers 201 and forgets was the original's blind spot: nobody read back.
func TestD11_AcceptedAndForgottenIsNeverConfirmed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Forget: true}))
	got := n.registerFor(t, 300*time.Millisecond, "", &holdfastv1.WebhookInput{
		Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"job_submitted"},
	})
	id := got.GetWebhook().GetId()
	require.Equal(t, pending, got.GetRegistration().GetStatus())
	awaitTrue(t, "three attempts to confirm", func() bool {
		r := n.registration(t, id)
		require.Equal(t, pending, r.GetStatus())
		return confirmStep(t, r).GetAttempts() >= 3
	})
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	n.awaitRegistration(t, id, confirmed)
	requireAtEMPROPS(t, c, []string{id})
}

func TestD11_StaleReadsConfirmInTheEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	require.NoError(t, c.emprops.SetFaults(standin.Faults{StaleReads: 1}))
	got := n.registerFor(t, 0, "", &holdfastv1.WebhookInput{Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"job_submitted"}})
	n.awaitRegistration(t, got.GetWebhook().GetId(), confirmed)
	require.Zero(t, c.emprops.Faults().StaleReads, "the stale read was made")
	requireAtEMPROPS(t, c, []string{got.GetWebhook().GetId()})
}

func TestD11_OneIdempotencyKeyIsOneWebhook(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := []*testNode{c.node(), c.node()}
	in := &holdfastv1.WebhookInput{Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"job_submitted"}}
	const calls = 6
	answers := make(chan *holdfastv1.RegisterWebhookResponse, calls)
	errs := make(chan error, calls)
	for i := range calls {
		go func() {
			got, err := nodes[i%2].webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
				Webhook: in, IdempotencyKey: "order-17", Wait: durationpb.New(patience),
			})
			answers <- got
			errs <- err
		}()
	}
	first := <-answers
	require.NoError(t, <-errs)
	require.Equal(t, confirmed, first.GetRegistration().GetStatus())
	require.NotEmpty(t, first.GetSecret())
	for range calls - 1 {
		require.NoError(t, <-errs)
		again := <-answers
		require.Equal(t, first.GetWebhook().GetId(), again.GetWebhook().GetId())
		require.Equal(t, first.GetSecret(), again.GetSecret(), "a caller that lost the answer gets the secret again")
		require.Equal(t, first.GetRegistration().GetRevision(), again.GetRegistration().GetRevision(), "written once")
	}
	list, err := nodes[1].webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 1, list.GetTotalSize())

	_, err = nodes[1].webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{Url: in.GetUrl() + "?other", EventTypes: in.GetEventTypes()}, IdempotencyKey: "order-17",
	})
	require.Equal(t, connect.CodeAlreadyExists, connect.CodeOf(err))
}

func TestD11_AStuckRegistrationCanBeDeleted(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Forget: true}))
	got := n.registerFor(t, 300*time.Millisecond, "", &holdfastv1.WebhookInput{
		Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"job_submitted"},
	})
	require.Equal(t, pending, got.GetRegistration().GetStatus())
	id := got.GetWebhook().GetId()
	deleted, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: id, Wait: durationpb.New(patience)})
	require.NoError(t, err)
	require.Equal(t, confirmed, deleted.GetRegistration().GetStatus())
	require.Empty(t, testkit.RedisClient(t, c.redis).Keys(t.Context(), "*"+id+"*").Val())
	requireAtEMPROPS(t, c, nil)
	require.Empty(t, n.publish(t, "job_submitted", `{}`).GetDeliveries())
}

func TestDeletingAnUnknownWebhookIsNotFound(t *testing.T) {
	t.Parallel()
	n := newCluster(t).node()
	_, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: "wh_1700000000000_unknown00"})
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	id := n.register(t, testkit.NewReceiver(t).URL(), "job_submitted").GetWebhook().GetId()
	for _, want := range []connect.Code{0, connect.CodeNotFound} {
		_, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: id})
		if want == 0 {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, want, connect.CodeOf(err), "deleted twice")
	}
}

// requireAtEMPROPS requires that the platform knows exactly these webhooks.
func requireAtEMPROPS(t *testing.T, c *cluster, ids []string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.emprops.URL()+"/webhooks", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	var envelope struct {
		Data []standin.Webhook `json:"data"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&envelope))
	var got []string
	for _, w := range envelope.Data {
		got = append(got, w.ID)
	}
	require.ElementsMatch(t, ids, got)
}
