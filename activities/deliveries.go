package activities

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// Webhooks is the registry cache of this node.
type Webhooks interface {
	// Current brings the snapshot up to date; when that fails the last good one stays in use.
	Current(ctx context.Context) error
	// Webhook looks the webhook up in the snapshot. CodeNotFound: it is not there; CodeUnavailable: nothing is loaded yet.
	Webhook(id string) (*holdfast.Webhook, error)
}

// Registered knows from the registrations themselves whether a webhook still exists, however little Redis knows (G5).
type Registered interface {
	Registered(ctx context.Context, webhookID string) (bool, error)
}

// Sender makes one HTTP request. An error means that we failed, not the receiver.
type Sender interface {
	Send(ctx context.Context, w *holdfast.Webhook, e *holdfast.Event, number int) (holdfast.Attempt, error)
}

// DeliveryStore keeps the records of deliveries.
type DeliveryStore interface {
	// Record writes one record; writing it again changes nothing.
	Record(ctx context.Context, r Record) error
	// Settled returns the recorded state of each delivery, "" where there is none.
	Settled(ctx context.Context, deliveries []DeliveryKey) ([]holdfast.DeliveryState, error)
	// Delivery returns a record; CodeNotFound when there is none.
	Delivery(ctx context.Context, webhookID, eventID string) (*holdfast.Delivery, error)
}

// DeliveryKey names a delivery.
type DeliveryKey struct{ WebhookID, EventID string }

// Payloads finds the event of a delivery in the start of its workflow, where it is kept once.
type Payloads interface {
	Event(ctx context.Context, workflowID, runID string) (*holdfast.Event, error)
}

// Deliveries holds the activities that attempt and record deliveries. Make it with NewDeliveries.
type Deliveries struct {
	DeliveryDeps
	flights inFlight
	life    context.Context //nolint:containedctx // attempts outlive the activity that began them
	end     context.CancelFunc
}

// DeliveryDeps are what Deliveries needs.
type DeliveryDeps struct {
	Node       string
	Webhooks   Webhooks
	Registered Registered
	Sender     Sender
	Store      DeliveryStore
	Payloads   Payloads
	Lanes      *Lanes
	// Cutoff bounds how long a local activity waits for first attempts before it hands over those still under way.
	Cutoff time.Duration
	Logger *zap.Logger
}

// NewDeliveries returns activities whose attempts live until Stop.
func NewDeliveries(deps DeliveryDeps) *Deliveries {
	life, end := context.WithCancel(context.Background())
	return &Deliveries{DeliveryDeps: deps, life: life, end: end}
}

// Stop waits for the attempts under way until ctx ends, then cuts them off; what was cut off is attempted again by its
// workflow. It is safe to call twice.
func (d *Deliveries) Stop(ctx context.Context) error {
	err := d.flights.wait(ctx)
	d.end()
	return err
}

// FirstAttempts is a set of deliveries that have not been attempted. It reaches AttemptFirst as a local activity's
// argument, which no history records.
type FirstAttempts struct {
	Events    []holdfast.Event
	Targets   []Target
	CreatedAt int64 // ms; when the deliveries became durable
}

// Target is one delivery: an index into Events and a webhook.
type Target struct {
	Event     int    `json:"event"`
	WebhookID string `json:"webhook_id"`
}

// FirstResult tells what became of a set of first attempts; deliveries that are done and recorded are only counted.
type FirstResult struct {
	Delivered int           `json:"delivered"`
	Open      []OpenOutcome `json:"open,omitempty"`
}

// OpenOutcome is the outcome of one delivery that needs more work.
type OpenOutcome struct {
	Index int `json:"index"` // into FirstAttempts.Targets
	Outcome
}

// job is one attempt to make.
type job struct {
	webhookID string
	event     *holdfast.Event
	number    int
	createdAt int64
	workflow  string
	run       string
	earlier   []Record // of attempts that are perhaps not recorded yet
}

func (j *job) key() string {
	return holdfast.DeliveryID(j.webhookID, j.event.ID) + "#" + strconv.Itoa(j.number)
}

