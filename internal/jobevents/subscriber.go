package jobevents

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// Publisher takes an event over.
type Publisher interface {
	// PublishMessage returns nil once the event is durable or was taken over before (same id). CodeExhausted,
	// CodeUnavailable and CodeAborted say that the same call may succeed later; every other error is final. It must
	// return soon after ctx is done.
	PublishMessage(ctx context.Context, e *holdfast.Event) error
}

// Agreement is what the replicas share, so that they see one event where each has heard something else.
type Agreement interface {
	// Since tells since when, in ms, a subject is in a state: at, when that is news. States older than the one that is known
	// change nothing. What nobody asks about for as long as keep is forgotten. CodeUnavailable.
	Since(ctx context.Context, subject, state string, at int64, keep time.Duration) (since int64, err error)
}

// Options tune a Subscriber; zero values take the defaults.
type Options struct {
	Logger           *zap.Logger
	Workers          int           // concurrent calls of the publisher; 64
	QueueLen         int           // events that wait for a worker; 8192
	QueueBytes       int           // weight of the events that wait or are being published; 64 MiB
	ProgressInterval time.Duration // at most one progress event per job and interval (CONTRACT 2.13); 1 s
	FailureWait      time.Duration // how long a failure's first message waits for the second (CONTRACT 2.6); 300 ms
	// FinalFailuresOnly leaves out failures of which it is known that the job is tried again (CONTRACT 11).
	FinalFailuresOnly bool
	Heartbeat         time.Duration // silence after which the connection is probed; 5 s
}

const (
	throttledJobs  = 100_000
	throttledBytes = 32 << 20
	failingJobs    = 20_000
	failedBytes    = 16 << 20
)

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Workers <= 0 {
		o.Workers = 64
	}
	if o.QueueLen <= 0 {
		o.QueueLen = 8192
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = 64 << 20
	}
	if o.ProgressInterval <= 0 {
		o.ProgressInterval = time.Second
	}
	if o.FailureWait <= 0 {
		o.FailureWait = 300 * time.Millisecond
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 5 * time.Second
	}
	return o
}

// Subscriber hears the job broker and hands every event to a publisher.
type Subscriber struct {
	client    redis.UniversalClient
	publisher Publisher
	agreement Agreement
	options   Options
	log       *zap.Logger

	queue    *queue
	throttle *Throttle
	failures *failures
	machines machines // of the goroutine that listens
	jobs     *jobs
	counters counters
	retrying atomic.Int64 // events that the publisher could not take yet

	subscribed atomic.Bool
	ready      chan struct{}
	readyOnce  sync.Once

	mu      sync.Mutex // guards the life cycle
	started bool
	stopped bool
	hearing context.CancelFunc // ends intake
	working context.CancelFunc // ends publishing
	intake  sync.WaitGroup     // listener, throttle and failures
	workers sync.WaitGroup
}

// New makes a subscriber; nothing happens before Start.
func New(client redis.UniversalClient, p Publisher, a Agreement, j Jobs, options Options) *Subscriber {
	o := options.withDefaults()
	return &Subscriber{
		client: client, publisher: p, agreement: a, options: o, log: o.Logger, ready: make(chan struct{}),
		queue: newQueue(o.QueueLen, o.QueueBytes), throttle: NewThrottle(o.ProgressInterval, throttledJobs, throttledBytes),
		failures: newFailures(o.FailureWait, failingJobs, failedBytes), jobs: newJobs(j), machines: machines{},
	}
}

