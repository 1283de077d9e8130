//go:build !lean

package testkit

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/internal/devserver"
)

func namespaceOf(ctx workflow.Context) (string, error) { return workflow.GetInfo(ctx).Namespace, nil }

func runIn(t *testing.T, c client.Client) string {
	t.Helper()
	w := worker.New(c, "queue", worker.Options{})
	w.RegisterWorkflow(namespaceOf)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "same", TaskQueue: "queue"}, namespaceOf)
	require.NoError(t, err)
	var got string
	require.NoError(t, run.Get(t.Context(), &got))
	return got
}

func TestTemporalNamespacesShareAServerAndNothingElse(t *testing.T) {
	t.Parallel()
	var servers sync.Map
	t.Run("group", func(t *testing.T) {
		for range 8 {
			t.Run("test", func(t *testing.T) {
				t.Parallel()
				env := Temporal(t)
				servers.Store(env.HostPort(), true)
				require.Equal(t, env.Namespace, runIn(t, env.Client))
				require.Equal(t, env.Namespace, runIn(t, env.Dial(t)))
			})
		}
	})
	n := 0
	servers.Range(func(any, any) bool { n++; return true })
	require.Equal(t, 1, n)
}

func TestTemporalServerOfOneTest(t *testing.T) {
	t.Parallel()
	server := TemporalServer(t, devserver.TemporalOptions{DataDir: t.TempDir(), Namespace: "mine"})
	require.Equal(t, "mine", runIn(t, TemporalClient(t, server, "mine")))
}
