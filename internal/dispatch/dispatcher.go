package dispatch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/batch"
	"github.com/emprops/holdfast/internal/jsjson"
	"github.com/emprops/holdfast/internal/registry"
)

// Mark is what is known of an event id: that somebody is making the event durable, or where that put it.
type Mark struct {
	EventID    string
	Claimed    bool // no outcome yet
	WorkflowID string
	RunID      string
	WebhookIDs []string
	CreatedAt  int64
}

// Marks remembers event ids, so that a repeated one is recognised on any node.
type Marks interface {
	// Begin reads the registry position and claims the ids in one round trip; a nil mark means the claim is ours.
	Begin(ctx context.Context, ids []string) (registry.Position, []*Mark, error)
	// Settle replaces claims by outcomes.
	Settle(ctx context.Context, marks []Mark) error
	// Release gives claims up.
	Release(ctx context.Context, ids []string) error
}

// Registry is the node's registry cache.
type Registry interface {
	// CurrentBy looks at the source's position and refreshes the snapshot if it is behind. After an error the last good one
	// stays in use, and Degraded says so.
	CurrentBy(ctx context.Context, look func(context.Context) (registry.Position, error)) error
	// Degraded returns why the snapshot may be behind, "" when it was current at the last look.
	Degraded() string
	// Matchable returns the snapshot to match on; CodeUnavailable while events could miss webhooks on it.
	Matchable() (*registry.Snapshot, error)
}

// Options are the dispatcher's settings; see the configuration for their meaning and defaults.
type Options struct {
	Grouping           bool
	GroupMaxDeliveries int
	GroupMaxBytes      int
	FanOutMaxBytes     int // of one start that carries one event to many webhooks; 0: what Temporal takes
	StartsInFlight     int // 0: adaptive
	// StartSpacing is how far apart two starts begin while events come faster than starts end.
	StartSpacing       time.Duration
	QueueMaxDeliveries int
	QueueMaxBytes      int
	AttemptTimeout     time.Duration
	HoldFor            time.Duration
}

// Result is the answer to a published event.
type Result struct {
	EventID    string
	Duplicate  bool
	WebhookIDs []string
}

// Dispatcher makes events durable. Make it with New.
type Dispatcher struct {
	registry Registry
	marks    Marks
	commits  *committer
	intake   *batch.Batcher[*holdfast.Event, intakeResult]
	settle   *batch.Batcher[Mark, struct{}]
	logger   *zap.Logger
	now      func() time.Time
	redisOut atomic.Int64 // ns since the epoch until which Redis is taken to be away
}

// intakeResult is what the shared round trip found for one event.
type intakeResult struct {
	mark    *Mark
	matched []*holdfast.Webhook
	claimed bool
}

const (
	intakeMax    = 512
	redisTimeout = 2 * time.Second
	redisHoldOff = 500 * time.Millisecond
	claimPollMin = 10 * time.Millisecond
	claimPollMax = 250 * time.Millisecond
)

// New returns a dispatcher that starts workflows through starter.
func New(reg Registry, marks Marks, starter Starter, opts Options, logger *zap.Logger) *Dispatcher {
	d := &Dispatcher{registry: reg, marks: marks, logger: logger, now: time.Now}
	d.commits = newCommitter(starter, opts, logger)
	d.intake = batch.New(intakeMax, 2, 2*redisTimeout, d.take)
	d.settle = batch.New(intakeMax, 2, redisTimeout, d.settleAll)
	return d
}

// Stop refuses new events and waits until those accepted are durable, or for ctx.
func (d *Dispatcher) Stop(ctx context.Context) error {
	err := d.commits.stop(ctx)
	d.intake.Stop()
	d.settle.Stop()
	return err
}

