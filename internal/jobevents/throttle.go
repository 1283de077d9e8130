package jobevents

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/emprops/holdfast"
)

// Verdict is what a Throttle decides about an event.
type Verdict int

// The verdicts.
const (
	Pass            Verdict = iota // send it now
	PassAndReplaced                // send it now; it takes the place of one that waited
	Wait                           // it waits for the end of the window
	WaitAndReplaced                // it waits in place of an older one, which is not sent
)

// Throttle lets at most one event per job and window pass: the first at once, of those that follow the newest at the
// window's end, so that the last value always arrives (CONTRACT 2.13, D13). What it holds is bounded; beyond its bounds
// events pass unthrottled rather than get lost. It is safe for concurrent use.
type Throttle struct {
	window   time.Duration
	maxJobs  int
	maxBytes int

	mu    sync.Mutex
	jobs  map[string]*list.Element
	order list.List // of *turn, by the end of the window, which all have the same length
	bytes int       // of the events that wait
	wake  chan struct{}
}

// turn is a job's present window.
type turn struct {
	job     string
	until   time.Time
	waiting *holdfast.Event
}

// NewThrottle makes a throttle for maxJobs jobs at a time whose waiting events weigh at most maxBytes together.
func NewThrottle(window time.Duration, maxJobs, maxBytes int) *Throttle {
	return &Throttle{
		window: window, maxJobs: maxJobs, maxBytes: maxBytes,
		jobs: map[string]*list.Element{}, wake: make(chan struct{}, 1),
	}
}

// Offer decides about an event of a job at an instant; instants must not go back.
func (t *Throttle) Offer(job string, e *holdfast.Event, now time.Time) Verdict {
	t.mu.Lock()
	defer t.mu.Unlock()
	element, known := t.jobs[job]
	if !known {
		if len(t.jobs) >= t.maxJobs {
			return Pass
		}
		t.jobs[job] = t.order.PushBack(&turn{job: job, until: now.Add(t.window)})
		t.signal()
		return Pass
	}
	window := element.Value.(*turn)
	if window.waiting == nil && !now.Before(window.until) {
		window.until = now.Add(t.window)
		t.order.MoveToBack(element)
		return Pass
	}
	older := window.waiting
	t.hold(window, e)
	if t.bytes > t.maxBytes {
		t.hold(window, nil)
		if older != nil {
			return PassAndReplaced
		}
		return Pass
	}
	if older != nil {
		return WaitAndReplaced
	}
	return Wait
}

func (t *Throttle) hold(window *turn, e *holdfast.Event) {
	if window.waiting != nil {
		t.bytes -= window.waiting.Size()
	}
	if window.waiting = e; e != nil {
		t.bytes += e.Size()
	}
}

// signal tells Run that there is a window to wait for.
func (t *Throttle) signal() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Due closes the windows that end by now and returns the events that waited in them, oldest window first. Each of them
// opens its job's next window. next is when to call again; zero when no window is open.
func (t *Throttle) Due(now time.Time) (events []*holdfast.Event, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		element := t.order.Front()
		if element == nil {
			return events, time.Time{}
		}
		window := element.Value.(*turn)
		if window.until.After(now) {
			return events, window.until
		}
		if window.waiting == nil {
			t.order.Remove(element)
			delete(t.jobs, window.job)
			continue
		}
		events = append(events, window.waiting)
		t.hold(window, nil)
		window.until = now.Add(t.window)
		t.order.MoveToBack(element)
	}
}

// Flush closes all windows at once and returns the events that waited.
func (t *Throttle) Flush() []*holdfast.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	var events []*holdfast.Event
	for element := t.order.Front(); element != nil; element = element.Next() {
		if e := element.Value.(*turn).waiting; e != nil {
			events = append(events, e)
		}
	}
	clear(t.jobs)
	t.order.Init()
	t.bytes = 0
	return events
}

// Run calls send for every event whose window ends, until ctx is done.
func (t *Throttle) Run(ctx context.Context, send func(*holdfast.Event)) {
	release(ctx, t.wake, t.Due, send)
}

// release sends what is due whenever there is something, until ctx is done. due tells when to ask next, zero for not before
// wake says that there is something new.
func release[E any](ctx context.Context, wake <-chan struct{}, due func(time.Time) ([]E, time.Time), send func(E)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-wake:
		}
		all, next := due(time.Now())
		for _, e := range all {
			send(e)
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}