// Start begins to listen and returns at once: with Redis out of reach it keeps trying, which Healthy shows. A subscriber
// starts once; the error is CodePrecondition for a second time.
func (s *Subscriber) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started || s.stopped {
		return holdfast.Errorf(holdfast.CodePrecondition, "the job event subscriber was started or stopped before")
	}
	s.started = true
	base := context.WithoutCancel(ctx)
	var hearing, working context.Context
	hearing, s.hearing = context.WithCancel(base)
	working, s.working = context.WithCancel(base)
	for range s.options.Workers {
		s.workers.Go(func() { s.work(working) })
	}
	s.intake.Go(func() { s.throttle.Run(hearing, func(e *holdfast.Event) { s.push(working, item{event: e}) }) })
	s.intake.Go(func() { s.failures.run(hearing, func(f *failure) { s.failed(working, f) }) })
	s.intake.Go(func() {
		s.listen(hearing, func(channel, payload string) { s.take(working, channel, payload) })
	})
	return nil
}

// Stop ends the subscription and hands over everything that was heard, what still waits included. When ctx ends
// first, what is left counts as failed and the error, CodeUnavailable, tells how many events that are. Stop waits for the
// publisher's calls. Stopping twice or unstarted does nothing.
func (s *Subscriber) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started || s.stopped {
		s.stopped = true
		return nil
	}
	s.stopped = true
	defer context.AfterFunc(ctx, s.working)() // past the deadline publishing ends, which lets everything below return
	before := s.counters.lost.Load()
	s.hearing()
	s.intake.Wait()
	// The deadline may pass while these are pushed; push counts what it cannot place.
	pushing, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, e := range s.throttle.Flush() {
		s.push(pushing, item{event: e})
	}
	for _, f := range s.failures.flush() {
		s.failed(pushing, f)
	}
	close(s.queue.events)
	s.workers.Wait()
	s.working()
	if lost := s.counters.lost.Load() - before; lost > 0 {
		s.log.Error("job events were not handed over before the stop", zap.Int64("events", lost))
		return holdfast.Errorf(holdfast.CodeUnavailable, "%d job events were not handed over before the stop", lost)
	}
	return nil
}

// Ready is closed once the first subscription to every channel is confirmed.
func (s *Subscriber) Ready() <-chan struct{} { return s.ready }

// Healthy returns nil while every channel is subscribed and events are taken in as they come. Otherwise the error is
// CodeUnavailable (messages are being missed) or CodeExhausted (they are waiting).
func (s *Subscriber) Healthy() error {
	switch {
	case !s.subscribed.Load():
		return holdfast.Errorf(holdfast.CodeUnavailable, "not subscribed to the job broker's channels")
	case s.queue.full():
		return holdfast.Errorf(holdfast.CodeExhausted, "the queue of job events is full")
	}
	return nil
}

// take maps one message and sends its event on. It runs in the order of arrival, which the throttle needs to know the
// newest.
func (s *Subscriber) take(ctx context.Context, channel, payload string) {
	s.counters.received.Add(1)
	now := time.Now()
	m, err := mapMessage(channel, []byte(payload), now)
	switch {
	case err != nil:
		s.counters.failed.Add(1)
		s.log.Warn("job message cannot be understood", zap.String("channel", channel), zap.Int("bytes", len(payload)), zap.Error(err))
		return
	case m == nil:
		s.counters.skipped.Add(1)
		return
	}
	switch {
	case channel == channelProgress && m.job != "":
		switch s.throttle.Offer(m.job, m.event, now) {
		case Pass:
		case PassAndReplaced:
			s.counters.skipped.Add(1)
		case Wait:
			return
		case WaitAndReplaced:
			s.counters.skipped.Add(1)
			return
		}
	case halfOf(m) != whole:
		ended, part := s.failures.offer(m, now)
		if part {
			s.counters.skipped.Add(1)
		}
		for _, f := range ended {
			s.failed(ctx, f)
		}
		return
	case m.event.Type == machineStatus:
		s.changed(ctx, m, now)
		return
	}
	s.push(ctx, item{event: m.event})
}

func (s *Subscriber) push(ctx context.Context, i item) {
	if !s.queue.push(ctx, i) {
		s.counters.lost.Add(1)
		s.counters.failed.Add(1)
	}
}
