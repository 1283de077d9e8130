package workflows_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

var sixDone = []string{"check:done", "write:done", "confirm:done", "verify:done", "refresh:done", "activate:done"}

var sixWithoutPlatform = []string{"check:done", "write:done", "confirm:skipped", "verify:done", "refresh:done", "activate:done"}

func refusedWith(t *testing.T, err error) (string, activities.FailureDetails) {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	var details activities.FailureDetails
	if app.HasDetails() {
		require.NoError(t, app.Details(&details))
	}
	return app.Type(), details
}

// D48: an edit changes what it names and nothing else; a secret can be cleared.
func TestD48_ChangeLeavesOtherFieldsAlone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, f, a := w.play(t)
	in := w.registered(t)
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "1", func(w *holdfast.Webhook) {
		w.URL, w.Description, w.RetryConfig.MaxAttempts = "https://a.example/2", "ignored", 99
	}, "url"))
	var afterURL holdfast.Webhook
	env.RegisterDelayedCallback(func() { afterURL = w.read(t) }, 90*time.Second)
	a.update(t, env, 2*time.Minute, workflows.UpdateChange, changeTo(t, "2", func(*holdfast.Webhook) {}, "secret", "filters.jobTypes"))
	var cleared holdfast.Webhook
	env.RegisterDelayedCallback(func() { cleared = w.read(t) }, 3*time.Minute)
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []error{nil, nil, nil}, a.errs)
	r := a.replies[0].Registration
	require.Equal(t, []any{holdfast.RegistrationConfirmed, holdfast.WebhookActive, "change", int64(2)}, []any{r.Status, r.State, r.Operation, r.Revision})
	require.Equal(t, sixDone, stepsOf(r, "change"))
	want := hook()
	require.Greater(t, afterURL.UpdatedAt, want.UpdatedAt)
	want.URL, want.UpdatedAt, want.Revision = "https://a.example/2", afterURL.UpdatedAt, 2
	require.Equal(t, want, afterURL)
	want.Secret, want.Filters, want.UpdatedAt, want.Revision = "", holdfast.Filters{}, cleared.UpdatedAt, 3
	require.Equal(t, want, cleared)
	for _, s := range r.Steps {
		require.Equal(t, "bob", s.Actor)
	}
	noSecret(t, f, a.replies)
}

func TestChange_UnknownAndInvalidFieldsAreNamedAndChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, _, a := w.play(t)
	in := w.registered(t)
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "1", func(*holdfast.Webhook) {}, "url", "retryPolicy.speed"))
	a.update(t, env, 2*time.Minute, workflows.UpdateChange, changeTo(t, "2", func(w *holdfast.Webhook) { w.URL = "ftp://x" }, "url"))
	a.update(t, env, 3*time.Minute, workflows.UpdateChange, changeTo(t, "2", func(w *holdfast.Webhook) { w.URL = "https://b.example" }, "url"))
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	for i, field := range []string{"retryPolicy.speed", "url", "url"} {
		kind, details := refusedWith(t, a.errs[i])
		require.Equal(t, "invalid", kind)
		require.Len(t, details.Violations, 1)
		require.Equal(t, field, details.Violations[0].Field, "also when the request is repeated")
	}
	require.Empty(t, w.writes, "nothing was written")
	r := a.replies[3].Registration
	require.Equal(t, []string{"check:failed", "check:failed"}, stepsOf(r, "change"), "the trail tells of it; the repetition did nothing")
}

