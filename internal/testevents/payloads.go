package testevents

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// payloads are the data of the test events by type: the keys of the live event first (CONTRACT 4.4), then what the
// original's test events have besides (CONTRACT 4.5). Where the two disagree about a key, it is as in live events. Words
// that begin with $ stand for what differs from test to test, see values.
var payloads = map[string]string{
	"job_submitted": `{` + jobKeys + `,"current_step":3,"job_status":"pending","priority":100,` +
		`"payload":{"test_data":"This is a test webhook","workflow":"test_workflow"},` +
		`"requirements":{"hardware":{"gpu_memory_gb":8},"models":["test_model"]},"customer_id":"test_customer_123",` +
		`"submitted_at":"$time","submitted_at_iso":"$time","status":"pending",` + stepKeys + `}`,
	"update_job_progress": `{` + jobKeys + `,"current_step":"Test step","progress":45,"status":"in_progress",` +
		`"progress_message":"Processing test job","estimated_completion":"$later","step_label":"Test step","sampling_steps":5,` +
		`"updated_at":"$time",` + stepKeys + `}`,
	"complete_job": `{` + jobKeys + `,"current_step":3,"result":{"output":"Test job completed","files":["test_output.png"],"duration_ms":5000},` +
		`"completed_at":$ms,"completed_at_iso":"$time","progress":100,"status":"completed","message":"Test job completed",` +
		`"customer_id":"test_customer_123","retry_verification":false,"retry_attempt":$ms,` + stepKeys + `}`,
	"job_failed": `{` + jobKeys + `,"current_step":3,"error":"Test error: this is a simulated failure","failed_at":"$time",` +
		`"failed_at_iso":"$time","status":"failed","can_retry":false,"will_retry":false,"retry_count":3,` + stepKeys + `}`,
	"cancel_job": `{"job_id":"$job","worker_id":"$worker","cancelled_at":"$time",` +
		`"reason":"Test cancellation","cancelled_by":"test_user","status":"cancelled","job_type":"comfyui","machine_id":"$machine",` +
		`"workflow_id":"$workflow","workflow_priority":100,"workflow_datetime":$ms,"total_steps":5,"current_step":3,` + stepKeys + `}`,
	"worker_status": `{"worker_id":"$worker","machine_id":"$machine","status":"busy","previous_status":"idle",` +
		`"capabilities":["comfyui","simulation"],"current_job_id":"$job"}`,
	"machine_status": `{"machine_id":"$machine","status":"ready","health":"healthy","worker_count":2,` +
		`"services":["comfyui","simulation"],"startup_time":15000,"update_type":"machine_ready"}`,
	"workflow_submitted": `{"workflow_id":"$workflow","workflow_priority":100,"workflow_datetime":$ms,"total_steps":5,"job_type":"comfyui",` +
		`"timestamp":$ms,"first_job_id":"$job","customer_id":"test_customer_123","service_required":"comfyui",` +
		`"workflow_type":"multi_step",` + plainKeys + `}`,
	"workflow_completed": `{"workflow_id":"$workflow","timestamp":$ms,"status":"completed","completed_at":"$time","verified":true,` +
		`"workflow_details":{"id":"$workflow","name":"Test workflow","job_type":"comfyui","status":"completed",` +
		`"progress":100,"created_at":"$time","completed_at":"$time"},"outputs_available":true,"outputs_count":1,` +
		`"workflow_output_verified_at":"$time","outputs":[{"id":"test_output","url":"https://example.com/test_output.png"}],` +
		`"manual_trigger":false,"trigger_source":"test","recovered":false,"attestations_available":{"api_attestation":false,"worker_attestations":false},` +
		plainKeys + `}`,
	"workflow_failed": `{"worker_id":"$worker","workflow_id":"$workflow","total_steps":5,"timestamp":$ms,"failed_job_id":"$job",` +
		`"failed_at_step":3,"error":"Test error: this is a simulated failure","failed_at":$ms,"workflow_type":"multi_step",` +
		`"failed_at_iso":"$time","manual_trigger":false,"trigger_source":"test","recovered":false,"job_type":"comfyui",` + plainKeys + `}`,
}

const (
	// jobKeys are those that any job event may have besides current_step, which is a text in events of progress
	// (CONTRACT 2.2, 2.4).
	jobKeys = `"job_id":"$job","job_type":"comfyui","worker_id":"$worker","machine_id":"$machine","workflow_id":"$workflow",` +
		`"workflow_priority":100,"workflow_datetime":$ms,"total_steps":5`
	// stepKeys tell a job's place in its workflow in every event of a job.
	stepKeys = `"workflow_step":3,"workflow_total_steps":5`
	// plainKeys are all that the original's test events of workflows, and of types it does not know, have.
	plainKeys = `"job_id":"$job","test_event_type":"$type","message":"Test event for $type"`
)

// New makes a test event of the type for a webhook. Its id has the original's form, test_wh_<ms>_<9 characters>_<type>,
// and the ids inside its data begin with test_, which receivers know it by (CONTRACT 4.5).
func New(eventType string, now time.Time) (*holdfast.Event, error) {
	payload, known := payloads[eventType]
	if !known {
		payload = `{` + plainKeys + `}`
	}
	data, err := jsjson.CanonicalObject(nil, []byte(values(eventType, now).Replace(payload)))
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, err, "the test event for %s is not JSON", eventType)
	}
	return &holdfast.Event{
		ID: "test_" + holdfast.NewWebhookID(now) + "_" + eventType, Type: eventType, Timestamp: now.UnixMilli(), Data: data, Test: true,
	}, nil
}

// values replaces what differs from test to test.
func values(eventType string, now time.Time) *strings.Replacer {
	ms := strconv.FormatInt(now.UnixMilli(), 10)
	quoted, _ := json.Marshal(eventType) // a string can always be encoded
	return strings.NewReplacer(
		"$job", "test_job_"+ms, "$workflow", "test_workflow_"+ms, "$worker", "test_worker_"+letters(), "$machine", "test_machine_"+letters(),
		"$type", string(quoted[1:len(quoted)-1]),
		"$time", iso(now), "$later", iso(now.Add(time.Minute)), "$ms", ms,
	)
}

// letters are five characters that tell one test from another; nothing depends on their being hard to guess.
func letters() string {
	const base = 36 * 36 * 36 * 36
	return strconv.FormatInt(base+rand.Int64N(35*base), 36) //nolint:gosec // see above
}

// iso is a time as JavaScript's toISOString writes it.
func iso(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
