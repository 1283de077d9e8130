package jobevents_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/jobevents"
)

func idOf(t *testing.T, channel, message string) string {
	t.Helper()
	e, ok, err := jobevents.Map(channel, []byte(message), now)
	require.NoError(t, err)
	require.True(t, ok)
	return e.ID
}

func TestD67_BrokersThatFindOutTheSameOutcomeMakeOneEvent(t *testing.T) {
	t.Parallel()
	completed := func(workflow, completedAt, more string) string {
		return idOf(t, "workflow_completed", fmt.Sprintf(`{"workflow_id":%q,"status":"completed","completed_at":%s,"verified":true%s}`, workflow, completedAt, more))
	}
	first := completed("wf-1", `"2025-09-05T10:00:04.000Z"`, `,"timestamp":1757066404000,"workflow_output_verified_at":"2025-09-05T10:00:04.500Z"`)
	require.Equal(t, first, completed("wf-1", `"2025-09-05T10:00:04.000Z"`, `,"timestamp":1757066404100`), "another broker")
	require.Equal(t, first, completed("wf-1", `"2025-09-05T12:00:04+02:00"`, ``), "spelled otherwise")
	require.Equal(t, first, completed("wf-1", `1757066404000`, ``))
	require.Equal(t, first, jobevents.WorkflowEventID("workflow_completed", "wf-1", "2025-09-05T10:00:04.000Z"), "who finds it out otherwise")
	require.NotEqual(t, first, completed("wf-1", `"2025-09-05T11:00:00.000Z"`, ``), "run again")
	require.NotEqual(t, first, completed("wf-2", `"2025-09-05T10:00:04.000Z"`, ``))
	require.Equal(t, completed("wf-1", `null`, `,"timestamp":5`), completed("wf-1", `""`, `,"timestamp":6`), "EMPROPS did not say when")
	require.Equal(t, completed("wf-1", `null`, ``), jobevents.WorkflowEventID("workflow_completed", "wf-1", ""))

	failed := func(job, more string) string {
		return idOf(t, "workflow_failed", fmt.Sprintf(`{"workflow_id":"wf-1","failed_job_id":%q,"failed_at":1%s}`, job, more))
	}
	require.Equal(t, failed("step-2", `,"timestamp":5`), failed("step-2", `,"timestamp":6,"worker_id":null`))
	require.Equal(t, failed("step-2", ``), jobevents.WorkflowEventID("workflow_failed", "wf-1", "step-2"))
	require.NotEqual(t, failed("step-2", ``), failed("step-3", ``), "run again with other jobs")
	require.NotEqual(t, jobevents.WorkflowEventID("workflow_failed", "wf-1", ""), jobevents.WorkflowEventID("workflow_completed", "wf-1", ""))

	nameless := func(at int) string { return idOf(t, "workflow_completed", fmt.Sprintf(`{"timestamp":%d}`, at)) }
	require.NotEqual(t, nameless(5), nameless(6), "what names no workflow is known by its bytes")
}

// The button of the monitor sends a completion again, and each press is an event of its own that says so.
func TestD67_WhatAPersonSendsAgainAlwaysPasses(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{}
	subscribe(t, b, p, jobevents.Options{Workers: 1})
	const said = `{"workflow_id":"wf-1","completed_at":"2025-09-05T10:00:04.000Z","timestamp":%d%s}`
	b.publish(t, "workflow_completed", fmt.Sprintf(said, 1757066404000, ""))
	for n := range 2 {
		b.publish(t, "workflow_completed", fmt.Sprintf(said, 1757066405000+n, `,"manual_trigger":true,"trigger_source":"monitor-ui","attestations_available":{"api_attestation":true,"worker_attestations":false}`))
	}
	eventually(t, func() bool { return len(p.events()) == 3 })
	ids := map[string]bool{}
	for i, e := range p.events() {
		ids[e.ID] = true
		data := members(t, e)
		if i > 0 {
			require.Equal(t, true, data["manual_trigger"])
			require.Equal(t, "monitor-ui", data["trigger_source"])
			require.Contains(t, data, "attestations_available")
		}
	}
	require.Len(t, ids, 3)
}
