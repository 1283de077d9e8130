package emprops

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/emprops/holdfast"
)

// Job is what EMPROPS knows of a workflow of the job queue, which it calls a job (CONTRACT 0.1, 7.2).
type Job struct {
	Status      string          // completed, processing, pending, …
	CompletedAt string          // ISO 8601; "" while it is not
	Outputs     json.RawMessage // a JSON array or object; nil while there are none
	Data        json.RawMessage // all that it knows, an object
}

// Completed is the status of a job that is done.
const Completed = "completed"

// Job reads the job of a workflow. CodeNotFound: EMPROPS does not know it; CodePrecondition in mode off; CodeInvalid without
// an id; CodeRejected: the answer is larger than one may be; CodeUnavailable for everything else.
func (c *Client) Job(ctx context.Context, workflowID string) (Job, error) {
	switch {
	case c.mode == ModeOff:
		return Job{}, holdfast.Errorf(holdfast.CodePrecondition, "EMPROPS mode is off; there is nobody to ask about workflows")
	case workflowID == "":
		return Job{}, holdfast.Errorf(holdfast.CodeInvalid, "a workflow without an id cannot be named to EMPROPS")
	}
	a, err := c.call(ctx, http.MethodGet, "/jobs/"+url.PathEscape(workflowID), "", nil)
	switch {
	case errors.Is(err, errTooLarge):
		return Job{}, holdfast.Wrap(holdfast.CodeRejected, err, "what EMPROPS knows of the workflow is too large")
	case err != nil:
		return Job{}, err
	case a.status == http.StatusNotFound:
		return Job{}, holdfast.Errorf(holdfast.CodeNotFound, "EMPROPS does not know the workflow")
	case !a.ok():
		return Job{}, a.unavailable()
	}
	var data struct {
		Status      string `json:"status"`
		CompletedAt string `json:"completed_at"`
		Data        struct {
			Outputs json.RawMessage `json:"outputs"`
		} `json:"data"`
	}
	if err := json.Unmarshal(a.data, &data); err != nil {
		return Job{}, holdfast.Wrap(holdfast.CodeUnavailable, err, "EMPROPS %s: the answer cannot be read", a.operation)
	}
	job := Job{Status: data.Status, CompletedAt: data.CompletedAt, Data: a.data}
	if outputs := data.Data.Outputs; len(outputs) > 0 && string(outputs) != "null" {
		job.Outputs = outputs
	}
	return job, nil
}