// AttemptFirst makes the first attempts of a set of deliveries, all at once within the limits, and returns when they are
// over or at the cut-off. Deliveries already recorded as settled are skipped, so that a set that is attempted again after
// a crash, or that repeats an event, sends nothing twice. Run it as a local activity.
func (d *Deliveries) AttemptFirst(ctx context.Context, in FirstAttempts) (FirstResult, error) {
	info := activity.GetInfo(ctx)
	// Both are about being current; with Redis away the last good state is the best there is (G5).
	_ = d.Webhooks.Current(ctx)
	settled := d.settled(ctx, in)
	waiting, stopWaiting := context.WithCancel(d.life)
	defer stopWaiting()
	flights := make([]*flight, len(in.Targets))
	var result FirstResult
	for i, t := range in.Targets {
		switch {
		case settled[i] == holdfast.DeliveryDelivered:
			result.Delivered++
		case settled[i] != "":
			result.Open = append(result.Open, OpenOutcome{i, d.known(ctx, in, t)})
		case d.Lanes.Slow(t.WebhookID):
			result.Open = append(result.Open, OpenOutcome{i, Outcome{State: holdfast.DeliveryPending}})
		default:
			j := job{t.WebhookID, &in.Events[t.Event], 1, in.CreatedAt, info.WorkflowExecution.ID, info.WorkflowExecution.RunID, nil}
			flights[i] = d.flights.launch(d.life, j.key(), j.webhookID, func(life context.Context, f *flight) (Outcome, error) {
				return d.fly(waiting, life, f, &j)
			})
		}
	}
	began := time.Now()
	tick := time.NewTicker(d.Cutoff / 8)
	defer tick.Stop()
	for i, f := range flights {
		if f == nil {
			continue
		}
		for !f.finished() && !d.tooLong(f, began) {
			select {
			case <-f.done:
			case <-tick.C:
			}
		}
		if o := d.collect(f); o.State != holdfast.DeliveryDelivered || o.Unrecorded != nil {
			result.Open = append(result.Open, OpenOutcome{i, o})
		} else {
			result.Delivered++
		}
	}
	return result, nil
}

// queuePatience is how many cut-offs a first attempt may wait for its slots. Waiting is cheaper than a workflow of its own;
// all together must stay well below the time a workflow task has.
const queuePatience = 4

// tooLong tells whether a set of first attempts should no longer wait for one of them: it has been under way past the
// cut-off, or it is still queued behind a webhook that turned out to be slow, or for too long.
func (d *Deliveries) tooLong(f *flight, began time.Time) bool {
	if d.life.Err() != nil {
		return true
	}
	if under, way := f.underWayFor(); way {
		return under > d.Cutoff
	}
	return d.Lanes.Slow(f.webhook) || time.Since(began) > queuePatience*d.Cutoff
}

// known is the outcome of a delivery that has a record already: a crash came after it, before the workflow heard of it.
func (d *Deliveries) known(ctx context.Context, in FirstAttempts, t Target) Outcome {
	o, ok := d.recorded(ctx, AttemptRequest{WebhookID: t.WebhookID, EventID: in.Events[t.Event].ID, Number: 1})
	if !ok {
		return Outcome{State: holdfast.DeliveryPending}
	}
	return o
}

// settled never fails: not knowing what is recorded costs at worst an attempt whose record is then ignored.
func (d *Deliveries) settled(ctx context.Context, in FirstAttempts) []holdfast.DeliveryState {
	keys := make([]DeliveryKey, len(in.Targets))
	for i, t := range in.Targets {
		keys[i] = DeliveryKey{t.WebhookID, in.Events[t.Event].ID}
	}
	states, err := d.Store.Settled(ctx, keys)
	if err != nil {
		return make([]holdfast.DeliveryState, len(keys))
	}
	return states
}

