package jobrecovery

import (
	"encoding/json"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
	"github.com/emprops/holdfast/internal/jobevents"
)

// completed makes the event that the broker's message would have made after it had asked EMPROPS (CONTRACT 2.11). job is
// zero for a workflow that EMPROPS does not know.
func completed(a *attestation, job emprops.Job) (*holdfast.Event, error) {
	m := map[string]any{
		"workflow_id": a.Workflow, "status": emprops.Completed, "timestamp": a.at().UnixMilli(), "recovered": true,
		"verified": job.Status == emprops.Completed, "message": "Workflow completed; found again by its attestation",
	}
	if job.CompletedAt != "" {
		m["completed_at"] = job.CompletedAt
	}
	if len(job.Data) > 0 {
		m["workflow_details"] = job.Data // of which what a message has is picked
		m["outputs_available"] = job.Outputs != nil
	}
	return event(completionType, m, a.at())
}

// failed makes the event that the broker's message would have made (CONTRACT 2.12): the attestation has its fields.
func failed(a *attestation) (*holdfast.Event, error) {
	m := map[string]any{}
	for _, name := range []string{
		"workflow_id", "failed_job_id", "failed_at_step", "total_steps", "worker_id", "error", "failed_at", "workflow_type",
	} {
		if v, ok := a.all[name]; ok {
			m[name] = v
		}
	}
	if a.FailedJob == "" && a.Job != "" {
		m["failed_job_id"] = a.Job
	}
	m["timestamp"], m["recovered"] = a.at().UnixMilli(), true
	m["message"] = "Workflow failed; found again by its attestation"
	return event("workflow_failed", m, a.at())
}

func event(channel string, m map[string]any, at time.Time) (*holdfast.Event, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, err, "the message of a recovered outcome cannot be encoded")
	}
	e, ok, err := jobevents.Map(channel, raw, at)
	if err == nil && !ok {
		err = holdfast.Errorf(holdfast.CodeInternal, "a recovered outcome makes no event")
	}
	return e, err
}
