package jobevents_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
)

var now = time.UnixMilli(1757099999999)

// The messages are those that the publishers of CONTRACT 2.3–2.12 send, the data is what the original makes of them
// (CONTRACT 4.4), byte for byte, with the job type where the original had not read it (D27).
type mapping struct {
	name, channel, message string
	timestamp              int64
	data                   string
	more                   string // what follows the original's keys
}

func (m mapping) bytes() string {
	all := strings.TrimPrefix(strings.TrimSuffix(m.data, "}")+","+m.more, ",")
	return "{" + strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(all, "{"), ","), ",") + "}"
}

var mappings = []mapping{
	{
		"broker, workflow step", "job_submitted",
		`{"job_id":"step-1","service_required":"comfyui","priority":50,"payload":{"10":{"class":"K","seed":9007199254740993},"2":{"s":"<b>&\u2028"},"n":1.0},"requirements":{"service_type":"comfyui","hardware":{"gpu_memory_gb":8,"cpu_cores":4,"ram_gb":16},"models":["m"]},"customer_id":"c1","created_at":"2025-09-05T10:00:00.000Z","status":"pending","timestamp":1757066400000,"workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"current_step":1,"total_steps":3,"job_trace_id":"t"}`,
		1757066400000,
		`{"job_id":"step-1","job_type":"comfyui","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"current_step":1,"job_status":"pending","priority":50,"payload":{"2":{"s":"<b>&` + "\u2028" + `"},"10":{"class":"K","seed":9007199254740992},"n":1},"requirements":{"service_type":"comfyui","hardware":{"gpu_memory_gb":8,"cpu_cores":4,"ram_gb":16},"models":["m"]},"customer_id":"c1","submitted_at":"2025-09-05T10:00:00.000Z"}`,
		`"submitted_at_iso":"2025-09-05T10:00:00.000Z","status":"pending","workflow_step":1,"workflow_total_steps":3`,
	},
	{
		"single job, falsy values", "job_submitted",
		`{"job_id":"j","service_required":"","priority":0,"payload":null,"customer_id":"","workflow_priority":0,"current_step":0,"workflow_datetime":-0.0,"timestamp":1757066400000}`,
		1757066400000,
		`{"job_id":"j","job_status":"pending","priority":0,"payload":null,"customer_id":"","submitted_at":1757066400000}`,
		`"submitted_at_iso":"2025-09-05T10:00:00.000Z","workflow_step":0`,
	},
	{
		"types are not coerced", "job_submitted",
		`{"job_id":7,"service_required":"sim","priority":"55","total_steps":"2","created_at":"","timestamp":1757066400000.0}`,
		1757066400000,
		`{"job_id":7,"job_type":"sim","total_steps":"2","job_status":"pending","priority":"55","submitted_at":1757066400000}`,
		`"submitted_at_iso":"2025-09-05T10:00:00.000Z","workflow_total_steps":2`,
	},
	{
		"empty", "job_submitted", ` {}`, now.UnixMilli(),
		`{"job_status":"pending","priority":50,"submitted_at":1757099999999}`,
		`"submitted_at_iso":"2025-09-05T19:19:59.999Z"`,
	},
	{
		"worker", "update_job_progress",
		`{"job_id":"step-1","worker_id":"w1","progress":45.5,"status":"in_progress","message":"","current_step":"KSampler","total_steps":20,"estimated_completion":"","timestamp":1757066401000}`,
		1757066401000,
		`{"job_id":"step-1","worker_id":"w1","total_steps":20,"current_step":"KSampler","progress":45.5}`,
		`"status":"in_progress","progress_message":"","estimated_completion":"","step_label":"KSampler","sampling_steps":20`,
	},
	{
		"worker defaults", "update_job_progress",
		`{"job_id":"step-1","worker_id":"w1","progress":0,"status":"in_progress","message":"","current_step":"","total_steps":0,"estimated_completion":"","timestamp":1757066401000}`,
		1757066401000, `{"job_id":"step-1","worker_id":"w1","progress":0}`,
		`"status":"in_progress","progress_message":"","estimated_completion":"","step_label":"","sampling_steps":0`,
	},
	{
		"claim", "update_job_progress", `{"job_id":"step-1","worker_id":"w1","progress":0,"timestamp":1757066401000}`,
		1757066401000, `{"job_id":"step-1","worker_id":"w1","progress":0}`,
		``,
	},
	{
		"core, no timestamp", "update_job_progress",
		`{"job_id":"step-1","progress":1E2,"updated_at":"2025-09-05T10:00:00.000Z"}`,
		now.UnixMilli(), `{"job_id":"step-1","progress":100}`,
		`"updated_at":"2025-09-05T10:00:00.000Z"`,
	},
	{
		"worker", "complete_job",
		`{"job_id":"step-1","worker_id":"w1","progress":100,"status":"completed","message":"done","result":{"success":true,"data":{"image_url":"https://x/y.png"}},"timestamp":1757066402000,"workflow_id":"wf-1","current_step":1,"total_steps":3,"workflow_priority":70,"workflow_datetime":1757066300000}`,
		1757066402000,
		`{"job_id":"step-1","worker_id":"w1","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"current_step":1,"result":{"success":true,"data":{"image_url":"https://x/y.png"}},"completed_at":1757066402000}`,
		`"completed_at_iso":"2025-09-05T10:00:02.000Z","progress":100,"status":"completed","message":"done","workflow_step":1,"workflow_total_steps":3`,
	},
	{
		"core, failed delegation", "complete_job",
		`{"job_id":"step-9","result":{"success":false,"error":"boom"},"completed_at":"2025-09-05T10:00:02.000Z","worker_id":"w1","service_required":"openai","customer_id":"c1","timestamp":1757066402000,"job_trace_id":"t"}`,
		1757066402000,
		`{"job_id":"step-9","job_type":"openai","worker_id":"w1","result":{"success":false,"error":"boom"},"completed_at":1757066402000}`,
		`"completed_at_iso":"2025-09-05T10:00:02.000Z","customer_id":"c1"`,
	},
	{"neither result nor time", "complete_job", `{"job_id":"j"}`, now.UnixMilli(), `{"job_id":"j"}`, ``},
	{
		"worker client", "job_failed",
		`{"job_id":"step-1","worker_id":"w1","status":"failed","error":"{\"code\":\"E\"}","failed_at":"2025-09-05T10:00:03.000Z","retry_count":3,"can_retry":false,"timestamp":1757066403000}`,
		1757066403000,
		`{"job_id":"step-1","worker_id":"w1","error":"{\"code\":\"E\"}","failed_at":"2025-09-05T10:00:03.000Z"}`,
		`"failed_at_iso":"2025-09-05T10:00:03.000Z","status":"failed","can_retry":false,"will_retry":false,"retry_count":3`,
	},
	{
		"base worker, no time", "job_failed",
		`{"job_id":"step-1","service_type":"comfyui","error":"boom","workflow_id":"wf-1","current_step":2,"workflow_priority":70,"workflow_datetime":1757066300000}`,
		now.UnixMilli(),
		`{"job_id":"step-1","job_type":"comfyui","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"current_step":2,"error":"boom"}`,
		`"workflow_step":2`,
	},
	{
		"core", "job_failed",
		`{"job_id":"step-1","error":"","retry_count":1,"will_retry":true,"failed_at":"2025-09-05T10:00:03.000Z"}`,
		now.UnixMilli(), `{"job_id":"step-1","error":"Unknown error","failed_at":"2025-09-05T10:00:03.000Z"}`,
		`"failed_at_iso":"2025-09-05T10:00:03.000Z","can_retry":true,"will_retry":true,"retry_count":1`,
	},
	{
		"time of failure from the timestamp", "job_failed", `{"job_id":"j","error":null,"failed_at":null,"timestamp":1757066403000}`,
		1757066403000, `{"job_id":"j","error":"Unknown error","failed_at":1757066403000}`,
		`"failed_at_iso":"2025-09-05T10:00:03.000Z"`,
	},
	{
		"broker", "workflow_submitted",
		`{"workflow_id":"wf-1","first_job_id":"step-1","total_steps":3,"workflow_priority":70,"workflow_datetime":1757066300000,"customer_id":"c1","service_required":"comfyui","timestamp":1757066300500,"workflow_type":"multi_step","message":"Workflow submitted"}`,
		1757066300500,
		`{"workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"job_type":"comfyui"}`,
		`"timestamp":1757066300500,"first_job_id":"step-1","customer_id":"c1","service_required":"comfyui","workflow_type":"multi_step","message":"Workflow submitted"`,
	},
	{"nothing to say", "workflow_submitted", `{"workflow_id":"","timestamp":5}`, 5, `{}`, `"timestamp":5`},
	{
		"broker", "workflow_completed",
		`{"workflow_id":"wf-1","status":"completed","completed_at":"2025-09-05T10:00:04.000Z","timestamp":1757066404000,"verified":true,"message":"ok","workflow_details":{"id":"wf-1","name":"n","job_type":"t","status":"completed","progress":100,"created_at":"2025-09-05T09:00:00.000Z","completed_at":null},"outputs_available":true,"outputs_count":2,"workflow_output_verified_at":"2025-09-05T10:00:04.500Z"}`,
		1757066404000,
		`{"workflow_id":"wf-1","timestamp":1757066404000,"status":"completed","completed_at":"2025-09-05T10:00:04.000Z","verified":true,"message":"ok","workflow_details":{"id":"wf-1","name":"n","job_type":"t","status":"completed","progress":100,"created_at":"2025-09-05T09:00:00.000Z","completed_at":null}}`,
		`"outputs_available":true,"outputs_count":2,"workflow_output_verified_at":"2025-09-05T10:00:04.500Z"`,
	},
	{
		"monitor, details out of order and with more", "workflow_completed",
		`{"manual_trigger":true,"trigger_source":"monitor-ui","workflow_id":"wf-1","verified":false,"workflow_details":{"completed_at":"c","extra":1,"id":"wf-1"}}`,
		now.UnixMilli(),
		`{"workflow_id":"wf-1","timestamp":1757099999999,"verified":false,"workflow_details":{"id":"wf-1","completed_at":"c"}}`,
		`"manual_trigger":true,"trigger_source":"monitor-ui"`,
	},
	{
		"details of another kind", "workflow_completed", `{"workflow_details":null,"timestamp":1757066404000}`,
		1757066404000, `{"timestamp":1757066404000,"workflow_details":null}`,
		``,
	},
	{
		"broker", "workflow_failed",
		`{"workflow_id":"wf-1","failed_job_id":"step-2","failed_at_step":2,"total_steps":3,"worker_id":"w1","error":"boom","failed_at":1757066405000,"timestamp":1757066405100,"workflow_type":"multi_step","message":"Workflow failed"}`,
		1757066405100,
		`{"worker_id":"w1","workflow_id":"wf-1","total_steps":3,"timestamp":1757066405100,"failed_job_id":"step-2","failed_at_step":2,"error":"boom","failed_at":1757066405000,"workflow_type":"multi_step","message":"Workflow failed"}`,
		`"failed_at_iso":"2025-09-05T10:00:05.000Z"`,
	},
	{
		"nulls are kept where they are not common", "workflow_failed",
		`{"workflow_id":"wf-1","failed_job_id":null,"failed_at_step":null,"total_steps":1,"worker_id":null,"error":null,"failed_at":null,"timestamp":1757066405100,"workflow_type":null,"message":""}`,
		1757066405100,
		`{"workflow_id":"wf-1","total_steps":1,"timestamp":1757066405100,"failed_job_id":null,"failed_at_step":null,"error":null,"failed_at":null,"workflow_type":null,"message":""}`,
		``,
	},
	{
		"broker", "cancel_job",
		`{"job_id":"step-1","worker_id":"w1","reason":"Job cancelled by user","timestamp":1757066407000}`, 1757066407000,
		``, `"job_id":"step-1","worker_id":"w1","cancelled_at":"2025-09-05T10:00:07.000Z","reason":"Job cancelled by user"`,
	},
	{
		"with more", "cancel_job",
		`{"job_id":"step-1","reason":"","cancelled_at":"2025-09-05T12:00:06+02:00","cancelled_by":"u1","status":"failed","service_required":"comfyui","workflow_id":"wf-1","current_step":0}`,
		now.UnixMilli(), ``,
		`"job_id":"step-1","cancelled_at":"2025-09-05T10:00:06.000Z","reason":"","cancelled_by":"u1","status":"failed","job_type":"comfyui","workflow_id":"wf-1","workflow_step":0`,
	},
	{
		"worker", "worker_status",
		`{"worker_id":"w1","old_status":"idle","new_status":"busy","current_job_id":"","timestamp":1757066408000}`, 1757066408000,
		``, `"worker_id":"w1","status":"busy","previous_status":"idle","current_job_id":""`,
	},
	{
		"in the original's words", "worker_status",
		`{"worker_id":"w1","machine_id":"m1","status":"busy","previous_status":"idle","capabilities":["comfyui"],"current_job_id":"j","timestamp":1757066408000}`,
		1757066408000, ``,
		`"worker_id":"w1","machine_id":"m1","status":"busy","previous_status":"idle","capabilities":["comfyui"],"current_job_id":"j"`,
	},
	{
		"ready", "machine:status:m1",
		`{"machine_id":"m1","timestamp":1757066406000,"update_type":"machine_ready","structure":{"gpu_count":2,"capabilities":["comfyui"],"workers":{"w1":{"worker_id":"w1","services":["comfyui"]}},"services":{"w1.comfyui":{"worker_id":"w1","service_type":"comfyui","status":"running","health":"healthy"}}},"status":{"machine":{"phase":"ready","uptime_ms":15000},"workers":{"w1":{"worker_id":"w1","status":"idle"},"w2":{"worker_id":"w2","status":"busy"}},"services":{"w1.comfyui":{"worker_id":"w1","service_type":"comfyui","health":"healthy"},"w2.simulation":{"service_type":"simulation","health":"healthy"},"w2.comfyui":{"service_type":"comfyui","health":"healthy"}}},"health_url":"http://10.0.0.7:9090/health"}`, 1757066406000,
		``, `"machine_id":"m1","status":"ready","health":"healthy","worker_count":2,"services":["comfyui","simulation"],"startup_time":15000,"update_type":"machine_ready"`,
	},
	{
		"heartbeat, partly ill", "machine:status:m1",
		`{"machine_id":"m1","timestamp":1757066406000,"update_type":"periodic","structure":{"gpu_count":2,"capabilities":["comfyui"],"workers":{"w1":{"worker_id":"w1","services":["comfyui"]}},"services":{"w1.comfyui":{"worker_id":"w1","service_type":"comfyui","status":"running","health":"healthy"}}},"status":{"machine":{"phase":"ready","uptime_ms":15000},"workers":{"w1":{"worker_id":"w1","status":"idle"},"w2":{"worker_id":"w2","status":"busy"}},"services":{"w1.comfyui":{"worker_id":"w1","service_type":"comfyui","health":"healthy"},"w2.simulation":{"service_type":"simulation","health":"unknown"},"w2.comfyui":{"service_type":"comfyui","health":"unhealthy"}}},"health_url":"http://10.0.0.7:9090/health"}`, 1757066406000,
		``, `"machine_id":"m1","status":"ready","health":"degraded","worker_count":2,"services":["comfyui","simulation"],"update_type":"periodic"`,
	},
	{
		"a worker's event, all ill", "machine:status:m1",
		`{"machine_id":"m1","timestamp":1757066406000,"update_type":"event_driven","structure":{"gpu_count":2,"capabilities":["comfyui"],"workers":{"w1":{"worker_id":"w1","services":["comfyui"]}},"services":{"w1.comfyui":{"worker_id":"w1","service_type":"comfyui","status":"running","health":"healthy"}}},"status":{"machine":{"phase":"ready","uptime_ms":15000},"workers":{"w1":{"worker_id":"w1","status":"idle"},"w2":{"worker_id":"w2","status":"busy"}},"services":{"w1.comfyui":{"worker_id":"w1","service_type":"comfyui","health":"unhealthy"},"w2.simulation":{"service_type":"simulation","health":"unhealthy"},"w2.comfyui":{"service_type":"comfyui","health":"unknown"}}},"health_url":"http://10.0.0.7:9090/health"}`, 1757066406000,
		``, `"machine_id":"m1","status":"ready","health":"unhealthy","worker_count":2,"services":["comfyui","simulation"],"update_type":"event_driven"`,
	},
	{
		"shutdown that says little", "machine:status:m/2",
		`{"timestamp":1757066406000,"update_type":"shutdown","status":"gone","structure":{"workers":{"w1":{}},"services":{"w1.openai":{"service_type":"openai"}}}}`,
		1757066406000, ``,
		`"machine_id":"m/2","status":"shutdown","health":"unknown","worker_count":1,"services":["openai"],"update_type":"shutdown"`,
	},
}

