package proof_test

import (
	"context"
	"fmt"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// operation is a registration operation on its way along the steps of the saga: write, verify, refresh every live node.
// What cannot be reached leaves it pending, to go on later from the same step, perhaps on another node.
type operation struct {
	id       string
	change   *change
	step     int
	revision int64
	why      string // it is pending
}

func (o *operation) input() activities.SealedWebhook {
	return activities.SealedWebhook{Webhook: o.change.after.webhook}
}

// advance goes on as far as possible on the node and tells whether the operation is confirmed. An error is a defect.
func (o *operation) advance(ctx context.Context, s *schedule, on *process) (bool, error) {
	steps := []func(context.Context, *schedule, *process) error{o.write, o.verify, o.refresh}
	for o.step < len(steps) {
		if err := steps[o.step](ctx, s, on); err != nil {
			if code := activityCode(err); code != holdfast.CodeUnavailable && code != holdfast.CodeAborted {
				return false, fmt.Errorf("operation on %s: step %d: %w", o.id, o.step, err)
			}
			o.why = err.Error()
			return false, nil
		}
		o.step++
	}
	s.model.confirm(o.change, o.revision)
	return true, nil
}

func (o *operation) write(ctx context.Context, _ *schedule, on *process) error {
	var written activities.Written
	var err error
	if o.change.after.present {
		written, err = on.registrations.WriteWebhook(ctx, o.input())
	} else {
		written, err = on.registrations.RemoveWebhook(ctx, activities.WebhookID{ID: o.id})
	}
	o.revision = written.Revision
	return err
}

func (o *operation) verify(ctx context.Context, _ *schedule, on *process) error {
	if o.change.after.present {
		_, err := on.registrations.VerifyWebhook(ctx, o.input())
		return err
	}
	_, err := on.registrations.VerifyRemoved(ctx, activities.WebhookID{ID: o.id})
	return err
}

func (o *operation) refresh(ctx context.Context, s *schedule, on *process) error {
	live, err := on.nodes.ListLiveNodes(ctx)
	if err != nil {
		return err
	}
	for _, id := range live.IDs {
		p := s.processOf(id)
		if p == nil {
			return holdfast.Errorf(holdfast.CodeUnavailable, "%s is alive but silent", id)
		}
		at := s.model.tick()
		if _, err := p.refresher.RefreshCache(ctx, activities.RefreshRequest{Revision: o.revision}); err != nil {
			return err
		}
		p.seen(at)
	}
	return nil
}
