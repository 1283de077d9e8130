package workflows_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// world is everything around a registration: its real activities on a storage, a platform and a key ring in memory.
type world struct {
	*activities.Registrations

	mu           sync.Mutex
	stored       map[string]holdfast.Webhook
	active       map[string]bool
	revision     int64
	writes       []holdfast.Webhook
	platform     func(w *holdfast.Webhook) error // nil confirms
	known        map[string]string               // url by id, at the platform
	failures     map[string]int
	sweeps       []string
	sweepReasons []string
	sweepErr     error
	probes       func(n int) activities.ProbeResult
	probed       []time.Time
	now          func() time.Time
}

func newWorld() *world {
	w := &world{stored: map[string]holdfast.Webhook{}, active: map[string]bool{}, known: map[string]string{}, failures: map[string]int{}}
	w.Registrations = &activities.Registrations{
		Store: w, Platform: worldPlatform{w}, Targets: w, Sealed: worldSealer{}, Sweeper: w, Prober: w, AutoReconnect: true,
	}
	return w
}

func (w *world) locked(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

func (w *world) WriteWebhook(_ context.Context, in *holdfast.Webhook) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.revision++
	in.Revision = w.revision
	w.writes = append(w.writes, *in)
	w.stored[in.ID], w.active[in.ID] = *in, in.Active
	if _, counted := w.failures[in.ID]; !counted {
		w.failures[in.ID] = in.ConsecutiveFailures
	}
	return w.revision, nil
}

func (w *world) RemoveWebhook(_ context.Context, id string) (int64, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, existed := w.stored[id]
	w.revision++
	delete(w.stored, id)
	delete(w.active, id)
	delete(w.failures, id)
	return w.revision, existed, nil
}

func (w *world) ReadWebhook(_ context.Context, id string) (*holdfast.Webhook, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	got, ok := w.stored[id]
	if !ok {
		return nil, false, holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")
	}
	got.ConsecutiveFailures = w.failures[id]
	return &got, w.active[id], nil
}

func (w *world) ResetFailures(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.stored[id]; !ok {
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")
	}
	w.failures[id] = 0
	return nil
}

func (w *world) Check(string) error { return nil }

func (w *world) Sweep(_ context.Context, r activities.SweepRequest) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sweepErr != nil {
		return w.sweepErr
	}
	w.sweeps, w.sweepReasons = append(w.sweeps, r.Kind), append(w.sweepReasons, r.Reason)
	return nil
}

func (w *world) Probe(_ context.Context, r activities.ProbeRequest) (activities.ProbeResult, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probed = append(w.probed, w.now())
	return w.probes(r.Number), nil
}

type worldPlatform struct{ w *world }

func (worldPlatform) Enabled() bool  { return true }
func (worldPlatform) Required() bool { return true }

func (p worldPlatform) Confirm(_ context.Context, in *holdfast.Webhook) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	if p.w.platform != nil {
		if err := p.w.platform(in); err != nil {
			return err
		}
	}
	p.w.known[in.ID] = in.URL
	return nil
}

func (p worldPlatform) Remove(_ context.Context, id string) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	delete(p.w.known, id)
	return nil
}

// worldSealer turns the text around: nothing of it can be read, all of it comes back.
type worldSealer struct{}

func (worldSealer) SealCredentials(c holdfast.Credentials) (string, error) {
	if c.None() {
		return "", nil
	}
	text, err := json.Marshal(c)
	slices.Reverse(text)
	return "k1:" + string(text), err
}

func (worldSealer) Open(sealed string) (c holdfast.Credentials, err error) {
	if sealed == "" {
		return c, nil
	}
	text := []byte(sealed[3:])
	slices.Reverse(text)
	return c, json.Unmarshal(text, &c)
}

func (worldSealer) Stale(sealed string) bool { return !strings.HasPrefix(sealed, "k1:") }

