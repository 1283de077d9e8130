package eventstream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
)

// Stream is the stream with the consumer group. Every method returns CodeUnavailable.
type Stream interface {
	// ReadEntries hands out entries that nobody has, and waits a while for the first.
	ReadEntries(ctx context.Context, consumer string, count int, wait time.Duration) ([]Entry, error)
	// ClaimEntries takes over entries that other consumers have had for longer than idle.
	ClaimEntries(ctx context.Context, consumer string, count int, idle time.Duration) ([]Entry, error)
	// TakeEntries takes entries off the stream for good.
	TakeEntries(ctx context.Context, ids ...string) error
	// RefuseEntry moves an entry aside with its reason.
	RefuseEntry(ctx context.Context, id, reason string) error
	// TidyConsumers forgets consumers that were not heard of for longer than idle and hold no entries.
	TidyConsumers(ctx context.Context, idle time.Duration) error
}

// Options tune a Consumer; zero values take the defaults.
type Options struct {
	Name      string        // of this consumer, unique among the nodes; required
	Batch     int           // entries taken at a time; 64
	ClaimIdle time.Duration // after which another consumer's entries are taken over; 30 s
	Logger    *zap.Logger
}

const (
	readWait       = 250 * time.Millisecond // for the first entry; a stop waits as long
	publishTimeout = 5 * time.Second        // of one try
	forgottenIdle  = 10 * time.Minute       // of consumers that are removed
)

// Consumer takes events from the stream and hands them to a publisher. Make it with New.
type Consumer struct {
	stream    Stream
	publisher jobevents.Publisher
	options   Options

	processed, skipped, refused atomic.Int64
	reachable                   atomic.Bool

	quit context.CancelFunc
	loop sync.WaitGroup
}

// New makes a consumer; nothing happens before Start.
func New(stream Stream, p jobevents.Publisher, o Options) *Consumer {
	if o.Batch <= 0 {
		o.Batch = 64
	}
	if o.ClaimIdle <= 0 {
		o.ClaimIdle = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return &Consumer{stream: stream, publisher: p, options: o, quit: func() {}}
}

// Start begins to take entries and returns at once; with Redis out of reach it keeps trying, which Healthy shows. Once.
func (c *Consumer) Start(ctx context.Context) {
	ctx, c.quit = context.WithCancel(context.WithoutCancel(ctx))
	c.loop.Go(func() { c.run(ctx) })
}

// Stop ends it. What is not durable by then stays in the stream for another node, or for this one after its next start.
func (c *Consumer) Stop(ctx context.Context) error {
	c.quit()
	done := make(chan struct{})
	go func() { c.loop.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "the stream of events is still being read")
	}
}

// Healthy returns nil while the stream can be read, otherwise CodeUnavailable.
func (c *Consumer) Healthy() error {
	if !c.reachable.Load() {
		return holdfast.Errorf(holdfast.CodeUnavailable, "the stream of events cannot be read")
	}
	return nil
}

// Stats counts entries that this node has finished since its start.
func (c *Consumer) Stats() jobevents.Stats {
	s := jobevents.Stats{Processed: c.processed.Load(), Skipped: c.skipped.Load(), Failed: c.refused.Load()}
	s.Received = s.Processed + s.Skipped + s.Failed
	return s
}

// run takes batch after batch. It has only one in hand: while nothing can be published, nothing is taken.
func (c *Consumer) run(ctx context.Context) {
	var claimed, tidied time.Time
	var backoff jobevents.Backoff
	for ctx.Err() == nil {
		now := time.Now()
		if now.Sub(tidied) > forgottenIdle {
			tidied = now
			_ = c.stream.TidyConsumers(ctx, forgottenIdle) // next time, then
		}
		var entries []Entry
		var err error
		if now.Sub(claimed) > c.options.ClaimIdle/2 {
			entries, err = c.stream.ClaimEntries(ctx, c.options.Name, c.options.Batch, c.options.ClaimIdle)
			if err == nil && len(entries) < c.options.Batch {
				claimed = now
			}
		}
		if err == nil && len(entries) == 0 {
			entries, err = c.stream.ReadEntries(ctx, c.options.Name, c.options.Batch, readWait)
		}
		if ctx.Err() != nil {
			return
		}
		if was := c.reachable.Swap(err == nil); was && err != nil {
			c.options.Logger.Warn("the stream of events cannot be read, trying on", zap.Error(err))
		} else if !was && err == nil {
			c.options.Logger.Info("the stream of events is read")
		}
		if err != nil {
			backoff.Wait(ctx, err)
			continue
		}
		backoff = jobevents.Backoff{}
		c.publishAll(ctx, entries)
	}
}

// publishAll publishes entries side by side, and takes those off the stream that are durable or can never be.
func (c *Consumer) publishAll(ctx context.Context, entries []Entry) {
	var all sync.WaitGroup
	taken := make(chan string, len(entries))
	for _, e := range entries {
		all.Go(func() {
			if c.publish(ctx, e) {
				taken <- e.ID
			}
		})
	}
	all.Wait()
	close(taken)
	var ids []string
	for id := range taken {
		ids = append(ids, id)
	}
	if err := c.stream.TakeEntries(context.WithoutCancel(ctx), ids...); err != nil {
		// They are published again, under the same ids, which is known then.
		c.options.Logger.Warn("published entries stay in the stream", zap.Int("count", len(ids)), zap.Error(err))
	}
}

// publish tells whether the entry is to be taken off the stream.
func (c *Consumer) publish(ctx context.Context, e Entry) bool {
	event, err := e.event()
	if err == nil && event == nil {
		c.skipped.Add(1)
		return true
	}
	for backoff := (jobevents.Backoff{}); err == nil; {
		if err = c.try(ctx, *event); err == nil {
			c.processed.Add(1)
			return true
		}
		if holdfast.ErrorCode(err) == holdfast.CodeInvalid {
			break
		}
		if backoff.Wait(ctx, err); ctx.Err() != nil {
			return false
		}
		err = nil
	}
	c.options.Logger.Error("an entry of the stream of events is refused", zap.String("entry", e.ID), zap.Error(err))
	if c.stream.RefuseEntry(context.WithoutCancel(ctx), e.ID, err.Error()) == nil {
		c.refused.Add(1) // else it is claimed again
	}
	return false
}

// try publishes once. A stop lets it end, so that nothing is left to be claimed by another node later.
func (c *Consumer) try(ctx context.Context, own holdfast.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	return c.publisher.PublishMessage(ctx, &own)
}
