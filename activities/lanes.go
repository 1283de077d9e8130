package activities

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Lanes bounds how many attempts are under way, per webhook, in the fast lane and in the slow one, and remembers which
// webhooks have left the fast lane because they are slow or failing, and which are paused (G7).
type Lanes struct {
	fast, slow chan struct{}
	perWebhook int
	slowFor    time.Duration
	now        func() time.Time

	mu       sync.Mutex
	webhooks map[string]*lane
	sweepAt  int // the number of lanes at which those with nothing to remember are looked for
}

// LaneLimits are how many attempts may be under way at once on a node: first ones to webhooks that do well, all others,
// and those to one webhook.
type LaneLimits struct {
	Fast, Slow, PerWebhook int
}

// minSweep keeps a node with few webhooks from looking all the time.
const minSweep = 64

type lane struct {
	slots     chan struct{}
	users     int
	failures  int           // in a row
	slow      bool          // out of the fast lane
	took      time.Duration // what the last attempt took that was not good
	until     time.Time     // when failures and slow are forgotten
	throttles int           // pauses in a row
	paused    time.Time     // no attempt before
	turn      time.Time     // when the last of those who wait has its turn
}

// slowAfter is how many answers in a row must be failures before a webhook leaves the fast lane: the slow lane costs a
// workflow for each delivery, so one that fails now and then stays. One that gives no answer, or asks for fewer requests,
// leaves at once.
const slowAfter = 3

// NewLanes returns lanes with the limits. A webhook that was slow or failing stays out of the fast lane for slowFor after
// it was last seen so, or until it does well.
func NewLanes(limits LaneLimits, slowFor time.Duration) *Lanes {
	return &Lanes{
		fast: make(chan struct{}, limits.Fast), slow: make(chan struct{}, limits.Slow), perWebhook: limits.PerWebhook,
		slowFor: slowFor, now: time.Now, webhooks: map[string]*lane{}, sweepAt: minSweep,
	}
}

// Slot is the right to make one attempt.
type Slot struct {
	lanes   *Lanes
	lane    *lane
	webhook string
	done    chan struct{}

	mu     sync.Mutex
	global chan struct{} // the one it counts in
}

// Acquire waits for a slot of the webhook, then for one of the lane, so that a webhook with many waiting holds no slot that
// another could use. It returns ctx's error when that ends first.
func (l *Lanes) Acquire(ctx context.Context, webhookID string, slow bool) (*Slot, error) {
	global := l.fast
	if slow {
		global = l.slow
	}
	lane := l.enter(webhookID)
	select {
	case lane.slots <- struct{}{}:
	case <-ctx.Done():
		l.leave(webhookID, lane)
		return nil, ctx.Err()
	}
	select {
	case global <- struct{}{}:
	case <-ctx.Done():
		<-lane.slots
		l.leave(webhookID, lane)
		return nil, ctx.Err()
	}
	return &Slot{lanes: l, lane: lane, webhook: webhookID, done: make(chan struct{}), global: global}, nil
}

// Release gives the slot back. It must be called once.
func (s *Slot) Release() {
	close(s.done)
	s.mu.Lock()
	<-s.global
	s.mu.Unlock()
	<-s.lane.slots
	s.lanes.leave(s.webhook, s.lane)
}

// Demote moves the slot to the slow lane as soon as that has room: an attempt that takes its time takes it from its like.
// It returns when the slot has moved or was released.
func (s *Slot) Demote() {
	select {
	case <-s.done:
		return
	case s.lanes.slow <- struct{}{}:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done: // Release takes, or took, the other one back
		<-s.lanes.slow
	default:
		<-s.global
		s.global = s.lanes.slow
	}
}

// Slow tells whether the webhook is out of the fast lane.
func (l *Lanes) Slow(webhookID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	return lane != nil && lane.slow && lane.until.After(l.now())
}

// Took is how long the webhook's last answer was waited for, if it is not doing well: 0 when nothing is held against it.
func (l *Lanes) Took(webhookID string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	if lane == nil || !lane.until.After(l.now()) {
		return 0
	}
	return lane.took
}

// Full tells whether all slots of the webhook are taken.
func (l *Lanes) Full(webhookID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	return lane != nil && len(lane.slots) == cap(lane.slots)
}

// Throttled tells whether the webhook has asked this node for fewer requests lately.
func (l *Lanes) Throttled(webhookID string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	return lane != nil && lane.throttles > 0
}

// Paused returns how long no attempt of the webhook may begin, 0 when it may.
func (l *Lanes) Paused(webhookID string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	if lane == nil {
		return 0
	}
	return max(0, lane.paused.Sub(l.now()))
}

// Speed is how an attempt went, as far as lanes care.
type Speed int

// How an attempt went.
const (
	Good    Speed = iota // it succeeded in time
	Failing              // it was answered with a failure
	TooSlow              // it takes, or took, longer than the fast lane allows, or was not answered at all
)

