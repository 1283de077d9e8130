package dispatch

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// Starter starts the workflows that make deliveries durable. Starting one that is open already under its id succeeds and
// changes nothing, so a start whose answer was lost can be repeated.
type Starter interface {
	StartDelivery(ctx context.Context, in workflows.DeliveryInput) (workflowID, runID string, err error)
	StartGroup(ctx context.Context, id string, in workflows.GroupInput) (workflowID, runID string, err error)
	// Enqueue starts a delivery that comes after those of its webhook that were enqueued under the same key before.
	Enqueue(ctx context.Context, key string, in workflows.DeliveryInput) (workflowID, runID string, err error)
	NewGroupID() string
}

// started says where a set of deliveries went; unknown means that a failed start may have succeeded all the same.
type started struct {
	workflowID, runID string
	unknown           bool
	err               error
}

// pending is one event on its way into a group.
type pending struct {
	event    *holdfast.Event
	webhooks []string
	done     chan started
	late     bool // it came while a start was under way
}

func (p *pending) size() int { return p.event.Size() + targetBytes*len(p.webhooks) }

// weight is what the event counts against the queue's bound of deliveries: one that goes to more webhooks than a group
// holds is a start of its own, and counts as one group.
func (p *pending) weight(opts *Options) int { return min(len(p.webhooks), opts.GroupMaxDeliveries) }

// committer is the group commit: deliveries that arrive while a start is in flight go together in the next one.
type committer struct {
	starter Starter
	opts    Options
	logger  *zap.Logger

	mu       sync.Mutex
	waiting  []*pending
	count    int // deliveries waiting or being started
	bytes    int
	inFlight int
	lastSize int
	begun    time.Time // when the last start began
	lingers  bool      // a timer will go on
	stopped  bool
	running  sync.WaitGroup
	ordered  chan struct{} // starts of ordered deliveries in flight
}

const (
	startTimeout  = 10 * time.Second
	startPatience = 30 * time.Second // in which a start is repeated
	startBackoff  = 100 * time.Millisecond
	exhaustedHint = time.Second // suggested wait when the queue is full
	offInFlight   = 64          // starts in flight when grouping is off, and of ordered deliveries

	// targetBytes is what one webhook's id takes in a start.
	targetBytes = 64
	// fanOutMaxBytes is how much of Temporal's 2 MiB one start may take, so that what it carries from run to run has room.
	fanOutMaxBytes = 5 << 18
)

func newCommitter(starter Starter, opts Options, logger *zap.Logger) *committer {
	if opts.FanOutMaxBytes == 0 {
		opts.FanOutMaxBytes = fanOutMaxBytes
	}
	return &committer{starter: starter, opts: opts, logger: logger, ordered: make(chan struct{}, offInFlight)}
}

// admit refuses early, before any work is done for an event, while the queue is full. Until leave is called, stop waits:
// an event's mark is written after its start.
func (c *committer) admit(size int) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admitLocked(1, size); err != nil {
		return nil, err
	}
	c.running.Add(1)
	return c.running.Done, nil
}

func (c *committer) admitLocked(deliveries, size int) error {
	switch {
	case c.stopped:
		return holdfast.Errorf(holdfast.CodeUnavailable, "this node is shutting down; publish again")
	case c.count > 0 && (c.count+deliveries > c.opts.QueueMaxDeliveries || c.bytes+size > c.opts.QueueMaxBytes):
		return &holdfast.Error{
			Code: holdfast.CodeExhausted, RetryAfter: exhaustedHint,
			Message: "too many events are waiting to be made durable; nothing was accepted, publish again later",
		}
	}
	return nil
}