// D11, D12: a change that EMPROPS refuses for good leaves the webhook as it was, and says so.
func TestD12_RefusedChangeIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, f, a := w.play(t)
	in := w.registered(t)
	w.platform = func(in *holdfast.Webhook) error {
		if in.URL != hook().URL {
			return holdfast.Errorf(holdfast.CodeRejected, "not that one")
		}
		return nil
	}
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "1", func(w *holdfast.Webhook) { w.URL, w.Active = "https://b.example", false }, "url", "active"))
	var after holdfast.Webhook
	var platformURL string
	env.RegisterDelayedCallback(func() {
		after, platformURL = w.read(t), w.known["wh_1"]
		status := registrationStatus(t, env)
		require.Equal(t, hook().URL, status.Webhook.Webhook.URL)
	}, 2*time.Minute)
	a.update(t, env, 3*time.Minute, workflows.UpdateChange, changeTo(t, "1", func(w *holdfast.Webhook) { w.URL = "https://b.example" }, "url"))
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, a.errs[0])
	r := a.replies[0].Registration
	require.Equal(t, []any{holdfast.RegistrationFailed, holdfast.WebhookActive, "rejected"}, []any{r.Status, r.State, r.Reason})
	require.Equal(t, []string{"check:done", "write:undone", "confirm:failed"}, stepsOf(r, "change"))
	require.Equal(t, []string{"write:done", "confirm:done", "verify:done", "refresh:done"}, stepsOf(r, "compensate"))
	want := hook()
	want.Revision = 3
	require.Equal(t, want, after, "everything is as before, at a new revision")
	require.Equal(t, hook().URL, platformURL)
	require.Equal(t, int64(3), r.Revision)
	require.Equal(t, r.Revision, a.replies[1].Registration.Revision)
	require.Equal(t, holdfast.RegistrationFailed, a.replies[1].Registration.Status, "a repetition gets the same outcome")
	require.Len(t, w.writes, 2, "and does nothing")
	require.Equal(t, holdfast.AlertRegistrationFailed, f.named("RaiseAlert")[0].in.(holdfast.Alert).Kind)
	require.Contains(t, w.sweeps, "release", "what the paused configuration may have held is let go")
}

func TestChange_StaleRevisionIsAborted(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, _, a := w.play(t)
	in := w.registered(t)
	expecting := func(id string, revision int64, url string) workflows.ChangeRequest {
		c := changeTo(t, id, func(w *holdfast.Webhook) { w.URL = url }, "url")
		c.ExpectedRevision = revision
		return c
	}
	a.update(t, env, time.Minute, workflows.UpdateChange, expecting("1", 1, "https://b.example"))
	a.update(t, env, time.Minute+time.Millisecond, workflows.UpdateChange, expecting("2", 1, "https://c.example"))
	a.update(t, env, 2*time.Minute, workflows.UpdateDelete, workflows.DeleteRequest{Request: workflows.Request{ExpectedRevision: 1}})
	a.update(t, env, 3*time.Minute, workflows.UpdateDelete, workflows.DeleteRequest{Request: workflows.Request{ExpectedRevision: 2}})
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, a.errs[0])
	for _, i := range []int{1, 2} {
		kind, _ := refusedWith(t, a.errs[i])
		require.Equal(t, workflows.ErrorAborted, kind)
	}
	require.NoError(t, a.errs[3])
	require.Len(t, w.writes, 1, "no update got lost")
	require.Equal(t, "https://b.example", w.writes[0].URL)
}

func TestRotate_BothSecretsSignUntilTheOverlapIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, f, a := w.play(t)
	in := w.registered(t)
	sealed, err := worldSealer{}.SealCredentials(holdfast.Credentials{Secret: planted + "-2"})
	require.NoError(t, err)
	a.update(t, env, time.Minute, workflows.UpdateRotateSecret, workflows.RotateRequest{
		Request: workflows.Request{RequestID: "1", Actor: "bob"}, Credentials: sealed, OverlapMS: (24 * time.Hour).Milliseconds(),
	})
	var rotatedAt int64
	env.RegisterDelayedCallback(func() {
		got := w.read(t)
		rotatedAt = got.UpdatedAt
		require.Equal(t, []string{planted + "-2", planted}, got.SigningSecrets(env.Now().UnixMilli()))
		require.Equal(t, rotatedAt+24*3600*1000, got.RetiringSecrets[0].Until)
		noSecret(t, f, registrationStatus(t, env))
	}, time.Hour)
	env.RegisterDelayedCallback(func() { require.Len(t, w.read(t).RetiringSecrets, 1) }, 24*time.Hour+30*time.Second)
	env.RegisterDelayedCallback(func() {
		got := w.read(t)
		require.Empty(t, got.RetiringSecrets, "nothing outlives its time in Redis")
		require.Equal(t, planted+"-2", got.Secret)
		require.Equal(t, rotatedAt, got.UpdatedAt, "that is no change of the configuration")
	}, 24*time.Hour+90*time.Second)
	a.update(t, env, 30*time.Hour, workflows.UpdateRotateSecret, workflows.RotateRequest{Credentials: sealedSecret(t, "third")})
	env.RegisterDelayedCallback(func() { require.Equal(t, []string{"third"}, new(w.read(t)).SigningSecrets(0)) }, 31*time.Hour)
	a.end(t, env, 40*time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, sixWithoutPlatform, stepsOf(a.replies[0].Registration, "rotate-secret"))
	require.Equal(t, sixWithoutPlatform, stepsOf(a.replies[2].Registration, "retire-secret"))
	noSecret(t, f, a.replies)
}

