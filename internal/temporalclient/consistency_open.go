package temporalclient

import (
	"context"
	"strings"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast/workflows"
)

// openRegistrations finds what Temporal's index knows of; it lags behind a little.
const openRegistrations = "WorkflowType='" + workflows.TypeRegistration + "' AND ExecutionStatus='Running'"

// listPage is how many registrations one call lists: the most a server gives by default.
const listPage = 1000

// OpenRegistrations lists the webhooks that are registered.
type OpenRegistrations struct {
	Client client.Client
}

// CountOpen counts the open registrations. CodeUnavailable.
func (o *OpenRegistrations) CountOpen(ctx context.Context) (int, error) {
	n, err := o.Client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: openRegistrations})
	return int(n.GetCount()), coded(err, "counting registrations")
}

// ListOpen returns the ids of the webhooks with an open registration. CodeUnavailable.
func (o *OpenRegistrations) ListOpen(ctx context.Context) ([]string, error) {
	prefix := workflows.RegistrationID("")
	var ids []string
	var next []byte
	for {
		page, err := o.Client.ListWorkflow(ctx, listRequest(openRegistrations, listPage, next))
		if err != nil {
			return nil, coded(err, "listing registrations")
		}
		for _, e := range page.GetExecutions() {
			if id, ok := strings.CutPrefix(e.GetExecution().GetWorkflowId(), prefix); ok {
				ids = append(ids, id)
			}
		}
		if next = page.GetNextPageToken(); len(next) == 0 {
			return ids, nil
		}
	}
}
