package jobevents

import (
	"context"
	"strconv"
	"time"

	"github.com/emprops/holdfast"
)

// How long replicas remember what they agreed on.
const (
	keepFailure = 10 * time.Second // also the longest time between the two messages of one failure
	keepMachine = 24 * time.Hour
)

// failed sends the event of a failure. Its two messages have nothing in common that tells this failure of the job from the
// next, and the base worker's no time. So the replicas agree on when the job's failure number n was first heard of; the
// number is how many each has heard of lately. Whichever message a replica heard, and whether it found them to be twins in
// time, it gives the same id. A replica that began to listen between two failures of a job counts otherwise: then the second
// can be delivered twice, once for each count.
func (s *Subscriber) failed(ctx context.Context, f *failure) {
	i := item{event: f.event}
	switch {
	case f.late:
		s.counters.skipped.Add(1)
		return
	case f.number > 0:
		what := f.job + "\x00" + text(f.fields["error"]) + "\x00" + strconv.Itoa(f.number)
		i.settle = func(ctx context.Context) (bool, error) {
			since, err := s.agreement.Since(ctx, channelFailed+"\x00"+what, "", i.event.Timestamp, keepFailure)
			i.event.ID = holdfast.DerivedEventID(since, channelFailed, what)
			return true, err
		}
	}
	s.push(ctx, i)
}

// changed sends the event of a machine's message when the machine says something new: by what all replicas have heard
// before, so that one that starts, or was cut off for a while, neither repeats what is known nor misses what has changed.
// The first message ever is news; so are the end of a start and the beginning of a stop whatever was known.
//
// What this replica has heard from the machine before is not asked about: that spares a question for each heartbeat, and a
// heartbeat that is handed over beside the message of a change is not taken for the change.
func (s *Subscriber) changed(ctx context.Context, m *mapped, now time.Time) {
	e := m.event
	subject := machineStatus + "\x00" + string(inside(e.Data)["machine_id"])
	raw, _ := m.data(machineState) // never fails: it is part of e.Data
	state := string(raw)
	always := m.updateType() == updateReady || m.updateType() == updateShutdown
	if s.machines.knows(subject, state, now) && !always {
		s.counters.skipped.Add(1)
		return
	}
	s.push(ctx, item{event: e, settle: func(ctx context.Context) (bool, error) {
		since, err := s.agreement.Since(ctx, subject, state, e.Timestamp, keepMachine)
		return always || since == e.Timestamp, err
	}})
}

// machines is what was heard of each last, bounded: when it is full, any one makes room.
type machines map[string]heardState

type heardState struct {
	state string
	asked time.Time
}

const (
	knownMachines = 10_000
	askAgain      = time.Hour // much less than keepMachine, so that the replicas do not forget what goes on
)

// knows tells whether a machine's state is the one that was asked about last, and keeps it.
func (k machines) knows(subject, state string, now time.Time) bool {
	last, known := k[subject]
	if known && last.state == state && now.Sub(last.asked) < askAgain {
		return true
	}
	if !known && len(k) >= knownMachines {
		for other := range k {
			delete(k, other)
			break
		}
	}
	k[subject] = heardState{state, now}
	return false
}
