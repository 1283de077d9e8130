package workflows_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// source stands for EMPROPS and for the dispatcher: it has what is asked for from a time on, and takes events from one on.
type source struct {
	now               func() time.Time
	has, takes        time.Time
	refuses           holdfast.Code
	published         []holdfast.Event
	publishedAt       time.Time
	asked, notTakenIn int
}

func (s *source) Enrich(_ context.Context, e *holdfast.Event) error {
	s.asked++
	switch {
	case s.refuses != "":
		return holdfast.Errorf(s.refuses, "never")
	case s.now().Before(s.has):
		return holdfast.Errorf(holdfast.CodeUnavailable, "away")
	}
	e.Data = json.RawMessage(`{"with":true}`)
	return nil
}

func (s *source) Without(e *holdfast.Event, because error) error {
	e.Data = json.RawMessage(`{"without":"` + string(holdfast.ErrorCode(because)) + `"}`)
	return nil
}

func (s *source) PublishMessage(_ context.Context, e *holdfast.Event) error {
	if s.now().Before(s.takes) {
		s.notTakenIn++
		return holdfast.Errorf(holdfast.CodeExhausted, "full")
	}
	s.published, s.publishedAt = append(s.published, *e), s.now()
	return nil
}

func TestD19_ACompletionWaitsForItsOutputsAndThenGoesWithout(t *testing.T) {
	t.Parallel()
	const patience = 10 * time.Minute
	for name, tc := range map[string]struct {
		has, takes time.Duration // from the start
		code       holdfast.Code // of EMPROPS' answer, whatever the time
		data       string
		from, till time.Duration // when it was published
	}{
		"at once":                    {data: `{"with":true}`, till: time.Second},
		"EMPROPS is back in time":    {has: 4 * time.Minute, data: `{"with":true}`, from: 4 * time.Minute, till: 5 * time.Minute},
		"EMPROPS is away for a day":  {has: 24 * time.Hour, data: `{"without":"unavailable"}`, from: patience, till: patience + time.Minute},
		"EMPROPS does not know it":   {code: holdfast.CodeNotFound, data: `{"without":"not_found"}`, till: time.Second},
		"the outputs cannot be sent": {code: holdfast.CodeRejected, data: `{"without":"rejected"}`, till: time.Second},
		"nobody takes it for a day":  {takes: 24 * time.Hour, data: `{"with":true}`, from: 24 * time.Hour, till: 25 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var suite testsuite.WorkflowTestSuite
			suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
			env := suite.NewTestWorkflowEnvironment()
			env.RegisterWorkflowWithOptions(workflows.Enrichment, workflow.RegisterOptions{Name: workflows.TypeEnrichment})
			began := env.Now()
			s := &source{now: env.Now, has: began.Add(tc.has), takes: began.Add(tc.takes), refuses: tc.code}
			a := &activities.Enrichments{Enricher: s, Publisher: s, Now: env.Now}
			env.RegisterActivityWithOptions(a.PublishEnriched, activity.RegisterOptions{Name: "PublishEnriched"})

			event := holdfast.Event{ID: "evt_1", Type: "workflow_completed", Timestamp: 1, Data: json.RawMessage(`{}`)}
			env.ExecuteWorkflow(workflows.TypeEnrichment, activities.Enrichment{Event: event, GiveUpAt: began.Add(patience).UnixMilli()})
			require.NoError(t, env.GetWorkflowError())
			require.Len(t, s.published, 1)
			require.Equal(t, "evt_1", s.published[0].ID)
			require.JSONEq(t, tc.data, string(s.published[0].Data))
			took := s.publishedAt.Sub(began)
			require.GreaterOrEqual(t, took, tc.from)
			require.Less(t, took, tc.till)
		})
	}
}
