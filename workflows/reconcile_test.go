package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

func reconcileAfter(t *testing.T, env *testsuite.TestWorkflowEnvironment, after time.Duration, in workflows.ReconcileRequest) (*workflows.ReconcileReply, *error) {
	t.Helper()
	reply, failed := new(workflows.ReconcileReply), new(error)
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(workflows.UpdateReconcile, after.String(), &testsuite.TestUpdateCallback{
			OnReject: func(err error) { require.NoError(t, err) },
			OnComplete: func(got any, err error) {
				*failed = err
				if err == nil {
					*reply = got.(workflows.ReconcileReply)
				}
			},
		}, in)
	}, after)
	return reply, failed
}

func TestReconcile_RegisteredWebhook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state  func(*workflows.RegistrationState)
		drift  func(*holdfast.Webhook) // of what Redis holds
		do     func(*world)
		action string
		detail string
		check  func(t *testing.T, w *world, r workflows.RegisterReply)
	}{
		"equal": {
			// Counters, times and what deliveries move are no drift.
			drift: func(h *holdfast.Webhook) {
				h.ConsecutiveFailures, h.LastFailureAt, h.LastSuccessAt, h.UpdatedAt = 5, 9, 9, 99
			},
			action: "unchanged",
		},
		"lost": {
			do:     func(w *world) { clear(w.stored); clear(w.active) },
			action: "restored", detail: "Redis did not hold it",
			check: func(t *testing.T, w *world, _ workflows.RegisterReply) {
				require.Equal(t, []any{planted, "Bearer " + planted}, []any{w.read(t).Secret, w.read(t).Authorization})
			},
		},
		"changed, but not later": {
			drift:  func(h *holdfast.Webhook) { h.URL, h.RateLimit = "https://evil.example", 0 },
			action: "rewritten", detail: "differed in rate limit, url",
		},
		"not in the active set": {
			do:     func(w *world) { delete(w.active, "wh_1") },
			action: "rewritten", detail: "differed in active set",
		},
		"changed later by the original": {
			drift:  func(h *holdfast.Webhook) { h.URL, h.Active, h.UpdatedAt = "https://b.example", false, 2 },
			do:     func(w *world) { w.active["wh_1"] = false },
			action: "taken_over", detail: "differed in active, url",
			check: func(t *testing.T, w *world, r workflows.RegisterReply) {
				require.Equal(t, "https://b.example", r.Webhook.Webhook.URL)
				require.Equal(t, holdfast.WebhookPaused, r.Registration.State)
				require.Equal(t, "https://b.example", w.known["wh_1"], "EMPROPS is told")
				require.Equal(t, holdfast.RegistrationConfirmed, r.Registration.Status)
				require.Contains(t, w.sweeps, "hold")
			},
		},
		"changed later to nonsense": {
			drift:  func(h *holdfast.Webhook) { h.URL, h.UpdatedAt = "nonsense", 2 },
			action: "rewritten", detail: "differed in url",
		},
		"sealed with an old key": {
			state:  func(s *workflows.RegistrationState) { s.Webhook.Credentials = "k0" + s.Webhook.Credentials[2:] },
			action: "rewritten", detail: "sealed with the current key",
			check: func(t *testing.T, _ *world, r workflows.RegisterReply) {
				require.Equal(t, "k1:", r.Webhook.Credentials[:3])
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			env, f, a := w.play(t)
			in := w.registered(t)
			if c.state != nil {
				c.state(&in)
			}
			stored := w.stored["wh_1"]
			if c.drift != nil {
				c.drift(&stored)
			}
			w.stored["wh_1"] = stored
			if c.do != nil {
				c.do(w)
			}
			reply, failed := reconcileAfter(t, env, time.Minute, workflows.ReconcileRequest{})
			again, _ := reconcileAfter(t, env, 2*time.Minute, workflows.ReconcileRequest{})
			env.RegisterDelayedCallback(func() {
				if c.check != nil {
					c.check(t, w, registrationStatus(t, env))
				}
				if c.action != activities.ReconcileUnchanged && c.action != activities.ReconcileTakenOver {
					require.Equal(t, hook().URL, w.read(t).URL)
				}
			}, 3*time.Minute)
			a.end(t, env, time.Hour)
			env.ExecuteWorkflow(workflows.TypeRegistration, in)
			require.NoError(t, env.GetWorkflowError())
			require.NoError(t, *failed)
			require.Equal(t, []string{c.action, c.detail}, []string{reply.Action, reply.Detail})
			require.Equal(t, "unchanged", again.Action, "it is repaired")
			lines := stepsOf(a.replies[0].Registration, "reconcile")
			require.Equal(t, c.action == "unchanged", len(lines) == 0, "%v", lines)
			noSecret(t, f, a.replies)
		})
	}
}