// Publish makes the event durable for every webhook that wants it and returns when it is (G3). The event is taken over and
// must not be used afterwards. CodeInvalid: the event breaks a rule; CodeExhausted: the queue is full and nothing was
// accepted; CodeUnavailable: it could not be made durable, publish it again with the same id.
func (d *Dispatcher) Publish(ctx context.Context, e *holdfast.Event) (Result, error) {
	known := e.ID != "" // an id made here cannot have been seen before
	if err := d.prepare(e); err != nil {
		return Result{}, err
	}
	leave, err := d.commits.admit(e.Size())
	if err != nil {
		return Result{}, err
	}
	in, err := d.claim(ctx, e, known)
	if err != nil || in.mark != nil {
		leave()
		if err != nil {
			return Result{}, err
		}
		return Result{EventID: e.ID, Duplicate: true, WebhookIDs: in.mark.WebhookIDs}, nil
	}
	// The event is finished whoever still waits for it, so that its claim ends with its start: a caller that ran out of
	// patience and publishes it again finds the outcome, not a claim that nobody settles.
	type answer struct {
		result Result
		err    error
	}
	done := make(chan answer, 1)
	go func() {
		defer leave()
		result, err := d.accept(context.WithoutCancel(ctx), e, in, known)
		done <- answer{result, err}
	}()
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
		return Result{}, unfinished(ctx.Err())
	}
}

// accept makes a claimed event durable and settles its claim.
func (d *Dispatcher) accept(ctx context.Context, e *holdfast.Event, in intakeResult, known bool) (Result, error) {
	mark := Mark{EventID: e.ID, WebhookIDs: ids(in.matched), CreatedAt: d.now().UnixMilli()}
	if len(in.matched) > 0 {
		started, err := d.commit(e, in.matched)
		if err != nil {
			if in.claimed && !started.unknown {
				d.release(ctx, e.ID)
			}
			return Result{}, err
		}
		mark.WorkflowID, mark.RunID = started.workflowID, started.runID
	}
	if !known && len(in.matched) == 0 {
		return Result{EventID: e.ID}, nil
	}
	// The event is durable: a mark that cannot be written costs at worst a repeated delivery of a repeated event.
	if _, err := d.settle.Do(ctx, mark); err != nil {
		d.logger.Debug("event mark not written", zap.String("event_id", e.ID), zap.Error(err))
	}
	return Result{EventID: e.ID, WebhookIDs: mark.WebhookIDs}, nil
}

// commit makes the event durable for the webhooks: in one start for all, but for those that want an order.
func (d *Dispatcher) commit(e *holdfast.Event, matched []*holdfast.Webhook) (started, error) {
	var plain []string
	var ordered []orderedTarget
	for _, w := range matched {
		if key := orderingKey(w, e); key != "" {
			ordered = append(ordered, orderedTarget{w.ID, key})
		} else {
			plain = append(plain, w.ID)
		}
	}
	if len(ordered) == 0 {
		return d.commits.commit(e, plain)
	}
	first, err := d.commits.commitOrdered(e, ordered)
	if err != nil || len(plain) == 0 {
		return first, err
	}
	first, err = d.commits.commit(e, plain)
	first.unknown = first.unknown || err != nil // the ordered ones are durable
	return first, err
}

