package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// answers are what the updates of a Registration came to, in the order they were answered.
type answers struct {
	names   []string
	replies []workflows.RegisterReply
	errs    []error
}

func request(fingerprint string) workflows.RegisterRequest {
	return workflows.RegisterRequest{
		Fingerprint: fingerprint,
		Webhook: activities.SealedWebhook{
			Webhook:     holdfast.Webhook{ID: "wh_1", URL: "https://a.example/" + fingerprint, Events: []string{"job_failed"}, Active: true},
			Credentials: "sealed",
		},
	}
}

// update sends an update after a time.
func (a *answers) update(t *testing.T, env *testsuite.TestWorkflowEnvironment, after time.Duration, name string, args ...any) {
	env.RegisterDelayedCallback(func() {
		env.UpdateWorkflow(name, fmt.Sprintf("%s-%d", name, len(a.names)+int(after)), &testsuite.TestUpdateCallback{
			OnReject: func(err error) { require.NoError(t, err) },
			OnComplete: func(reply any, err error) {
				a.names, a.errs = append(a.names, name), append(a.errs, err)
				r, _ := reply.(workflows.RegisterReply)
				a.replies = append(a.replies, r)
			},
		}, args...)
	}, after)
}

// stepsOf writes an operation's part of the trail as "name:status".
func stepsOf(r holdfast.Registration, operation string) []string {
	var out []string
	for _, s := range r.Steps {
		if s.Operation == operation {
			out = append(out, s.Name+":"+string(s.Status))
		}
	}
	return out
}

