package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/internal/testkit"
)

// Workflows that are cached here and have always something to do must not keep those that begin from their turn: a
// registration that goes on in a new run would not answer for as long as there are many deliveries.
func TestG7_CachedWorkflowsLeaveRoomForNewOnes(t *testing.T) {
	t.Parallel()
	env := testkit.Temporal(t)
	const queue = "busy"
	w := sdkworker.New(env.Client, queue, sdkworker.Options{
		MaxConcurrentWorkflowTaskExecutionSize: 4, WorkflowTaskPollerBehavior: pollers(),
	})
	var stop atomic.Bool
	var turns atomic.Int64
	busy := func(ctx workflow.Context) error {
		for !stop.Load() { //nolint:workflowcheck // it is never replayed
			turns.Add(1)
			<-time.NewTimer(50 * time.Millisecond).C //nolint:workflowcheck // so that more tasks wait than are done
			if err := workflow.Sleep(ctx, time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	}
	w.RegisterWorkflowWithOptions(busy, workflow.RegisterOptions{Name: "busy"})
	w.RegisterWorkflowWithOptions(func(workflow.Context) error { return nil }, workflow.RegisterOptions{Name: "new"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	start := func(name string, n int) client.WorkflowRun {
		run, err := env.Client.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: fmt.Sprint(name, n), TaskQueue: queue}, name)
		require.NoError(t, err)
		return run
	}
	const cached = 100
	var all []client.WorkflowRun
	for n := range cached {
		all = append(all, start("busy", n))
	}
	testkit.Await(t, "them to be busy", func() bool { return turns.Load() > 2*cached })
	before := turns.Load()
	for n := range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		require.NoError(t, start("new", n).Get(ctx, nil), "number %d, while the others had %d turns", n, turns.Load()-before)
		cancel()
	}
	require.Greater(t, turns.Load(), before)
	stop.Store(true)
	for _, run := range all {
		require.NoError(t, run.Get(t.Context(), nil))
	}
}