// orderingKey names the queue of an event's delivery to a webhook; "" when it needs none, because the webhook wants no
// order or the event does not carry the field. Equal values give equal keys: the data is canonical JSON.
func orderingKey(w *holdfast.Webhook, e *holdfast.Event) string {
	if w.OrderingKey == "" {
		return ""
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(e.Data, &fields) != nil || len(fields[w.OrderingKey]) == 0 {
		return ""
	}
	sum := sha256.Sum256(fields[w.OrderingKey])
	return hex.EncodeToString(sum[:16])
}

// PublishMessage is Publish for ingress that has no use for the answer.
func (d *Dispatcher) PublishMessage(ctx context.Context, e *holdfast.Event) error {
	_, err := d.Publish(ctx, e)
	return err
}

// prepare validates the event, gives it an id and a time, and brings its data into the bytes that will be sent.
func (d *Dispatcher) prepare(e *holdfast.Event) error {
	if err := holdfast.Invalid(e.Violations()); err != nil {
		return err
	}
	canonical, err := jsjson.CanonicalObject(make([]byte, 0, len(e.Data)), e.Data)
	if err != nil {
		return holdfast.Invalid([]holdfast.Violation{{Field: "event.data", Description: err.Error()}})
	}
	if len(canonical) > holdfast.MaxEventBytes { // numbers can grow: 1e20 is written out
		return holdfast.Invalid([]holdfast.Violation{{
			Field: "event.data", Description: fmt.Sprintf("must not be larger than %d bytes as JavaScript writes it", holdfast.MaxEventBytes),
		}})
	}
	e.Data = canonical
	now := d.now()
	if e.Timestamp == 0 {
		e.Timestamp = now.UnixMilli()
	}
	if e.ID == "" {
		e.ID = holdfast.NewEventID(now)
	}
	return nil
}

// claim matches the event once its id is ours, or returns the mark of an earlier event with that id. Somebody else's claim
// is waited for: it ends in an outcome, or lapses and the event becomes ours.
func (d *Dispatcher) claim(ctx context.Context, e *holdfast.Event, known bool) (intakeResult, error) {
	if !known {
		in, err := d.intake.Do(ctx, &holdfast.Event{Type: e.Type, Data: e.Data})
		return in, unfinished(err)
	}
	for poll := claimPollMin; ; poll = min(2*poll, claimPollMax) {
		in, err := d.intake.Do(ctx, e)
		err = unfinished(err)
		if err != nil || in.mark == nil || !in.mark.Claimed {
			return in, err
		}
		timer := time.NewTimer(poll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return in, holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "the same event is being accepted by another request; retry")
		}
	}
}

// unfinished gives the end of a caller's patience, or of this dispatcher, the code it deserves.
func unfinished(err error) error {
	if errors.Is(err, batch.ErrStopped) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the event was not made durable in time; publish it again with the same id")
	}
	return err
}

// take is the shared round trip of a batch of events: registry position and claims; then refresh if behind, and match.
// With Redis away it matches on the last good snapshot and recognises no repeated id (G5).
func (d *Dispatcher) take(ctx context.Context, events []*holdfast.Event) ([]intakeResult, error) {
	results := make([]intakeResult, len(events))
	// A node whose registry was refreshed meanwhile counts as current again, so it must look again.
	if d.registry.Degraded() == "" || d.now().UnixNano() >= d.redisOut.Load() {
		d.begin(ctx, events, results)
	}
	snapshot, err := d.registry.Matchable()
	if err != nil {
		var claimed []string
		for i, e := range events {
			if results[i].claimed {
				claimed = append(claimed, e.ID)
			}
		}
		d.release(ctx, claimed...)
		return nil, err
	}
	for i, e := range events {
		if results[i].mark == nil {
			results[i].matched = snapshot.Match(e)
		}
	}
	return results, nil
}

func (d *Dispatcher) begin(ctx context.Context, events []*holdfast.Event, results []intakeResult) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	claimed := make([]string, 0, len(events))
	index := make([]int, 0, len(events))
	for i, e := range events {
		if e.ID != "" {
			claimed, index = append(claimed, e.ID), append(index, i)
		}
	}
	// Its error is in the registry's health; the snapshot it keeps is the last good one.
	_ = d.registry.CurrentBy(ctx, func(ctx context.Context) (registry.Position, error) {
		position, marks, err := d.marks.Begin(ctx, claimed)
		if err != nil {
			d.redisOut.Store(d.now().Add(redisHoldOff).UnixNano())
		}
		for n, m := range marks {
			results[index[n]] = intakeResult{mark: m, claimed: m == nil}
		}
		return position, err
	})
}

func (d *Dispatcher) settleAll(ctx context.Context, marks []Mark) ([]struct{}, error) {
	return make([]struct{}, len(marks)), d.marks.Settle(ctx, marks)
}

func (d *Dispatcher) release(ctx context.Context, ids ...string) {
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	if err := d.marks.Release(ctx, ids); err != nil {
		d.logger.Debug("claims left to lapse", zap.Strings("event_ids", ids), zap.Error(err))
	}
}

func ids(webhooks []*holdfast.Webhook) []string {
	out := make([]string, len(webhooks))
	for i, w := range webhooks {
		out[i] = w.ID
	}
	return out
}
