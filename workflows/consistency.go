package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// CheckInput says how a check is carried out.
type CheckInput struct {
	// Full compares every registration and asks EMPROPS about every webhook, even without a reason to.
	Full bool `json:"full,omitempty"`
	// NodePatienceMS is how long a node may take to answer before it counts as silent.
	NodePatienceMS int64 `json:"node_patience_ms"`
	// PlatformSample is how many webhooks EMPROPS is asked about in one check; the next one goes on from there.
	PlatformSample int `json:"platform_sample"`
}

// CheckResult is the report of a check and what the next one goes on from.
type CheckResult struct {
	holdfast.ConsistencyReport
	Runs          int    `json:"runs"`                     // checks so far
	PlatformAfter string `json:"platform_after,omitempty"` // the last webhook that EMPROPS was asked about
	PlatformWrong int    `json:"platform_wrong,omitempty"` // found since EMPROPS was asked about the first webhook
}

const (
	// listEvery is the number of checks after which registrations are compared one by one without a reason: as many may be
	// missing as there are too many.
	listEvery = 10
	// inspectLimit bounds the ids of one kind that one activity tells: they are part of the history.
	inspectLimit = 5000
	// maxRounds bounds how often a check asks for more of them; the rest is left to the next check.
	maxRounds = 10
	// maxPasses bounds how often a check looks at a registry that is wiped again and again.
	maxPasses      = 4
	reconcileBatch = 500
	// settleDelay is how long registrations may take to show in Temporal's index.
	settleDelay = 2 * time.Second
	// rebuildPatience is how long a node may take to load everything anew.
	rebuildPatience = time.Minute
)

// nil pointers, as in delivery.go.
var (
	consistency    *activities.Consistency
	nodeInspection *activities.NodeInspection
	alerts         *activities.Alerts
)

// check is the state of one ConsistencyCheck.
type check struct {
	in     CheckInput
	out    CheckResult
	list   bool
	alerts activities.AlertState

	audited bool                     // state is known
	state   activities.RegistryState // of Redis, as it was last seen
	touched bool                     // something in Redis was repaired since
	adopted int                      // webhooks that became registered
}

// ConsistencyCheck compares Redis with itself, with the open registrations, with every node's cache and with EMPROPS, and
// repairs what differs (DESIGN 5). The registrations are the truth about webhooks: what is only in Redis was written by the
// original and becomes registered. A part that cannot be looked at is reported and hides nothing of the others.
func ConsistencyCheck(ctx workflow.Context, in CheckInput) (CheckResult, error) {
	c := &check{in: in}
	var before CheckResult
	if workflow.HasLastCompletionResult(ctx) && workflow.GetLastCompletionResult(ctx, &before) != nil {
		before = CheckResult{}
	}
	started := workflow.Now(ctx)
	info := workflow.GetInfo(ctx)
	c.list = in.Full || before.Runs%listEvery == 0
	c.out = CheckResult{Runs: before.Runs + 1, PlatformAfter: before.PlatformAfter, PlatformWrong: before.PlatformWrong}
	c.out.StartedAt, c.alerts.At = started.UnixMilli(), started.UnixMilli()
	c.out.WorkflowID, c.out.RunID = info.WorkflowExecution.ID, info.WorkflowExecution.RunID

	c.registry(ctx)
	c.nodes(ctx)
	c.platform(ctx)
	if err := ctx.Err(); err != nil {
		return c.out, err
	}
	c.conclude(ctx, started)
	return c.out, nil
}

