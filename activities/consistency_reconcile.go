package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/emprops/holdfast"
)

const (
	reconcileAtOnce   = 16
	reconcilePatience = 10 * time.Second // for one webhook; its registration may be in the middle of something
	// reconcileGiveUp is how many failures in a row mean that something all of them need is away.
	reconcileGiveUp = 2 * reconcileAtOnce
)

// ReconcileBatch names webhooks that seem to have drifted.
type ReconcileBatch struct {
	IDs   []string `json:"ids"`
	Adopt bool     `json:"adopt,omitempty"` // register what only Redis has
	Clear bool     `json:"clear,omitempty"` // remove what is left of a webhook that nobody has
}

// ReconcileTally is how often registrations answered with one action.
type ReconcileTally struct {
	Action string   `json:"action"`
	Count  int      `json:"count"`
	IDs    []string `json:"ids,omitempty"` // at most holdfast.MaxDriftIDs
}

// ReconcileResult sums up a batch.
type ReconcileResult struct {
	Tallies []ReconcileTally `json:"tallies,omitempty"`
	Failed  ReconcileTally   `json:"failed"` // those whose registration could not be asked or could not repair
	Detail  string           `json:"detail,omitempty"`
	GaveUp  bool             `json:"gave_up,omitempty"` // too many failed in a row; the rest was not tried and counts as failed
}

// reconcileProgress is what a retry of ReconcileWebhooks goes on from.
type reconcileProgress struct {
	Next   int             `json:"next"` // everything before it is done and in Result
	InARow int             `json:"in_a_row"`
	Result ReconcileResult `json:"result"`
}

// ReconcileWebhooks has the registrations of the webhooks repair what drifted, several at once. One that fails does not
// stop the others; the next check tries it again.
func (a *Consistency) ReconcileWebhooks(ctx context.Context, in ReconcileBatch) (ReconcileResult, error) {
	var p reconcileProgress
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &p); err != nil {
			p = reconcileProgress{}
		}
	}
	beat := beatWith(ctx, p)
	defer beat.stop()
	outcomes := make([]reconcileOutcome, len(in.IDs))
	for p.Next < len(in.IDs) && !p.Result.GaveUp {
		end := min(p.Next+4*reconcileAtOnce, len(in.IDs))
		a.reconcileAll(ctx, in, outcomes, p.Next, end)
		for p.Next < end && (ctx.Err() == nil || outcomes[p.Next].action != "") {
			p.add(in.IDs[p.Next], outcomes[p.Next])
			p.Next++
		}
		beat.with(p)
		if err := leaving(ctx); err != nil && p.Next < len(in.IDs) {
			return ReconcileResult{}, err
		}
	}
	if p.Result.GaveUp {
		for _, id := range in.IDs[p.Next:] {
			p.Result.Failed.add(id)
		}
	}
	return p.Result, nil
}

type reconcileOutcome struct {
	action string
	err    error
}

// reconcileAll asks for the webhooks from start to end, a bounded number at once.
func (a *Consistency) reconcileAll(ctx context.Context, in ReconcileBatch, outcomes []reconcileOutcome, start, end int) {
	slots := make(chan struct{}, reconcileAtOnce)
	var running sync.WaitGroup
	for i := start; i < end; i++ {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, reconcilePatience)
			defer cancel()
			outcomes[i] = a.reconcile(ctx, in, in.IDs[i])
		})
	}
	running.Wait()
}

func (a *Consistency) reconcile(ctx context.Context, in ReconcileBatch, id string) reconcileOutcome {
	r, err := a.Reconciler.Reconcile(ctx, id, in.Adopt)
	if err != nil || r.Action != ReconcileGone || !in.Clear {
		return reconcileOutcome{r.Action, err}
	}
	// Somebody may have registered it since.
	if _, _, err := a.Registry.ReadWebhook(ctx, id); holdfast.ErrorCode(err) != holdfast.CodeNotFound {
		return reconcileOutcome{r.Action, err}
	}
	_, _, err = a.Registry.RemoveWebhook(ctx, id)
	return reconcileOutcome{ReconcileRemoved, err}
}

func (p *reconcileProgress) add(id string, o reconcileOutcome) {
	if o.err == nil {
		p.InARow = 0
		p.Result.tally(o.action).add(id)
		return
	}
	p.InARow++
	p.Result.GaveUp = p.Result.GaveUp || p.InARow >= reconcileGiveUp
	p.Result.Failed.add(id)
	if p.Result.Detail == "" {
		p.Result.Detail = truncated(holdfast.ErrorMessage(o.err), 200)
	}
}

func (r *ReconcileResult) tally(action string) *ReconcileTally {
	for i := range r.Tallies {
		if r.Tallies[i].Action == action {
			return &r.Tallies[i]
		}
	}
	r.Tallies = append(r.Tallies, ReconcileTally{Action: action})
	return &r.Tallies[len(r.Tallies)-1]
}

func (t *ReconcileTally) add(id string) {
	t.Count++
	if len(t.IDs) < holdfast.MaxDriftIDs {
		t.IDs = append(t.IDs, id)
	}
}
