package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/testkit"
)

// setJob makes EMPROPS know a workflow; data is what it answers.
func (c *cluster) setJob(t *testing.T, workflowID, data string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.emprops.URL()+"/jobs/"+workflowID, strings.NewReader(data))
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
}

// say publishes on a channel of the job broker, heard by as many nodes.
func (c *cluster) say(t *testing.T, nodes int, channel, message string) {
	t.Helper()
	heard, err := testkit.RedisClient(t, c.redis).Publish(t.Context(), channel, message).Result()
	require.NoError(t, err)
	require.EqualValues(t, nodes, heard)
}

func completed(workflowID string) string {
	return fmt.Sprintf(`{"workflow_id":%q,"status":"completed","outputs_available":true,"outputs_count":1,"timestamp":1757066400000}`, workflowID)
}

// dataOf returns the data of the event that a request carried.
func dataOf(t *testing.T, r testkit.ReceivedRequest) map[string]any {
	t.Helper()
	var body struct{ Data map[string]any }
	require.NoError(t, json.Unmarshal(r.Body, &body))
	return body.Data
}

// The outputs that a completion only announces come from EMPROPS; while it is away, the event waits as a workflow that
// survives the node, and every node that heard the message leaves it to one.
func TestD19_WorkflowCompletedCarriesItsOutputs(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := []*testNode{c.node(), c.node()}
	receiver := testkit.NewReceiver(t)
	id := nodes[0].register(t, receiver.URL(), "workflow_completed").GetWebhook().GetId()
	c.setJob(t, "wf-1", `{"id":"wf-1","status":"completed","data":{"outputs":[{"id":"o1","steps":[]}],"variables":{"x":1}}}`)
	c.setJob(t, "wf-2", `{"id":"wf-2","status":"completed","data":{"outputs":{"image":"https://cdn.example/2.png"}}}`)

	c.say(t, 2, "workflow_completed", completed("wf-1"))
	data := dataOf(t, arrived(t, receiver, 1)[0])
	require.Equal(t, []any{map[string]any{"id": "o1", "steps": []any{}}}, data["outputs"])
	require.NotContains(t, data, "outputs_missing")

	require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: true}))
	asked := len(c.askedOfEMPROPS())
	c.say(t, 2, "workflow_completed", completed("wf-2"))
	awaitTrue(t, "EMPROPS to be asked again", func() bool { return len(c.askedOfEMPROPS()) >= asked+2 })
	require.Len(t, receiver.Requests(), 1, "the event waits for its outputs")
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	data = dataOf(t, arrived(t, receiver, 2)[1])
	require.Equal(t, map[string]any{"image": "https://cdn.example/2.png"}, data["outputs"])

	c.say(t, 2, "workflow_completed", completed("wf-2")) // the broker says it again
	c.say(t, 2, "workflow_completed", `{"workflow_id":"wf-3","status":"completed","outputs_available":false,"timestamp":1757066400001}`)
	arrived(t, receiver, 3)
	stats := c.stats(c.store(), id, 3)
	requireNoneOpen(t, c)
	require.EqualValues(t, 3, stats.Delivered)
	require.Len(t, receiver.Requests(), 3)
}

func TestD19_WorkflowCompletedGoesWithoutOutputsThatNobodyGives(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node(func(cfg *config.Config) { cfg.Ingress.OutputsPatience = 0 })
	receiver := testkit.NewReceiver(t)
	n.register(t, receiver.URL(), "workflow_completed")
	c.setJob(t, "none", `{"id":"none","status":"completed","data":{}}`)
	for i, tc := range []struct{ workflow, missing string }{{"unknown", "not_found"}, {"none", "unavailable"}, {"away", "unavailable"}} {
		require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: tc.workflow == "away"}))
		c.say(t, 1, "workflow_completed", completed(tc.workflow))
		data := dataOf(t, arrived(t, receiver, i+1)[i])
		require.Equal(t, tc.missing, data["outputs_missing"], tc.workflow)
		require.NotContains(t, data, "outputs")
		require.Equal(t, true, data["outputs_available"])
	}
}

// A completion that waits for its outputs is as durable as an accepted event: the node that heard it may be gone.
func TestG3_ACompletionThatWaitsForItsOutputsOutlivesItsNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.node()
	receiver := testkit.NewReceiver(t)
	first.register(t, receiver.URL(), "workflow_completed")
	c.setJob(t, "wf", `{"id":"wf","status":"completed","data":{"outputs":[1]}}`)
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: true}))
	asked := len(c.askedOfEMPROPS())
	c.say(t, 1, "workflow_completed", completed("wf"))
	awaitTrue(t, "EMPROPS to be asked", func() bool { return len(c.askedOfEMPROPS()) > asked })
	require.NoError(t, first.Stop(t.Context()))
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	c.node()
	data := dataOf(t, arrived(t, receiver, 1)[0])
	require.Equal(t, []any{1.0}, data["outputs"])
}
