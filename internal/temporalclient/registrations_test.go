//go:build !lean

package temporalclient_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/worker"
	"github.com/emprops/holdfast/workflows"
)

// plain seals nothing; whether secrets stay secret is tested elsewhere.
type plain struct{}

func (plain) SealCredentials(c holdfast.Credentials) (string, error) { return c.Secret, nil }
func (plain) Open(s string) (holdfast.Credentials, error) {
	return holdfast.Credentials{Secret: s}, nil
}

// one is a storage of one webhook, an EMPROPS that is off and a policy that allows everything.
type one struct {
	mu       sync.Mutex
	stored   *holdfast.Webhook
	revision int64
}

func (o *one) WriteWebhook(_ context.Context, w *holdfast.Webhook) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := *w
	o.stored = &c
	o.revision++
	return o.revision, nil
}

func (o *one) RemoveWebhook(context.Context, string) (int64, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	existed := o.stored != nil
	o.stored = nil
	o.revision++
	return o.revision, existed, nil
}

func (o *one) ReadWebhook(context.Context, string) (*holdfast.Webhook, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stored == nil {
		return nil, false, holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")
	}
	c := *o.stored
	return &c, c.Active, nil
}

// swap puts a webhook in place of what is stored, which it returns.
func (o *one) swap(w *holdfast.Webhook) *holdfast.Webhook {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.stored
	o.stored = w
	return was
}

func (o *one) ResetFailures(context.Context, string) error { return nil }
func (o *one) Enabled() bool                               { return false }
func (o *one) Required() bool                              { return false }
func (o *one) Confirm(context.Context, *holdfast.Webhook) error {
	return holdfast.Errorf(holdfast.CodeInternal, "EMPROPS is off")
}
func (o *one) Remove(context.Context, string) error        { return nil }
func (o *one) Check(string) error                          { return nil }
func (o *one) LiveNodes(context.Context) ([]string, error) { return nil, nil }

