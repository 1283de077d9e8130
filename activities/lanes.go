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
	slots    chan struct{}
	users    int
	failures int       // in a row
	slow     bool      // out of the fast lane
	until    time.Time // when failures and slow are forgotten
}

// slowAfter is how many attempts in a row must fail before a webhook leaves the fast lane: the slow lane costs a workflow
// for each delivery, so one that fails now and then stays.
const slowAfter = 3

// NewLanes bounds attempts to global in all and perWebhook each. A webhook that was slow or failing stays out of the fast
// lane for slowFor after it was last seen so, or until it does well.
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
	return lane != nil && lane.slow && lane.until.After(l.now())
}

// Speed is how an attempt went, as far as lanes care.
type Speed int

// How an attempt went.
const (
	Good    Speed = iota // it succeeded in time
	Failing              // it failed
	TooSlow              // it takes, or took, longer than the fast lane allows
)

// Observe notes how an attempt of a webhook in use went. A good one brings the webhook back to the fast lane.
func (l *Lanes) Observe(webhookID string, s Speed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	if lane == nil {
		return
	}
	now := l.now()
	if s == Good || !lane.until.After(now) {
		lane.failures, lane.slow, lane.until = 0, false, time.Time{}
	}
	if s != Good {
		lane.failures++
		lane.slow = lane.slow || s == TooSlow || lane.failures >= slowAfter
		lane.until = now.Add(l.slowFor)
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

func (l *Lanes) idleLocked(e *lane) bool { return e.users == 0 && !e.until.After(l.now()) }

// sweepLocked forgets the lanes whose slow time has run out since they were left: of a webhook that is deleted nobody
// would ever ask again. Done when the number of lanes has doubled, it costs next to nothing.
func (l *Lanes) sweepLocked() {
	if len(l.webhooks) < l.sweepAt {
		return
	}
	maps.DeleteFunc(l.webhooks, func(_ string, e *lane) bool { return l.idleLocked(e) })
	l.sweepAt = max(minSweep, 2*len(l.webhooks))
}