// commit makes the event's deliveries durable. An event for more webhooks than a group holds is one start all the same,
// that fans out by itself; only one for more than a start can carry goes in several.
func (c *committer) commit(e *holdfast.Event, webhooks []string) (started, error) {
	var parts []*pending
	largest := max(c.opts.GroupMaxDeliveries, (c.opts.FanOutMaxBytes-e.Size())/targetBytes)
	for rest := webhooks; len(rest) > 0; {
		n := min(len(rest), largest)
		parts = append(parts, &pending{event: e, webhooks: rest[:n:n], done: make(chan started, 1)})
		rest = rest[n:]
	}
	if err := c.enqueue(parts); err != nil {
		return started{}, err
	}
	var first started
	for i, p := range parts {
		s := <-p.done
		if s.err != nil {
			s.unknown = s.unknown || len(parts) > 1 // the other parts may be durable
			return s, s.err
		}
		if i == 0 {
			first = s
		}
	}
	return first, nil
}

func (c *committer) enqueue(parts []*pending) error {
	deliveries, size := 0, 0
	for _, p := range parts {
		deliveries += p.weight(&c.opts)
		size += p.size()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.admitLocked(deliveries, size); err != nil {
		return err
	}
	c.count += deliveries
	c.bytes += size
	for _, p := range parts {
		p.late = c.inFlight > 0
	}
	c.waiting = append(c.waiting, parts...)
	c.pumpLocked()
	return nil
}

// pumpLocked starts groups while the limit allows.
func (c *committer) pumpLocked() {
	for len(c.waiting) > 0 && c.inFlight < c.limitLocked() && !c.lingerLocked() {
		group := c.takeLocked()
		c.inFlight++
		c.begun = time.Now()
		c.running.Go(func() { c.start(group) })
	}
}

// lingerLocked tells whether the next start is put off, and sees to it that it is made. What came while another start was
// under way waits until that one began StartSpacing ago: at a rate at which starts follow each other closely they would all be
// small, and fill the cores. What finds nothing under way starts at once, and so does what fills a group.
func (c *committer) lingerLocked() bool {
	if !c.opts.Grouping || !c.waiting[0].late {
		return false
	}
	wait := c.opts.StartSpacing - time.Since(c.begun)
	if wait <= 0 || c.waitingDeliveriesLocked() >= c.opts.GroupMaxDeliveries {
		return false
	}
	if !c.lingers {
		c.lingers = true
		time.AfterFunc(wait, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.lingers = false
			c.pumpLocked()
		})
	}
	return true
}

func (c *committer) waitingDeliveriesLocked() (n int) {
	for _, p := range c.waiting {
		n += len(p.webhooks)
	}
	return n
}

// limitLocked is how many starts may be in flight. More of them make smaller groups and spend the cores on starts, so
// under load one is best; while groups are tiny a second one saves waiting for the first.
func (c *committer) limitLocked() int {
	switch {
	case c.opts.StartsInFlight > 0:
		return c.opts.StartsInFlight
	case !c.opts.Grouping:
		return offInFlight
	case c.lastSize <= 2:
		return 2
	}
	return 1
}

// takeLocked takes what fits into one group, at least one event.
func (c *committer) takeLocked() []*pending {
	count, size, n := 0, 0, 0
	for _, p := range c.waiting {
		fits := count+len(p.webhooks) <= c.opts.GroupMaxDeliveries && size+p.size() <= c.opts.GroupMaxBytes
		if n > 0 && (!fits || !c.opts.Grouping) {
			break
		}
		count, size, n = count+len(p.webhooks), size+p.size(), n+1
	}
	group := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
	c.lastSize = n
	return group
}

// start makes one group durable, repeating the start while Temporal is away, and answers those who wait for it.
func (c *committer) start(group []*pending) {
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	s := c.startWorkflows(ctx, group)
	c.mu.Lock()
	c.inFlight--
	for _, p := range group {
		c.count -= p.weight(&c.opts)
		c.bytes -= p.size()
	}
	c.pumpLocked()
	c.mu.Unlock()
	for _, p := range group {
		p.done <- s
	}
}

