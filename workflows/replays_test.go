package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// replayEnv runs Replay on pages that the function hands out.
func replayEnv(t *testing.T, page func(activities.ReplayPageRequest) (activities.ReplayPageResult, error)) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env, _ := newEnv(t)
	env.RegisterWorkflowWithOptions(workflows.Replay, workflow.RegisterOptions{Name: workflows.TypeReplay})
	env.RegisterActivityWithOptions(func(_ context.Context, in activities.ReplayPageRequest) (activities.ReplayPageResult, error) {
		return page(in)
	}, activity.RegisterOptions{Name: "ReplayPage"})
	return env
}

// endless is a replay that never runs out of pages.
func endless(activities.ReplayPageRequest) (activities.ReplayPageResult, error) {
	return activities.ReplayPageResult{NextPageToken: "more", Replayed: 10}, nil
}

func replayStatus(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.ReplayStatus {
	t.Helper()
	value, err := env.QueryWorkflow(workflows.QueryStatus)
	require.NoError(t, err)
	var s workflows.ReplayStatus
	require.NoError(t, value.Get(&s))
	return s
}

func TestReplay_goesThroughAllPagesAtItsPace(t *testing.T) {
	t.Parallel()
	var tokens []string
	failures := 1
	env := replayEnv(t, func(in activities.ReplayPageRequest) (activities.ReplayPageResult, error) {
		require.Equal(t, 100, in.Limit)
		if failures > 0 {
			failures--
			return activities.ReplayPageResult{}, errors.New("storage is away")
		}
		tokens = append(tokens, in.PageToken)
		switch in.PageToken {
		case "":
			return activities.ReplayPageResult{NextPageToken: "a", Replayed: 100}, nil
		case "a":
			return activities.ReplayPageResult{NextPageToken: "b", Replayed: 98, Refused: 2, LastRefusal: "x: gone"}, nil
		}
		return activities.ReplayPageResult{Replayed: 3}, nil
	})
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeReplay, workflows.ReplayInput{ID: "r", PerSecond: 100, Expected: 203, Actor: "ann"})
	require.NoError(t, env.GetWorkflowError())
	var s workflows.ReplayStatus
	require.NoError(t, env.GetWorkflowResult(&s))
	require.Equal(t, []string{"", "a", "b"}, tokens)
	require.Equal(t, holdfast.ReplayDone, s.State)
	require.Equal(t, []any{int64(201), int64(2), "x: gone", int64(203), "ann"}, []any{s.Replayed, s.Refused, s.LastRefusal, s.Expected, s.Actor})
	require.GreaterOrEqual(t, time.UnixMilli(s.EndedAt).Sub(began), 1980*time.Millisecond, "198 deliveries at 100 per second")
}

func TestReplay_pausesResumesAndIsCancelled(t *testing.T) {
	t.Parallel()
	pages := 0
	env := replayEnv(t, func(in activities.ReplayPageRequest) (activities.ReplayPageResult, error) {
		pages++
		return endless(in)
	})
	var whilePaused int
	env.RegisterDelayedCallback(func() { env.SignalWorkflow(workflows.SignalPause, nil) }, 5500*time.Millisecond)
	env.RegisterDelayedCallback(func() {
		require.Equal(t, holdfast.ReplayPaused, replayStatus(t, env).State)
		whilePaused = pages
	}, 7*time.Second)
	env.RegisterDelayedCallback(func() {
		require.Equal(t, whilePaused, pages, "nothing happens while it is paused")
		env.SignalWorkflow(workflows.SignalResume, nil)
	}, time.Hour)
	env.RegisterDelayedCallback(func() {
		require.Greater(t, pages, whilePaused)
		require.Equal(t, holdfast.ReplayRunning, replayStatus(t, env).State)
		env.SignalWorkflow(workflows.SignalCancel, nil)
	}, time.Hour+3*time.Second)
	env.ExecuteWorkflow(workflows.TypeReplay, workflows.ReplayInput{ID: "r", PerSecond: 10})
	require.NoError(t, env.GetWorkflowError())
	var s workflows.ReplayStatus
	require.NoError(t, env.GetWorkflowResult(&s))
	require.Equal(t, holdfast.ReplayCancelled, s.State)
	require.Equal(t, int64(pages)*10, s.Replayed)
}

