package jobevents

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/emprops/holdfast"
)

// queue hands events from the connection to the workers, bounded by count and by weight. When it is full the sender
// waits, and with it the connection: Redis buffers meanwhile.
type queue struct {
	events   chan *holdfast.Event
	maxBytes int64
	bytes    *semaphore.Weighted // free weight; an event's weight is taken until it is done
	waiting  atomic.Int32        // senders that wait for room
}

func newQueue(length, bytes int) *queue {
	return &queue{
		events: make(chan *holdfast.Event, length), maxBytes: int64(bytes), bytes: semaphore.NewWeighted(int64(bytes)),
	}
}

// weight never exceeds the bound, so that one large event still fits when nothing else is there.
func (q *queue) weight(e *holdfast.Event) int64 { return min(int64(e.Size()), q.maxBytes) }

// push waits for room until ctx is done; false means that the event was not taken.
func (q *queue) push(ctx context.Context, e *holdfast.Event) bool {
	w := q.weight(e)
	if q.bytes.TryAcquire(w) {
		select {
		case q.events <- e:
			return true
		default:
			q.bytes.Release(w)
		}
	}
	q.waiting.Add(1)
	defer q.waiting.Add(-1)
	if q.bytes.Acquire(ctx, w) != nil {
		return false
	}
	select {
	case q.events <- e:
		return true
	case <-ctx.Done():
		q.bytes.Release(w)
		return false
	}
}

// done gives an event's room back once nothing more will happen to it.
func (q *queue) done(e *holdfast.Event) { q.bytes.Release(q.weight(e)) }

// full tells whether somebody waits for room.
func (q *queue) full() bool { return q.waiting.Load() > 0 }
