package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// operation is a saga as data: its steps in order, and the state the webhook is in when all have succeeded.
type operation struct {
	name  string
	steps []sagaStep
	end   func(*registration) holdfast.WebhookState
	// thorough goes on past a step that fails for good: what can be undone is undone.
	thorough bool
}

// sagaStep is one step; run returns a detail for the audit trail and whether the step did not apply.
type sagaStep struct {
	name string
	run  func(*registration, workflow.Context) (detail string, skipped bool, err error)
}

var opRegister = operation{
	name: "register",
	steps: []sagaStep{
		{holdfast.StepCheck, (*registration).check},
		{holdfast.StepWrite, (*registration).write},
		{holdfast.StepConfirm, (*registration).confirm},
		{holdfast.StepVerify, (*registration).verify},
		{holdfast.StepRefresh, (*registration).refresh},
		{holdfast.StepActivate, (*registration).activate},
	},
	end: func(r *registration) holdfast.WebhookState { return r.Webhook.Webhook.State() },
}

var opDelete = operation{
	name: "delete",
	steps: []sagaStep{
		{holdfast.StepCheck, (*registration).checkExists},
		{holdfast.StepWrite, (*registration).remove},
		{holdfast.StepConfirm, (*registration).unconfirm},
		{holdfast.StepVerify, (*registration).verifyRemoved},
		{holdfast.StepRefresh, (*registration).refresh},
		{holdfast.StepActivate, (*registration).activate},
	},
	end: func(*registration) holdfast.WebhookState { return holdfast.WebhookDeleted },
}

// opCompensate undoes a registration in the opposite order of what it may have done: no node may match a webhook that
// the registry does not hold.
var opCompensate = operation{
	name: holdfast.StepCompensate,
	steps: []sagaStep{
		{holdfast.StepWrite, (*registration).remove},
		{holdfast.StepConfirm, (*registration).unconfirm},
		{holdfast.StepVerify, (*registration).verifyRemoved},
		{holdfast.StepRefresh, (*registration).refresh},
	},
	end:      func(*registration) holdfast.WebhookState { return holdfast.WebhookFailed },
	thorough: true,
}

func (r *registration) id() activities.WebhookID { return activities.WebhookID{ID: r.WebhookID} }

func (r *registration) check(ctx workflow.Context) (string, bool, error) {
	err := workflow.ExecuteActivity(light(ctx), registrations.CheckWebhook, r.Webhook).Get(ctx, nil)
	return "", false, err
}

func (r *registration) checkExists(ctx workflow.Context) (string, bool, error) {
	if r.Written { // the registration knows better than a Redis that may have been wiped
		return "known to its registration", false, nil
	}
	err := workflow.ExecuteActivity(light(ctx), registrations.CheckExists, r.id()).Get(ctx, nil)
	return "", false, err
}

func (r *registration) write(ctx workflow.Context) (string, bool, error) {
	r.Written = true // before the write: one whose answer was lost must be undone as well
	var written activities.Written
	err := workflow.ExecuteActivity(light(ctx), registrations.WriteWebhook, r.Webhook).Get(ctx, &written)
	if err == nil {
		r.Registration.Revision, r.Webhook.Webhook.Revision = written.Revision, written.Revision
	}
	return fmt.Sprintf("revision %d", written.Revision), false, err
}

func (r *registration) remove(ctx workflow.Context) (string, bool, error) {
	var written activities.Written
	err := workflow.ExecuteActivity(light(ctx), registrations.RemoveWebhook, r.id()).Get(ctx, &written)
	if err != nil {
		return "", false, err
	}
	r.Written = false
	r.Registration.Revision = max(r.Registration.Revision, written.Revision)
	return fmt.Sprintf("revision %d", written.Revision), false, nil
}

func (r *registration) confirm(ctx workflow.Context) (string, bool, error) {
	var c activities.Confirmation
	err := workflow.ExecuteActivity(external(ctx), registrations.ConfirmWebhook, r.Webhook).Get(ctx, &c)
	return c.Detail, c.Skipped, err
}

func (r *registration) unconfirm(ctx workflow.Context) (string, bool, error) {
	var c activities.Confirmation
	err := workflow.ExecuteActivity(external(ctx), registrations.UnconfirmWebhook, r.id()).Get(ctx, &c)
	return c.Detail, c.Skipped, err
}

func (r *registration) verify(ctx workflow.Context) (string, bool, error) {
	err := workflow.ExecuteActivity(light(ctx), registrations.VerifyWebhook, r.Webhook).Get(ctx, nil)
	return "registry and active set read back", false, err
}

func (r *registration) verifyRemoved(ctx workflow.Context) (string, bool, error) {
	err := workflow.ExecuteActivity(light(ctx), registrations.VerifyRemoved, r.id()).Get(ctx, nil)
	return "gone from registry and active set", false, err
}

func (r *registration) activate(workflow.Context) (string, bool, error) { return "", false, nil }

// refresh has every live node confirm the revision on its own task queue. A node that stays silent is asked again for as
// long as its heartbeat says it is alive; one whose heartbeat has lapsed is not waited for (DESIGN 5).
func (r *registration) refresh(ctx workflow.Context) (string, bool, error) {
	confirmed := map[string]bool{}
	for round := 0; ; round++ {
		var live activities.NodeList
		if err := workflow.ExecuteActivity(light(ctx), nodes.ListLiveNodes).Get(ctx, &live); err != nil {
			return "", false, err
		}
		missing := slices.DeleteFunc(slices.Clone(live.IDs), func(id string) bool { return confirmed[id] })
		silent, err := r.refreshNodes(ctx, missing, confirmed)
		if err != nil {
			return "", false, err
		}
		r.Registration.CachesConfirmed, r.Registration.CachesTotal = len(confirmed), len(confirmed)+len(silent)
		r.Registration.SilentNodes = silent
		if len(silent) == 0 {
			return fmt.Sprintf("%d of %d caches confirmed", len(confirmed), len(confirmed)), false, nil
		}
		r.Registration.Steps[len(r.Registration.Steps)-1].Detail = "alive but silent: " + strings.Join(silent, ", ")
		workflow.GetLogger(ctx).Warn("nodes are alive but do not refresh", "webhook_id", r.WebhookID, "nodes", silent)
		// The wait grows, so that a node that is stuck for days does not fill the history.
		if err := workflow.Sleep(ctx, min(time.Second<<min(round, 10), 5*time.Minute)); err != nil {
			return "", false, err
		}
	}
}

// refreshNodes asks all nodes at once and returns those that did not answer in time.
func (r *registration) refreshNodes(ctx workflow.Context, ids []string, confirmed map[string]bool) ([]string, error) {
	request := activities.RefreshRequest{Revision: r.Registration.Revision}
	futures := make([]workflow.Future, len(ids))
	for i, id := range ids {
		futures[i] = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			TaskQueue: QueueNode(id), ScheduleToCloseTimeout: refreshPatience, StartToCloseTimeout: refreshPatience,
			RetryPolicy: &temporal.RetryPolicy{InitialInterval: 50 * time.Millisecond, MaximumInterval: 500 * time.Millisecond},
		}), nodeCache.RefreshCache, request)
	}
	var silent []string
	for i, f := range futures {
		err := f.Get(ctx, nil)
		switch {
		case err == nil:
			confirmed[ids[i]] = true
		case temporal.IsCanceledError(err):
			return nil, err
		default:
			silent = append(silent, ids[i])
		}
	}
	return silent, nil
}

func light(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, lightOptions)
}

// external options are for calls to EMPROPS: patient, since it may be away for days, and quick to notice its return.
func external(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 30 * time.Second, WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}