func TestReplay_carriesItsProgressToItsNextRun(t *testing.T) {
	t.Parallel()
	env := replayEnv(t, endless)
	env.ExecuteWorkflow(workflows.TypeReplay, workflows.ReplayInput{ID: "r", PerSecond: 1e4})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in workflows.ReplayInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, "more", in.PageToken)
	require.Equal(t, int64(3000), in.Status.Replayed)
	require.Equal(t, holdfast.ReplayRunning, in.Status.State)
}

// sweepEnv runs Sweep on pages that the function hands out.
func sweepEnv(t *testing.T, page func(activities.SweepPageRequest) activities.SweepPageResult) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	env, _ := newEnv(t)
	env.RegisterWorkflowWithOptions(workflows.Sweep, workflow.RegisterOptions{Name: workflows.TypeSweep})
	env.RegisterActivityWithOptions(func(_ context.Context, in activities.SweepPageRequest) (activities.SweepPageResult, error) {
		return page(in), nil
	}, activity.RegisterOptions{Name: "SweepPage"})
	return env
}

func sweep(kind string) func(env *testsuite.TestWorkflowEnvironment) func() {
	return func(env *testsuite.TestWorkflowEnvironment) func() {
		return func() { env.SignalWorkflow(workflows.SignalSweep, workflows.SweepOrder{Kind: kind}) }
	}
}

func TestSweep_releasesFromTheIndexThenWhatOnlyTemporalKnows(t *testing.T) {
	t.Parallel()
	var asked []activities.SweepPageRequest
	env := sweepEnv(t, func(in activities.SweepPageRequest) activities.SweepPageResult {
		asked = append(asked, in)
		switch {
		case !in.Listed && in.After == "" && len(asked) == 1:
			return activities.SweepPageResult{Signalled: 16, After: "x"}
		case in.Listed && len(in.Token) == 0 && len(asked) == 3:
			return activities.SweepPageResult{Signalled: 1, Token: []byte("t")}
		}
		return activities.SweepPageResult{}
	})
	env.RegisterDelayedCallback(sweep(activities.SweepRelease)(env), 0)
	env.ExecuteWorkflow(workflows.TypeSweep, workflows.SweepInput{WebhookID: "wh_1"})
	require.NoError(t, env.GetWorkflowError())
	var s workflows.SweepStatus
	require.NoError(t, env.GetWorkflowResult(&s))
	require.Equal(t, int64(17), s.Signalled)
	require.Equal(t, "x", asked[1].After)
	require.True(t, asked[2].Listed)
	require.Equal(t, []byte("t"), asked[3].Token)
	require.Len(t, asked, 5)
	require.True(t, asked[4].Listed && len(asked[4].Token) == 0, "the list may have been behind, and is looked at again")
	require.GreaterOrEqual(t, s.EndedAt-s.StartedAt, int64(3000))
	for _, in := range asked {
		require.Equal(t, []string{"wh_1", activities.SweepRelease, workflows.SignalResume}, []string{in.WebhookID, in.Kind, in.Signal})
	}
}

func TestSweep_newerOrderReplacesTheOneUnderWay(t *testing.T) {
	t.Parallel()
	var kinds []string
	var env *testsuite.TestWorkflowEnvironment
	env = sweepEnv(t, func(in activities.SweepPageRequest) activities.SweepPageResult {
		kinds = append(kinds, in.Kind)
		if in.Kind == activities.SweepRelease && len(kinds) == 3 {
			env.SignalWorkflow(workflows.SignalSweep, workflows.SweepOrder{Kind: activities.SweepHold, Reason: "the webhook is paused"})
		}
		if in.Kind == activities.SweepRelease {
			return activities.SweepPageResult{Signalled: 16, After: "more"}
		}
		require.True(t, in.Listed, "what is not held is in no index")
		require.Equal(t, []string{workflows.SignalHold, "the webhook is paused"}, []string{in.Signal, in.Reason})
		return activities.SweepPageResult{Signalled: 2}
	})
	env.RegisterDelayedCallback(sweep(activities.SweepRelease)(env), 0)
	env.ExecuteWorkflow(workflows.TypeSweep, workflows.SweepInput{WebhookID: "wh_1"})
	require.NoError(t, env.GetWorkflowError())
	var s workflows.SweepStatus
	require.NoError(t, env.GetWorkflowResult(&s))
	require.Equal(t, []any{activities.SweepHold, int64(4)}, []any{s.Kind, s.Signalled}, "in two looks at the list")
	require.Equal(t, activities.SweepHold, kinds[len(kinds)-1])
	require.NotContains(t, kinds[:3], activities.SweepHold)
}
