package workflows

import (
	"errors"
	"maps"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// registry compares and repairs Redis and the registrations, until the registry can be called complete.
func (c *check) registry(ctx workflow.Context) {
	settled := false
	for range maxPasses {
		whole := c.pass(ctx)
		position := c.state.Position
		if !c.audited || position.Complete || !whole {
			break
		}
		if c.state.Registrations > 0 && !settled {
			// A registration that began just before the registry was lost may not show in the index yet.
			settled = true
			if err := workflow.Sleep(ctx, settleDelay); err != nil {
				return
			}
			continue
		}
		err := workflow.ExecuteActivity(quick(ctx), consistency.MarkComplete,
			activities.Completion{Incarnation: position.Incarnation}).Get(ctx, nil)
		if err == nil {
			c.touched = true
			break
		}
		var app *temporal.ApplicationError
		if errors.As(err, &app) && app.NonRetryable() { // another incarnation by now: it was wiped under the check
			continue
		}
		c.unchecked("completeness", reason(err))
		break
	}
	if !c.audited {
		return
	}
	c.poisoned(ctx)
	if c.touched {
		c.verify(ctx)
	}
	c.cover(holdfast.DriftActiveSet, holdfast.DriftDigest, holdfast.DriftChanged, holdfast.DriftSealing, holdfast.DriftPoisoned)
	if c.state.Unlisted == "" {
		c.cover(holdfast.DriftMissing, holdfast.DriftUnregistered)
	}
}

// pass looks at everything once and repairs it, page by page. It tells whether all of it was compared and nothing that
// belongs into Redis is left to repair.
func (c *check) pass(ctx workflow.Context) bool {
	whole := true
	in := activities.RegistryInspection{List: c.list, Deep: c.in.Full, Limit: inspectLimit, After: map[holdfast.DriftKind]string{}}
	for range maxRounds {
		s, err := c.inspect(ctx, in)
		if err != nil {
			c.unchecked("registry", reason(err))
			return false
		}
		if s.Unlisted != "" {
			c.unchecked("registrations", s.Unlisted)
			whole = false
		}
		whole = whole && (s.Listed || s.Position.Complete)
		more := false
		in.After = maps.Clone(in.After) // the one before belongs to an activity
		for _, suspects := range s.Suspects {
			if len(suspects.IDs) == 0 {
				continue
			}
			whole = c.repair(ctx, suspects) && whole
			in.After[suspects.Kind] = suspects.IDs[len(suspects.IDs)-1]
			more = more || suspects.More && suspects.Kind != holdfast.DriftPoisoned
		}
		if s.DigestWrong {
			whole = c.rebuildDigest(ctx) && whole
		}
		if !more {
			return whole
		}
		if ctx.Err() != nil {
			return false
		}
	}
	return false
}

// inspect reads the state of Redis and keeps it.
func (c *check) inspect(ctx workflow.Context, in activities.RegistryInspection) (activities.RegistryState, error) {
	var s activities.RegistryState
	err := workflow.ExecuteActivity(heavy(ctx), consistency.InspectRegistry, in).Get(ctx, &s)
	if err == nil {
		c.state, c.audited = s, true
	}
	return s, err
}

// repair deals with the suspects of one kind and tells whether nothing is left to repair.
func (c *check) repair(ctx workflow.Context, s activities.Suspects) bool {
	switch s.Kind {
	case holdfast.DriftPoisoned: // once the registry is repaired; see poisoned
		return true
	case holdfast.DriftActiveSet:
		c.touched = true
		err := workflow.ExecuteActivity(quick(ctx), consistency.RepairActiveSet, activities.ActiveSetRepair{IDs: s.IDs}).Get(ctx, nil)
		if err != nil {
			c.failed(s.Kind, len(s.IDs), s.IDs, reason(err))
			return false
		}
		c.found(s.Kind, len(s.IDs), s.IDs, actionCorrected)
		return true
	default:
		return c.reconcile(ctx, s.Kind, s.IDs)
	}
}

// reconcile has the registrations repair their webhooks. Those that answer that nothing is wrong were suspected by an
// index that lags behind, and are no drift.
func (c *check) reconcile(ctx workflow.Context, kind holdfast.DriftKind, ids []string) bool {
	repaired := true
	for len(ids) > 0 {
		batch := activities.ReconcileBatch{
			IDs: ids[:min(len(ids), reconcileBatch)], Adopt: kind == holdfast.DriftUnregistered, Clear: kind == activities.SuspectOrphan,
		}
		ids = ids[len(batch.IDs):]
		var r activities.ReconcileResult
		if err := workflow.ExecuteActivity(beating(ctx), consistency.ReconcileWebhooks, batch).Get(ctx, &r); err != nil {
			c.failed(suspected(kind), len(batch.IDs), batch.IDs, reason(err))
			repaired = false
			continue
		}
		for _, t := range r.Tallies {
			switch repair, ok := repairs[t.Action]; {
			case kind == activities.SuspectOrphan && t.Action == activities.ReconcileRemoved: // a revision of nothing
				c.found(holdfast.DriftDigest, t.Count, t.IDs, repair.text)
			case ok && repair.kind != "":
				c.found(repair.kind, t.Count, t.IDs, repair.text)
			case ok:
				c.found(suspected(kind), t.Count, t.IDs, repair.text)
			default:
				continue
			}
			c.touched = true
			if t.Action == activities.ReconcileAdopted {
				c.adopted += t.Count
			}
		}
		if r.Failed.Count > 0 {
			c.failed(suspected(kind), r.Failed.Count, r.Failed.IDs, r.Detail)
			repaired = false
		}
		if r.GaveUp && len(ids) > 0 { // what all of them need is away; the rest would fail as well
			c.failed(suspected(kind), len(ids), ids, r.Detail)
			return false
		}
	}
	return repaired
}

// suspected is the kind that a report names for suspects whose registration did not say more.
func suspected(kind holdfast.DriftKind) holdfast.DriftKind {
	if kind == activities.SuspectOrphan {
		return holdfast.DriftMissing
	}
	return kind
}

func (c *check) rebuildDigest(ctx workflow.Context) bool {
	c.touched = true
	if err := workflow.ExecuteActivity(quick(ctx), consistency.RebuildDigest).Get(ctx, nil); err != nil {
		c.failed(holdfast.DriftDigest, 1, nil, reason(err))
		return false
	}
	c.found(holdfast.DriftDigest, 1, nil, actionRebuilt)
	return true
}

// poisoned has the registrations of unreadable entries write them anew. Those without an open registration stay as they
// are: they match nothing, harm no other (D31), and people are told.
func (c *check) poisoned(ctx workflow.Context) {
	before := c.unreadable()
	if before > 0 && len(c.state.Repairable) > 0 {
		ids := make([]string, 0, len(c.state.Poisoned))
		for _, p := range c.state.Poisoned {
			ids = append(ids, p.ID)
		}
		var r activities.ReconcileResult
		batch := activities.ReconcileBatch{IDs: c.state.Repairable}
		err := workflow.ExecuteActivity(beating(ctx), consistency.ReconcileWebhooks, batch).Get(ctx, &r)
		if _, inspected := c.inspect(ctx, activities.RegistryInspection{Limit: inspectLimit}); err == nil && inspected == nil {
			ids = slices.DeleteFunc(ids, func(id string) bool {
				return slices.ContainsFunc(c.state.Poisoned, func(p activities.PoisonedEntry) bool { return p.ID == id })
			})
			if repaired := before - c.unreadable(); repaired > 0 {
				c.found(holdfast.DriftPoisoned, repaired, ids, repairs[activities.ReconcileRewritten].text)
			}
		}
		c.touched = true
	}
	for _, p := range c.state.Poisoned {
		c.raise(holdfast.AlertPoisoned, p.ID, "the stored entry cannot be used and is left out of matching: "+p.Reason)
	}
	left := c.unreadable()
	if left > 0 {
		ids := make([]string, len(c.state.Poisoned))
		for i, p := range c.state.Poisoned {
			ids[i] = p.ID
		}
		d := c.found(holdfast.DriftPoisoned, left, ids, actionIsolated)
		d.Failed += left
		if d.Detail == "" && len(c.state.Poisoned) > 0 {
			d.Detail = c.state.Poisoned[0].Reason
		}
	}
	if left <= len(c.state.Poisoned) { // more than are told of: who is missing may not be readable again
		c.coverAll(holdfast.AlertPoisoned)
	}
}

// unreadable is how many entries of Redis cannot be used.
func (c *check) unreadable() int {
	for _, s := range c.state.Suspects {
		if s.Kind == holdfast.DriftPoisoned {
			return s.Count
		}
	}
	return 0
}

// verify looks once more at what was repaired: a repair counts only when it can be seen.
func (c *check) verify(ctx workflow.Context) {
	registrations := c.state.Registrations + c.adopted
	s, err := c.inspect(ctx, activities.RegistryInspection{Limit: inspectLimit})
	if err != nil {
		c.unchecked("verification", reason(err))
		return
	}
	c.state.Registrations = max(s.Registrations, registrations) // new ones may not show in the index yet
	for i := range c.out.Drifts {
		d := &c.out.Drifts[i]
		switch left := remaining(s, d.Kind); {
		case left == 0:
		case d.Kind == holdfast.DriftActiveSet, d.Kind == holdfast.DriftDigest:
			d.Failed = min(max(d.Failed, left), d.Count)
			if d.Detail == "" {
				d.Detail = "still wrong after the repair"
			}
		}
	}
}

// remaining is how much of a kind that only Redis has to do with is still wrong.
func remaining(s activities.RegistryState, kind holdfast.DriftKind) int {
	if kind == holdfast.DriftDigest && s.DigestWrong {
		return 1
	}
	for _, found := range s.Suspects {
		if found.Kind == kind {
			return found.Count
		}
	}
	return 0
}
