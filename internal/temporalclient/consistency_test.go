//go:build !lean

package temporalclient_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/workflows"
)

// recorded stands in for the workflows: what matters here is how they are started.
type recorded struct {
	checks chan workflows.CheckInput
	ids    chan string
	alerts chan holdfast.Alert
	runs   atomic.Int64 // as the last check carried them on
}

// check runs until it is let go when it is full.
func (r *recorded) check(ctx workflow.Context, in workflows.CheckInput) (workflows.CheckResult, error) {
	var before workflows.CheckResult
	if workflow.HasLastCompletionResult(ctx) {
		if err := workflow.GetLastCompletionResult(ctx, &before); err != nil {
			return before, err
		}
	}
	if !workflow.IsReplaying(ctx) {
		r.checks <- in
		r.ids <- workflow.GetInfo(ctx).WorkflowExecution.ID
	}
	if in.Full {
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	}
	out := workflows.CheckResult{Runs: before.Runs + 1}
	out.Webhooks = 7
	r.runs.Store(int64(out.Runs))
	return out, nil
}

// registration is open until it is let go.
func registration(ctx workflow.Context) error {
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return nil
}

func (r *recorded) alert(ctx workflow.Context, a holdfast.Alert) error {
	if !workflow.IsReplaying(ctx) {
		r.alerts <- a
	}
	if a.ResolvedAt == 0 { // it finds nobody
		workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	}
	return nil
}

func start(t *testing.T) (*recorded, *testkit.TemporalEnv) {
	t.Helper()
	env := testkit.Temporal(t)
	r := &recorded{checks: make(chan workflows.CheckInput, 64), ids: make(chan string, 64), alerts: make(chan holdfast.Alert, 8)}
	w := sdkworker.New(env.Client, workflows.QueueMain, sdkworker.Options{})
	w.RegisterWorkflowWithOptions(r.check, workflow.RegisterOptions{Name: workflows.TypeConsistencyCheck})
	w.RegisterWorkflowWithOptions(registration, workflow.RegisterOptions{Name: workflows.TypeRegistration})
	w.RegisterWorkflowWithOptions(r.alert, workflow.RegisterOptions{Name: workflows.TypeAlert})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return r, env
}

func next[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func TestTheScheduleIsMadeByWhoeverComesFirstAndChecksAtOnce(t *testing.T) {
	t.Parallel()
	r, env := start(t)
	input := workflows.CheckInput{NodePatienceMS: 5000, PlatformSample: 20}
	var nodes sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		c := &temporalclient.Consistency{Client: env.Dial(t), Interval: time.Hour, Input: input}
		nodes.Go(func() { errs[i] = c.EnsureSchedule(t.Context()) })
	}
	nodes.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, input, next(t, r.checks))
	require.Contains(t, next(t, r.ids), workflows.ScheduleConsistency)
	handle := env.Client.ScheduleClient().GetHandle(t.Context(), workflows.ScheduleConsistency)
	described, err := handle.Describe(t.Context())
	require.NoError(t, err)
	require.Zero(t, described.Info.LastUpdateAt.Unix(), "those that came later found what they would have made")

	// The next start brings another configuration; a pause by hand outlives it.
	require.NoError(t, handle.Pause(t.Context(), client.SchedulePauseOptions{}))
	testkit.Await(t, "the pause", func() bool {
		described, err := handle.Describe(t.Context())
		return err == nil && described.Schedule.State.Paused
	})
	c := &temporalclient.Consistency{Client: env.Client, Interval: 2 * time.Hour, Input: workflows.CheckInput{NodePatienceMS: 7}}
	require.NoError(t, c.EnsureSchedule(t.Context()))
	described, err = handle.Describe(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2*time.Hour, described.Schedule.Spec.Intervals[0].Every)
	require.Equal(t, 2*time.Hour, described.Schedule.Policy.CatchupWindow)
	require.True(t, described.Schedule.State.Paused)

	require.NoError(t, c.Trigger(t.Context()))
	require.Equal(t, int64(7), next(t, r.checks).NodePatienceMS)
	testkit.Await(t, "the check to go on from the one before", func() bool { return r.runs.Load() == 2 })
}

func TestAnIntervalBringsCheckAfterCheck(t *testing.T) {
	t.Parallel()
	r, env := start(t)
	c := &temporalclient.Consistency{Client: env.Client, Interval: time.Second}
	require.NoError(t, c.Trigger(t.Context()), "what was never made is made")
	for range 3 {
		next(t, r.checks)
	}
}

