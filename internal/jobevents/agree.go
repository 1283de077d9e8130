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

// failed is the event of a failure. Its two messages have nothing in common that tells this failure of the job from the
// next, and the base worker's no time. So the replicas agree on when the job's failure number n was first heard of; the
// number is how many each has heard of lately. Whichever message a replica heard, and whether it found them to be twins in
// time, it gives the same id.
func (s *Subscriber) failed(f *failure) item {
	e := f.event
	if f.number == 0 {
		return item{event: e}
	}
	what := f.job + "\x00" + text(f.fields["error"]) + "\x00" + strconv.Itoa(f.number)
	return item{event: e, settle: func(ctx context.Context) (bool, error) {
		since, err := s.agreement.Since(ctx, channelFailed+"\x00"+what, "", e.Timestamp, keepFailure)
		e.ID = holdfast.DerivedEventID(since, channelFailed, what)
		return true, err
	}}
}

// changed is the event of a machine's message, sent when the machine says something new: by what all replicas have heard
// before, so that one that starts, or was cut off for a while, neither repeats what is known nor misses what has changed.
// The first message ever is news; so are the end of a start and the beginning of a stop whatever was known.
func (s *Subscriber) changed(m *mapped) item {
	e := m.event
	return item{event: e, settle: func(ctx context.Context) (bool, error) {
		state, err := m.data(machineState)
		if err != nil {
			return false, err
		}
		machine := inside(e.Data)["machine_id"]
		since, err := s.agreement.Since(ctx, machineStatus+"\x00"+string(machine), string(state), e.Timestamp, keepMachine)
		update := m.updateType()
		return since == e.Timestamp || update == updateReady || update == updateShutdown, err
	}}
}
