package activities

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Lanes bounds how many attempts are under way, per webhook and in all, and remembers which webhooks have left the fast
// lane because they are slow or failing (G7).
type Lanes struct {
	global     chan struct{}
	perWebhook int
	slowFor    time.Duration
	now        func() time.Time

	mu       sync.Mutex
	webhooks map[string]*lane
	sweepAt  int // the number of lanes at which those with nothing to remember are looked for
}

// minSweep keeps a node with few webhooks from looking all the time.
const minSweep = 64

type lane struct {
	slots     chan struct{}
	users     int
	slowUntil time.Time
}

// NewLanes bounds attempts to global in all and perWebhook each. A webhook that was slow or failed stays out of the fast
// lane for slowFor after it was last seen so.
func NewLanes(global, perWebhook int, slowFor time.Duration) *Lanes {
	return &Lanes{
		global: make(chan struct{}, global), perWebhook: perWebhook, slowFor: slowFor, now: time.Now,
		webhooks: map[string]*lane{}, sweepAt: minSweep,
	}
}

// Acquire waits for a slot of the webhook, then for a global one, so that a webhook with many waiting holds no slot that
// another could use. It returns the function that frees both, or ctx's error.
func (l *Lanes) Acquire(ctx context.Context, webhookID string) (release func(), err error) {
	lane := l.enter(webhookID)
	select {
	case lane.slots <- struct{}{}:
	case <-ctx.Done():
		l.leave(webhookID, lane)
		return nil, ctx.Err()
	}
	select {
	case l.global <- struct{}{}:
	case <-ctx.Done():
		<-lane.slots
		l.leave(webhookID, lane)
		return nil, ctx.Err()
	}
	return func() {
		<-l.global
		<-lane.slots
		l.leave(webhookID, lane)
	}, nil
}

// Slow tells whether the webhook is out of the fast lane.
func (l *Lanes) Slow(webhookID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	return lane != nil && lane.slowUntil.After(l.now())
}

// Observe notes how an attempt went: a good one brings the webhook back to the fast lane.
func (l *Lanes) Observe(webhookID string, good bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lane := l.webhooks[webhookID]; lane != nil {
		lane.slowUntil = time.Time{}
		if !good {
			lane.slowUntil = l.now().Add(l.slowFor)
		}
	}
}

func (l *Lanes) enter(webhookID string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.webhooks[webhookID]
	if e == nil {
		l.sweepLocked()
		e = &lane{slots: make(chan struct{}, l.perWebhook)}
		l.webhooks[webhookID] = e
	}
	e.users++
	return e
}

// leave forgets a lane nobody uses and that has nothing to remember, so that the map holds only what matters now.
func (l *Lanes) leave(webhookID string, e *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.users--
	if l.idleLocked(e) {
		delete(l.webhooks, webhookID)
	}
}

func (l *Lanes) idleLocked(e *lane) bool { return e.users == 0 && !e.slowUntil.After(l.now()) }

// sweepLocked forgets the lanes whose slow time has run out since they were left: of a webhook that is deleted nobody
// would ever ask again. Done when the number of lanes has doubled, it costs next to nothing.
func (l *Lanes) sweepLocked() {
	if len(l.webhooks) < l.sweepAt {
		return
	}
	maps.DeleteFunc(l.webhooks, func(_ string, e *lane) bool { return l.idleLocked(e) })
	l.sweepAt = max(minSweep, 2*len(l.webhooks))
}
