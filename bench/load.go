//go:build !lean

package main

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Load is how events are published.
type Load struct {
	Prefix    string // of the events' ids
	Callers   int    // closed loop: each publishes again when it is answered
	Rate      int    // open loop, when not 0: events per second, whatever the answers
	MaxEvents int
	Limit     time.Duration // ends it in any case
}

// Sample is one event published. Times are nanoseconds since the epoch, because they are compared across processes of
// one machine.
type Sample struct {
	N      int   // number in the row; with the prefix it makes the event's id
	Start  int64 // open loop: when it was due
	Answer int64
	Failed bool
}

// Samples are all events of a row and what went wrong, counted by text.
type Samples struct {
	Events []Sample
	Errors map[string]int
}

// publishFunc publishes one event and returns when it is durable.
type publishFunc func(ctx context.Context, id string) error

const (
	answerTimeout = 30 * time.Second
	errorPause    = 10 * time.Millisecond // keeps a failing publisher from spinning
)

// eventID is the id of event n.
func (l Load) eventID(n int) string { return l.Prefix + strconv.Itoa(n) }

// number is what eventID made the id of; false when the id is not of this load.
func (l Load) number(id string) (int, bool) {
	text, ours := strings.CutPrefix(id, l.Prefix)
	n, err := strconv.Atoi(text)
	return n, ours && err == nil
}

// run publishes until ctx ends or the load's bounds are reached, then waits for the answers under way.
func (l Load) run(ctx context.Context, publish publishFunc) Samples {
	ctx, cancel := context.WithTimeout(ctx, l.Limit)
	defer cancel()
	s := &sampler{load: l, publish: publish, out: Samples{Errors: map[string]int{}}}
	if l.Rate > 0 {
		s.open(ctx)
	} else {
		s.closed(ctx)
	}
	return s.out
}

// sampler publishes and keeps what came of it.
type sampler struct {
	load    Load
	publish publishFunc
	mu      sync.Mutex
	out     Samples
}

func (s *sampler) closed(ctx context.Context) {
	var next atomic.Int64
	var callers sync.WaitGroup
	for range s.load.Callers {
		callers.Go(func() {
			var mine []Sample
			for ctx.Err() == nil {
				n := int(next.Add(1))
				if n > s.load.MaxEvents {
					break
				}
				sample := s.one(ctx, n, time.Now())
				mine = append(mine, sample)
				if sample.Failed {
					pass(ctx, errorPause, nil)
				}
			}
			s.keep(mine...)
		})
	}
	callers.Wait()
}

// open publishes at fixed intervals. An event counts from when it was due, so that a stall shows in all it held up.
func (s *sampler) open(ctx context.Context) {
	interval := time.Second / time.Duration(s.load.Rate)
	var answers sync.WaitGroup
	begin := time.Now()
	for n := 1; n <= s.load.MaxEvents; n++ {
		due := begin.Add(time.Duration(n) * interval)
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			break
		}
		answers.Go(func() { s.keep(s.one(ctx, n, due)) })
	}
	answers.Wait()
}

// one publishes event n. The end of the load lets it finish.
func (s *sampler) one(ctx context.Context, n int, start time.Time) Sample {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	err := s.publish(ctx, s.load.eventID(n))
	sample := Sample{N: n, Start: start.UnixNano(), Answer: time.Now().UnixNano(), Failed: err != nil}
	if err != nil {
		s.mu.Lock()
		s.out.Errors[err.Error()]++
		s.mu.Unlock()
	}
	return sample
}

func (s *sampler) keep(samples ...Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Events = append(s.out.Events, samples...)
}

// payload is the data of an event: a JSON object of exactly size bytes that starts with the field.
func payload(size int, field string) []byte {
	const tail = `"}`
	data := []byte(`{` + field + `,"status":"completed","output":"`)
	for len(data) < size-len(tail) {
		data = append(data, "abcdefghijklmnopqrstuvwxyz0123456789"[len(data)%36])
	}
	return append(data, tail...)
}
