package temporalclient

import (
	"strings"

	"go.temporal.io/api/workflowservice/v1"
)

// listRequest asks for a page of workflows.
func listRequest(query string, size int, token []byte) *workflowservice.ListWorkflowExecutionsRequest {
	return &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: int32(size), NextPageToken: token}
}

// quoted spells a value in a visibility query. Ids come from callers.
func quoted(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