func TestD17_D20_D21_TheOriginalsBytesComeFirst(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, tc := range mappings {
		seen[tc.channel] = true
		t.Run(tc.channel+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			e, ok, err := jobevents.Map(tc.channel, []byte(tc.message), now)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, tc.bytes(), string(e.Data))
			if strings.HasPrefix(tc.channel, "machine:") {
				require.Equal(t, "machine_status", e.Type)
			} else {
				require.Equal(t, tc.channel, e.Type)
			}
			require.Equal(t, tc.timestamp, e.Timestamp)
			require.Empty(t, e.Violations())
		})
	}
	require.Len(t, seen, len(holdfast.EventTypes)+1, "one of a machine that its channel alone names")
}

func TestD22_IDComesFromTheMessageAlone(t *testing.T) {
	t.Parallel()
	message := []byte(`{"job_id":"j","timestamp":1757066400000}`)
	a, _, err := jobevents.Map("job_submitted", message, now)
	require.NoError(t, err)
	b, _, err := jobevents.Map("job_submitted", message, now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Equal(t, holdfast.DerivedEventID(1757066400000, "job_submitted", string(message)), a.ID)

	c, _, err := jobevents.Map("job_failed", message, now)
	require.NoError(t, err)
	require.NotEqual(t, a.ID, c.ID, "another channel is another event")

	message = []byte(`{"job_id":"j"}`)
	a, _, err = jobevents.Map("job_failed", message, now)
	require.NoError(t, err)
	b, _, err = jobevents.Map("job_failed", message, now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, holdfast.DerivedEventID(0, "job_failed", string(message)), a.ID)
	require.Equal(t, a.ID, b.ID, "without a timestamp too")
}

func TestTimestampsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, stamp := range []string{`0`, `""`, `null`, `false`, `-5`, `1e999`, `1e16`, `"soon"`, `{}`, `0.5`} {
		e, ok, err := jobevents.Map("workflow_submitted", []byte(`{"timestamp":`+stamp+`}`), now)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, now.UnixMilli(), e.Timestamp, stamp)
	}
}

