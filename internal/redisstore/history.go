package redisstore

import (
	"context"
	"encoding/json"
	"strconv"

	holdfast "github.com/emprops/holdfast"
)

// The fields of a webhook's statistics; the first six are the original's (CONTRACT 5.1).
const (
	statTotal         = "total_deliveries"
	statSuccessful    = "successful_deliveries"
	statFailed        = "failed_deliveries"
	statLast          = "last_delivery_at"
	statLastSuccess   = "last_success_at"
	statLastFailure   = "last_failure_at"
	statConsecutive   = "consecutive_failures"
	statResponseTotal = "response_time_ms_total"
	statDelivered     = string(holdfast.DeliveryDelivered)
	statExhausted     = string(holdfast.DeliveryExhausted)
	statCancelled     = string(holdfast.DeliveryCancelled)
)

// Stats are a webhook's counters. Times are ms since the epoch, 0 for never.
type Stats struct {
	// Attempts, as the original counts.
	TotalDeliveries, SuccessfulDeliveries, FailedDeliveries int64
	// Deliveries whose latest end is that; one that was opened again is in none until it ends again.
	Delivered, Exhausted, Cancelled int64
	// Held are the deliveries that wait for the webhook now.
	Held int64
	// ConsecutiveFailures are the deliveries exhausted since the last success.
	ConsecutiveFailures int64
	// Starts of attempts.
	LastDeliveryAt, LastSuccessAt, LastFailureAt int64
	// ResponseTimeTotalMS is the sum over all attempts.
	ResponseTimeTotalMS float64
	// AverageMS and the percentiles are response times over all attempts. A percentile is off by less than a fifth; from
	// 81 s on it stays at that.
	AverageMS, P50MS, P95MS, P99MS float64
}

func statsOf(fields map[string]string) Stats {
	n := func(field string) int64 { return parseInt(fields[field]) }
	took, _ := strconv.ParseFloat(fields[statResponseTotal], 64)
	stats := Stats{
		TotalDeliveries: n(statTotal), SuccessfulDeliveries: n(statSuccessful), FailedDeliveries: n(statFailed),
		Delivered: n(statDelivered), Exhausted: n(statExhausted), Cancelled: n(statCancelled),
		ConsecutiveFailures: n(statConsecutive),
		LastDeliveryAt:      n(statLast), LastSuccessAt: n(statLastSuccess), LastFailureAt: n(statLastFailure),
		ResponseTimeTotalMS: took,
	}
	if stats.TotalDeliveries > 0 {
		stats.AverageMS = took / float64(stats.TotalDeliveries)
	}
	return stats
}

// Stats reads a webhook's counters: zeros where there are none, whether or not the webhook exists. CodeUnavailable.
func (s *Store) Stats(ctx context.Context, webhookID string) (Stats, error) {
	pipe := s.client.Pipeline()
	counters := pipe.HGetAll(ctx, s.keys.stats(webhookID))
	times := pipe.HGetAll(ctx, s.keys.latencies(webhookID))
	held := pipe.ZCard(ctx, s.keys.held(webhookID))
	cmds, err := pipe.Exec(ctx)
	if err := failure(cmds, err); err != nil {
		return Stats{}, unavailable("reading statistics", err)
	}
	stats, l := statsOf(counters.Val()), latenciesOf(times.Val())
	stats.Held = held.Val()
	stats.P50MS, stats.P95MS, stats.P99MS = l.percentile(0.5), l.percentile(0.95), l.percentile(0.99)
	return stats, nil
}

// Attempts reads a webhook's attempts, newest first: limit of them, or all that are kept when limit is not positive.
// Entries that cannot be read are left out. CodeUnavailable.
func (s *Store) Attempts(ctx context.Context, webhookID string, limit int) ([]holdfast.Attempt, error) {
	return list[holdfast.Attempt](ctx, s, "reading attempts", s.keys.attempts(webhookID), within(limit, s.opts.Limits.Attempts))
}

// Log reads the delivery log over all webhooks, newest first: limit entries, or all that are kept when limit is not
// positive. Entries that cannot be read are left out. CodeUnavailable.
func (s *Store) Log(ctx context.Context, limit int) ([]holdfast.LogEntry, error) {
	return list[holdfast.LogEntry](ctx, s, "reading the delivery log", s.keys.deliveryLog(), within(limit, s.opts.Limits.Log))
}

// within bounds a limit, where none is all that there may be.
func within(limit, most int) int {
	if limit <= 0 {
		return most
	}
	return min(limit, most)
}

func list[T any](ctx context.Context, s *Store, operation, key string, limit int) ([]T, error) {
	stored, err := s.client.LRange(ctx, key, 0, int64(max(limit, 0))-1).Result()
	if err != nil {
		return nil, unavailable(operation, err)
	}
	items := make([]T, 0, len(stored))
	for _, encoded := range stored {
		var item T
		if json.Unmarshal([]byte(encoded), &item) == nil {
			items = append(items, item)
		}
	}
	return items, nil
}
