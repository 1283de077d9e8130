package jobevents

import (
	"container/list"
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/emprops/holdfast"
)

// half tells which of the two messages of a failure one is (CONTRACT 2.6).
type half int

const (
	whole      half = iota // neither: not a failure, or one that nobody else tells of
	worker                 // from the worker's client, for permanent failures: with time, worker and retries
	baseWorker             // from the base worker, for every failure: with type and workflow, without a time
)

// halfOf recognises them by the fields they have. What the broker's core says has will_retry and no twin.
func halfOf(m *mapped) half {
	switch {
	case m.event.Type != channelFailed || m.job == "" || m.fields["will_retry"] != nil:
		return whole
	case truthy(m.fields["failed_at"]) || truthy(m.fields["timestamp"]):
		return worker
	}
	return baseWorker
}

// failures makes one event of the two messages of a failure (D14): the first waits a short while for the second. A second
// one that is too late for that, with the same error, waits as well: if it finds a twin, they are another failure of the job,
// and if not, it is part of the one that was sent. What is held is bounded; beyond the bounds a message is an event at
// once. It is safe for concurrent use.
type failures struct {
	wait     time.Duration
	maxJobs  int
	maxBytes int

	mu      sync.Mutex
	jobs    map[string]*list.Element
	heard   list.List // of *failing, the one that was silent for longest first
	waiting list.List // of *failing, by the end of their wait
	bytes   int       // of the events that wait
	wake    chan struct{}
}

// failing is a job that has failed lately.
type failing struct {
	failure
	id    string // of the job
	heard time.Time
	until time.Time
	parts map[half]json.RawMessage // the messages of this failure: their errors
	stamp string                   // the time in the worker's message
	turn  *list.Element            // in waiting; nil once the event was sent
}

// failure is an event of a failure.
type failure struct {
	*mapped
	number int  // which of the job's failures it is, of those lately heard of; 0 when that is not known
	late   bool // as it seems, part of the one before, which was sent
}

func newFailures(wait time.Duration, maxJobs, maxBytes int) *failures {
	return &failures{
		wait: wait, maxJobs: maxJobs, maxBytes: maxBytes, jobs: map[string]*list.Element{}, wake: make(chan struct{}, 1),
	}
}

// offer takes one half of a failure in at an instant; instants must not go back. It returns what is complete, and whether
// the message itself is a part of it, or of what was before.
func (f *failures) offer(m *mapped, now time.Time) (ended []*failure, part bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(now)
	element := f.jobs[m.job]
	if element == nil {
		if len(f.jobs) >= f.maxJobs {
			return []*failure{{mapped: m}}, false
		}
		j := &failing{id: m.job}
		f.jobs[m.job] = f.heard.PushBack(j)
		return f.begin(j, m, now, false), false
	}
	j := element.Value.(*failing)
	f.heard.MoveToBack(element)
	this := halfOf(m)
	_, known := j.parts[this]
	switch {
	case known && this == worker && j.stamp == stampOfFailure(m):
		return nil, true // the same message again
	case !known && j.turn != nil:
		j.parts[this], j.late = m.fields["error"], false
		if merged := merge(j.mapped, m, now); merged != nil {
			f.bytes += merged.event.Size() - j.event.Size()
			j.mapped = merged
		}
		return []*failure{f.end(j)}, true
	case j.turn != nil:
		ended = append(ended, f.end(j))
	}
	late := !known && now.Sub(j.heard) < keepFailure && j.hasError(m.fields["error"])
	return append(ended, f.begin(j, m, now, late)...), false
}

// begin lets a failure's first message wait, or returns it where there is no room.
func (f *failures) begin(j *failing, m *mapped, now time.Time, late bool) []*failure {
	j.failure = failure{m, j.number + 1, late}
	j.heard, j.until, j.stamp = now, now.Add(f.wait), stampOfFailure(m)
	j.parts = map[half]json.RawMessage{halfOf(m): m.fields["error"]}
	f.bytes += m.event.Size()
	j.turn = f.waiting.PushBack(j)
	if f.bytes > f.maxBytes {
		return []*failure{f.end(j)}
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
	return nil
}

// end takes a failure out of those that wait.
func (f *failures) end(j *failing) *failure {
	f.bytes -= j.event.Size()
	f.waiting.Remove(j.turn)
	done := j.failure
	j.turn, j.mapped = nil, nil // the job is remembered, its event is not
	if j.late {
		j.number-- // with this the one before has both its parts
		j.parts = map[half]json.RawMessage{worker: done.fields["error"], baseWorker: done.fields["error"]}
	}
	return &done
}

// forget drops the jobs that nothing was heard of for so long that replicas have forgotten them too.
func (f *failures) forget(now time.Time) {
	for element := f.heard.Front(); element != nil; element = f.heard.Front() {
		j := element.Value.(*failing)
		if j.turn != nil || now.Sub(j.heard) < f.wait+2*keepFailure {
			return
		}
		f.heard.Remove(element)
		delete(f.jobs, j.id)
	}
}

// due returns the failures whose wait is over and when the next one's is.
func (f *failures) due(now time.Time) (ended []*failure, next time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for element := f.waiting.Front(); element != nil; element = f.waiting.Front() {
		j := element.Value.(*failing)
		if j.until.After(now) {
			return ended, j.until
		}
		ended = append(ended, f.end(j))
	}
	return ended, time.Time{}
}

// flush ends every wait.
func (f *failures) flush() []*failure {
	ended, _ := f.due(time.Now().Add(2 * f.wait))
	return ended
}

// run calls send for every failure whose wait is over, until ctx is done.
func (f *failures) run(ctx context.Context, send func(*failure)) { release(ctx, f.wake, f.due, send) }

func (j *failing) hasError(e json.RawMessage) bool {
	for _, known := range j.parts {
		if text(known) == text(e) {
			return true
		}
	}
	return false
}

func stampOfFailure(m *mapped) string {
	return string(m.fields["failed_at"]) + "\x00" + string(m.fields["timestamp"])
}

// merge is the event of both messages: the worker's values count where both have one. nil when it cannot be sent.
func merge(a, b *mapped, now time.Time) *mapped {
	if halfOf(a) == worker {
		a, b = b, a
	}
	both := message{channel: channelFailed, fields: maps.Clone(a.fields)}
	for key, value := range b.fields {
		if string(value) != "null" || both.fields[key] == nil {
			both.fields[key] = value
		}
	}
	merged, err := both.mapped(nil, now)
	if err != nil || len(merged.event.Data) > holdfast.MaxEventBytes {
		return nil
	}
	return merged
}
