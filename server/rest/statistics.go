package rest

import (
	"net/http"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

// The limits of lists, and what is kept of each (CONTRACT 1.2, 5.1).
const (
	defaultAttempts, maxAttempts = 50, 100
	defaultLog, maxLog           = 100, 1000
)

// stats are a webhook's own numbers, where the original gave those of the process for two of them (CONTRACT 1.5).
func (a *api) stats(r *http.Request) (answer, error) {
	id := r.PathValue("id")
	s, err := a.Webhooks.Stats(r.Context(), id)
	if err != nil {
		return answer{}, ofWebhook(err)
	}
	waiting := map[holdfast.DeliveryState]int64{}
	for _, state := range []holdfast.DeliveryState{holdfast.DeliveryRetrying, holdfast.DeliveryPending} {
		n, _, err := a.Control.Matching(r.Context(), holdfast.ReplayFilter{WebhookID: id, States: []holdfast.DeliveryState{state}})
		if err != nil {
			return answer{}, err
		}
		waiting[state] = n
	}
	data := map[string]any{
		"total_deliveries": s.Attempts, "successful_deliveries": s.SuccessfulAttempts, "failed_deliveries": s.FailedAttempts,
		"retry_queue_size": waiting[holdfast.DeliveryRetrying], "pending_deliveries": waiting[holdfast.DeliveryPending],
		"held_deliveries": s.Held, "average_response_time_ms": s.AverageResponseMS,
	}
	for name, at := range map[string]int64{
		"last_delivery_at": s.LastAttemptAt, "last_success_at": s.LastSuccessAt, "last_failure_at": s.LastFailureAt,
	} {
		if at > 0 {
			data[name] = at
		}
	}
	return ok(map[string]any{"data": data})
}

func (a *api) attempts(r *http.Request) (answer, error) {
	id, limit := r.PathValue("id"), limitOf(r, defaultAttempts, maxAttempts)
	if _, err := a.Webhooks.Webhook(r.Context(), id); err != nil {
		return answer{}, ofWebhook(err)
	}
	kept, err := a.History.Attempts(r.Context(), id, maxAttempts)
	if err != nil {
		return answer{}, err
	}
	if kept == nil {
		kept = []holdfast.Attempt{}
	}
	return ok(map[string]any{"limit": limit, "data": map[string]any{
		"webhook_id": id, "attempts": kept[:min(limit, len(kept))], "total_count": len(kept),
	}})
}

func (a *api) recent(r *http.Request) (answer, error) {
	limit := limitOf(r, defaultLog, maxLog)
	entries, err := a.History.Log(r.Context(), limit)
	if err != nil {
		return answer{}, err
	}
	if entries == nil {
		entries = []holdfast.LogEntry{}
	}
	return ok(map[string]any{"data": entries, "limit": limit})
}

// summary is true where the original's was always zero or counted something else (D40, D41), and has the two numbers that
// the original's user interface shows and the original never sent.
func (a *api) summary(r *http.Request) (answer, error) {
	o, err := a.Operations.Overview(r.Context())
	if err != nil {
		return answer{}, err
	}
	hours, err := a.Operations.SeriesOverAll(r.Context(), server.Hourly)
	if err != nil {
		return answer{}, err
	}
	now := a.now()
	today := since(hours, time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location()))
	webhooks := 0
	for _, n := range o.Webhooks {
		webhooks += n
	}
	rate := 0.0
	if o.Totals.Attempts > 0 {
		rate = 100 * float64(o.Totals.SuccessfulAttempts) / float64(o.Totals.Attempts)
	}
	return ok(map[string]any{"data": map[string]any{
		"delivery_stats": map[string]any{
			"total_deliveries": o.Totals.Attempts, "successful_deliveries": o.Totals.SuccessfulAttempts,
			"failed_deliveries": o.Totals.FailedAttempts, "retry_queue_size": o.Deliveries[holdfast.DeliveryRetrying],
			"pending_deliveries": o.Deliveries[holdfast.DeliveryPending], "held_deliveries": o.Deliveries[holdfast.DeliveryHeld],
			"success_rate": rate, "avg_response_time_ms": o.Totals.AverageResponseMS,
		},
		"webhook_summary": map[string]any{
			"total_webhooks": webhooks, "active_webhooks": o.Webhooks[holdfast.WebhookActive],
			"disconnected_webhooks": o.Webhooks[holdfast.WebhookDisconnected], "total_deliveries_today": today.Attempts,
			"successful_deliveries_today": today.SuccessfulAttempts, "failed_deliveries_today": today.FailedAttempts,
		},
		"event_processing": counts(a.Ingress()),
	}})
}

// counts spells what came from the job broker as the original does.
func counts(c IngressCounts) map[string]any {
	return map[string]any{
		"totalEvents": c.Received, "processedEvents": c.Processed, "skippedEvents": c.Skipped, "failedEvents": c.Failed,
	}
}

// since sums up the buckets that begin at the time or later.
func since(buckets []server.StatsBucket, at time.Time) (sum server.StatsBucket) {
	for _, b := range buckets {
		if b.Start >= at.UnixMilli() {
			sum.Attempts += b.Attempts
			sum.SuccessfulAttempts += b.SuccessfulAttempts
			sum.FailedAttempts += b.FailedAttempts
		}
	}
	return sum
}
