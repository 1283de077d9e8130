package jobevents

import "sync/atomic"

// Stats count messages since the start. Once nothing is under way Received is the sum of the others (D41).
type Stats struct {
	Received  int64
	Processed int64 // the publisher took the event
	Skipped   int64 // no event of its own: no mapping, repeated, nothing new, part of another, or not wanted
	Failed    int64 // not understood, refused by the publisher, or left over at the stop
}

type counters struct {
	received, processed, skipped, failed atomic.Int64
	lost                                 atomic.Int64 // the part of failed that nobody decided: left over at the stop
}

// Stats returns the counters. What is still under way makes Received the larger side, never the smaller.
func (s *Subscriber) Stats() Stats {
	c := &s.counters
	out := Stats{Processed: c.processed.Load(), Skipped: c.skipped.Load(), Failed: c.failed.Load()}
	out.Received = c.received.Load()
	return out
}
