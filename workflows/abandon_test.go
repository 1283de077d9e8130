//go:build !lean

package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/worker"
	"github.com/emprops/holdfast/workflows"
)

type noSeal struct{}

func (noSeal) SealCredentials(holdfast.Credentials) (string, error) { return "", nil }
func (noSeal) Open(string) (holdfast.Credentials, error)            { return holdfast.Credentials{}, nil }

// A registration is deleted while its write is under way. Undoing must wait for the write: coming after the removal, it
// would leave a webhook in the registry that nobody has registered. Only a real server plays this through.
func TestG2_AbandonedWriteCannotComeAfterItsRemoval(t *testing.T) {
	t.Parallel()
	env := testkit.Temporal(t)
	writing, release := make(chan struct{}), make(chan struct{})
	w := sdkworker.New(env.Client, workflows.QueueMain, sdkworker.Options{})
	worker.RegisterWorkflows(w)
	for name, run := range map[string]any{
		"CheckWebhook":  func(context.Context, activities.SealedWebhook) error { return nil },
		"VerifyRemoved": func(context.Context, activities.WebhookID) error { return nil },
		"ListLiveNodes": func(context.Context) (activities.NodeList, error) { return activities.NodeList{}, nil },
		"UnconfirmWebhook": func(context.Context, activities.WebhookID) (activities.Confirmation, error) {
			return activities.Confirmation{}, nil
		},
		"RemoveWebhook": func(context.Context, activities.WebhookID) (activities.Written, error) {
			return activities.Written{Revision: 2}, nil
		},
		"WriteWebhook": func(context.Context, activities.SealedWebhook) (activities.Written, error) {
			close(writing)
			<-release
			return activities.Written{Revision: 1}, nil
		},
	} {
		w.RegisterActivityWithOptions(run, activity.RegisterOptions{Name: name})
	}
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	client := &temporalclient.Registrations{Client: env.Client, Sealer: noSeal{}}
	ctx := t.Context()
	registered, deleted := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := client.Register(ctx, holdfast.Webhook{ID: "wh_1"}, "", time.Minute)
		registered <- err
	}()
	<-writing
	var last holdfast.Registration
	go func() {
		var err error
		last, err = client.Delete(ctx, "wh_1", workflows.Request{}, time.Minute)
		deleted <- err
	}()
	id := workflows.RegistrationID("wh_1")
	testkit.Await(t, "the write to be cancelled", func() bool {
		d, err := env.Client.DescribeWorkflowExecution(ctx, id, "")
		return err == nil && len(d.GetPendingActivities()) > 0 &&
			d.GetPendingActivities()[0].GetState() == enumspb.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED
	})
	close(release)
	require.NoError(t, <-registered)
	require.NoError(t, <-deleted)
	require.Equal(t, holdfast.WebhookDeleted, last.State)

	history := env.Client.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	written, ended := int64(0), false
	for history.HasNext() {
		e, err := history.Next()
		require.NoError(t, err)
		switch scheduled := e.GetActivityTaskScheduledEventAttributes(); {
		case scheduled.GetActivityType().GetName() == "WriteWebhook":
			written = e.GetEventId()
		case scheduled.GetActivityType().GetName() == "RemoveWebhook":
			require.True(t, ended, "the removal was begun while the write was under way")
		case written != 0 && e.GetActivityTaskCompletedEventAttributes().GetScheduledEventId() == written:
			ended = true
		}
	}
	require.True(t, ended)
}
