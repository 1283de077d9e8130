package redisstore

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// What is kept of the past: counters by hour and by day, and one sum for all that is older. Hours and days are those of
// UTC, and only those in which something happened are stored.
const (
	hoursKept = 48
	daysKept  = 40
)

// Step is the width of the buckets of a series.
type Step int

// The steps.
const (
	Hourly Step = iota
	Daily
)

// Bucket counts what happened in one hour or day, or in all of them. An attempt counts when it started, a delivery when
// it ended; one that was opened again counts at its latest end only.
type Bucket struct {
	Start                           int64 // ms since the epoch, UTC; 0 in totals
	Attempts, Successful, Failed    int64
	Delivered, Exhausted, Cancelled int64   // deliveries
	ResponseTimeTotalMS             float64 // sum over the attempts
}

// AverageMS is the mean response time in ms, 0 without attempts.
func (b *Bucket) AverageMS() float64 {
	if b.Attempts <= 0 {
		return 0
	}
	return b.ResponseTimeTotalMS / float64(b.Attempts)
}

// Series returns the last n hours or days of a webhook, or of all webhooks for "", oldest first, the current one last,
// with zeros where nothing happened. n is bounded by what is kept: 48 hours, 40 days. What happened under a webhook that
// is deleted by now stays in the series over all. CodeUnavailable.
func (s *Store) Series(ctx context.Context, webhookID string, step Step, n int) ([]Bucket, error) {
	return s.seriesAt(ctx, webhookID, step, n, time.Now())
}

func (s *Store) seriesAt(ctx context.Context, webhookID string, step Step, n int, now time.Time) ([]Bucket, error) {
	key := s.keys.series()
	if webhookID != "" {
		key = s.keys.seriesOf(webhookID)
	}
	fields, err := s.client.HGetAll(ctx, key).Result()
	if err != nil {
		return nil, unavailable("reading statistics", err)
	}
	width, kept := time.Hour.Milliseconds(), hoursKept
	if step == Daily {
		width, kept = 24*time.Hour.Milliseconds(), daysKept
	}
	n = min(max(n, 0), kept)
	first := now.UnixMilli()/width - int64(n) + 1
	buckets := make([]Bucket, n)
	for i := range buckets {
		buckets[i].Start = (first + int64(i)) * width
	}
	for field, stored := range fields {
		kind, at, _ := strings.Cut(field, ":")
		i := parseInt(at)
		switch {
		case kind == "h" && step == Daily:
			i /= 24 // an hour is part of its day until it is moved there
		case kind == "h" && step == Hourly, kind == "d" && step == Daily:
		default:
			continue
		}
		if i -= first; i >= 0 && i < int64(n) {
			buckets[i].add(stored)
		}
	}
	return buckets, nil
}

// Totals counts everything since the beginning over all webhooks, deleted ones included (D40, D44). CodeUnavailable.
func (s *Store) Totals(ctx context.Context) (Bucket, error) {
	fields, err := s.client.HGetAll(ctx, s.keys.series()).Result()
	if err != nil {
		return Bucket{}, unavailable("reading statistics", err)
	}
	var total Bucket
	for _, stored := range fields {
		total.add(stored)
	}
	return total, nil
}

// add adds a stored bucket: what succeeded at once (an attempt, its success and the delivery's end in one), ms, and what
// else there is of attempts, successful attempts, deliveries delivered, exhausted and cancelled.
func (b *Bucket) add(stored string) {
	parts := strings.Fields(stored)
	if len(parts) != 7 {
		return
	}
	var n [7]int64
	for i, part := range parts {
		n[i] = parseInt(part)
	}
	took, _ := strconv.ParseFloat(parts[1], 64)
	b.ResponseTimeTotalMS += took
	b.Attempts += n[0] + n[2]
	b.Successful += n[0] + n[3]
	b.Failed += n[2] - n[3]
	b.Delivered += n[0] + n[4]
	b.Exhausted += n[5]
	b.Cancelled += n[6]
}
