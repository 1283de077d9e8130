package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// listed is how many deliveries the demo asks for at once; it makes far fewer.
const listed = 500

// summary looks once more for what must not have happened and prints what came of it all.
func (r *run) summary(ctx context.Context, w *watch) error {
	for _, t := range w.targets {
		if err := r.ask(ctx, w, t); err != nil {
			return err
		}
		if err := r.listed(ctx, w, t); err != nil {
			return err
		}
	}
	retries := 0
	var latencies []time.Duration
	for _, p := range w.passages {
		if len(p.requests) != len(p.delivery.GetAttempts()) {
			return fmt.Errorf("%s has to arrive once at %s, it arrived again", p.message.Channel, p.target.name)
		}
		retries += len(p.requests) - 1
		latencies = append(latencies, p.latency(0))
	}
	others, webhooks, err := r.others(ctx, w)
	if err != nil {
		return err
	}
	r.out.line("summary", "%s published, %s delivered with %s, none lost, none twice", count(len(w.messages), "event"),
		count(len(w.passages), "delivery"), count(retries, "retry"))
	p50, longest := spread(latencies)
	r.out.line("summary", "publish to arrival of the first attempts: p50 %s, longest %s", ms(p50), ms(longest))
	if others > 0 {
		r.out.line("summary", "the same events went to %s registered earlier too: %s, not shown above",
			count(webhooks, "webhook"), count(others, "delivery"))
	}
	r.out.line("summary", "look further, for example at the deliveries of %s as JSON:", w.targets[0].name)
	for _, l := range lookFurther(r.base, w.targets[0].webhook.GetId()) {
		r.out.text("  " + l)
	}
	return nil
}

// listed holds that a target's list of deliveries has every one of this run.
func (r *run) listed(ctx context.Context, w *watch, t *target) error {
	list, err := r.deliveries.ListDeliveries(ctx, &holdfastv1.ListDeliveriesRequest{
		WebhookId: t.webhook.GetId(), State: holdfastv1.DeliveryState_DELIVERY_STATE_DELIVERED, PageSize: listed,
	})
	if err != nil {
		return fmt.Errorf("listing the deliveries of %s: %w", t.name, err)
	}
	for _, p := range w.passages {
		if p.target == t && !slices.ContainsFunc(list.GetDeliveries(), func(d *holdfastv1.Delivery) bool { return d.GetId() == p.id() }) {
			return fmt.Errorf("the deliveries of %s have to list %s", t.name, p.id())
		}
	}
	return nil
}

// others counts the deliveries of this run's events to webhooks that are not of this run.
func (r *run) others(ctx context.Context, w *watch) (deliveries, webhooks int, err error) {
	seen := map[string]bool{}
	for _, id := range w.eventIDs {
		list, err := r.deliveries.ListDeliveries(ctx, &holdfastv1.ListDeliveriesRequest{EventId: id, PageSize: listed})
		if err != nil {
			return 0, 0, fmt.Errorf("listing the deliveries of an event: %w", err)
		}
		for _, d := range list.GetDeliveries() {
			if !slices.ContainsFunc(w.targets, func(t *target) bool { return t.webhook.GetId() == d.GetWebhookId() }) {
				seen[d.GetWebhookId()] = true
				deliveries++
			}
		}
	}
	return deliveries, len(seen), nil
}

// lookFurther is a command that lists deliveries, for a shell.
func lookFurther(base, webhookID string) []string {
	return []string{
		"curl -s " + base + `/holdfast.v1.DeliveryService/ListDeliveries \`,
		`  -H content-type:application/json -d '{"webhookId":"` + webhookID + `"}'`,
	}
}

// spread is the median and the longest of some durations.
func spread(d []time.Duration) (p50, longest time.Duration) {
	if len(d) == 0 {
		return 0, 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[(len(d)-1)/2], d[len(d)-1]
}