func TestD15_ARepeatedCompletionIsTheSameEvent(t *testing.T) {
	t.Parallel()
	first := `{"job_id":"step-1","worker_id":"w1","progress":100,"status":"completed","message":"done","result":{"a":1},"timestamp":1757066402000}`
	again := strings.TrimSuffix(first, "}") + `,"retry_verification":true,"retry_attempt":1757066460000}`
	a, ok, err := jobevents.Map("complete_job", []byte(first), now)
	require.NoError(t, err)
	require.True(t, ok)
	b, ok, err := jobevents.Map("complete_job", []byte(again), now)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, a.ID, b.ID)
	require.NotContains(t, string(a.Data), "retry_verification")
	require.Contains(t, string(b.Data), `"retry_verification":true`, "who hears only the repetition is told")

	for _, other := range []string{strings.Replace(first, "2000}", "2001}", 1), strings.Replace(first, "step-1", "step-2", 1)} {
		c, _, err := jobevents.Map("complete_job", []byte(other), now)
		require.NoError(t, err)
		require.NotEqual(t, a.ID, c.ID)
	}

	_, ok, err = jobevents.Map("complete_job", []byte(`{"job_id":"j","retry_verification":true}`), now)
	require.NoError(t, err)
	require.False(t, ok, "a repetition that names no completion is left out")
	_, ok, err = jobevents.Map("job_submitted", []byte(`{"job_id":"j","retry_verification":true}`), now)
	require.NoError(t, err)
	require.True(t, ok)
}

