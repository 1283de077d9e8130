package workflows_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// A registration that goes on in a new run after every few events loses nothing: a random sequence of operations over as
// many runs as it takes leaves the webhook as a model says, and repeated requests do nothing in any later run.
func TestRuns_NothingIsLostBetweenThem(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld()
		w.probes = func(int) activities.ProbeResult { return activities.ProbeResult{Probed: true} }
		state := w.registered(t)
		state.ContinueAfter = 1
		model := hook()
		var disconnected bool
		type done struct {
			id, name string
			request  any
			reply    workflows.RegisterReply
		}
		var history []done
		runs := 0
		for i := range rapid.IntRange(4, 10).Draw(rt, "operations") {
			d := done{id: fmt.Sprint("r", i)}
			request := workflows.Request{RequestID: d.id}
			repeated := -1
			kind := rapid.IntRange(0, 6).Draw(rt, "operation")
			wasDisconnected, auto := disconnected, false
			switch kind {
			case 0:
				model.URL = fmt.Sprint("https://a.example/", i)
				c := changeTo(t, d.id, func(w *holdfast.Webhook) { w.URL = model.URL }, "url")
				d.name, d.request = workflows.UpdateChange, c
			case 1:
				model.Secret = fmt.Sprint("secret-", i)
				d.name, d.request = workflows.UpdateRotateSecret, workflows.RotateRequest{
					Request: request, Credentials: sealedSecret(t, model.Secret), OverlapMS: 60_000,
				}
			case 2:
				disconnected = true
				d.name, d.request = workflows.UpdateDisconnect, workflows.SwitchRequest{Request: request}
			case 3:
				disconnected = false
				d.name, d.request = workflows.UpdateReconnect, workflows.SwitchRequest{Request: request}
			case 4: // by signal, several at once, of which the new run may get some
				disconnected, auto = true, true
				w.failures["wh_1"] = 10
			case 5: // nobody asks for anything; time passes
				if state.RetireAt == 0 && state.Probe == nil {
					continue
				}
			case 6:
				if len(history) == 0 {
					continue
				}
				repeated = rapid.IntRange(0, len(history)-1).Draw(rt, "which")
				d = history[repeated]
			}
			writes := len(w.writes)
			var a *answers
			for again := 0; ; again++ { // a run may have ended, on account of a timer, before it heard of anything
				var env *testsuite.TestWorkflowEnvironment
				env, _, a = w.play(t)
				env.SetCurrentHistoryLength(10)
				heard := d.request == nil && kind != 4
				if d.request != nil {
					a.update(t, env, time.Second, d.name, d.request)
				} else if kind == 4 {
					env.RegisterDelayedCallback(func() {
						heard = true
						for range 5 {
							env.SignalWorkflow(workflows.SignalAutoDisconnect, nil)
						}
					}, time.Second)
				}
				env.SetStartTime(time.UnixMilli(1_700_000_000_000 + int64(i)*3_600_000 + int64(again)*60_000))
				env.ExecuteWorkflow(workflows.TypeRegistration, state)
				state = continued[workflows.RegistrationState](t, env)
				runs++
				require.Empty(rt, state.Switches)
				require.Empty(rt, state.Failures)
				if heard || len(a.replies) > 0 {
					break
				}
				writes = len(w.writes)
				require.Less(rt, again, 5)
			}
			if repeated >= 0 {
				require.NoError(rt, a.errs[0])
				require.Equal(rt, d.reply.Registration.Revision, a.replies[0].Registration.Revision)
				require.Equal(rt, d.reply.Registration.State, a.replies[0].Registration.State)
				require.Len(rt, w.writes, writes, "a repeated request does nothing")
			} else if d.request != nil {
				require.NoError(rt, a.errs[0])
				d.reply = a.replies[0]
				history = append(history, d)
			}
			got := w.read(t)
			require.Equal(rt, model.URL, got.URL)
			require.Equal(rt, model.Secret, got.Secret)
			require.Equal(rt, disconnected, got.Disconnected, "kind %d", kind)
			if auto && !wasDisconnected {
				require.NotNil(rt, state.Probe)
			}
			if len(got.RetiringSecrets) > 0 {
				require.Positive(rt, state.RetireAt)
			}
		}
		require.GreaterOrEqual(rt, runs, len(history))
	})
}

// Timers, pending sweeps and unheard signals go along into the new run.
func TestRuns_TimersSweepsAndSignalsGoAlong(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.sweepErr = holdfast.Errorf(holdfast.CodeUnavailable, "away")
	w.probes = func(int) activities.ProbeResult { return activities.ProbeResult{Probed: true, Delivered: true} }
	w.failures["wh_1"] = 10
	env, _, _ := w.play(t)
	env.SetCurrentHistoryLength(10)
	in := w.registered(t)
	w.failures["wh_1"] = 10
	in.ContinueAfter = 1
	signalAfter(env, time.Minute, workflows.SignalAutoDisconnect, nil)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	next := continued[workflows.RegistrationState](t, env)
	require.NotNil(t, next.Sweep)
	require.NotNil(t, next.Probe)
	due := next.Registration.NextProbeAt

	w.locked(func() { w.sweepErr = nil })
	again, _, a := w.play(t)
	again.SetStartTime(time.UnixMilli(due).Add(-2 * time.Minute))
	next.ContinueAfter = 0
	next.Switches = []workflows.SwitchSignal{{Signal: workflows.SignalReconnect, SwitchRequest: workflows.SwitchRequest{
		Request: workflows.Request{ExpectedRevision: 77},
	}}}
	a.end(t, again, time.Hour)
	again.ExecuteWorkflow(workflows.TypeRegistration, next)
	require.NoError(t, again.GetWorkflowError())
	require.Equal(t, []string{"hold", "release", "cancel"}, slices.Compact(w.sweeps), "the first may be repeated")
	require.Len(t, w.probed, 1)
	require.Equal(t, due, w.probed[0].UnixMilli(), "to the second")
	require.Equal(t, sixWithoutPlatform, stepsOf(a.replies[0].Registration, "reconnect"), "the signal with the stale revision came to nothing")
}

func TestAnswers_AreCapped(t *testing.T) {
	t.Parallel()
	w := newWorld()
	env, _, a := w.play(t)
	env.SetCurrentHistoryLength(10)
	in := w.registered(t)
	for i := range 100 {
		in.Answers = append(in.Answers, workflows.Answer{Operation: workflows.UpdateChange, RequestID: fmt.Sprint(i), Status: "confirmed", Revision: int64(i)})
	}
	in.ContinueAfter = 1
	a.update(t, env, time.Minute, workflows.UpdateChange, changeTo(t, "new", func(*holdfast.Webhook) {}, "description"))
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	next := continued[workflows.RegistrationState](t, env)
	require.Len(t, next.Answers, 100)
	require.Equal(t, "1", next.Answers[0].RequestID)
	require.Equal(t, "new", next.Answers[99].RequestID)
	require.Equal(t, int64(2), next.Answers[99].Revision)
}