// collect takes the outcome of a finished flight, or leaves an unfinished one to be joined or attempted later.
func (d *Deliveries) collect(f *flight) Outcome {
	switch {
	case f.finished():
		d.flights.forget(f)
		if f.err != nil { // we failed: the workflow tries again as a regular activity
			d.Logger.Debug("first attempt left to the slow lane", zap.Error(f.err))
			return Outcome{State: holdfast.DeliveryPending}
		}
		return f.outcome
	case f.withdraw():
		d.flights.forget(f)
		return Outcome{State: holdfast.DeliveryPending}
	default:
		d.Lanes.Observe(f.webhook, TooSlow)
		d.flights.handOver(f)
		return Outcome{State: holdfast.DeliveryPending, Attempts: 1, InFlight: d.Node}
	}
}

// errNoSlot ends a flight that did not get its slots in time, or that was withdrawn while it waited: nothing was sent.
var errNoSlot = errors.New("no slot was free")

// fly waits for slots as long as waiting lasts, then makes the attempt for as long as the node lives. The slots are for the
// receiver's sake: the record is written without them.
func (d *Deliveries) fly(waiting, life context.Context, f *flight, j *job) (Outcome, error) {
	release, err := d.Lanes.Acquire(waiting, j.webhookID)
	if err != nil {
		return Outcome{}, errNoSlot
	}
	if !f.begin() {
		release()
		return Outcome{}, errNoSlot
	}
	attempt, o, err := d.perform(life, j)
	release()
	if err != nil {
		return Outcome{}, err
	}
	return d.settle(life, j, attempt, o), nil
}

// perform makes one attempt with the webhook's current configuration and decides what it means. An error means that we
// failed before a request was answered; without an attempt the outcome is what the webhook's state means.
func (d *Deliveries) perform(ctx context.Context, j *job) (*holdfast.Attempt, Outcome, error) {
	w, err := d.webhook(ctx, j)
	if err != nil {
		return nil, Outcome{}, err
	}
	switch {
	case w == nil:
		return nil, Outcome{State: holdfast.DeliveryCancelled, Reason: "the webhook is deleted", Attempts: j.number - 1}, nil
	case w.State() != holdfast.WebhookActive:
		reason := fmt.Sprintf("the webhook is %s", w.State())
		return nil, Outcome{State: holdfast.DeliveryHeld, Reason: reason, Attempts: j.number - 1}, nil
	}
	attempt, err := d.Sender.Send(ctx, w, j.event, j.number)
	if err != nil {
		return nil, Outcome{}, err
	}
	d.Lanes.Observe(w.ID, d.speed(&attempt))
	return &attempt, decide(w.RetryConfig, &attempt), nil
}

func (d *Deliveries) speed(a *holdfast.Attempt) Speed {
	switch {
	case time.Duration(a.DurationMS*float64(time.Millisecond)) >= d.Cutoff:
		return TooSlow
	case !a.Success:
		return Failing
	}
	return Good
}

// webhook returns nil when the webhook is deleted. That Redis does not know it proves nothing: it may have been wiped.
func (d *Deliveries) webhook(ctx context.Context, j *job) (*holdfast.Webhook, error) {
	w, err := d.Webhooks.Webhook(j.webhookID)
	if err == nil || holdfast.ErrorCode(err) != holdfast.CodeNotFound {
		return w, err
	}
	exists, err := d.Registered.Registered(ctx, j.webhookID)
	switch {
	case err != nil:
		return nil, err
	case exists:
		return nil, holdfast.Errorf(holdfast.CodeUnavailable, "webhook %s is registered but not in this node's cache yet", j.webhookID)
	}
	return nil, nil
}

// recordTimeout bounds the wait for Redis at the end of an attempt; past it the workflow records.
const recordTimeout = 3 * time.Second