// Observe notes how an attempt of a webhook in use went, and how long it took so far. A good one brings the webhook back to
// the fast lane.
func (l *Lanes) Observe(webhookID string, s Speed, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane := l.webhooks[webhookID]
	if lane == nil {
		return
	}
	now := l.now()
	if s == Good || !lane.until.After(now) {
		lane.failures, lane.slow, lane.took, lane.until = 0, false, 0, time.Time{}
	}
	switch {
	case s != Good:
		lane.failures++
		lane.took = took
		lane.slow = lane.slow || s == TooSlow || lane.failures >= slowAfter
		lane.until = now.Add(l.slowFor)
	case !lane.paused.After(now): // an attempt that began before the pause says nothing about it
		lane.throttles = 0
	}
}

// UnderWay notes how long an attempt of a webhook that is out of the fast lane has taken so far: those who wait for its slot
// learn from it when that may be free, before there is an answer.
func (l *Lanes) UnderWay(webhookID string, soFar time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lane, now := l.webhooks[webhookID], l.now()
	if lane == nil || !lane.slow || !lane.until.After(now) {
		return
	}
	lane.took = max(lane.took, soFar)
	lane.until = later(lane.until, now.Add(l.slowFor))
}

// Bounds of the pauses of webhooks that ask for fewer requests and do not say for how long.
const (
	minPause = time.Second
	maxPause = time.Minute
)

// Throttle notes that the webhook has asked for fewer requests: it is paused for as long as it asked, or else for twice as
// long as the last time, and is in the slow lane. What was under way when the pause began prolongs it only by asking for
// more. It returns the pause's end, and whether that is news.
func (l *Lanes) Throttle(webhookID string, asked time.Duration) (until time.Time, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := l.getLocked(webhookID), l.now()
	before := e.paused
	switch {
	case asked > 0:
		e.paused = later(e.paused, now.Add(asked))
		if !before.After(now) {
			e.throttles++
		}
	case !before.After(now):
		e.paused = now.Add(min(maxPause, minPause<<min(e.throttles, 6)))
		e.throttles++
	}
	e.slow, e.until = true, later(e.until, e.paused.Add(l.slowFor))
	return e.paused, e.paused != before
}

// PauseUntil notes a pause that another node has told of.
func (l *Lanes) PauseUntil(webhookID string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.getLocked(webhookID)
	e.paused = later(e.paused, until)
	e.throttles = max(1, e.throttles)
	e.slow, e.until = true, later(e.until, e.paused.Add(l.slowFor))
}

// Bounds of a turn: past it whoever waits asks again, since what they wait for may have changed. An endpoint that gets well
// does so without notice; a pause or a rate is what somebody has asked for.
const (
	maxTurn     = 10 * time.Minute
	maxSlotTurn = 2 * time.Minute
)

// Turn returns how long to wait, at least wait, so that those who wait for the webhook on this node come one after the
// other, spacing apart, instead of all at once and most of them in vain.
func (l *Lanes) Turn(webhookID string, wait, spacing time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turnLocked(l.getLocked(webhookID), wait, spacing, maxTurn)
}

// SlotTurn is Turn for those who have found no slot: as far apart as slots become free, judged by the last answer.
func (l *Lanes) SlotTurn(webhookID string, wait time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.getLocked(webhookID)
	return l.turnLocked(e, wait, e.took/time.Duration(l.perWebhook), maxSlotTurn)
}

func (l *Lanes) turnLocked(e *lane, wait, spacing, most time.Duration) time.Duration {
	now := l.now()
	earliest := now.Add(wait)
	e.turn = later(earliest, e.turn.Add(spacing))
	if latest := later(earliest, now.Add(most)); e.turn.After(latest) {
		e.turn = latest
	}
	return e.turn.Sub(now)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (l *Lanes) enter(webhookID string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.getLocked(webhookID)
	e.users++
	return e
}

func (l *Lanes) getLocked(webhookID string) *lane {
	e := l.webhooks[webhookID]
	if e == nil {
		l.sweepLocked()
		e = &lane{slots: make(chan struct{}, l.perWebhook)}
		l.webhooks[webhookID] = e
	}
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

func (l *Lanes) idleLocked(e *lane) bool {
	now := l.now()
	return e.users == 0 && !e.until.After(now) && !e.paused.After(now) && !e.turn.After(now)
}

// sweepLocked forgets the lanes whose slow time has run out since they were left: of a webhook that is deleted nobody
// would ever ask again. Done when the number of lanes has doubled, it costs next to nothing.
func (l *Lanes) sweepLocked() {
	if len(l.webhooks) < l.sweepAt {
		return
	}
	maps.DeleteFunc(l.webhooks, func(_ string, e *lane) bool { return l.idleLocked(e) })
	l.sweepAt = max(minSweep, 2*len(l.webhooks))
}