func TestACheckOnDemandIsJoined(t *testing.T) {
	t.Parallel()
	r, env := start(t)
	c := &temporalclient.Consistency{Client: env.Client, Interval: time.Hour, Input: workflows.CheckInput{PlatformSample: 5}}
	_, err := c.CheckNow(t.Context(), 100*time.Millisecond)
	require.Equal(t, holdfast.CodeExhausted, holdfast.ErrorCode(err), "%v", err)
	require.Contains(t, holdfast.ErrorMessage(err), "takes longer than 100ms")
	require.Equal(t, workflows.CheckInput{Full: true, PlatformSample: 5}, next(t, r.checks))

	type answer struct {
		report holdfast.ConsistencyReport
		err    error
	}
	answers := make(chan answer, 2)
	for range cap(answers) {
		go func() {
			report, err := c.CheckNow(t.Context(), 10*time.Second)
			answers <- answer{report, err}
		}()
	}
	require.NoError(t, env.Client.SignalWorkflow(t.Context(), workflows.ConsistencyOnDemandID, "", "go", nil))
	first := next(t, answers)
	require.NoError(t, first.err)
	require.Equal(t, 7, first.report.Webhooks)
	select { // the second joined it, or came after it and runs one of its own
	case <-r.checks:
		require.NoError(t, env.Client.SignalWorkflow(t.Context(), workflows.ConsistencyOnDemandID, "", "go", nil))
		require.NoError(t, next(t, answers).err)
	case second := <-answers:
		require.NoError(t, second.err)
	}
}

func TestACheckThatSomebodyEndsIsNoReport(t *testing.T) {
	t.Parallel()
	r, env := start(t)
	c := &temporalclient.Consistency{Client: env.Client}
	done := make(chan error, 1)
	go func() {
		_, err := c.CheckNow(t.Context(), 10*time.Second)
		done <- err
	}()
	next(t, r.checks)
	require.NoError(t, env.Client.TerminateWorkflow(t.Context(), workflows.ConsistencyOnDemandID, "", "by hand"))
	require.Equal(t, holdfast.CodeAborted, holdfast.ErrorCode(next(t, done)))
}

func TestOpenRegistrationsAreThoseThatRun(t *testing.T) {
	t.Parallel()
	_, env := start(t)
	open := &temporalclient.OpenRegistrations{Client: env.Client}
	n, err := open.CountOpen(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	for i := range 5 {
		_, err := env.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: workflows.RegistrationID(fmt.Sprintf("wh_%d", i)), TaskQueue: workflows.QueueMain,
		}, workflows.TypeRegistration)
		require.NoError(t, err)
	}
	_, err = env.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "delivery/wh_1/evt", TaskQueue: workflows.QueueMain}, registrationOfAnotherType)
	require.NoError(t, err)
	require.NoError(t, env.Client.SignalWorkflow(t.Context(), workflows.RegistrationID("wh_3"), "", "go", nil))
	testkit.Await(t, "the index to know", func() bool {
		n, err := open.CountOpen(t.Context())
		require.NoError(t, err)
		ids, err := open.ListOpen(t.Context())
		require.NoError(t, err)
		seen := map[string]bool{}
		for _, id := range ids {
			seen[id] = true
		}
		return n == 4 && len(seen) == 4 && !seen["wh_3"] && seen["wh_0"]
	})
}

const registrationOfAnotherType = "Delivery"

func TestTheNewestStateOfAnAlertIsTold(t *testing.T) {
	t.Parallel()
	r, env := start(t)
	a := &temporalclient.Alerts{Client: env.Client}
	alert := holdfast.Alert{Kind: holdfast.AlertNodeSilent, Subject: "n1", RaisedAt: 5, Count: 1}
	require.NoError(t, a.Notify(t.Context(), alert))
	require.Equal(t, alert, next(t, r.alerts))
	over := alert
	over.ResolvedAt = 9
	require.NoError(t, a.Notify(t.Context(), over))
	require.Equal(t, over, next(t, r.alerts))
	require.NoError(t, env.Client.GetWorkflow(t.Context(), workflows.AlertWorkflowID(alert.ID()), "").Get(t.Context(), nil))
}

func TestTemporalThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	c, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	t.Cleanup(cancel)
	check := &temporalclient.Consistency{Client: c, Interval: time.Minute}
	open := &temporalclient.OpenRegistrations{Client: c}
	_, counted := open.CountOpen(ctx)
	_, listed := open.ListOpen(ctx)
	_, checked := check.CheckNow(ctx, time.Second)
	for _, err := range []error{
		counted, listed, checked, check.EnsureSchedule(ctx), check.Trigger(ctx), (&temporalclient.Alerts{Client: c}).Notify(ctx, holdfast.Alert{}),
	} {
		require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err), "%v", err)
	}
}