// settle records what an attempt or a look at the webhook came to. There is always an outcome; a record that could not be
// written travels in it (D25).
func (d *Deliveries) settle(ctx context.Context, j *job, attempt *holdfast.Attempt, o Outcome) Outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	r := Record{Delivery: holdfast.Delivery{
		WebhookID: j.webhookID, EventID: j.event.ID, EventType: j.event.Type, State: o.State, Reason: o.Reason,
		CreatedAt: j.createdAt, UpdatedAt: time.Now().UnixMilli(), WorkflowID: j.workflow, RunID: j.run,
	}}
	if attempt != nil {
		if o.State == holdfast.DeliveryRetrying {
			ended := attempt.Timestamp + int64(attempt.DurationMS)
			attempt.NextRetryAt = ended + o.DelayMS
			r.Delivery.NextAttemptAt = attempt.NextRetryAt
		}
		r.Attempt = attempt
	}
	if err := d.record(ctx, r, j.earlier...); err != nil {
		d.Logger.Debug("record of an attempt is left to its workflow", zap.Error(err))
		o.Unrecorded = r.light()
	}
	return o
}

// unrecordedBody bounds the response bodies that travel through a history.
const unrecordedBody = 256

// light returns a copy fit for a workflow history.
func (r Record) light() *Record {
	if r.Attempt != nil && len(r.Attempt.ResponseBody) > unrecordedBody {
		a := *r.Attempt
		a.ResponseBody = strings.ToValidUTF8(a.ResponseBody[:unrecordedBody], "") + holdfast.TruncationMark
		r.Attempt = &a
	}
	return &r
}

// record writes a record, completed by the attempts that came before: those in the record so far, and those whose own
// records are still to be written. While the former are out of reach it is not written: it would take their place.
func (d *Deliveries) record(ctx context.Context, r Record, unwritten ...Record) error {
	if r.Attempt == nil || r.Attempt.Number > 1 {
		earlier, err := d.Store.Delivery(ctx, r.Delivery.WebhookID, r.Delivery.EventID)
		switch {
		case err == nil:
			r.Delivery.Attempts = earlier.Attempts
		case holdfast.ErrorCode(err) == holdfast.CodeUnavailable:
			return err
		}
	}
	for _, u := range unwritten {
		if u.Attempt != nil && !slices.ContainsFunc(r.Delivery.Attempts, func(a holdfast.Attempt) bool { return a.Number >= u.Attempt.Number }) {
			r.Delivery.Attempts = append(slices.Clip(r.Delivery.Attempts), *u.Attempt)
		}
	}
	if r.Attempt != nil {
		before := slices.DeleteFunc(slices.Clone(r.Delivery.Attempts), func(a holdfast.Attempt) bool { return a.Number >= r.Attempt.Number })
		r.Delivery.Attempts = append(before, *r.Attempt)
	}
	return d.Store.Record(ctx, r)
}

// AttemptRequest asks for one attempt. The event is not in it: it is read from the start of the workflow.
type AttemptRequest struct {
	WebhookID string `json:"webhook_id"`
	EventID   string `json:"event_id"`
	Number    int    `json:"number"`
	CreatedAt int64  `json:"created_at"`
	Node      string `json:"node,omitempty"` // for JoinAttempt
	// Unrecorded are the records of earlier attempts that are not written yet.
	Unrecorded []Record `json:"unrecorded,omitempty"`
}

// slotPatience bounds how long a regular activity waits for a slot: past it the workflow waits instead, so that waiting
// holds no worker slot.
const slotPatience = 250 * time.Millisecond

// heartbeatEvery lets a lost node be noticed within seconds instead of at the attempt's deadline.
const heartbeatEvery = time.Second

// Attempt makes one attempt as a regular activity. The record is asked first: an earlier run of the activity, or the node
// that began the attempt and died, may have got through.
func (d *Deliveries) Attempt(ctx context.Context, in AttemptRequest) (Outcome, error) {
	info := activity.GetInfo(ctx)
	if err := d.Webhooks.Current(ctx); err != nil {
		d.Logger.Debug("attempting on the last good registry snapshot", zap.Error(err))
	}
	if o, known := d.recorded(ctx, in); known {
		return o, nil
	}
	event, err := d.Payloads.Event(ctx, info.WorkflowExecution.ID, info.WorkflowExecution.RunID)
	if err != nil {
		return Outcome{}, ours(err)
	}
	j := job{in.WebhookID, event, in.Number, in.CreatedAt, info.WorkflowExecution.ID, info.WorkflowExecution.RunID, in.Unrecorded}
	waiting, cancel := context.WithTimeout(ctx, slotPatience)
	defer cancel()
	f := d.flights.launch(d.life, j.key(), j.webhookID, func(life context.Context, f *flight) (Outcome, error) {
		return d.fly(waiting, life, f, &j)
	})
	return d.join(ctx, f)
}