func sealedSecret(t *testing.T, secret string) string {
	t.Helper()
	sealed, err := worldSealer{}.SealCredentials(holdfast.Credentials{Secret: secret})
	require.NoError(t, err)
	return sealed
}

func TestSwitch_DisconnectAndReconnectAreIdempotent(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.failures["wh_1"] = 4
	env, f, a := w.play(t)
	in := w.registered(t)
	switchBy := func(id, reason string) workflows.SwitchRequest {
		return workflows.SwitchRequest{Request: workflows.Request{RequestID: id, Actor: "bob"}, Reason: reason}
	}
	a.update(t, env, time.Minute, workflows.UpdateDisconnect, switchBy("1", "maintenance"))
	a.update(t, env, 2*time.Minute, workflows.UpdateDisconnect, switchBy("2", "again"))
	env.RegisterDelayedCallback(func() {
		got := w.read(t)
		require.True(t, got.Disconnected)
		require.Equal(t, hook().UpdatedAt, got.UpdatedAt, "it is no change of the configuration")
		d := got.Disconnection
		require.Equal(t, []any{holdfast.DisconnectedByOperator, "maintenance", "bob"}, []any{d.Cause, d.Reason, d.Actor})
		require.Positive(t, d.Since)
		w.locked(func() { w.failures["wh_1"] = 4 })
	}, 3*time.Minute)
	a.update(t, env, 4*time.Minute, workflows.UpdateReconnect, switchBy("3", ""))
	a.update(t, env, 5*time.Minute, workflows.UpdateReconnect, switchBy("4", ""))
	env.RegisterDelayedCallback(func() {
		got := w.read(t)
		require.False(t, got.Disconnected)
		require.Nil(t, got.Disconnection)
		require.Zero(t, got.ConsecutiveFailures)
	}, 6*time.Minute)
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.Equal(t, []error{nil, nil, nil, nil, nil}, a.errs)
	states := []holdfast.WebhookState{}
	for _, r := range a.replies {
		states = append(states, r.Registration.State)
		require.Equal(t, holdfast.RegistrationConfirmed, r.Registration.Status)
	}
	require.Equal(t, []holdfast.WebhookState{"disconnected", "disconnected", "active", "active", "deleted"}, states)
	last := a.replies[4].Registration
	require.Equal(t, sixWithoutPlatform, stepsOf(last, "disconnect"), "the second one left no line")
	require.Equal(t, sixWithoutPlatform, stepsOf(last, "reconnect"))
	require.Equal(t, []string{"hold", "release", "cancel"}, w.sweeps)
	require.Equal(t, []string{"the webhook is disconnected (maintenance)", "", "the webhook is deleted"}, w.sweepReasons)
	require.Empty(t, f.named("RaiseAlert"), "nobody is told of what somebody did on purpose")
	require.Empty(t, f.named("ConfirmWebhook"))
}

// A Redis that was wiped while the webhook was disconnected gets it back; there is no counter to reset.
func TestSwitch_ReconnectAfterAWipeOfRedis(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, _, a := w.play(t)
	in := w.registered(t)
	a.update(t, env, time.Minute, workflows.UpdateDisconnect, workflows.SwitchRequest{})
	env.RegisterDelayedCallback(func() { w.locked(func() { clear(w.stored); clear(w.active); clear(w.failures) }) }, 2*time.Minute)
	a.update(t, env, 3*time.Minute, workflows.UpdateReconnect, workflows.SwitchRequest{})
	env.RegisterDelayedCallback(func() { require.Equal(t, hook().Secret, w.read(t).Secret) }, 4*time.Minute)
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.Equal(t, holdfast.WebhookActive, a.replies[1].Registration.State)
}