// play connects a test environment with the world.
func (w *world) play(t *testing.T) (*testsuite.TestWorkflowEnvironment, *fakes, *answers) {
	t.Helper()
	env, f := newEnv(t)
	w.now = env.Now
	ctx := t.Context()
	on(ctx, &f.check, w.CheckWebhook)
	on(ctx, &f.exists, w.CheckExists)
	on(ctx, &f.write, w.Registrations.WriteWebhook)
	on(ctx, &f.remove, w.Registrations.RemoveWebhook)
	on(ctx, &f.verify, w.VerifyWebhook)
	on(ctx, &f.verifyGone, w.VerifyRemoved)
	on(ctx, &f.confirm, w.ConfirmWebhook)
	on(ctx, &f.unconfirm, w.UnconfirmWebhook)
	on(ctx, &f.change, w.PrepareChange)
	on(ctx, &f.rotation, w.PrepareRotation)
	on(ctx, &f.retirement, w.PrepareRetirement)
	on(ctx, &f.reconcile, w.ReconcileWebhook)
	on(ctx, &f.judge, w.JudgeFailures)
	on(ctx, &f.reset, w.Registrations.ResetFailures)
	on(ctx, &f.probe, w.ProbeWebhook)
	f.sweep = func(in activities.SweepRequest) error { return w.SweepDeliveries(ctx, in) }
	return env, f, &answers{}
}

func on[In, Out any](ctx context.Context, fake *func(In) (Out, error), activity func(context.Context, In) (Out, error)) {
	*fake = func(in In) (Out, error) { return activity(ctx, in) }
}

const planted = "planted-s3cret"

// hook is a webhook whose credentials are planted secrets.
func hook() holdfast.Webhook {
	return holdfast.Webhook{
		ID: "wh_1", URL: "https://a.example/1", Events: []string{"job_failed", "complete_job"}, Active: true, CreatedAt: 1, UpdatedAt: 1,
		RetryConfig: holdfast.RetryPolicy{MaxAttempts: 7, InitialDelayMS: 500, BackoffMultiplier: 3, MaxDelayMS: 9000},
		Secret:      planted, Headers: map[string]string{"X-Token": planted}, Authorization: "Bearer " + planted, Description: "first",
		Filters: holdfast.Filters{JobTypes: []string{"flux"}}, RateLimit: 5, OrderingKey: "job_id",
	}
}

func sealedHook(t *testing.T, w holdfast.Webhook) activities.SealedWebhook {
	t.Helper()
	credentials, err := worldSealer{}.SealCredentials(w.TakeCredentials())
	require.NoError(t, err)
	return activities.SealedWebhook{Webhook: w, Credentials: credentials}
}

func registerHook(t *testing.T) workflows.RegisterRequest {
	t.Helper()
	return workflows.RegisterRequest{Fingerprint: "f", Webhook: sealedHook(t, hook()), Actor: "alice"}
}

func changeTo(t *testing.T, id string, set func(*holdfast.Webhook), fields ...string) workflows.ChangeRequest {
	t.Helper()
	var w holdfast.Webhook
	set(&w)
	return workflows.ChangeRequest{Request: workflows.Request{RequestID: id, Actor: "bob"}, Fields: fields, Webhook: sealedHook(t, w)}
}

// registered is the state of a registration that has gone well, which the world agrees with.
func (w *world) registered(t *testing.T, change ...func(*holdfast.Webhook)) workflows.RegistrationState {
	t.Helper()
	h := hook()
	for _, c := range change {
		c(&h)
	}
	revision, err := w.WriteWebhook(t.Context(), &h)
	require.NoError(t, err)
	w.known[h.ID] = h.URL
	w.writes = nil
	in := workflows.RegistrationState{WebhookID: h.ID, Webhook: sealedHook(t, h), Fingerprint: "f", Written: true}
	in.Registration = holdfast.Registration{
		WebhookID: h.ID, Operation: "register", Status: holdfast.RegistrationConfirmed, State: h.State(), Revision: revision,
	}
	return in
}

func (w *world) read(t *testing.T) holdfast.Webhook {
	t.Helper()
	got, active, err := w.ReadWebhook(t.Context(), "wh_1")
	require.NoError(t, err)
	require.Equal(t, got.Active, active)
	return *got
}

// end deletes the webhook after a time, so that the workflow ends.
func (a *answers) end(t *testing.T, env *testsuite.TestWorkflowEnvironment, after time.Duration) {
	a.update(t, env, after, workflows.UpdateDelete, workflows.DeleteRequest{})
}

func signalAfter(env *testsuite.TestWorkflowEnvironment, after time.Duration, name string, payload any) {
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(name, payload) }, after)
}

// noSecret scans everything that passed through a history.
func noSecret(t *testing.T, f *fakes, others ...any) {
	t.Helper()
	for _, c := range f.calls {
		text, err := json.Marshal(c.in)
		require.NoError(t, err)
		require.NotContains(t, string(text), planted, c.name)
	}
	for _, o := range others {
		text, err := json.Marshal(o)
		require.NoError(t, err)
		require.NotContains(t, string(text), planted, "%T", o)
	}
}