// recorded answers from the record when that attempt, or a later one, is already in it.
func (d *Deliveries) recorded(ctx context.Context, in AttemptRequest) (Outcome, bool) {
	r, err := d.Store.Delivery(ctx, in.WebhookID, in.EventID)
	if err != nil || len(r.Attempts) == 0 {
		return Outcome{}, false
	}
	last := r.Attempts[len(r.Attempts)-1]
	if last.Number < in.Number {
		return Outcome{}, false
	}
	o := Outcome{State: r.State, Reason: r.Reason, Attempts: last.Number, Status: last.ResponseStatus}
	if o.State == holdfast.DeliveryRetrying {
		o.DelayMS = max(0, r.NextAttemptAt-time.Now().UnixMilli())
	}
	return o, true
}

// ErrorNoFlight is the type of JoinAttempt's error when this process does not know the attempt: it was restarted.
const ErrorNoFlight = "no_flight"

// JoinAttempt waits for an attempt that a local activity began on this node. It runs on the node's own task queue.
func (d *Deliveries) JoinAttempt(ctx context.Context, in AttemptRequest) (Outcome, error) {
	f := d.flights.find(holdfast.DeliveryID(in.WebhookID, in.EventID) + "#" + strconv.Itoa(in.Number))
	if f == nil {
		return Outcome{}, temporal.NewNonRetryableApplicationError("the attempt is not under way here", ErrorNoFlight, nil)
	}
	return d.join(ctx, f)
}

// busyDelay is how long a workflow waits before it asks again for a slot.
const busyDelay = time.Second

func (d *Deliveries) join(ctx context.Context, f *flight) (Outcome, error) {
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	for {
		select {
		case <-f.done:
			d.flights.forget(f)
			switch {
			case errors.Is(f.err, errNoSlot):
				return Outcome{State: holdfast.DeliveryPending, DelayMS: busyDelay.Milliseconds()}, nil
			case f.err != nil:
				return Outcome{}, ours(f.err)
			}
			return f.outcome, nil
		case <-beat.C:
			activity.RecordHeartbeat(ctx)
		case <-ctx.Done():
			if f.withdraw() {
				d.flights.forget(f)
			} else {
				d.flights.handOver(f)
			}
			return Outcome{}, ctx.Err()
		}
	}
}

// Records is the input of RecordOutcomes.
type Records struct {
	Records []Record `json:"records"`
}

// RecordOutcomes writes records that could not be written when they arose.
func (d *Deliveries) RecordOutcomes(ctx context.Context, in Records) error {
	for _, r := range in.Records {
		if err := d.record(ctx, r); err != nil {
			return ours(err)
		}
	}
	return nil
}

// StateChange is a change of a delivery's state without an attempt.
type StateChange struct {
	WebhookID string                 `json:"webhook_id"`
	EventID   string                 `json:"event_id"`
	EventType string                 `json:"event_type"`
	CreatedAt int64                  `json:"created_at"`
	State     holdfast.DeliveryState `json:"state"`
	Reason    string                 `json:"reason"`
}

// RecordState records a state that a signal or a timer brought about.
func (d *Deliveries) RecordState(ctx context.Context, in StateChange) error {
	info := activity.GetInfo(ctx)
	r := Record{Delivery: holdfast.Delivery{
		WebhookID: in.WebhookID, EventID: in.EventID, EventType: in.EventType, State: in.State, Reason: in.Reason,
		CreatedAt: in.CreatedAt, UpdatedAt: time.Now().UnixMilli(),
		WorkflowID: info.WorkflowExecution.ID, RunID: info.WorkflowExecution.RunID,
	}}
	return ours(d.record(ctx, r))
}
