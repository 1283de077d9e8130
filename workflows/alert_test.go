package workflows_test

import (
	"context"
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

// posts counts posts and fails the first ones.
type posts struct {
	fail     int
	got      []holdfast.Alert
	patience time.Duration
}

func (p *posts) Post(ctx context.Context, a holdfast.Alert) error {
	p.patience = activity.GetInfo(ctx).ScheduleToCloseTimeout
	p.got = append(p.got, a)
	if len(p.got) <= p.fail {
		return holdfast.Errorf(holdfast.CodeUnavailable, "posting an alert: answered with HTTP 503")
	}
	return nil
}

func notify(p *posts) (waited time.Duration, err error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflowWithOptions(workflows.Alert, workflow.RegisterOptions{Name: workflows.TypeAlert})
	env.RegisterActivityWithOptions((&activities.Alerts{Poster: p}).NotifyAlert, activity.RegisterOptions{Name: "NotifyAlert"})
	began := env.Now()
	env.ExecuteWorkflow(workflows.TypeAlert, holdfast.Alert{Kind: holdfast.AlertDrift, Subject: "digest", RaisedAt: 5, Count: 1})
	return env.Now().Sub(began), env.GetWorkflowError()
}

func TestD46_PeopleAreToldOfAnAlertAfterAnOutage(t *testing.T) {
	t.Parallel()
	p := &posts{fail: 9} // time skipping allows ten attempts
	waited, err := notify(p)
	require.NoError(t, err)
	require.Len(t, p.got, 10)
	require.Equal(t, holdfast.Alert{Kind: holdfast.AlertDrift, Subject: "digest", RaisedAt: 5, Count: 1}, p.got[9])
	require.InDelta(t, (255*time.Second + 256*time.Second).Seconds(), waited.Seconds(), 1, "each wait twice as long")
	require.Equal(t, 24*time.Hour, p.patience, "an attempt is made every five minutes for a day")
}

func TestAnAlertThatNobodyTakesEndsWithAnError(t *testing.T) {
	t.Parallel()
	_, err := notify(&posts{fail: 1 << 20})
	require.ErrorContains(t, err, "HTTP 503")
}
