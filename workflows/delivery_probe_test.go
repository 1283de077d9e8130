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

// probes collects what a probe was answered.
type probes struct {
	t    *testing.T
	got  []workflows.ProbeAnswer
	errs []error
}

func (a *probes) ask(env *testsuite.TestWorkflowEnvironment, id string) {
	env.UpdateWorkflow(workflows.UpdateProbe, id, &testsuite.TestUpdateCallback{
		OnReject: func(err error) { require.NoError(a.t, err) },
		OnAccept: func() {},
		OnComplete: func(v any, err error) {
			answer, _ := v.(workflows.ProbeAnswer)
			a.got, a.errs = append(a.got, answer), append(a.errs, err)
		},
	})
}

func held(attempts int) activities.Outcome {
	return activities.Outcome{State: holdfast.DeliveryHeld, Reason: "the webhook is disconnected", Attempts: attempts}
}

// probedWith is the outcome of a probe that got the status.
func probedWith(in activities.AttemptRequest, status int, detail string) activities.Outcome {
	return activities.Outcome{
		State: holdfast.DeliveryHeld, Reason: in.HeldFor, Attempts: in.Number, Status: status, Detail: detail,
	}
}

func TestD38_OneProbeDecides(t *testing.T) {
	t.Parallel()
	const notHeld = "the delivery is not held"
	for name, c := range map[string]struct {
		first   activities.Outcome
		outcome func(in activities.AttemptRequest) (activities.Outcome, error)
		want    workflows.ProbeAnswer
		state   holdfast.DeliveryState // after the probe
	}{
		"delivered": {
			held(0), func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil },
			workflows.ProbeAnswer{Probed: true, Delivered: true, State: holdfast.DeliveryDelivered, Status: 200}, holdfast.DeliveryDelivered,
		},
		"failed": {
			held(0), func(in activities.AttemptRequest) (activities.Outcome, error) {
				return probedWith(in, 503, "HTTP 503"), nil
			},
			workflows.ProbeAnswer{Probed: true, State: holdfast.DeliveryHeld, Status: 503, Detail: "HTTP 503"}, holdfast.DeliveryHeld,
		},
		"gone": {
			held(2), func(in activities.AttemptRequest) (activities.Outcome, error) {
				return probedWith(in, 410, "HTTP 410"), nil
			},
			workflows.ProbeAnswer{Probed: true, State: holdfast.DeliveryHeld, Status: 410, Detail: "HTTP 410"}, holdfast.DeliveryHeld,
		},
		"no slot": {
			held(1), func(activities.AttemptRequest) (activities.Outcome, error) {
				return activities.Outcome{State: holdfast.DeliveryPending, DelayMS: 1000, Waits: 1}, nil
			},
			workflows.ProbeAnswer{State: holdfast.DeliveryHeld, Detail: "no slot was free"}, holdfast.DeliveryHeld,
		},
		"deleted meanwhile": {
			held(1), func(activities.AttemptRequest) (activities.Outcome, error) {
				return activities.Outcome{State: holdfast.DeliveryCancelled, Reason: "the webhook is deleted", Attempts: 1}, nil
			},
			workflows.ProbeAnswer{State: holdfast.DeliveryCancelled, Detail: "the webhook is deleted"}, holdfast.DeliveryCancelled,
		},
		"we failed": {
			held(1), func(activities.AttemptRequest) (activities.Outcome, error) {
				return activities.Outcome{}, coded(holdfast.CodeUnavailable, true)
			},
			workflows.ProbeAnswer{State: holdfast.DeliveryHeld, Detail: "the attempt could not be made"}, holdfast.DeliveryHeld,
		},
		"not held": {
			retrying(1, 24*time.Hour), nil,
			workflows.ProbeAnswer{State: holdfast.DeliveryRetrying, Detail: notHeld}, holdfast.DeliveryRetrying,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			f.first = open(c.first)
			f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
				require.True(t, in.Probe)
				require.Equal(t, c.first.Attempts+1, in.Number)
				require.Equal(t, c.first.Reason, in.HeldFor)
				return c.outcome(in)
			}
			a := &probes{t: t}
			env.RegisterDelayedCallback(func() { a.ask(env, "1") }, time.Minute)
			env.RegisterDelayedCallback(func() {
				if !c.state.Final() {
					require.Equal(t, c.state, status(t, env).State)
					require.Equal(t, c.first.Reason, status(t, env).Reason)
					env.SignalWorkflow(workflows.SignalCancel, nil)
				}
			}, time.Hour)
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			s := result(t, env)
			if c.state.Final() {
				require.Equal(t, c.state, s.State)
			}
			require.Equal(t, []workflows.ProbeAnswer{c.want}, a.got)
			require.NoError(t, a.errs[0])
		})
	}
}