func TestSwitch_PauseHoldsAndUnpauseReleases(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, _, a := w.play(t)
	in := w.registered(t)
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "1", func(*holdfast.Webhook) {}, "active"))
	a.update(t, env, 2*time.Minute, workflows.UpdateDisconnect, workflows.SwitchRequest{})
	a.update(t, env, 3*time.Minute, workflows.UpdateChange, changeTo(t, "2", func(w *holdfast.Webhook) { w.Active = true }, "active"))
	a.update(t, env, 4*time.Minute, workflows.UpdateReconnect, workflows.SwitchRequest{})
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	var states []holdfast.WebhookState
	for _, r := range a.replies {
		states = append(states, r.Registration.State)
	}
	require.Equal(t, []holdfast.WebhookState{"paused", "paused", "disconnected", "active", "deleted"}, states, "active:true does not reconnect")
	require.Equal(t, []string{"hold", "release", "cancel"}, w.sweeps)
}

// People send signals from Temporal's page: nothing they type may block the webhook or end its workflow.
func TestSignals_TakeWhateverIsTyped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		payload any
		reason  string
		actor   string
	}{
		"no payload": {nil, "by request", "signal"},
		"a string":   {"typed", "typed", "signal"},
		"the struct": {workflows.SwitchRequest{Request: workflows.Request{Actor: "carol"}, Reason: "said"}, "said", "carol"},
		"a number":   {42, "by request", "signal"},
		"a list":     {[]string{"x"}, "by request", "signal"},
		"wrong type": {map[string]any{"reason": "kept", "expected_revision": "x"}, "kept", "signal"},
		"no JSON":    {[]byte{0xff, 0x00}, "by request", "signal"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			env, _, a := w.play(t)
			in := w.registered(t)
			signalAfter(env, time.Minute, workflows.SignalDisconnect, c.payload)
			env.RegisterDelayedCallback(func() {
				d := w.read(t).Disconnection
				require.NotNil(t, d)
				require.Equal(t, []string{c.reason, c.actor}, []string{d.Reason, d.Actor})
			}, 2*time.Minute)
			signalAfter(env, 3*time.Minute, workflows.SignalReconnect, c.payload)
			env.RegisterDelayedCallback(func() { require.False(t, w.read(t).Disconnected) }, 4*time.Minute)
			signalAfter(env, 5*time.Minute, workflows.SignalAutoDisconnect, c.payload)
			a.end(t, env, time.Hour)
			env.ExecuteWorkflow(workflows.TypeRegistration, in)
			require.NoError(t, env.GetWorkflowError())
			require.Equal(t, holdfast.WebhookDeleted, a.replies[0].Registration.State)
		})
	}
}

// D36: thirty deliveries fail for good at once. The webhook is disconnected once, and stays so without another word.
func TestD36_ConcurrentFailuresDisconnectExactlyOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.AutoReconnect = false
	env, f, a := w.play(t)
	in := w.registered(t)
	env.RegisterDelayedCallback(func() {
		w.locked(func() { w.failures["wh_1"] = 30 })
		for i := range 30 {
			env.SignalWorkflow(workflows.SignalAutoDisconnect, workflows.AutoDisconnect{
				Cause: holdfast.DisconnectedByFailures, Failures: i + 1, Reason: fmt.Sprintf("%d deliveries in a row failed", i+1),
			})
		}
	}, time.Minute)
	for i := range 30 {
		signalAfter(env, 2*time.Minute+time.Duration(i)*time.Second, workflows.SignalAutoDisconnect, nil)
	}
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	r := a.replies[0].Registration
	require.Equal(t, sixWithoutPlatform, stepsOf(r, "disconnect"))
	require.Equal(t, "failures: 30 deliveries failed in a row", r.Steps[0].Detail)
	require.Len(t, w.writes, 1)
	require.Len(t, f.named("JudgeFailures"), 1)
	require.Equal(t, []string{"hold", "cancel"}, w.sweeps)
	raised := f.named("RaiseAlert")
	require.Len(t, raised, 1)
	require.Equal(t, "webhook_disconnected:wh_1", new(raised[0].in.(holdfast.Alert)).ID())
	require.Equal(t, resolveAlert{"webhook_disconnected:wh_1"}, f.named("ResolveAlert")[0].in, "the deletion ends it")
}