// A registration's whole life against a real server: what the test environment does not have, which is update ids,
// continue-as-new, search attributes, and closed workflows.
func TestRegistrations_Life(t *testing.T) {
	t.Parallel()
	env := testkit.Temporal(t)
	store := &one{}
	w := sdkworker.New(env.Client, workflows.QueueMain, sdkworker.Options{})
	worker.RegisterWorkflows(w)
	regs := &activities.Registrations{Store: store, Platform: store, Targets: store, Sealed: plain{}}
	list := &activities.Nodes{Lister: store}
	for name, run := range map[string]any{
		"CheckWebhook": regs.CheckWebhook, "CheckExists": regs.CheckExists, "WriteWebhook": regs.WriteWebhook,
		"RemoveWebhook": regs.RemoveWebhook, "VerifyWebhook": regs.VerifyWebhook, "VerifyRemoved": regs.VerifyRemoved,
		"ConfirmWebhook": regs.ConfirmWebhook, "UnconfirmWebhook": regs.UnconfirmWebhook, "ListLiveNodes": list.ListLiveNodes,
		"PrepareChange": regs.PrepareChange, "PrepareRotation": regs.PrepareRotation, "PrepareRetirement": regs.PrepareRetirement,
		"ReconcileWebhook": regs.ReconcileWebhook, "JudgeFailures": regs.JudgeFailures, "ResetFailures": regs.ResetFailures,
		"SweepDeliveries": regs.SweepDeliveries, "ProbeWebhook": regs.ProbeWebhook,
	} {
		w.RegisterActivityWithOptions(run, activity.RegisterOptions{Name: name})
	}
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	ctx := t.Context()
	c := &temporalclient.Registrations{Client: env.Client, Sealer: plain{}, ContinueAfter: 30}
	const wait = 30 * time.Second
	hook := holdfast.Webhook{
		ID: "wh_1", URL: "https://a.example", Events: []string{"job_failed"}, Active: true, Secret: "s1", CreatedAt: time.Now().UnixMilli(),
		RetryConfig: holdfast.DefaultRetryPolicy(),
	}
	request := func(id string) workflows.Request { return workflows.Request{RequestID: id, Actor: "bob"} }

	for _, unknown := range []func() error{
		func() error { _, err := c.Change(ctx, request("0"), hook, []string{"url"}, wait); return err },
		func() error { _, err := c.Disconnect(ctx, "wh_1", workflows.SwitchRequest{}, wait); return err },
	} {
		require.Equal(t, holdfast.CodeNotFound, holdfast.ErrorCode(unknown()))
	}
	_, err := env.Client.DescribeWorkflowExecution(ctx, workflows.RegistrationID("wh_1"), "")
	require.Error(t, err, "asking for a change starts nothing")

	got, err := c.Register(ctx, hook, "alice", wait)
	require.NoError(t, err)
	require.Equal(t, holdfast.RegistrationConfirmed, got.Registration.Status)
	change := hook
	change.URL = "https://b.example"
	var last temporalclient.Registered
	for range 3 { // by Temporal's update id first, by the registration's memory in later runs
		last, err = c.Change(ctx, request("1"), change, []string{"url"}, wait)
		require.NoError(t, err)
		require.Equal(t, []any{int64(2), "https://b.example"}, []any{last.Registration.Revision, last.Webhook.URL})
		_, err = c.Change(ctx, request(""), change, []string{"nope"}, wait)
		require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
		require.ErrorContains(t, err, "nope: is not a field that can be changed")
	}
	got, err = c.RotateSecret(ctx, "wh_1", request("2"), "s2", 0, wait)
	require.NoError(t, err)
	require.Equal(t, "s2", got.Webhook.Secret)
	stale := workflows.Request{ExpectedRevision: 1}
	_, err = c.Delete(ctx, "wh_1", stale, wait)
	require.Equal(t, holdfast.CodeAborted, holdfast.ErrorCode(err))

	// By hand, as Temporal's page and command line send it: without any payload.
	_, err = env.Client.WorkflowService().SignalWorkflowExecution(ctx, signalRequest(env, workflows.SignalDisconnect))
	require.NoError(t, err)
	testkit.Await(t, "the signal to disconnect", func() bool {
		got, err = c.Registration(ctx, "wh_1")
		return err == nil && got.Registration.State == holdfast.WebhookDisconnected
	})
	testkit.Await(t, "the state in the list of workflows", func() bool {
		d, err := env.Client.DescribeWorkflowExecution(ctx, workflows.RegistrationID("wh_1"), "")
		if err != nil {
			return false
		}
		var state string
		field := d.GetWorkflowExecutionInfo().GetSearchAttributes().GetIndexedFields()["WebhookState"]
		return converter.GetDefaultDataConverter().FromPayload(field, &state) == nil && state == "disconnected"
	})
	got, err = c.Reconnect(ctx, "wh_1", workflows.SwitchRequest{Request: request("3")}, wait)
	require.NoError(t, err)
	require.Equal(t, holdfast.WebhookActive, got.Registration.State)
	reply, err := c.Reconcile(ctx, "wh_1", false)
	require.NoError(t, err)
	require.Equal(t, activities.ReconcileUnchanged, reply.Action)

	d, err := env.Client.DescribeWorkflowExecution(ctx, workflows.RegistrationID("wh_1"), "")
	require.NoError(t, err)
	require.NotEqual(t, d.GetWorkflowExecutionInfo().GetFirstRunId(), d.GetWorkflowExecutionInfo().GetExecution().GetRunId(),
		"by now it goes on in another run")
	got, err = c.Change(ctx, request("1"), change, []string{"url"}, wait)
	require.NoError(t, err)
	require.Equal(t, int64(2), got.Registration.Revision, "which knows what was asked in the first")

	kept := *store.swap(nil)
	again := kept
	store.swap(&again)
	for range 2 {
		reg, err := c.Delete(ctx, "wh_1", request("4"), wait)
		require.NoError(t, err, "a repeated delete gets the first one's answer")
		require.Equal(t, []any{holdfast.WebhookDeleted, holdfast.RegistrationConfirmed}, []any{reg.State, reg.Status})
	}
	_, err = c.Delete(ctx, "wh_1", request("5"), wait)
	require.Equal(t, holdfast.CodeNotFound, holdfast.ErrorCode(err))
	reply, err = c.Reconcile(ctx, "wh_1", false)
	require.NoError(t, err)
	require.Equal(t, activities.ReconcileGone, reply.Action)

	// A change finds a webhook that only Redis has once it has been adopted.
	kept.ID = "wh_2"
	store.swap(&kept)
	c.Adopt = func(ctx context.Context, id string) (bool, error) {
		r, err := c.Reconcile(ctx, id, true)
		return r.Action == activities.ReconcileAdopted, err
	}
	got, err = c.Disconnect(ctx, "wh_2", workflows.SwitchRequest{Reason: "x"}, wait)
	require.NoError(t, err)
	require.Equal(t, holdfast.WebhookDisconnected, got.Registration.State)
	reg, err := c.Delete(ctx, "wh_2", workflows.Request{}, wait)
	require.NoError(t, err)
	require.Equal(t, holdfast.WebhookDeleted, reg.State)

	// Redis gets it back from a backup: what was deleted stays deleted.
	testkit.Await(t, "the registration to close", func() bool {
		open, err := c.Registered(ctx, "wh_2")
		return err == nil && !open
	})
	store.swap(&kept)
	reply, err = c.Reconcile(ctx, "wh_2", true)
	require.NoError(t, err)
	require.Equal(t, activities.ReconcileRemoved, reply.Action)
	require.Nil(t, store.swap(nil))
	reply, err = c.Reconcile(ctx, "wh_3", true)
	require.NoError(t, err)
	require.Equal(t, activities.ReconcileGone, reply.Action)
}

func signalRequest(env *testkit.TemporalEnv, name string) *workflowservice.SignalWorkflowExecutionRequest {
	return &workflowservice.SignalWorkflowExecutionRequest{
		Namespace: env.Namespace, SignalName: name,
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflows.RegistrationID("wh_1")},
	}
}
