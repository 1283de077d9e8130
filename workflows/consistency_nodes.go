package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// versionMoving gates that nodes may show any revision between those of Redis before and after they were asked: a check
// begun before compared them with the last alone, and found a drift wherever webhooks were registered all the time.
const versionMoving = "consistency-moving"

// nodes brings every live node's cache up to date and has those that still differ from Redis rebuild it.
func (c *check) nodes(ctx workflow.Context) {
	live, err := c.liveNodes(ctx)
	if err != nil {
		c.unchecked("nodes", reason(err))
		return
	}
	c.out.Nodes = len(live)
	asked := c.state
	reports, silent := c.askNodes(ctx, live, nodeInspection.InspectNode, time.Duration(c.in.NodePatienceMS)*time.Millisecond)
	moved := false
	if c.audited && slices.ContainsFunc(reports, func(r activities.NodeReport) bool { return r.Revision > c.state.Position.Revision }) {
		// The registry has moved on since, or the node shows a registry that is no more.
		registrations := c.state.Registrations
		if _, err := c.inspect(ctx, activities.RegistryInspection{Limit: inspectLimit}); err == nil {
			c.state.Registrations = max(c.state.Registrations, registrations)
			moved = workflow.GetVersion(ctx, versionMoving, workflow.DefaultVersion, 1) != workflow.DefaultVersion
		}
	}
	if !moved {
		asked = c.state
	}
	if c.audited {
		c.rebuildNodes(ctx, reports, asked)
	}
	for _, r := range reports {
		if r.Degraded != "" {
			c.raise(holdfast.AlertNodeDegraded, r.Node, "the node matches on its last good snapshot: "+r.Degraded)
		}
	}
	c.coverAll(holdfast.AlertNodeDegraded)
	if c.silent(ctx, silent) {
		c.coverAll(holdfast.AlertNodeSilent)
		c.cover(holdfast.DriftNodeSilent)
	}
	c.cover(holdfast.DriftNode)
}

func (c *check) liveNodes(ctx workflow.Context) ([]string, error) {
	var live activities.NodeList
	err := workflow.ExecuteActivity(quick(ctx), nodes.ListLiveNodes).Get(ctx, &live)
	return live.IDs, err
}

// rebuildNodes has the nodes that differ load everything anew and puts their new reports in place. The nodes were asked
// when Redis was as asked says.
func (c *check) rebuildNodes(ctx workflow.Context, reports []activities.NodeReport, asked activities.RegistryState) {
	var differ []string
	why := ""
	for _, r := range reports {
		if d := difference(r, asked, c.state); d != "" {
			differ = append(differ, r.Node)
			if why == "" {
				why = r.Node + ": " + d
			}
		}
	}
	if len(differ) == 0 {
		return
	}
	d := c.found(holdfast.DriftNode, len(differ), differ, actionRebuilt)
	d.Detail = why
	rebuilt, silent := c.askNodes(ctx, differ, nodeInspection.RebuildCache, rebuildPatience)
	d.Failed = len(silent)
	asked = c.state
	if slices.ContainsFunc(rebuilt, func(r activities.NodeReport) bool { return r.Revision > asked.Position.Revision }) &&
		workflow.GetVersion(ctx, versionMoving, workflow.DefaultVersion, 1) != workflow.DefaultVersion {
		if _, err := c.inspect(ctx, activities.RegistryInspection{Limit: inspectLimit}); err == nil {
			c.state.Registrations = max(c.state.Registrations, asked.Registrations)
		}
	}
	for _, r := range rebuilt {
		i := slices.IndexFunc(reports, func(old activities.NodeReport) bool { return old.Node == r.Node })
		if r.Revision == 0 && r.Digest == "" { // it answered that it could not
			d.Failed++
			continue
		}
		reports[i] = r
		if still := difference(r, asked, c.state); still != "" {
			d.Failed++
			d.Detail = r.Node + ": " + still
		}
	}
}

// difference says how a node's snapshot differs from Redis, "" when it does not. Redis is known as it was when the node was
// asked and as it was after the answer; a revision between the two the node has verified by itself.
func difference(r activities.NodeReport, asked, now activities.RegistryState) string {
	switch at := now.Position; {
	case r.Revision < asked.Position.Revision:
		return fmt.Sprintf("at revision %d, not at %d", r.Revision, asked.Position.Revision)
	case r.Revision > at.Revision && !at.Complete:
		return "" // it holds what Redis has lost
	case r.Revision > at.Revision:
		return fmt.Sprintf("at revision %d, which is past %d", r.Revision, at.Revision)
	case r.Revision == at.Revision:
		return differentContent(r, now)
	case r.Revision == asked.Position.Revision:
		return differentContent(r, asked)
	}
	return ""
}

// differentContent compares a snapshot with Redis at the same revision.
func differentContent(r activities.NodeReport, s activities.RegistryState) string {
	switch p := s.Position; {
	case r.Digest != p.Digest:
		return "another digest"
	case p.Complete && (r.Webhooks > s.Webhooks || r.Webhooks+r.Poisoned < s.Webhooks):
		return fmt.Sprintf("%d webhooks instead of %d", r.Webhooks, s.Webhooks)
	}
	return ""
}

// silent reports the nodes that did not answer and are still alive. It tells whether it could find out.
func (c *check) silent(ctx workflow.Context, ids []string) bool {
	if len(ids) == 0 {
		return true
	}
	live, err := c.liveNodes(ctx)
	if err != nil {
		c.unchecked("nodes", reason(err))
		return false
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return !slices.Contains(live, id) })
	if len(ids) > 0 {
		c.failed(holdfast.DriftNodeSilent, len(ids), ids, "no answer within "+(time.Duration(c.in.NodePatienceMS)*time.Millisecond).String())
	}
	for _, id := range ids {
		c.raise(holdfast.AlertNodeSilent, id, "the node is alive but does not refresh its cache")
	}
	return true
}

// askNodes runs an activity on each node at once. A node that answers with an error is not silent; its report says
// nothing but that it is degraded.
func (c *check) askNodes(
	ctx workflow.Context, ids []string, activity any, patience time.Duration,
) (reports []activities.NodeReport, silent []string) {
	request := activities.RefreshRequest{Revision: c.state.Position.Revision}
	futures := make([]workflow.Future, len(ids))
	for i, id := range ids {
		futures[i] = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			TaskQueue: QueueNode(id), ScheduleToCloseTimeout: patience, StartToCloseTimeout: patience, RetryPolicy: someTimes(3),
		}), activity, request)
	}
	for i, f := range futures {
		var r activities.NodeReport
		var app *temporal.ApplicationError
		switch err := f.Get(ctx, &r); {
		case err == nil:
			r.Node = ids[i]
			reports = append(reports, r)
		case errors.As(err, &app):
			reports = append(reports, activities.NodeReport{Node: ids[i], Degraded: reason(err)})
		default:
			silent = append(silent, ids[i])
		}
	}
	return reports, silent
}
