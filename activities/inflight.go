package activities

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// inFlight is this node's table of attempts under way. It lets a workflow hand an attempt from a local activity, which
// must be short, to one that may wait, without sending twice: the second joins the first (DESIGN 6).
type inFlight struct {
	mu      sync.Mutex
	runs    map[string]*flight
	running int             // what goes on in the background; no WaitGroup, since more may begin while stop waits
	idle    []chan struct{} // closed when nothing does
}

// flight is one attempt. It is queued until it has its slots; whoever no longer wants to wait can withdraw it until then.
type flight struct {
	key     string
	webhook string
	phase   atomic.Int32
	began   atomic.Pointer[time.Time] // nil while queued; not a number, which a jump of the clock would move
	slot    atomic.Pointer[Slot]
	done    chan struct{}
	outcome Outcome
	err     error
}

const (
	phaseQueued int32 = iota
	phaseStarted
	phaseWithdrawn
)

// keepFinished is how long the result of a handed-over attempt waits to be joined.
const keepFinished = 2 * time.Minute

// launch runs the attempt in the background, or returns the one already under way under the key. run is given the flight
// and calls begin before it sends.
func (t *inFlight) launch(ctx context.Context, key, webhook string, run func(context.Context, *flight) (Outcome, error)) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f := t.runs[key]; f != nil {
		return f
	}
	if t.runs == nil {
		t.runs = map[string]*flight{}
	}
	f := &flight{key: key, webhook: webhook, done: make(chan struct{})}
	t.runs[key] = f
	t.goLocked(func() {
		f.outcome, f.err = run(ctx, f)
		close(f.done)
	})
	return f
}

// begin tells that the attempt has its slot; false means it was withdrawn and must not be sent.
func (f *flight) begin(slot *Slot) bool {
	f.slot.Store(slot)
	if !f.phase.CompareAndSwap(phaseQueued, phaseStarted) {
		return false
	}
	f.began.Store(new(time.Now()))
	return true
}

// underWayFor is how long ago the attempt got its slots; false while it is queued.
func (f *flight) underWayFor() (time.Duration, bool) {
	if began := f.began.Load(); began != nil {
		return time.Since(*began), true
	}
	return 0, false
}

// withdraw takes back an attempt that has not begun; false means it is under way.
func (f *flight) withdraw() bool { return f.phase.CompareAndSwap(phaseQueued, phaseWithdrawn) }

// finished tells without waiting whether the attempt is over.
func (f *flight) finished() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// demote moves the slot of an attempt under way to the slow lane, in its own time.
func (t *inFlight) demote(f *flight) {
	if slot := f.slot.Load(); slot != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.goLocked(slot.Demote)
	}
}

func (t *inFlight) goLocked(run func()) {
	t.running++
	go func() {
		defer t.over()
		run()
	}()
}

func (t *inFlight) over() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running--; t.running == 0 {
		for _, idle := range t.idle {
			close(idle)
		}
		t.idle = nil
	}
}

// forget removes the flight at once.
func (t *inFlight) forget(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.runs[f.key] == f {
		delete(t.runs, f.key)
	}
}

// handOver keeps the flight for a later join, until some time after its end.
func (t *inFlight) handOver(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.goLocked(func() {
		<-f.done
		time.AfterFunc(keepFinished, func() { t.forget(f) })
	})
}

// find returns the flight under the key, or nil.
func (t *inFlight) find(key string) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.runs[key]
}

// wait returns when no attempt is under way, or with ctx's error.
func (t *inFlight) wait(ctx context.Context) error {
	idle := make(chan struct{})
	t.mu.Lock()
	if t.running == 0 {
		close(idle)
	} else {
		t.idle = append(t.idle, idle)
	}
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
