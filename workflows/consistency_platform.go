package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// platform asks EMPROPS for its health and about a sample of webhooks, each check about the next ones.
func (c *check) platform(ctx workflow.Context) {
	in := activities.PlatformInspection{After: c.out.PlatformAfter, Limit: c.in.PlatformSample}
	if c.in.Full {
		in = activities.PlatformInspection{}
		c.out.PlatformWrong = 0
	}
	var s activities.PlatformState
	if err := workflow.ExecuteActivity(beating(ctx), consistency.InspectPlatform, in).Get(ctx, &s); err != nil {
		c.unchecked("emprops", reason(err))
		return
	}
	c.out.PlatformAsked, c.out.PlatformKnown = s.Asked, s.Known
	if s.Unhealthy != "" {
		c.failed(holdfast.DriftPlatformHealth, 1, nil, s.Unhealthy)
		c.raise(holdfast.AlertPlatformUnreachable, "", s.Unhealthy)
		return
	}
	c.cover(holdfast.DriftPlatformHealth)
	c.coverAll(holdfast.AlertPlatformUnreachable)
	if s.Confirmed.Count > 0 {
		c.found(holdfast.DriftPlatform, s.Confirmed.Count, s.Confirmed.IDs, actionConfirmed)
	}
	wrong := s.Confirmed.Count
	// Where EMPROPS need not know a webhook, one that it does not take shows in the numbers and is nothing to repair.
	if s.Required && s.Failed.Count > 0 {
		c.failed(holdfast.DriftPlatform, s.Failed.Count, s.Failed.IDs, s.Detail)
		wrong += s.Failed.Count
	}
	c.out.PlatformAfter = s.Next
	c.out.PlatformWrong += wrong
	if s.Next != "" {
		return
	}
	// Every webhook has been asked about since the count began: only now is it known that nothing is wrong any more.
	if c.out.PlatformWrong == 0 {
		c.cover(holdfast.DriftPlatform)
	}
	c.out.PlatformWrong = 0
}