func (c *committer) startWorkflows(ctx context.Context, group []*pending) started {
	only := len(group) == 1
	if n := len(group[0].webhooks); only && (n == 1 || !c.opts.Grouping && n <= c.opts.GroupMaxDeliveries) {
		return c.startSingles(ctx, group[0])
	}
	in := workflows.GroupInput{
		Events: make([]holdfast.Event, len(group)), CreatedAt: time.Now().UnixMilli(),
		AttemptTimeoutMS: c.opts.AttemptTimeout.Milliseconds(), HoldForMS: c.opts.HoldFor.Milliseconds(), Successors: true,
	}
	for i, p := range group {
		in.Events[i] = *p.event
		for _, id := range p.webhooks {
			in.Targets = append(in.Targets, activities.Target{Event: i, WebhookID: id})
		}
	}
	id := c.starter.NewGroupID()
	return c.repeat(ctx, func(ctx context.Context) (string, string, error) { return c.starter.StartGroup(ctx, id, in) })
}

// startSingles starts a workflow for each delivery of one event; its answer names the first.
func (c *committer) startSingles(ctx context.Context, p *pending) started {
	var first started
	for i, webhook := range p.webhooks {
		in := c.delivery(webhook, p.event)
		s := c.repeat(ctx, func(ctx context.Context) (string, string, error) { return c.starter.StartDelivery(ctx, in) })
		if s.err != nil {
			s.unknown = s.unknown || i > 0
			return s
		}
		if i == 0 {
			first = s
		}
	}
	return first
}

func (c *committer) delivery(webhook string, e *holdfast.Event) workflows.DeliveryInput {
	return workflows.DeliveryInput{
		WebhookID: webhook, Event: *e, CreatedAt: time.Now().UnixMilli(),
		AttemptTimeoutMS: c.opts.AttemptTimeout.Milliseconds(), HoldForMS: c.opts.HoldFor.Milliseconds(),
		LazyAttributes: true,
	}
}

// orderedTarget is a webhook that wants its deliveries in the order of a key.
type orderedTarget struct{ webhook, key string }

// commitOrdered makes deliveries durable that are made in order: each in the queue of its webhook and key.
func (c *committer) commitOrdered(e *holdfast.Event, targets []orderedTarget) (started, error) {
	weight, size := len(targets), len(targets)*e.Size()
	c.mu.Lock()
	if err := c.admitLocked(weight, size); err != nil {
		c.mu.Unlock()
		return started{}, err
	}
	c.count, c.bytes = c.count+weight, c.bytes+size
	c.running.Add(1)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.count, c.bytes = c.count-weight, c.bytes-size
		c.running.Done()
	}()
	c.ordered <- struct{}{}
	defer func() { <-c.ordered }()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	var first started
	for i, t := range targets {
		in := c.delivery(t.webhook, e)
		s := c.repeat(ctx, func(ctx context.Context) (string, string, error) { return c.starter.Enqueue(ctx, t.key, in) })
		if s.err != nil {
			s.unknown = s.unknown || i > 0
			return s, s.err
		}
		if i == 0 {
			first = s
		}
	}
	return first, nil
}

func (c *committer) repeat(ctx context.Context, start func(context.Context) (string, string, error)) started {
	unknown := false
	for wait := startBackoff; ; wait = min(2*wait, 2*time.Second) {
		once, cancel := context.WithTimeout(ctx, startTimeout)
		workflowID, runID, err := start(once)
		cancel()
		if err == nil {
			return started{workflowID: workflowID, runID: runID}
		}
		unknown = unknown || holdfast.ErrorCode(err) == holdfast.CodeUnavailable
		c.logger.Warn("workflow start failed", zap.Error(err))
		if code := holdfast.ErrorCode(err); code != holdfast.CodeUnavailable && code != holdfast.CodeExhausted {
			return started{unknown: unknown, err: err}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return started{unknown: unknown, err: holdfast.Wrap(holdfast.CodeUnavailable, err,
				"the event could not be made durable; publish it again with the same id")}
		}
	}
}

// stop refuses new events and waits for those accepted.
func (c *committer) stop(ctx context.Context) error {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		c.running.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("dispatch: events were still being made durable"), ctx.Err())
	}
}