func TestAutoDisconnect_BelowTheThresholdStaticAndGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		static   bool
		failures int
		cause    holdfast.DisconnectCause
		want     bool
		probed   bool
	}{
		"below the threshold":        {failures: 9, cause: holdfast.DisconnectedByFailures},
		"at the threshold":           {failures: 10, cause: holdfast.DisconnectedByFailures, want: true, probed: true},
		"static":                     {static: true, failures: 100, cause: holdfast.DisconnectedByFailures},
		"gone, whatever the counter": {cause: holdfast.DisconnectedByReceiver, want: true},
		"gone, but static":           {static: true, cause: holdfast.DisconnectedByReceiver},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.probes = func(int) activities.ProbeResult { return activities.ProbeResult{} }
			env, f, a := w.play(t)
			in := w.registered(t, func(w *holdfast.Webhook) { w.Static = c.static })
			w.failures["wh_1"] = c.failures
			signalAfter(env, time.Minute, workflows.SignalAutoDisconnect, workflows.AutoDisconnect{Cause: c.cause})
			env.RegisterDelayedCallback(func() {
				require.Equal(t, c.want, w.read(t).Disconnected)
				require.Equal(t, c.probed, registrationStatus(t, env).Registration.NextProbeAt > 0)
			}, 2*time.Minute)
			a.end(t, env, time.Hour)
			env.ExecuteWorkflow(workflows.TypeRegistration, in)
			require.Equal(t, c.probed, len(f.named("ProbeWebhook")) > 0)
			require.Equal(t, c.want, len(f.named("RaiseAlert")) > 0)
		})
	}
}

// The first probe comes after five minutes, as the original's window; then twice as late each time, at most after an hour.
func TestProbe_FollowsItsScheduleToTheSecond(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.probes = func(n int) activities.ProbeResult {
		return activities.ProbeResult{Probed: n != 3, Delivered: n == 9, Detail: fmt.Sprintf("probe %d", n)}
	}
	env, f, a := w.play(t)
	in := w.registered(t)
	w.failures["wh_1"] = 10
	var began time.Time
	env.RegisterDelayedCallback(func() {
		began = env.Now()
		env.SignalWorkflow(workflows.SignalAutoDisconnect, nil)
	}, time.Minute)
	a.update(t, env, 5*time.Hour, workflows.UpdateReconnect, workflows.SwitchRequest{}) // a no-op: a probe has done it
	a.end(t, env, 24*time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, env.GetWorkflowError())
	at := []time.Duration{}
	for _, p := range w.probed {
		at = append(at, p.Sub(began).Round(time.Second))
	}
	m := time.Minute // the third finds nothing held and starts anew
	require.Equal(t, []time.Duration{5 * m, 15 * m, 35 * m, 40 * m, 50 * m, 70 * m, 110 * m, 170 * m, 230 * m}, at)
	require.Equal(t, holdfast.WebhookActive, a.replies[0].Registration.State)
	r := a.replies[1].Registration
	var probes []string
	for _, s := range r.Steps {
		if s.Operation == "probe" {
			probes = append(probes, s.Detail+" "+string(s.Status))
		}
	}
	require.Equal(t, []string{"probe 5 failed", "probe 6 failed", "probe 7 failed", "probe 8 failed", "probe 9 done"}, probes, "the latest few")
	require.Equal(t, sixWithoutPlatform, stepsOf(r, "reconnect"))
	require.Zero(t, r.NextProbeAt)
	require.Equal(t, []string{"hold", "release", "cancel"}, w.sweeps)
	require.Equal(t, resolveAlert{"webhook_disconnected:wh_1"}, f.named("ResolveAlert")[0].in)
}