// conclude sums up, keeps the report and settles the alerts.
func (c *check) conclude(ctx workflow.Context, started time.Time) {
	r := &c.out.ConsistencyReport
	r.Revision, r.Webhooks, r.Active = c.state.Position.Revision, c.state.Webhooks, c.state.Active
	r.Registrations = c.state.Registrations
	r.Consistent = len(r.Drifts) == 0
	r.Repaired = !r.Consistent
	for _, d := range r.Drifts {
		r.Repaired = r.Repaired && d.Failed == 0
		c.raise(holdfast.AlertDrift, string(d.Kind), describe(d))
	}
	c.cover(holdfast.DriftUnchecked)
	r.DurationMS = workflow.Now(ctx).Sub(started).Milliseconds()
	log := workflow.GetLogger(ctx)
	if !r.Consistent {
		log.Warn("the system was not consistent", "drifts", len(r.Drifts), "repaired", r.Repaired)
	}
	if err := workflow.ExecuteActivity(quick(ctx), consistency.SaveReport, *r).Get(ctx, nil); err != nil {
		log.Warn("the report of the consistency check could not be kept", "error", err)
	}
	if err := workflow.ExecuteActivity(quick(ctx), alerts.SettleAlerts, c.alerts).Get(ctx, nil); err != nil {
		log.Warn("the alerts of the consistency check could not be settled", "error", err)
	}
}

// drift returns the report's line about the kind, made when there is none yet.
func (c *check) drift(kind holdfast.DriftKind) *holdfast.Drift {
	for i := range c.out.Drifts {
		if c.out.Drifts[i].Kind == kind {
			return &c.out.Drifts[i]
		}
	}
	c.out.Drifts = append(c.out.Drifts, holdfast.Drift{Kind: kind})
	return &c.out.Drifts[len(c.out.Drifts)-1]
}

// found adds to the report what was affected, and what became of it.
func (c *check) found(kind holdfast.DriftKind, count int, ids []string, action string) *holdfast.Drift {
	d := c.drift(kind)
	d.Count += count
	for _, id := range ids {
		if len(d.IDs) < holdfast.MaxDriftIDs && !slices.Contains(d.IDs, id) {
			d.IDs = append(d.IDs, id)
		}
	}
	switch {
	case d.Action == "":
		d.Action = action
	case action != "" && !slices.Contains(splitActions(d.Action), action):
		d.Action += actionSeparator + action
	}
	return d
}

// failed is found for what could not be repaired.
func (c *check) failed(kind holdfast.DriftKind, count int, ids []string, detail string) {
	d := c.found(kind, count, ids, actionLater)
	d.Failed += count
	if d.Detail == "" {
		d.Detail = detail
	}
}

// unchecked reports a part that could not be carried out.
func (c *check) unchecked(part, why string) {
	if !slices.Contains(c.drift(holdfast.DriftUnchecked).IDs, part) {
		c.failed(holdfast.DriftUnchecked, 1, []string{part}, part+": "+why)
	}
}

// raise notes an alert.
func (c *check) raise(kind holdfast.AlertKind, subject, message string) {
	c.alerts.Raised = append(c.alerts.Raised, holdfast.Alert{Kind: kind, Subject: subject, Message: message})
}

// cover notes that drifts of the kinds were looked for: an alert about one that was not found is over.
func (c *check) cover(kinds ...holdfast.DriftKind) {
	for _, k := range kinds {
		c.alerts.Scopes = append(c.alerts.Scopes, activities.AlertScope{Kind: holdfast.AlertDrift, Subjects: []string{string(k)}})
	}
}

// coverAll notes that every subject of an alert was looked at.
func (c *check) coverAll(kind holdfast.AlertKind) {
	c.alerts.Scopes = append(c.alerts.Scopes, activities.AlertScope{Kind: kind})
}

// quick options are for activities that only talk to Redis: a check that waits for it holds up the next one.
func quick(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 15 * time.Second, RetryPolicy: someTimes(4),
	})
}

// heavy options are for activities that look at everything; beating for those that work on many webhooks.
func heavy(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 3 * time.Minute, RetryPolicy: someTimes(3),
	})
}

func beating(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 15 * time.Minute, HeartbeatTimeout: 10 * time.Second, RetryPolicy: someTimes(5),
	})
}

// describe is a drift in one sentence for people.
func describe(d holdfast.Drift) string {
	text := fmt.Sprintf("%s: %d; %s", driftTexts[d.Kind], d.Count, d.Action)
	if d.Failed > 0 && d.Failed < d.Count {
		text += fmt.Sprintf(" (%d)", d.Failed)
	}
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	return text
}
