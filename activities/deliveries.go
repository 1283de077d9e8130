package activities

import (
	"context"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"
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
	// Record writes one record; writing it again changes nothing. Of an exhausted delivery it returns how many of the
	// webhook's deliveries have failed in a row, this one included, also when it was written before.
	Record(ctx context.Context, r Record) (consecutiveFailures int, err error)
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
	pacer   pacer
	flights inFlight
	// successors are the starts under way.
	successors chan struct{}
	// brief are the calls of RetryBriefly under way.
	brief chan struct{}
	life  context.Context //nolint:containedctx // attempts outlive the activity that began them
	end   context.CancelFunc
}

// DeliveryDeps are what Deliveries needs.
type DeliveryDeps struct {
	Node       string
	Webhooks   Webhooks
	Registered Registered
	Sender     Sender
	Store      DeliveryStore
	Payloads   Payloads
	Successors Successors
	Lanes      *Lanes
	Pace       Pace // nil: attempts are paced by this node alone
	// RetryAfterMax is the longest Retry-After that is honoured.
	RetryAfterMax time.Duration
	// DisconnectThreshold is how many failed deliveries in a row disconnect a webhook; 0 is never.
	DisconnectThreshold int
	// Cutoff bounds how long a local activity waits for first attempts before it hands over those still under way.
	Cutoff time.Duration
	Logger *zap.Logger
}

// NewDeliveries returns activities whose attempts live until Stop.
func NewDeliveries(deps DeliveryDeps) *Deliveries {
	life, end := context.WithCancel(context.Background())
	return &Deliveries{
		DeliveryDeps: deps, pacer: pacer{pace: deps.Pace, lanes: deps.Lanes, logger: deps.Logger}, life: life, end: end,
		successors: make(chan struct{}, successorStarts), brief: make(chan struct{}, maxBrief),
	}
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
	base      int      // attempts that the policy does not count
	waits     int      // how often in a row no slot was free
	slow      bool     // it belongs into the slow lane
	probe     bool     // it is made whatever the webhook's state, and decides nothing but itself
	heldFor   string   // with probe: the reason the delivery is held for
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
		case d.long(t.WebhookID):
			result.Open = append(result.Open, OpenOutcome{i, d.putOff(t.WebhookID, 0)})
		default:
			j := job{
				webhookID: t.WebhookID, event: &in.Events[t.Event], number: 1, createdAt: in.CreatedAt,
				workflow: info.WorkflowExecution.ID, run: info.WorkflowExecution.RunID, slow: d.Lanes.Slow(t.WebhookID),
			}
			flights[i] = d.launch(waiting, &j)
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
		if o := d.collect(f, 1); o.State != holdfast.DeliveryDelivered || o.Unrecorded != nil {
			result.Open = append(result.Open, OpenOutcome{i, o})
		} else {
			result.Delivered++
		}
	}
	d.lookAgain(ctx, in, &result)
	for i := range result.Open {
		result.Open[i].Outcome = briefly(result.Open[i].Outcome)
	}
	return result, nil
}

// active tells whether the snapshot holds nothing against an attempt.
func (d *Deliveries) active(webhookID string) bool {
	w, err := d.Webhooks.Webhook(webhookID)
	return err != nil || w.State() == holdfast.WebhookActive
}

// lookAgain sees to deliveries that were held because of their webhook: one that has been switched on since was perhaps
// too late for those who release what is held, and is attempted.
func (d *Deliveries) lookAgain(ctx context.Context, in FirstAttempts, result *FirstResult) {
	current := false
	for i := range result.Open {
		o := &result.Open[i]
		if o.State != holdfast.DeliveryHeld || o.Unrecorded != nil {
			continue
		}
		if !current {
			_ = d.Webhooks.Current(ctx) // as above
			current = true
		}
		if d.active(in.Targets[o.Index].WebhookID) {
			o.Outcome = d.soon(in.Targets[o.Index].WebhookID)
		}
	}
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
	waited := time.Since(began)
	return waited > queuePatience*d.Cutoff || d.Lanes.Slow(f.webhook) && (waited > slotPatience || !d.quick(f.webhook))
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
func (d *Deliveries) collect(f *flight, number int) Outcome {
	switch {
	case f.finished():
		d.flights.forget(f)
		if f.err != nil { // we failed: the workflow tries again as a regular activity
			d.Logger.Debug("attempt left to a regular activity", zap.Error(f.err))
			return Outcome{State: holdfast.DeliveryPending}
		}
		return f.outcome
	case f.withdraw():
		d.flights.forget(f)
		return d.soon(f.webhook)
	default:
		under, _ := f.underWayFor()
		d.Lanes.Observe(f.webhook, TooSlow, under)
		d.flights.handOver(f)
		d.flights.demote(f)
		o := Outcome{State: holdfast.DeliveryPending, Attempts: number, InFlight: d.Node}
		if number > 1 {
			o.State = holdfast.DeliveryRetrying
		}
		return o
	}
}
