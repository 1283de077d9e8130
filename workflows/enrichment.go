package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/activities"
)

// nil pointer, as in delivery.go.
var enrichments *activities.Enrichments

const (
	enrichmentTimeout = 30 * time.Second // of one try
	enrichmentMaxWait = time.Minute      // between two
)

// Enrichment publishes an event once what its message only refers to was fetched, or without that when it cannot be had in
// time: the outputs of a completed workflow (D19). It ends when the event is durable, however long that takes (G3). The
// activity is local, so that the event is in the history once; the waits are the workflow's, because the retries of a local
// activity end with its time.
func Enrichment(ctx workflow.Context, in activities.Enrichment) error {
	once := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: enrichmentTimeout, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	for wait := time.Second; ; wait = min(2*wait, enrichmentMaxWait) {
		err := workflow.ExecuteLocalActivity(once, enrichments.PublishEnriched, in).Get(ctx, nil)
		if err == nil {
			return nil
		}
		workflow.GetLogger(ctx).Warn("an event could not be completed or published, trying again", "error", err)
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return workflow.NewContinueAsNewError(ctx, TypeEnrichment, in)
		}
		if err := workflow.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}
