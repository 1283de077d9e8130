package jobrecovery

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
	"github.com/emprops/holdfast/internal/jobevents"
)

// Kind is a kind of attestations.
type Kind int

// The kinds.
const (
	Completions     Kind = iota // of the broker, before it asks EMPROPS
	Failures                    // of the broker
	WorkersFailures             // permanent ones, of workers
)

// Store holds the attestations, and what became of events. Every method returns CodeUnavailable.
type Store interface {
	// Lease lets one node at a time look: true for the first that asks, until the time is over.
	Lease(ctx context.Context, length time.Duration) (bool, error)
	// Keys calls visit with the keys of all attestations of a kind, a page at a time.
	Keys(ctx context.Context, kind Kind, visit func(ctx context.Context, keys []string) error) error
	// Read reads an attestation; "" when it is gone.
	Read(ctx context.Context, key string) (string, error)
	// Known tells when an event was accepted; zero when it was not, or is no longer known. CodeAborted: it is just being.
	Known(ctx context.Context, eventID string) (time.Time, error)
}

// Platform is EMPROPS. CodeNotFound: it does not know the workflow; CodeUnavailable.
type Platform interface {
	Job(ctx context.Context, workflowID string) (emprops.Job, error)
}

// Options tune a Recovery; Interval, Horizon and Logger are required.
type Options struct {
	// Interval is how often somebody looks.
	Interval time.Duration
	// Grace is how old an attestation has to be: the broker's own message comes first.
	Grace time.Duration
	// Horizon is how old one may be. It must be shorter than the time for which a repeated event id is recognised, or what
	// was delivered long ago would be delivered again.
	Horizon time.Duration
	Logger  *zap.Logger
	Now     func() time.Time // time.Now when nil
}

// Stats count what this node found since its start.
type Stats struct {
	Recovered int64 // published, since nobody knew the event
	Waiting   int64 // of the last look: EMPROPS does not say yet that the workflow is completed, or does not answer
}

// asksMax bounds how often one look asks EMPROPS, which allows a user 100 requests a minute (CONTRACT 7).
const asksMax = 50

// settledMax bounds the attestations that are not read again because they are too old or were told of; past it the node
// begins anew to remember.
const settledMax = 1_000_000

// Recovery looks for outcomes that nobody was told of. Make it with New.
type Recovery struct {
	store     Store
	platform  Platform // nil: completions are not looked for
	publisher jobevents.Publisher
	options   Options

	seed    maphash.Seed
	settled map[uint64]struct{} // hashes of keys; used by one look at a time, as is
	asks    int                 // how often EMPROPS may still be asked

	recovered, waiting atomic.Int64
	quit               context.CancelFunc
	loop               sync.WaitGroup
}

// New makes a recovery; nothing happens before Start. Without a platform, only failures are looked for: a completion is one
// when EMPROPS says so, and its event is known by EMPROPS' time of it.
func New(store Store, platform Platform, p jobevents.Publisher, o Options) *Recovery {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Recovery{
		store: store, platform: platform, publisher: p, options: o, seed: maphash.MakeSeed(), settled: map[uint64]struct{}{},
		quit: func() {},
	}
}

// Start begins to look, now and then, in the background. Once.
func (r *Recovery) Start(ctx context.Context) {
	ctx, r.quit = context.WithCancel(context.WithoutCancel(ctx))
	r.loop.Go(func() {
		tick := time.NewTicker(r.options.Interval)
		defer tick.Stop()
		for {
			if ours, err := r.store.Lease(ctx, r.options.Interval*9/10); err == nil && ours {
				if err := r.Look(ctx); err != nil && ctx.Err() == nil {
					r.options.Logger.Warn("looking for missed outcomes of workflows was cut short", zap.Error(err))
				}
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// Stop ends it, within a call of the publisher.
func (r *Recovery) Stop(context.Context) error {
	r.quit()
	r.loop.Wait()
	return nil
}

// Stats returns the counters.
func (r *Recovery) Stats() Stats { return Stats{r.recovered.Load(), r.waiting.Load()} }

// Look passes once over all attestations. What it cannot do now is left to the next look; the error, CodeUnavailable, tells
// that not all of them were seen.
func (r *Recovery) Look(ctx context.Context) error {
	if len(r.settled) > settledMax {
		clear(r.settled)
	}
	r.asks = asksMax
	waiting := int64(0)
	kinds := []Kind{Failures, WorkersFailures}
	if r.platform != nil {
		kinds = append(kinds, Completions)
	}
	for _, kind := range kinds {
		err := r.store.Keys(ctx, kind, func(ctx context.Context, keys []string) error {
			for _, key := range keys {
				done, err := r.consider(ctx, kind, key)
				if err != nil {
					return err
				}
				if !done {
					waiting++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.waiting.Store(waiting)
	return nil
}

// consider sees to one attestation; done is false when it is to be seen again.
func (r *Recovery) consider(ctx context.Context, kind Kind, key string) (done bool, err error) {
	hash := maphash.String(r.seed, key)
	if _, ok := r.settled[hash]; ok {
		return true, nil
	}
	text, err := r.store.Read(ctx, key)
	if err != nil {
		return false, err
	}
	a, ok := parse(text)
	age := r.options.Now().Sub(a.at())
	switch {
	case !ok || age > r.options.Horizon:
		done = true
	case age < r.options.Grace:
		return true, nil // to be seen again, but nothing is amiss
	default:
		done = r.recover(ctx, kind, &a)
	}
	if done {
		r.settled[hash] = struct{}{}
	}
	return done, nil
}

// recover publishes the event of an outcome that nobody was told of. It tells whether that is settled.
func (r *Recovery) recover(ctx context.Context, kind Kind, a *attestation) (settled bool) {
	log := r.options.Logger.With(zap.String("workflow_id", a.Workflow))
	if kind == Completions {
		// Nearly all were told of, and EMPROPS need not be asked about them.
		if at, err := r.store.Known(ctx, ToldID(a.Workflow)); err != nil || at.After(a.at()) {
			return err == nil
		}
	}
	e, err := r.eventOf(ctx, kind, a)
	if err != nil || e == nil {
		log.Debug("an outcome of a workflow waits", zap.Error(err))
		return false
	}
	if at, err := r.store.Known(ctx, e.ID); err != nil || !at.IsZero() {
		return err == nil
	}
	id, eventType := e.ID, e.Type
	if err := r.publisher.PublishMessage(ctx, e); err != nil {
		log.Warn("a missed outcome of a workflow could not be published yet", zap.Error(err))
		return false
	}
	r.recovered.Add(1)
	log.Info("a missed outcome of a workflow is published", zap.String("event_id", id), zap.String("event_type", eventType))
	return true
}

// eventOf makes the event of an outcome; nil when there is none yet.
func (r *Recovery) eventOf(ctx context.Context, kind Kind, a *attestation) (*holdfast.Event, error) {
	if kind != Completions {
		return failed(a)
	}
	if r.asks--; r.asks < 0 {
		return nil, nil //nolint:nilnil // the next look goes on
	}
	job, err := r.platform.Job(ctx, a.Workflow)
	switch {
	case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
		// The broker gives up on a workflow that EMPROPS does not know, although its own attestation says that it is complete
		// (D65).
		return completed(a, emprops.Job{})
	case err != nil:
		return nil, err
	case job.Status != emprops.Completed:
		return nil, nil //nolint:nilnil // it is not complete yet
	}
	return completed(a, job)
}
