package jobevents

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/emprops/holdfast"
)

// item is an event on its way to the publisher.
type item struct {
	event *holdfast.Event
	// settle asks what the replicas must agree on, and tells whether the event is to be sent. nil when there is nothing to
	// ask. An error says that the same call may succeed later.
	settle func(ctx context.Context) (wanted bool, err error)
}

// queue hands events from the connection to the workers, bounded by count and by weight. When it is full the sender
// waits, and with it the connection: Redis buffers meanwhile.
type queue struct {
	events   chan item
	maxBytes int64
	bytes    *semaphore.Weighted // free weight; an event's weight is taken until it is done
	waiting  atomic.Int32        // senders that wait for room
}

func newQueue(length, bytes int) *queue {
	return &queue{
		events: make(chan item, length), maxBytes: int64(bytes), bytes: semaphore.NewWeighted(int64(bytes)),
	}
}

// weight never exceeds the bound, so that one large event still fits when nothing else is there.
func (q *queue) weight(i item) int64 { return min(int64(i.event.Size()), q.maxBytes) }

// push waits for room until ctx is done; false means that the event was not taken.
func (q *queue) push(ctx context.Context, i item) bool {
	w := q.weight(i)
	if q.bytes.TryAcquire(w) {
		select {
		case q.events <- i:
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
	case q.events <- i:
		return true
	case <-ctx.Done():
		q.bytes.Release(w)
		return false
	}
}

// done gives room back once nothing more will happen to an event. It is the room that was taken: an event can have grown
// meanwhile.
func (q *queue) done(weight int64) { q.bytes.Release(weight) }

// full tells whether somebody waits for room.
func (q *queue) full() bool { return q.waiting.Load() > 0 }
