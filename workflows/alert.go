package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
)

// notifyPatience is how long people are tried to be told of an alert.
const notifyPatience = 24 * time.Hour

// Alert tells people that an alert began or ended, and tries for a day. It ends with an error when nobody could be told.
func Alert(ctx workflow.Context, alert holdfast.Alert) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 30 * time.Second, ScheduleToCloseTimeout: notifyPatience,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Minute},
	})
	return workflow.ExecuteActivity(ctx, alerts.NotifyAlert, alert).Get(ctx, nil)
}
