package app_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
)

// What the publishers of each channel really send (CONTRACT 2.3 to 2.12), in the order of a workflow's life, and the data
// that a receiver gets of it, byte for byte. Every type of event is there (D17, D18, D20, D21).
var brokerSays = []struct{ channel, message, data string }{
	{
		"workflow_submitted",
		`{"workflow_id":"wf-1","first_job_id":"step-1","total_steps":3,"workflow_priority":70,"workflow_datetime":1757066300000,"customer_id":"c1","service_required":"comfyui","timestamp":1757066300500,"workflow_type":"multi_step","message":"Workflow submitted"}`,
		`{"workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"job_type":"comfyui","timestamp":1757066300500,"first_job_id":"step-1","customer_id":"c1","service_required":"comfyui","workflow_type":"multi_step","message":"Workflow submitted"}`,
	},
	{
		"job_submitted",
		`{"job_id":"step-1","service_required":"comfyui","priority":0,"payload":{"a":1},"created_at":"2025-09-05T10:00:00.000Z","status":"pending","timestamp":1757066400000,"workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"current_step":1,"total_steps":3}`,
		`{"job_id":"step-1","job_type":"comfyui","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"current_step":1,"job_status":"pending","priority":0,"payload":{"a":1},"submitted_at":"2025-09-05T10:00:00.000Z","submitted_at_iso":"2025-09-05T10:00:00.000Z","status":"pending","workflow_step":1,"workflow_total_steps":3}`,
	},
	{
		"worker_status",
		`{"worker_id":"w1","old_status":"idle","new_status":"busy","current_job_id":"step-1","timestamp":1757066400500}`,
		`{"worker_id":"w1","status":"busy","previous_status":"idle","current_job_id":"step-1"}`,
	},
	{
		"update_job_progress",
		`{"job_id":"step-1","worker_id":"w1","progress":45.5,"status":"in_progress","message":"sampling","current_step":"KSampler","total_steps":20,"estimated_completion":"","timestamp":1757066401000}`,
		`{"job_id":"step-1","worker_id":"w1","total_steps":20,"current_step":"KSampler","progress":45.5,"status":"in_progress","progress_message":"sampling","estimated_completion":"","step_label":"KSampler","sampling_steps":20,"job_type":"comfyui","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"workflow_step":1,"workflow_total_steps":3}`,
	},
	{
		"complete_job",
		`{"job_id":"step-1","result":{"success":false,"error":"boom"},"completed_at":"2025-09-05T10:00:02.000Z","worker_id":"w1","timestamp":1757066402000}`,
		`{"job_id":"step-1","worker_id":"w1","result":{"success":false,"error":"boom"},"completed_at":1757066402000,"completed_at_iso":"2025-09-05T10:00:02.000Z","job_type":"comfyui","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"current_step":1,"workflow_step":1,"workflow_total_steps":3}`,
	},
	{
		"job_failed",
		`{"job_id":"step-2","worker_id":"w1","status":"failed","error":"boom","failed_at":"2025-09-05T10:00:03.000Z","retry_count":3,"can_retry":false,"timestamp":1757066403000}`,
		`{"job_id":"step-2","job_type":"comfyui","worker_id":"w1","workflow_id":"wf-1","current_step":2,"error":"boom","failed_at":"2025-09-05T10:00:03.000Z","failed_at_iso":"2025-09-05T10:00:03.000Z","status":"failed","can_retry":false,"will_retry":false,"retry_count":3,"workflow_step":2}`,
	},
	{"job_failed", `{"job_id":"step-2","service_type":"comfyui","error":"boom","workflow_id":"wf-1","current_step":2}`, ""}, // the same failure
	{
		"cancel_job",
		`{"job_id":"step-3","worker_id":"w1","reason":"Job cancelled by user","timestamp":1757066404000}`,
		`{"job_id":"step-3","worker_id":"w1","cancelled_at":"2025-09-05T10:00:04.000Z","reason":"Job cancelled by user"}`,
	},
	{
		"workflow_failed",
		`{"workflow_id":"wf-1","failed_job_id":"step-2","failed_at_step":2,"total_steps":3,"worker_id":"w1","error":"boom","failed_at":1757066403000,"timestamp":1757066405000,"workflow_type":"multi_step","message":"Workflow failed"}`,
		`{"worker_id":"w1","workflow_id":"wf-1","total_steps":3,"timestamp":1757066405000,"failed_job_id":"step-2","failed_at_step":2,"error":"boom","failed_at":1757066403000,"workflow_type":"multi_step","message":"Workflow failed","failed_at_iso":"2025-09-05T10:00:03.000Z"}`,
	},
	{
		"workflow_completed",
		`{"workflow_id":"wf-1","status":"completed","completed_at":"2025-09-05T10:00:06.000Z","timestamp":1757066406000,"verified":true,"message":"ok","outputs_available":false,"outputs_count":0,"manual_trigger":true,"trigger_source":"monitor-ui"}`,
		`{"workflow_id":"wf-1","timestamp":1757066406000,"status":"completed","completed_at":"2025-09-05T10:00:06.000Z","verified":true,"message":"ok","outputs_available":false,"outputs_count":0,"manual_trigger":true,"trigger_source":"monitor-ui"}`,
	},
	{
		"machine:status:m1",
		`{"machine_id":"m1","timestamp":1757066407000,"update_type":"machine_ready","structure":{"gpu_count":1},"status":{"machine":{"phase":"ready","uptime_ms":15000},"workers":{"w1":{},"w2":{}},"services":{"w1.comfyui":{"service_type":"comfyui","health":"healthy"}}}}`,
		`{"machine_id":"m1","status":"ready","health":"healthy","worker_count":2,"services":["comfyui"],"startup_time":15000,"update_type":"machine_ready"}`,
	},
	{
		"machine:status:m1",
		`{"machine_id":"m1","timestamp":1757066417000,"update_type":"periodic","status":{"machine":{"phase":"ready","uptime_ms":25000},"workers":{"w1":{},"w2":{}},"services":{"w1.comfyui":{"service_type":"comfyui","health":"healthy"}}}}`,
		"", // nothing new
	},
}

func TestD20_EveryRealMessageOfTheBrokerArrivesWhole(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	n.register(t, receiver.URL(), "job_submitted", "update_job_progress", "complete_job", "job_failed", "cancel_job",
		"worker_status", "machine_status", "workflow_submitted", "workflow_completed", "workflow_failed")
	require.NoError(t, testkit.RedisClient(t, c.redis).HSet(t.Context(), "job:step-1", "service_required", "comfyui",
		"workflow_id", "wf-1", "workflow_priority", "70", "workflow_datetime", "1757066300000", "current_step", "1", "total_steps", "3").Err())
	want := map[string]bool{}
	for _, m := range brokerSays {
		c.say(t, 1, m.channel, m.message)
		if m.data != "" {
			want[m.data] = true
		}
	}
	got := map[string]bool{}
	arrived(t, receiver, len(want))
	requireNoneOpen(t, c)
	for _, r := range receiver.Requests() {
		var body struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(t, json.Unmarshal(r.Body, &body))
		require.False(t, got[string(body.Data)], "%s arrived twice", body.Data)
		got[string(body.Data)] = true
	}
	require.Equal(t, want, got)
}
