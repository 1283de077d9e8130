// Package batch turns many concurrent calls into few: what arrives while a run is under way goes together in the next
// one. Nothing ever waits for a timer, so a lone call is not delayed, and the batches grow with the load by themselves
// (natural batching).
package batch

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrStopped is returned by Do after Stop.
var ErrStopped = errors.New("batch: stopped")

// Run does the work of one batch and returns one result per item, in the items' order. An error fails every item.
type Run[T, R any] func(ctx context.Context, items []T) ([]R, error)

// Batcher groups the items of concurrent Do calls. Make it with New.
type Batcher[T, R any] struct {
	run      Run[T, R]
	maxItems int
	inFlight int
	timeout  time.Duration

	mu      sync.Mutex
	waiting []call[T, R]
	running int
	stopped bool
	idle    sync.WaitGroup
}

type call[T, R any] struct {
	item T
	done chan outcome[R]
}

type outcome[R any] struct {
	result R
	err    error
}

// New makes a Batcher that has at most inFlight runs under way, each with at most maxItems items and bounded by timeout.
func New[T, R any](maxItems, inFlight int, timeout time.Duration, run Run[T, R]) *Batcher[T, R] {
	return &Batcher[T, R]{run: run, maxItems: maxItems, inFlight: inFlight, timeout: timeout}
}

// Do hands over one item and waits for its result or for ctx. The item is worked on even when ctx ends first: others may
// share its run.
func (b *Batcher[T, R]) Do(ctx context.Context, item T) (R, error) {
	c := call[T, R]{item: item, done: make(chan outcome[R], 1)}
	b.mu.Lock()
	if b.stopped {
		b.mu.Unlock()
		var zero R
		return zero, ErrStopped
	}
	b.waiting = append(b.waiting, c)
	b.startLocked(context.WithoutCancel(ctx))
	b.mu.Unlock()
	select {
	case o := <-c.done:
		return o.result, o.err
	case <-ctx.Done():
		var zero R
		return zero, ctx.Err()
	}
}

// Stop refuses new items and waits until those handed over are done.
func (b *Batcher[T, R]) Stop() {
	b.mu.Lock()
	b.stopped = true
	b.mu.Unlock()
	b.idle.Wait()
}

func (b *Batcher[T, R]) startLocked(ctx context.Context) {
	if b.running >= b.inFlight {
		return
	}
	b.running++
	b.idle.Add(1)
	go b.drain(ctx)
}

// drain runs batch after batch until nothing waits.
func (b *Batcher[T, R]) drain(ctx context.Context) {
	defer b.idle.Done()
	for {
		b.mu.Lock()
		if len(b.waiting) == 0 {
			b.waiting = nil
			b.running--
			b.mu.Unlock()
			return
		}
		n := min(b.maxItems, len(b.waiting))
		calls := b.waiting[:n:n]
		b.waiting = b.waiting[n:]
		b.mu.Unlock()
		b.runOne(ctx, calls)
	}
}

func (b *Batcher[T, R]) runOne(ctx context.Context, calls []call[T, R]) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	items := make([]T, len(calls))
	for i, c := range calls {
		items[i] = c.item
	}
	results, err := b.run(ctx, items)
	if err == nil && len(results) != len(items) {
		err = errors.New("batch: run returned another number of results than items")
	}
	for i, c := range calls {
		o := outcome[R]{err: err}
		if err == nil {
			o.result = results[i]
		}
		c.done <- o
	}
}
