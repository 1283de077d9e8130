package demo

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

const (
	period   = 25 * time.Millisecond // between looks at the receivers
	patience = 15 * time.Second      // after the last message, for the last delivery
)

// play publishes the stream at its pace and prints what arrives, until every delivery is done.
func (r *run) play(ctx context.Context, w *watch) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	began := time.Now()
	left := w.messages
	for {
		for len(left) > 0 && time.Since(began) >= time.Duration(left[0].AfterMS)*time.Millisecond {
			if err := r.publish(ctx, w, left[0], began); err != nil {
				return err
			}
			left = left[1:]
		}
		if err := r.look(ctx, w); err != nil {
			return err
		}
		if len(left) == 0 {
			open := w.open()
			if len(open) == 0 {
				return nil
			}
			if last := w.messages[len(w.messages)-1]; time.Since(last.published) > patience {
				return fmt.Errorf("every delivery has to be done within %s of the last message: %s", patience, open[0].missing())
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish puts one message on its channel, as the job broker does.
func (r *run) publish(ctx context.Context, w *watch, m *message, began time.Time) error {
	m.published = time.Now()
	m.fill(began, m.published)
	f, err := w.expect(m)
	if err != nil {
		return err
	}
	if m.listeners, err = r.broker.Publish(ctx, m.Channel, string(m.Message)).Result(); err != nil {
		return fmt.Errorf("publishing on %s: %w", m.Channel, err)
	}
	r.out.line("published", "%-20s %s", m.Channel, f.about())
	return nil
}

// look asks the receivers what arrived, and for the deliveries of it.
func (r *run) look(ctx context.Context, w *watch) error {
	for _, t := range w.targets {
		if !w.waits(t) {
			continue
		}
		if err := r.ask(ctx, w, t); err != nil {
			return err
		}
	}
	for _, p := range w.open() {
		if p.eventID == "" {
			continue
		}
		answer, err := r.deliveries.GetDelivery(ctx, &holdfastv1.GetDeliveryRequest{Id: p.id()})
		if connect.CodeOf(err) == connect.CodeNotFound { // the record follows the receiver's answer
			continue
		}
		if err != nil {
			return fmt.Errorf("reading the delivery %s: %w", p.id(), err)
		}
		lines, err := p.advance(answer.GetDelivery(), w.temporalUI)
		for _, l := range lines {
			r.out.line(l.label, "%s", l.text)
		}
		if err != nil {
			return fmt.Errorf("%s to %s (delivery %s): %w", p.message.Channel, p.target.name, p.id(), err)
		}
	}
	return nil
}

// ask reads what one receiver recorded.
func (r *run) ask(ctx context.Context, w *watch, t *target) error {
	answer, err := r.receivers.ListReceivedRequests(ctx, &holdfastv1.ListReceivedRequestsRequest{
		ReceiverId: t.receiverID, WebhookId: t.webhook.GetId(), PageSize: 100,
	})
	if err != nil {
		return fmt.Errorf("reading what %s received: %w", t.name, err)
	}
	return w.arrived(t, answer.GetRequests())
}
