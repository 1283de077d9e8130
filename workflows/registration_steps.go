package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

func (r *registration) id() activities.WebhookID { return activities.WebhookID{ID: r.WebhookID} }

// prove runs an activity that has nothing to tell but how often it was attempted.
func prove(ctx workflow.Context, detail string, activity, in any) (told, error) {
	var at activities.Attempted
	err := workflow.ExecuteActivity(ctx, activity, in).Get(ctx, &at)
	return told{detail: detail, attempts: at.Attempts}, err
}

func (r *registration) check(ctx workflow.Context) (told, error) {
	return prove(checking(ctx), "", registrations.CheckWebhook, r.Webhook)
}

func (r *registration) checkExists(ctx workflow.Context) (told, error) {
	if r.Written { // the registration knows better than a Redis that may have been wiped
		return told{detail: "known to its registration"}, nil
	}
	return prove(light(ctx), "", registrations.CheckExists, r.id())
}

// prepare makes what an activity prepares the webhook that the following steps write and prove.
func (r *registration) prepare(ctx workflow.Context, activity, plan any) (told, error) {
	var p activities.Prepared
	if err := workflow.ExecuteActivity(checking(ctx), activity, plan).Get(ctx, &p); err != nil {
		return told{}, err
	}
	r.Webhook, r.RetireAt = p.Webhook, p.RetireAt
	return told{attempts: p.Attempts}, nil
}

func (r *registration) write(ctx workflow.Context) (told, error) {
	r.Written = true // before the write: one whose answer was lost must be undone as well
	var written activities.Written
	err := workflow.ExecuteActivity(light(ctx), registrations.WriteWebhook, r.Webhook).Get(ctx, &written)
	if err != nil {
		return told{}, err
	}
	r.Registration.Revision, r.Webhook.Webhook.Revision = written.Revision, written.Revision
	return told{detail: fmt.Sprintf("revision %d", written.Revision), attempts: written.Attempts}, nil
}

// writeWithoutFailures zeroes the counter first: a webhook that is on again must not be switched off by old failures.
func (r *registration) writeWithoutFailures(ctx workflow.Context) (told, error) {
	if _, err := prove(light(ctx), "", registrations.ResetFailures, r.id()); err != nil {
		return told{}, err
	}
	return r.write(ctx)
}

func (r *registration) remove(ctx workflow.Context) (told, error) {
	var written activities.Written
	err := workflow.ExecuteActivity(light(ctx), registrations.RemoveWebhook, r.id()).Get(ctx, &written)
	if err != nil {
		return told{}, err
	}
	r.Written, r.removed = false, true
	r.Registration.Revision = max(r.Registration.Revision, written.Revision)
	return told{detail: fmt.Sprintf("revision %d", written.Revision), attempts: written.Attempts}, nil
}

func (r *registration) confirm(ctx workflow.Context) (told, error) {
	return r.platform(ctx, registrations.ConfirmWebhook, r.Webhook)
}

func (r *registration) unconfirm(ctx workflow.Context) (told, error) {
	return r.platform(ctx, registrations.UnconfirmWebhook, r.id())
}

func (r *registration) platform(ctx workflow.Context, activity, in any) (told, error) {
	if err := r.takeOverConfirmation(ctx); err != nil {
		return told{}, err
	}
	var c activities.Confirmation
	err := workflow.ExecuteActivity(external(ctx), activity, in).Get(ctx, &c)
	return told{detail: c.Detail, skipped: c.Skipped, attempts: c.Attempts}, err
}

func (r *registration) verify(ctx workflow.Context) (told, error) {
	return prove(light(ctx), "registry and active set read back", registrations.VerifyWebhook, r.Webhook)
}

func (r *registration) verifyRemoved(ctx workflow.Context) (told, error) {
	return prove(light(ctx), "gone from registry and active set", registrations.VerifyRemoved, r.id())
}

func (r *registration) activate(workflow.Context) (told, error) { return told{}, nil }

// refreshPatience is how long a node may take to confirm a revision when the list of nodes does not say.
const refreshPatience = 2 * time.Second

// refresh has every live node confirm the revision on its own task queue. A node that stays silent is asked again for as
// long as its heartbeat says it is alive; one whose heartbeat has lapsed is not waited for (DESIGN 5).
func (r *registration) refresh(ctx workflow.Context) (told, error) {
	confirmed := map[string]bool{}
	for round := 0; ; round++ {
		var live activities.NodeList
		if err := workflow.ExecuteActivity(light(ctx), nodes.ListLiveNodes).Get(ctx, &live); err != nil {
			return told{attempts: round + 1}, err
		}
		missing := slices.DeleteFunc(slices.Clone(live.IDs), func(id string) bool { return confirmed[id] })
		patience := cmp.Or(time.Duration(live.PatienceMS)*time.Millisecond, refreshPatience)
		silent, err := r.refreshNodes(ctx, missing, confirmed, patience)
		if err != nil {
			return told{attempts: round + 1}, err
		}
		r.nodesAnswered(silent)
		r.Registration.CachesConfirmed, r.Registration.CachesTotal = len(confirmed), len(confirmed)+len(silent)
		r.Registration.SilentNodes = silent
		if len(silent) == 0 {
			return told{detail: fmt.Sprintf("%d of %d caches confirmed", len(confirmed), len(confirmed)), attempts: round + 1}, nil
		}
		line := &r.Registration.Steps[len(r.Registration.Steps)-1]
		line.Detail, line.Attempts = "alive but silent: "+strings.Join(silent, ", "), round+1
		workflow.GetLogger(ctx).Warn("nodes are alive but do not refresh", "webhook_id", r.WebhookID, "nodes", silent)
		// The wait grows, so that a node that is stuck for days does not fill the history.
		if err := workflow.Sleep(ctx, min(time.Second<<min(round, 10), 5*time.Minute)); err != nil {
			return told{attempts: round + 1}, err
		}
	}
}

// nodesAnswered raises an alert for every node that is silent and resolves those of the others.
func (r *registration) nodesAnswered(silent []string) {
	prefix := (&holdfast.Alert{Kind: holdfast.AlertNodeSilent, Subject: "-"}).ID()
	prefix = strings.TrimSuffix(prefix, "-")
	for _, id := range slices.Clone(r.Raised) {
		if node, ours := strings.CutPrefix(id, prefix); ours && !slices.Contains(silent, node) {
			r.resolve(holdfast.AlertNodeSilent, node)
		}
	}
	for _, node := range silent {
		r.raise(holdfast.AlertNodeSilent, node, "the node is alive but does not confirm registrations")
	}
}

// refreshNodes asks all nodes at once and returns those that did not answer in time.
func (r *registration) refreshNodes(
	ctx workflow.Context, ids []string, confirmed map[string]bool, patience time.Duration,
) ([]string, error) {
	request := activities.RefreshRequest{Revision: r.Registration.Revision}
	futures := make([]workflow.Future, len(ids))
	for i, id := range ids {
		futures[i] = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			TaskQueue: QueueNode(id), ScheduleToCloseTimeout: patience, StartToCloseTimeout: patience,
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

// checking options leave time for an endpoint that is asked for its consent.
func checking(ctx workflow.Context) workflow.Context {
	options := lightOptions
	options.StartToCloseTimeout = 45 * time.Second
	return workflow.WithActivityOptions(ctx, options)
}

// external options are for calls to EMPROPS: patient, since it may be away for days, and quick to notice its return.
func external(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 30 * time.Second, WaitForCancellation: true,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 30 * time.Second},
	})
}