func TestProbe_PeopleEndIt(t *testing.T) {
	t.Parallel()
	for _, update := range []string{workflows.UpdateReconnect, workflows.UpdateDisconnect} {
		t.Run(update, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.probes = func(int) activities.ProbeResult { return activities.ProbeResult{Probed: true} }
			env, _, a := w.play(t)
			in := w.registered(t)
			w.failures["wh_1"] = 10
			signalAfter(env, time.Minute, workflows.SignalAutoDisconnect, nil)
			a.update(t, env, 7*time.Minute, update, workflows.SwitchRequest{Reason: "mine"})
			a.end(t, env, 48*time.Hour)
			env.ExecuteWorkflow(workflows.TypeRegistration, in)
			require.Len(t, w.probed, 1, "nobody probes any more")
			r := a.replies[0]
			require.Zero(t, r.Registration.NextProbeAt)
			if update == workflows.UpdateDisconnect {
				require.Equal(t, holdfast.DisconnectedByOperator, r.Webhook.Webhook.Disconnection.Cause)
			} else {
				require.Equal(t, holdfast.WebhookActive, r.Registration.State)
			}
		})
	}
}

// A sweep that fails keeps nobody waiting, and the last state is what the deliveries are told in the end.
func TestSweep_FailsInTheBackgroundUntilItSucceeds(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.sweepErr = holdfast.Errorf(holdfast.CodeUnavailable, "away")
	env, _, a := w.play(t)
	in := w.registered(t)
	a.update(t, env, time.Minute, workflows.UpdateDisconnect, workflows.SwitchRequest{})
	a.update(t, env, 2*time.Minute, workflows.UpdateReconnect, workflows.SwitchRequest{})
	env.RegisterDelayedCallback(func() {
		require.Len(t, a.replies, 2, "both are answered")
		w.locked(func() { w.sweepErr = nil })
	}, 3*time.Minute)
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.Equal(t, []string{"release", "cancel"}, w.sweeps)
}

// D4, D7: what a delete cuts short does not come back.
func TestD07_DeleteCutsAStuckChangeShort(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.platform = func(*holdfast.Webhook) error { return holdfast.Errorf(holdfast.CodeUnavailable, "away") }
	env, _, a := w.play(t)
	in := w.registered(t)
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "1", func(w *holdfast.Webhook) { w.URL = "https://b.example" }, "url"))
	a.update(t, env, 2*time.Minute, workflows.UpdateChange, changeTo(t, "2", func(w *holdfast.Webhook) { w.URL = "https://c.example" }, "url"))
	a.end(t, env, 3*time.Minute)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, env.GetWorkflowError())
	require.Empty(t, w.stored)
	require.Empty(t, w.known)
	require.Len(t, a.replies, 3)
	require.Equal(t, []string{"change", "delete", "change"}, a.names)
	cut, deleted := a.replies[0].Registration, a.replies[1].Registration
	require.Equal(t, []any{holdfast.RegistrationFailed, workflows.ErrorAborted}, []any{cut.Status, cut.Reason})
	require.Equal(t, []any{holdfast.RegistrationConfirmed, holdfast.WebhookDeleted}, []any{deleted.Status, deleted.State})
	kind, _ := refusedWith(t, a.errs[2])
	require.Equal(t, workflows.ErrorNotFound, kind, "the change that waited comes too late")
}

func TestTrail_CountsAttemptsOfFinishedAndFailedSteps(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.write = func(activities.SealedWebhook) (activities.Written, error) {
		return activities.Written{Attempted: activities.Attempted{Attempts: 3}, Revision: 1}, nil
	}
	f.confirm = func(activities.SealedWebhook) (activities.Confirmation, error) {
		return activities.Confirmation{}, temporal.NewNonRetryableApplicationError("no", "rejected", nil, activities.FailureDetails{Attempts: 5})
	}
	var a answers
	in := request("a")
	in.Actor = "alice"
	a.update(t, env, 0, workflows.UpdateRegister, in)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	steps := a.replies[0].Registration.Steps
	require.Equal(t, []int{1, 3, 5}, []int{steps[0].Attempts, steps[1].Attempts, steps[2].Attempts})
	require.Equal(t, "alice", steps[0].Actor)
	require.Len(t, f.named("RaiseAlert"), 1)
}