func registrationStatus(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.RegisterReply {
	t.Helper()
	value, err := env.QueryWorkflow(workflows.QueryStatus)
	require.NoError(t, err)
	var r workflows.RegisterReply
	require.NoError(t, value.Get(&r))
	return r
}

var start = workflows.RegistrationState{WebhookID: "wh_1"}

func TestG1_RegisterTakesTheSixStepsInOrder(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.write = func(in activities.SealedWebhook) (activities.Written, error) {
		require.Equal(t, request("a").Webhook, in)
		return activities.Written{Revision: 42}, nil
	}
	f.liveNodes = func() (activities.NodeList, error) { return activities.NodeList{IDs: []string{"n1", "n2"}}, nil }
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	a.update(t, env, time.Hour, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.NoError(t, env.GetWorkflowError())
	require.NoError(t, a.errs[0])
	r := a.replies[0].Registration
	require.Equal(t, holdfast.RegistrationConfirmed, r.Status)
	require.Equal(t, holdfast.WebhookActive, r.State)
	require.Equal(t, int64(42), r.Revision)
	require.Equal(t, int64(42), a.replies[0].Webhook.Webhook.Revision)
	require.Equal(t, []int{2, 2}, []int{r.CachesConfirmed, r.CachesTotal})
	require.Equal(t, []string{"check:done", "write:done", "confirm:done", "verify:done", "refresh:done", "activate:done"}, stepsOf(r, "register"))
	for _, s := range r.Steps {
		require.Positive(t, s.StartedAt, s.Name)
		require.GreaterOrEqual(t, s.EndedAt, s.StartedAt, s.Name)
	}
	names := f.names()[:7]
	require.Equal(t, []string{"CheckWebhook", "WriteWebhook", "ConfirmWebhook", "VerifyWebhook", "ListLiveNodes", "RefreshCache", "RefreshCache"}, names)
	var queues []string
	for _, c := range f.named("RefreshCache")[:2] {
		queues = append(queues, c.queue)
		require.Equal(t, int64(42), c.in.(activities.RefreshRequest).Revision)
	}
	require.ElementsMatch(t, []string{workflows.QueueNode("n1"), workflows.QueueNode("n2")}, queues)
}

func TestG1_PlatformThatIsOffIsASkippedStep(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.confirm = func(activities.SealedWebhook) (activities.Confirmation, error) {
		return activities.Confirmation{Skipped: true, Detail: "EMPROPS is off"}, nil
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	a.update(t, env, time.Hour, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	r := a.replies[0].Registration
	require.Equal(t, holdfast.RegistrationConfirmed, r.Status)
	require.Equal(t, holdfast.Step{
		Operation: "register", Name: "confirm", Status: holdfast.StepSkipped, Detail: "EMPROPS is off",
		StartedAt: r.Steps[2].StartedAt, EndedAt: r.Steps[2].EndedAt, Attempts: r.Steps[2].Attempts,
	}, r.Steps[2])
}

func TestG1_RejectionByThePlatformIsCompensated(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.confirm = func(activities.SealedWebhook) (activities.Confirmation, error) {
		return activities.Confirmation{}, coded(holdfast.CodeRejected, false)
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.True(t, env.IsWorkflowCompleted(), "a failed registration is over")
	require.NoError(t, env.GetWorkflowError())
	require.NoError(t, a.errs[0], "a failed registration is an answer")
	r := a.replies[0].Registration
	require.Equal(t, holdfast.RegistrationFailed, r.Status)
	require.Equal(t, holdfast.WebhookFailed, r.State)
	require.Equal(t, "rejected", r.Reason)
	require.Equal(t, []string{"check:done", "write:undone", "confirm:failed"}, stepsOf(r, "register"))
	require.Equal(t, []string{"write:done", "confirm:done", "verify:done", "refresh:done"}, stepsOf(r, holdfast.StepCompensate))
	require.Len(t, f.named("ConfirmWebhook"), 1, "retrying does not help")
	require.Equal(t, activities.WebhookID{ID: "wh_1"}, f.named("RemoveWebhook")[0].in)
	require.Equal(t, int64(2), f.named("RefreshCache")[0].in.(activities.RefreshRequest).Revision, "caches confirm the removal")
}

// A platform that refuses the removal too must not keep the rest from being undone.
func TestG1_CompensationGoesOnPastARefusal(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	rejected := coded(holdfast.CodeRejected, false)
	f.confirm = func(activities.SealedWebhook) (activities.Confirmation, error) {
		return activities.Confirmation{}, rejected
	}
	f.unconfirm = func(activities.WebhookID) (activities.Confirmation, error) {
		return activities.Confirmation{}, rejected
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	r := a.replies[0].Registration
	require.Equal(t, holdfast.RegistrationFailed, r.Status)
	require.Equal(t, []string{"write:done", "confirm:failed", "verify:done", "refresh:done"}, stepsOf(r, holdfast.StepCompensate))
}

func TestRegistration_FailedCheckWritesNothing(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.check = func(activities.SealedWebhook) (activities.Attempted, error) {
		return activities.Attempted{}, coded(holdfast.CodeInvalid, false)
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.True(t, env.IsWorkflowCompleted())
	r := a.replies[0].Registration
	require.Equal(t, holdfast.RegistrationFailed, r.Status)
	require.Equal(t, "invalid", r.Reason)
	require.Equal(t, []string{"check:failed"}, stepsOf(r, "register"))
	require.Equal(t, "it failed: invalid", r.Steps[0].Detail)
	require.Equal(t, []string{"CheckWebhook"}, f.names())
}

func TestG1_UnavailablePlatformIsAskedUntilItAnswers(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	failures := 8
	f.confirm = func(activities.SealedWebhook) (activities.Confirmation, error) {
		if failures--; failures > 0 {
			return activities.Confirmation{}, coded(holdfast.CodeUnavailable, true)
		}
		return activities.Confirmation{}, nil
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	env.RegisterDelayedCallback(func() {
		r := registrationStatus(t, env).Registration
		require.Equal(t, holdfast.RegistrationPending, r.Status)
		require.Equal(t, holdfast.WebhookPending, r.State)
		require.Equal(t, []string{"check:done", "write:done", "confirm:running"}, stepsOf(r, "register"))
	}, 20*time.Second)
	a.update(t, env, time.Hour, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.Equal(t, holdfast.RegistrationConfirmed, a.replies[0].Registration.Status)
	require.Len(t, f.named("ConfirmWebhook"), 8)
	require.Len(t, f.named("WriteWebhook"), 1)
}

func TestRegistration_RepeatedRequestGetsTheSameAnswerAndDoesNothing(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	a.update(t, env, 0, workflows.UpdateRegister, request("a")) // while the first is under way
	a.update(t, env, time.Minute, workflows.UpdateRegister, request("a"))
	a.update(t, env, 2*time.Minute, workflows.UpdateRegister, request("b"))
	a.update(t, env, time.Hour, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.Len(t, a.replies, 5)
	require.NoError(t, a.errs[0])
	require.Equal(t, a.replies[0], a.replies[1])
	require.Equal(t, a.replies[0], a.replies[2])
	require.Len(t, f.named("WriteWebhook"), 1)
	var app *temporal.ApplicationError
	require.ErrorAs(t, a.errs[3], &app)
	require.Equal(t, workflows.ErrorExists, app.Type())
	require.True(t, app.NonRetryable())
	require.NoError(t, a.errs[4])
}

func TestG1_LiveButSilentNodeIsNamedAndAskedAgain(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.liveNodes = func() (activities.NodeList, error) { return activities.NodeList{IDs: []string{"n1", "n2"}}, nil }
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
		r := registrationStatus(t, env).Registration
		require.Equal(t, holdfast.RegistrationPending, r.Status)
		require.Equal(t, []string{"n2"}, r.SilentNodes)
		require.Equal(t, []int{1, 2}, []int{r.CachesConfirmed, r.CachesTotal})
		require.Equal(t, "alive but silent: n2", r.Steps[len(r.Steps)-1].Detail)
		answering = true
	}, 30*time.Second)
	a.update(t, env, 2*time.Hour, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	r := a.replies[0].Registration
	require.Equal(t, holdfast.RegistrationConfirmed, r.Status)
	require.Empty(t, r.SilentNodes)
	require.Equal(t, []int{2, 2}, []int{r.CachesConfirmed, r.CachesTotal})
	asked := map[string]int{}
	for _, c := range f.named("RefreshCache") {
		if c.in.(activities.RefreshRequest).Revision == 1 {
			asked[c.queue]++
		}
	}
	require.Equal(t, 1, asked[workflows.QueueNode("n1")], "a node that has confirmed is not asked again")
	require.Greater(t, asked[workflows.QueueNode("n2")], 1)
}

func TestG1_NodeWhoseHeartbeatLapsedIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	looks := 0
	f.liveNodes = func() (activities.NodeList, error) {
		if looks++; looks == 1 {
			return activities.NodeList{IDs: []string{"n1", "dead"}}, nil
		}
		return activities.NodeList{IDs: []string{"n1"}}, nil
	}
	f.refresh = func(queue string, in activities.RefreshRequest) (activities.RefreshReport, error) {
		if queue == workflows.QueueNode("dead") {
			return activities.RefreshReport{}, coded(holdfast.CodeInternal, false)
		}
		return activities.RefreshReport{Revision: in.Revision}, nil
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	a.update(t, env, time.Hour, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	r := a.replies[0].Registration
	require.Equal(t, holdfast.RegistrationConfirmed, r.Status)
	require.Empty(t, r.SilentNodes)
	require.Equal(t, []int{1, 1}, []int{r.CachesConfirmed, r.CachesTotal})
}

func TestRegistration_DeleteRemovesFromEverywhereAndEndsTheWorkflow(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	a.update(t, env, time.Minute, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	r := a.replies[1].Registration
	require.Equal(t, holdfast.RegistrationConfirmed, r.Status)
	require.Equal(t, holdfast.WebhookDeleted, r.State)
	require.Equal(t, []string{"check:done", "write:done", "confirm:done", "verify:done", "refresh:done", "activate:done"}, stepsOf(r, "delete"))
	for _, name := range []string{"RemoveWebhook", "UnconfirmWebhook", "VerifyRemoved"} {
		require.Len(t, f.named(name), 1, name)
	}
	require.Empty(t, f.named("CheckExists"), "Redis may have been wiped; the registration knows better")
	require.Equal(t, int64(2), f.named("RefreshCache")[1].in.(activities.RefreshRequest).Revision)
	var final holdfast.Registration
	require.NoError(t, env.GetWorkflowResult(&final))
	require.Equal(t, r, final)
}

// EMPROPS is away for good: the delete does not wait behind the registration, it ends and undoes it.
func TestRegistration_DeleteAbandonsAStuckRegistration(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.confirm = func(activities.SealedWebhook) (activities.Confirmation, error) {
		return activities.Confirmation{}, coded(holdfast.CodeUnavailable, true)
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	a.update(t, env, 20*time.Second, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{workflows.UpdateRegister, workflows.UpdateDelete}, a.names)
	require.Equal(t, []error{nil, nil}, a.errs)
	registered, deleted := a.replies[0].Registration, a.replies[1].Registration
	require.Equal(t, holdfast.RegistrationFailed, registered.Status)
	require.Equal(t, workflows.ErrorAborted, registered.Reason)
	require.Equal(t, holdfast.WebhookDeleted, deleted.State)
	require.Equal(t, holdfast.RegistrationConfirmed, deleted.Status)
	require.Equal(t, []string{"check:done", "write:undone", "confirm:failed"}, stepsOf(deleted, "register"))
	require.Equal(t, []string{"write:done", "confirm:done", "verify:done", "refresh:done"}, stepsOf(deleted, holdfast.StepCompensate))
	require.Len(t, f.named("RemoveWebhook"), 1)
	require.Len(t, f.named("UnconfirmWebhook"), 1, "the platform may have taken it in all the same")
}

func TestRegistration_DeleteOfAnUnknownWebhookIsNotFound(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.exists = func(activities.WebhookID) (activities.Attempted, error) {
		return activities.Attempted{}, coded(holdfast.CodeNotFound, false)
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateDelete, workflows.DeleteRequest{})
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.True(t, env.IsWorkflowCompleted())
	var app *temporal.ApplicationError
	require.ErrorAs(t, a.errs[0], &app)
	require.Equal(t, workflows.ErrorNotFound, app.Type())
	require.Empty(t, f.named("RemoveWebhook"))
}

// D9: storage that cannot be asked is not a missing webhook.
func TestD09_DeleteWaitsForStorageInsteadOfSayingNotFound(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	failures := 5
	f.exists = func(activities.WebhookID) (activities.Attempted, error) {
		if failures--; failures > 0 {
			return activities.Attempted{}, coded(holdfast.CodeUnavailable, true)
		}
		return activities.Attempted{}, nil
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateDelete, workflows.DeleteRequest{})
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	require.Equal(t, []error{nil}, a.errs)
	require.Equal(t, holdfast.WebhookDeleted, a.replies[0].Registration.State)
}

func TestRegistration_AuditTrailIsCapped(t *testing.T) {
	t.Parallel()
	env, _ := newEnv(t)
	in := start
	for i := range 500 {
		in.Registration.Steps = append(in.Registration.Steps, holdfast.Step{Operation: "change", Name: fmt.Sprint(i), Status: holdfast.StepDone})
	}
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	a.update(t, env, time.Minute, workflows.UpdateDelete)
	env.ExecuteWorkflow(workflows.TypeRegistration, in)
	steps := a.replies[1].Registration.Steps
	require.Len(t, steps, 200)
	require.Equal(t, "499", steps[200-13].Name, "the oldest lines go first")
	require.Equal(t, "activate", steps[199].Name)
	require.Len(t, stepsOf(a.replies[1].Registration, "register"), 6)
}

func TestRegistration_LongHistoryGoesOnInANewRunWithItsState(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.onCall = func(call) { env.SetContinueAsNewSuggested(true) }
	var a answers
	a.update(t, env, 0, workflows.UpdateRegister, request("a"))
	env.ExecuteWorkflow(workflows.TypeRegistration, start)
	next := continued[workflows.RegistrationState](t, env)
	require.Equal(t, a.replies[0].Registration, next.Registration, "not before the update is answered")
	require.Equal(t, "a", next.Fingerprint)
	require.True(t, next.Written)

	again, g := newEnv(t)
	var b answers
	b.update(t, again, time.Minute, workflows.UpdateRegister, request("a"))
	b.update(t, again, time.Hour, workflows.UpdateDelete)
	again.ExecuteWorkflow(workflows.TypeRegistration, next)
	require.NoError(t, again.GetWorkflowError())
	require.Equal(t, a.replies[0], b.replies[0])
	require.Empty(t, g.named("WriteWebhook"))
	require.Equal(t, holdfast.WebhookDeleted, b.replies[1].Registration.State)
}