// Probes are recorded as attempts, but the policy does not count them: whatever they came to, a released delivery has the
// attempts that were left to it.
func TestD38_FailedProbesCostTheDeliveryNothing(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(held(2))
	var asked []activities.AttemptRequest
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		asked = append(asked, in)
		if in.Probe {
			return probedWith(in, 500, "HTTP 500"), nil
		}
		return activities.Outcome{State: holdfast.DeliveryExhausted, Attempts: in.Number, Reason: "all failed"}, nil
	}
	a := &probes{t: t}
	began := env.Now()
	const times = 5
	for i := range times {
		env.RegisterDelayedCallback(func() { a.ask(env, time.Duration(i).String()) }, time.Duration(i+1)*time.Hour)
	}
	env.RegisterDelayedCallback(func() {
		require.Equal(t, 2+times, status(t, env).Attempts)
		env.SignalWorkflow(workflows.SignalResume, nil)
	}, 10*time.Hour)
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, holdfast.DeliveryExhausted, result(t, env).State)
	require.Len(t, a.got, times)
	require.Len(t, asked, times+1)
	for i, in := range asked {
		require.Equal(t, 3+i, in.Number)
		require.Equal(t, i, in.BaseAttempts, "what the policy counts stays two")
		require.Equal(t, i < times, in.Probe)
	}
	require.WithinDuration(t, began.Add(10*time.Hour), f.named("Attempt")[times].at, time.Second)
}

// The clock of a held delivery goes on over failed probes and over a new run.
func TestD26_ProbesDoNotProlongAHold(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(held(0))
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
		return probedWith(in, 500, "HTTP 500"), nil
	}
	a := &probes{t: t}
	env.RegisterDelayedCallback(func() { a.ask(env, "1") }, time.Hour)
	env.RegisterDelayedCallback(func() {
		env.SetContinueAsNewSuggested(true)
		a.ask(env, "2")
	}, holdFor/2)
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Len(t, a.got, 2)
	next := continued[workflows.DeliveryInput](t, env)
	require.WithinDuration(t, began, time.UnixMilli(next.HeldSince), time.Second)
	require.Equal(t, 2, next.BaseAttempts)

	again, g := newEnv(t)
	again.SetStartTime(began.Add(holdFor / 2))
	again.ExecuteWorkflow(workflows.TypeDelivery, next)
	require.Equal(t, "expired while held", result(t, again).Reason)
	require.WithinDuration(t, began.Add(holdFor), g.named("RecordState")[0].at, 2*time.Second)
}

// Whoever asks while a probe is under way gets its answer; what else comes meanwhile waits for it and finds its outcome.
func TestD38_OneProbeAtATime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signal  string
		success bool
		want    workflows.DeliveryStatus
		made    int
	}{
		"delivered, then cancelled": {workflows.SignalCancel, true, workflows.DeliveryStatus{State: holdfast.DeliveryDelivered, Attempts: 1, Status: 200}, 1},
		"failed, then cancelled": {workflows.SignalCancel, false, workflows.DeliveryStatus{
			State: holdfast.DeliveryCancelled, Attempts: 1, Status: 500, Reason: "cancelled by an operator while held",
		}, 1},
		"failed, then released":    {workflows.SignalResume, false, workflows.DeliveryStatus{State: holdfast.DeliveryDelivered, Attempts: 2, Status: 200}, 2},
		"delivered, then released": {workflows.SignalResume, true, workflows.DeliveryStatus{State: holdfast.DeliveryDelivered, Attempts: 1, Status: 200}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			f.first = open(held(0))
			a := &probes{t: t}
			f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) {
				if in.Probe && !c.success {
					return probedWith(in, 500, "HTTP 500"), nil
				}
				return delivered(in.Number), nil
			}
			f.onCall = func(call call) {
				if call.name == "Attempt" && call.in.(activities.AttemptRequest).Probe {
					a.ask(env, "second")
					env.SignalWorkflow(c.signal, nil)
				}
			}
			env.RegisterDelayedCallback(func() { a.ask(env, "first") }, time.Minute)
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			require.Equal(t, c.want, result(t, env))
			require.Len(t, a.got, 2)
			require.Equal(t, a.got[0], a.got[1])
			require.Len(t, f.named("Attempt"), c.made)
		})
	}
}
