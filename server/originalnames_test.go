package server_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

// The original's matching reads job_priorities, its API and user interface write priorities, as texts.
func TestD28_BothNamesOfThePriorityFilterAreTaken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.remember(&holdfast.Webhook{ID: "wh_1", URL: "http://h/", Events: []string{"job_failed"}, RetryConfig: holdfast.DefaultRetryPolicy()})
	var registered holdfast.Webhook
	b.register = func(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
		registered = r.Webhook
		return server.RegisterResult{Webhook: r.Webhook}, nil
	}
	for _, filters := range []string{
		`{"priorities":[5,7.5]}`, `{"priorities":["5","7.5"]}`, `{"job_priorities":[5,7.5]}`, `{"jobPriorities":["5","7.5"]}`,
	} {
		registered = holdfast.Webhook{}
		status, _, answer := b.post(t, "WebhookService/RegisterWebhook", `{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"filters":`+filters+`}}`)
		require.Equal(t, http.StatusOK, status, "%s: %v", filters, answer)
		require.Equal(t, []float64{5, 7.5}, registered.Filters.Priorities, filters)
		shown := answer["webhook"].(map[string]any)["filters"].(map[string]any)
		require.Equal(t, []any{5.0, 7.5}, shown["priorities"])
		require.NotContains(t, shown, "jobPriorities", "it is shown under one name")

		for _, mask := range []string{"", `,"updateMask":"filters.job_priorities"`, `,"updateMask":"filters.jobPriorities"`, `,"updateMask":"filters.priorities"`, `,"updateMask":"filters"`} {
			b.webhooks[0].Filters = holdfast.Filters{}
			status, _, answer = b.post(t, "WebhookService/UpdateWebhook", `{"id":"wh_1","webhook":{"filters":`+filters+`}`+mask+`}`)
			require.Equal(t, http.StatusOK, status, "%s: %v", filters+mask, answer)
			require.Equal(t, []float64{5, 7.5}, b.webhooks[0].Filters.Priorities, filters+mask)
		}
	}
	for filters, name := range map[string]string{
		`{"job_priorities":[5],"priorities":[5]}`: "job_priorities", `{"custom_filters":{}}`: "custom_filters", `{"jobType":["x"]}`: "jobType",
		`{"job_priorities":["high"]}`: "high", `{"job_priorities":5}`: "5", `{"job_priorities":[5],"customFilters":{}}`: "customFilters",
	} {
		for method, request := range map[string]string{
			"RegisterWebhook": `{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"filters":` + filters + `}}`,
			"UpdateWebhook":   `{"id":"wh_1","webhook":{"filters":` + filters + `}}`,
		} {
			before := *b.webhooks[0]
			registered = holdfast.Webhook{}
			status, _, answer := b.post(t, "WebhookService/"+method, request)
			require.Equal(t, http.StatusBadRequest, status, "%s: %v", filters, answer)
			require.Equal(t, "invalid_argument", answer["code"])
			require.Contains(t, answer["message"], name, "the text names what is wrong")
			require.Empty(t, registered.URL)
			require.Equal(t, before, *b.webhooks[0], "nothing has changed")
		}
	}
}
