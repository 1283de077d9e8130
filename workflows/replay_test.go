package workflows_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/worker"
)

// TestReplay replays every recorded history against today's code: a change of logic that an open workflow could not
// survive fails here. `make histories` records the corpus; old folders stay as they are, a new logic gets a new one.
func TestReplay(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/histories/*/*.json.gz")
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), "-")
		seen[name] = true
		t.Run(strings.TrimPrefix(file, "testdata/histories/"), func(t *testing.T) {
			t.Parallel()
			packed, err := os.ReadFile(file)
			require.NoError(t, err)
			unpacked, err := gzip.NewReader(bytes.NewReader(packed))
			require.NoError(t, err)
			text, err := io.ReadAll(unpacked)
			require.NoError(t, err)
			history, err := client.HistoryFromJSON(bytes.NewReader(text), client.HistoryJSONOptions{})
			require.NoError(t, err)
			replayer, err := sdkworker.NewWorkflowReplayerWithOptions(sdkworker.WorkflowReplayerOptions{
				DataConverter: temporalclient.DataConverter(),
			})
			require.NoError(t, err)
			worker.RegisterWorkflows(replayer)
			require.NoError(t, replayer.ReplayWorkflowHistory(nil, history))
		})
	}
	require.Equal(t, map[string]bool{
		"delivery": true, "group": true, "registration": true, "ordered": true, "replay": true, "sweep": true, "consistency": true,
		"enrichment": true,
	}, seen)
}