var nonsense = []string{``, ` `, `null`, `[1]`, `"str"`, `5`, `true`, `{`, `{"a":1}}`, `{"a":1} {}`, `{'a':1}`, `{"a":01}`, "\ufeff{}", `[{}]`}

func TestD16_NonsenseIsRefused(t *testing.T) {
	t.Parallel()
	for _, message := range nonsense {
		for _, channel := range []string{"job_submitted", "update_job_progress", "complete_job", "job_failed", "cancel_job", "worker_status", "machine:status:m1", "workflow_submitted", "workflow_completed", "workflow_failed"} {
			e, ok, err := jobevents.Map(channel, []byte(message), now)
			require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err), message)
			require.False(t, ok)
			require.Nil(t, e)
		}
	}
}

func TestChannelsWithoutAMapping(t *testing.T) {
	t.Parallel()
	for _, channel := range []string{"job_claimed", "job_cancelled", "machine:startup:events", "worker_status:w1"} {
		e, ok, err := jobevents.Map(channel, []byte(`{}`), now)
		require.NoError(t, err)
		require.False(t, ok)
		require.Nil(t, e)
	}
}

// Common keys follow JavaScript's truth for every value and spelling.
func TestPresenceFollowsJavaScript(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		values := map[string]bool{
			`null`: false, `false`: false, `0`: false, `-0`: false, `0.000`: false, `0e9`: false, `1e-400`: false, `""`: false,
			`true`: true, `1`: true, `-1`: true, `1e-300`: true, `1e400`: true, `"0"`: true, `" "`: true, `"\u0000"`: true,
			`{}`: true, `[]`: true, `[0]`: true,
		}
		value := rapid.SampledFrom(sortedKeys(values)).Draw(r, "value")
		key := rapid.SampledFrom([]string{"job_id", "worker_id", "machine_id", "workflow_id", "total_steps", "current_step"}).Draw(r, "key")
		space := rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(r, "space")
		e, ok, err := jobevents.Map("update_job_progress", []byte(`{"`+key+`":`+space+value+space+`}`), now)
		require.NoError(r, err)
		require.True(r, ok)
		var data map[string]json.RawMessage
		require.NoError(r, json.Unmarshal(e.Data, &data))
		_, present := data[key]
		require.Equal(r, values[value], present, value)
	})
}

func FuzzMap(f *testing.F) {
	for _, tc := range mappings {
		f.Add(tc.channel, tc.message)
	}
	for _, m := range nonsense {
		f.Add("job_submitted", m)
	}
	f.Fuzz(func(t *testing.T, channel, message string) {
		e, ok, err := jobevents.Map(channel, []byte(message), now)
		require.Equal(t, ok, e != nil)
		if err != nil {
			require.False(t, ok)
			require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
		}
		if ok {
			require.True(t, json.Valid(e.Data), "%s", e.Data)
			require.Equal(t, byte('{'), e.Data[0])
			require.GreaterOrEqual(t, e.Timestamp, int64(1))
		}
	})
}

func BenchmarkMap(b *testing.B) {
	message := []byte(mappings[0].message)
	for b.Loop() {
		if _, ok, err := jobevents.Map("job_submitted", message, now); err != nil || !ok {
			b.Fatal(err)
		}
	}
}
