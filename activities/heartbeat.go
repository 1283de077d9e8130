package activities

import (
	"context"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/emprops/holdfast"
)

// beating tells Temporal every second that an activity is at work, and how far it has come, so that a retry goes on there.
type beating struct {
	ctx  context.Context
	quit chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	progress any
}

// beatWith starts heartbeats; stop must be called.
func beatWith(ctx context.Context, progress any) *beating {
	b := &beating{ctx: ctx, quit: make(chan struct{}), progress: progress}
	b.done.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				b.mu.Lock()
				activity.RecordHeartbeat(ctx, b.progress)
				b.mu.Unlock()
			case <-b.quit:
				return
			}
		}
	})
	return b
}

// with notes how far the activity has come.
func (b *beating) with(progress any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress = progress
	activity.RecordHeartbeat(b.ctx, progress)
}

func (b *beating) stop() {
	close(b.quit)
	b.done.Wait()
}

// leaving is the error of an activity that must stop half way, because it was cancelled or its worker ends; nil while it
// may go on. Another worker goes on from the last heartbeat.
func leaving(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-activity.GetWorkerStopChannel(ctx):
		return failure(holdfast.Errorf(holdfast.CodeUnavailable, "the worker stops; another one goes on"))
	default:
		return nil
	}
}

// truncated bounds a text for people.
func truncated(text string, runes int) string {
	if r := []rune(text); len(r) > runes {
		return string(r[:runes]) + "…"
	}
	return text
}