func TestReconcile_WebhookThatOnlyRedisHas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stored func(*holdfast.Webhook) // nil: Redis does not have it either
		in     workflows.ReconcileRequest
		action string
		state  holdfast.WebhookState
		probed bool
	}{
		"gone":                       {in: workflows.ReconcileRequest{Adopt: true}, action: "gone", state: "deleted"},
		"not to be adopted":          {stored: func(*holdfast.Webhook) {}, action: "gone", state: "deleted"},
		"adopted":                    {stored: func(*holdfast.Webhook) {}, in: workflows.ReconcileRequest{Adopt: true}, action: "adopted", state: "active"},
		"adopted, disconnected":      {stored: func(h *holdfast.Webhook) { h.Disconnected = true }, in: workflows.ReconcileRequest{Adopt: true}, action: "adopted", state: "disconnected", probed: true},
		"left over from a deletion":  {stored: func(*holdfast.Webhook) {}, in: workflows.ReconcileRequest{Adopt: true, EndedAt: 5}, action: "removed", state: "deleted"},
		"made again after a removal": {stored: func(h *holdfast.Webhook) { h.CreatedAt = 6 }, in: workflows.ReconcileRequest{Adopt: true, EndedAt: 5}, action: "adopted", state: "active"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.probes = func(int) activities.ProbeResult { return activities.ProbeResult{Probed: true, Delivered: true} }
			away := 5
			w.platform = func(*holdfast.Webhook) error {
				if away--; away > 0 {
					return holdfast.Errorf(holdfast.CodeUnavailable, "away")
				}
				return nil
			}
			env, f, a := w.play(t)
			if c.stored != nil {
				h := hook()
				c.stored(&h)
				w.stored[h.ID], w.active[h.ID] = h, true
			}
			reply, failed := reconcileAfter(t, env, 0, c.in)
			if c.action == "adopted" {
				env.RegisterDelayedCallback(func() {
					require.Equal(t, "adopted", reply.Action, "EMPROPS keeps nobody waiting")
					r := registrationStatus(t, env)
					require.Equal(t, []any{holdfast.RegistrationPending, c.state}, []any{r.Registration.Status, r.Registration.State})
					require.Equal(t, c.probed, r.Registration.NextProbeAt > 0)
					require.Equal(t, []string{"check:done"}, stepsOf(r.Registration, "reconcile"))
				}, 2*time.Second)
				env.RegisterDelayedCallback(func() {
					r := registrationStatus(t, env).Registration
					require.Equal(t, []any{holdfast.RegistrationConfirmed, holdfast.WebhookActive}, []any{r.Status, r.State})
					require.Equal(t, []string{"check:done", "confirm:done"}, stepsOf(r, "reconcile"))
					require.Equal(t, planted, w.read(t).Secret)
				}, time.Hour)
				// The client that registered it asks again, with the idempotency key of then.
				a.update(t, env, 2*time.Hour, workflows.UpdateRegister, registerHook(t))
				a.end(t, env, 3*time.Hour)
			}
			env.ExecuteWorkflow(workflows.TypeRegistration, start)
			require.NoError(t, env.GetWorkflowError())
			require.NoError(t, *failed)
			require.Equal(t, c.action, reply.Action)
			var last holdfast.Registration
			require.NoError(t, env.GetWorkflowResult(&last))
			require.Equal(t, holdfast.WebhookDeleted, last.State)
			if c.action == "adopted" {
				require.Equal(t, []error{nil, nil}, a.errs)
				require.Equal(t, hook().URL, a.replies[0].Webhook.Webhook.URL)
				require.Equal(t, c.probed, len(w.writes) > 0, "adopting writes nothing: the original can go on with it")
			}
			require.Equal(t, name == "not to be adopted", len(w.stored) > 0)
			noSecret(t, f, a.replies)
		})
	}
}

// EMPROPS is away while a change waits for its word, and Redis is wiped: the webhook is written again beside the change,
// which then finds it there.
func TestG5_ReconcileRestoresBesideAnOperationThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.platform = func(*holdfast.Webhook) error { return holdfast.Errorf(holdfast.CodeUnavailable, "away") }
	env, f, a := w.play(t)
	in := w.registered(t)
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "1", func(w *holdfast.Webhook) { w.URL = "https://b.example" }, "url"))
	env.RegisterDelayedCallback(func() { clear(w.stored) }, 2*time.Minute-time.Second)
	reply, failed := reconcileAfter(t, env, 2*time.Minute, workflows.ReconcileRequest{})
	env.RegisterDelayedCallback(func() {
		require.Equal(t, "restored", reply.Action)
		require.Len(t, w.stored, 1)
		w.platform = func(*holdfast.Webhook) error { return nil }
	}, 2*time.Minute+4*time.Second)
	a.end(t, env, 10*time.Minute)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, *failed)
	require.Len(t, f.named("ReconcileWebhook"), 1)
	require.Equal(t, holdfast.RegistrationConfirmed, a.replies[0].Registration.Status)
	for _, stored := range w.stored {
		require.Equal(t, "https://b.example", stored.URL)
	}
}