func TestAlerts_SilentNodeIsRaisedOnceAndResolved(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.liveNodes = func() (activities.NodeList, error) {
		return activities.NodeList{IDs: []string{"n1", "n2"}, PatienceMS: 5000}, nil
	}
	answering := false
	f.refresh = func(queue string, in activities.RefreshRequest) (activities.RefreshReport, error) {
		if queue == workflows.QueueNode("n2") && !answering {
			return activities.RefreshReport{}, coded(holdfast.CodeInternal, false)
		}
		return activities.RefreshReport{Revision: in.Revision}, nil
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	env.RegisterDelayedCallback(func() {
		require.Len(t, f.named("RaiseAlert"), 1)
		answering = true
	}, 30*time.Second)
	a.update(t, env, time.Hour, workflows.UpdateDelete, workflows.DeleteRequest{})
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	raised := f.named("RaiseAlert")
	require.Len(t, raised, 1)
	require.Equal(t, "node_silent:n2", new(raised[0].in.(holdfast.Alert)).ID())
	require.Equal(t, []call{{in: resolveAlert{"node_silent:n2"}}}, []call{{in: f.named("ResolveAlert")[0].in}})
	require.Greater(t, a.replies[0].Registration.Steps[4].Attempts, 1, "the refresh took more than one round")
}

func TestRegistration_MayBeRegisteredAgainWhileItsEndIsSwept(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.sweepErr = errors.New("away")
	env, _, a := w.play(t)
	in := w.registered(t)
	a.end(t, env, time.Minute)
	a.update(t, env, 2*time.Minute, workflows.UpdateReconnect, workflows.SwitchRequest{})
	a.update(t, env, 3*time.Minute, workflows.UpdateRegister, registerHook(t))
	env.RegisterDelayedCallback(func() {
		require.Equal(t, planted, w.read(t).Secret)
		w.locked(func() { w.sweepErr = nil })
	}, 4*time.Minute)
	a.end(t, env, time.Hour)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	require.NoError(t, env.GetWorkflowError())
	kind, _ := refusedWith(t, a.errs[1])
	require.Equal(t, workflows.ErrorNotFound, kind)
	require.Equal(t, holdfast.WebhookActive, a.replies[2].Registration.State)
	require.Equal(t, []string{"cancel"}, w.sweeps, "the end of the former life does not cancel deliveries of the next")
}

func TestG8_NoSecretInStateAnswersOrInputs(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.probes = func(int) activities.ProbeResult { return activities.ProbeResult{Probed: true, Delivered: true} }
	env, f, a := w.play(t)
	a.update(t, env, 0, workflows.UpdateRegister, registerHook(t))
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "1", func(w *holdfast.Webhook) { w.Headers = map[string]string{"X-B": planted} }, "headers"))
	a.update(t, env, 2*time.Minute, workflows.UpdateRotateSecret, workflows.RotateRequest{Credentials: sealedSecret(t, planted+"2"), OverlapMS: 1 << 30})
	signalAfter(env, 3*time.Minute, workflows.SignalAutoDisconnect, workflows.AutoDisconnect{Cause: holdfast.DisconnectedByReceiver})
	a.update(t, env, 4*time.Minute, workflows.UpdateReconcile, workflows.ReconcileRequest{})
	env.RegisterDelayedCallback(func() {
		noSecret(t, f, registrationStatus(t, env))
		env.SetContinueAsNewSuggested(true)
	}, 5*time.Minute)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	next := continued[workflows.RegistrationState](t, env)
	require.Equal(t, []error{nil, nil, nil, nil}, a.errs)
	noSecret(t, f, a.replies, next)
	text, err := json.Marshal(next)
	require.NoError(t, err)
	require.Contains(t, string(text), "k1:", "the credentials are there, sealed")
	require.Positive(t, next.RetireAt)
}
