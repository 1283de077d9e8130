package jobevents

import (
	"context"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// work publishes what is queued until the queue is closed and empty.
func (s *Subscriber) work(ctx context.Context) {
	for i := range s.queue.events {
		weight := s.queue.weight(i)
		s.publish(ctx, i)
		s.queue.done(weight)
	}
}

// publish hands one event over. Pub/sub will not repeat it, so it is tried until the publisher takes it, refuses it for
// good, or ctx is done.
func (s *Subscriber) publish(ctx context.Context, i item) {
	e := i.event
	s.jobs.complete(ctx, e)
	waits := false
	defer func() {
		if waits && s.retrying.Add(-1) == 0 {
			s.log.Info("job events are handed over again")
		}
	}()
	for backoff := (Backoff{}); ; {
		sent, err := s.handOver(ctx, &i)
		switch {
		case err != nil:
		case sent:
			s.counters.processed.Add(1)
			return
		default:
			s.counters.skipped.Add(1)
			return
		}
		if ctx.Err() != nil {
			s.counters.lost.Add(1)
			s.counters.failed.Add(1)
			return
		}
		switch holdfast.ErrorCode(err) {
		case holdfast.CodeExhausted, holdfast.CodeUnavailable, holdfast.CodeAborted:
		default:
			s.counters.failed.Add(1)
			s.log.Error("job event was refused", zap.String("event_id", e.ID), zap.String("event_type", e.Type), zap.Error(err))
			return
		}
		if !waits {
			waits = true
			if s.retrying.Add(1) == 1 {
				s.log.Warn("job events cannot be handed over, trying again", zap.String("event_type", e.Type), zap.Error(err))
			}
		}
		backoff.Wait(ctx, err)
	}
}

// handOver publishes an event that is to be sent.
func (s *Subscriber) handOver(ctx context.Context, i *item) (sent bool, err error) {
	if i.settle != nil {
		wanted, err := i.settle(ctx)
		if !wanted || err != nil {
			return false, err
		}
		i.settle = nil
	}
	if s.options.FinalFailuresOnly && willRetry(i.event) {
		return false, nil
	}
	return true, s.publisher.PublishMessage(ctx, i.event)
}
