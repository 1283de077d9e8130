package jobevents

import (
	"context"
	"errors"
	"time"

	"github.com/emprops/holdfast"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// Backoff spaces the tries of what may succeed later, such as a Publisher's call: the first wait is 50 ms, each further one
// twice as long, up to 5 s. The zero value begins.
type Backoff struct{ next time.Duration }

// Wait waits after a try that ended with the error, longer where that asks for it, but never longer than 5 s: a wrong wish
// cannot stall who waits. It returns when ctx is done.
func (b *Backoff) Wait(ctx context.Context, err error) {
	d := max(b.next, firstBackoff)
	b.next = min(2*d, maxBackoff)
	if e, ok := errors.AsType[*holdfast.Error](err); ok {
		d = max(d, min(e.RetryAfter, maxBackoff))
	}
	pause(ctx, d)
}

// pause waits for d or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
