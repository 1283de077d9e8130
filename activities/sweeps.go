package activities

import (
	"cmp"
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/emprops/holdfast"
)

// The kinds of a sweep through the open deliveries of a webhook.
const (
	SweepHold    = "hold"    // waiting retries stop at once
	SweepRelease = "release" // held ones go on, the oldest first
	SweepCancel  = "cancel"  // the webhook is deleted
)

// sweepReasons are told where an order gives no reason.
var sweepReasons = map[string]string{
	SweepHold:   "the webhook takes no deliveries",
	SweepCancel: "the webhook is deleted",
}

// HeldDelivery is an entry of the index of held deliveries.
type HeldDelivery struct {
	EventID   string
	CreatedAt int64 // ms
}

// HeldIndex knows which deliveries of a webhook are held, the oldest first. CodeUnavailable.
type HeldIndex interface {
	Held(ctx context.Context, webhookID, after string, limit int) (items []HeldDelivery, next string, err error)
	// StateOf returns the recorded state of a delivery, "" when there is none.
	StateOf(ctx context.Context, webhookID, eventID string) (holdfast.DeliveryState, error)
}

// OpenKind narrows a list of open deliveries.
type OpenKind int

// The kinds.
const (
	OpenAll     OpenKind = iota
	OpenHeld             // those that are held
	OpenNotHeld          // those that wait for an attempt, or are being attempted
)

// OpenQuery says which open deliveries to list.
type OpenQuery struct {
	WebhookID     string
	Kind          OpenKind
	StartedBefore int64 // ms; 0 is any time
}

// openIn are the deliveries that a kind of sweep is about.
var openIn = map[string]OpenKind{SweepHold: OpenNotHeld, SweepRelease: OpenHeld, SweepCancel: OpenAll}

// OpenDeliveries lists the open delivery workflows of a webhook as Temporal knows them, in no order, and signals them.
type OpenDeliveries interface {
	// Open returns event ids.
	Open(ctx context.Context, q OpenQuery, size int, token []byte) (eventIDs []string, next []byte, err error)
	// Signal sends a signal; CodeNotFound when the delivery is not open.
	Signal(ctx context.Context, webhookID, eventID, signal, reason string) error
}

// Sweeps holds the activities of the Sweep workflow.
type Sweeps struct {
	Held HeldIndex
	Open OpenDeliveries
	// PageSize is how many deliveries are released at once: as many as may be attempted side by side.
	PageSize int
}

// SweepPageRequest asks for one page of a sweep.
type SweepPageRequest struct {
	WebhookID string `json:"webhook_id"`
	Kind      string `json:"kind"`
	Signal    string `json:"signal"`
	Reason    string `json:"reason,omitempty"`     // a sweep that an older version began has none
	OrderedAt int64  `json:"ordered_at,omitempty"` // ms
	After     string `json:"after,omitempty"`      // in the index of held deliveries
	Token     []byte `json:"token,omitempty"`      // in the list of open workflows
	// Listed is set in the second part of a sweep: what the index does not know, as after a loss of Redis.
	Listed bool `json:"listed,omitempty"`
}

// SweepPageResult tells how a page went and where the next one begins; both are empty at the end of a part.
type SweepPageResult struct {
	Signalled int    `json:"signalled"`
	After     string `json:"after,omitempty"`
	Token     []byte `json:"token,omitempty"`
}

const (
	listedPage      = 200
	releasePatience = 3 * time.Second       // how long a page waits for its first attempts before the next one goes
	releasePoll     = 20 * time.Millisecond // between two looks
)

// SweepPage signals one page of deliveries. A page of a release ends when its deliveries have been attempted, or after a
// while: the order holds from page to page, and a slow receiver sets the pace.
func (a *Sweeps) SweepPage(ctx context.Context, in SweepPageRequest) (SweepPageResult, error) {
	if in.Listed {
		return a.listed(ctx, in)
	}
	items, next, err := a.Held.Held(ctx, in.WebhookID, in.After, a.PageSize)
	if err != nil {
		return SweepPageResult{}, failure(err)
	}
	ids := make([]string, len(items))
	for i, d := range items {
		ids[i] = d.EventID
	}
	sent, err := a.signal(ctx, in, ids)
	result := SweepPageResult{Signalled: len(sent), After: next}
	if err != nil {
		return result, err
	}
	if in.Kind == SweepRelease {
		a.awaitAttempts(ctx, in.WebhookID, sent)
	}
	return result, nil
}

// awaitAttempts returns when none of the deliveries is held any more.
func (a *Sweeps) awaitAttempts(ctx context.Context, webhookID string, eventIDs []string) {
	ctx, cancel := context.WithTimeout(ctx, releasePatience)
	defer cancel()
	tick := time.NewTicker(releasePoll)
	defer tick.Stop()
	for _, id := range eventIDs {
		for {
			state, err := a.Held.StateOf(ctx, webhookID, id)
			if err != nil || state != holdfast.DeliveryHeld {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (a *Sweeps) listed(ctx context.Context, in SweepPageRequest) (SweepPageResult, error) {
	q := OpenQuery{WebhookID: in.WebhookID, Kind: openIn[in.Kind]}
	if in.Kind == SweepCancel {
		q.StartedBefore = in.OrderedAt // a webhook that is registered anew under the same id keeps its own
	}
	ids, next, err := a.Open.Open(ctx, q, listedPage, in.Token)
	if err != nil {
		return SweepPageResult{}, failure(err)
	}
	sent, err := a.signal(ctx, in, ids)
	return SweepPageResult{Signalled: len(sent), Token: next}, err
}

// signal tells each delivery what the sweep is about and returns those that heard it: one that has ended by other means
// does not.
func (a *Sweeps) signal(ctx context.Context, in SweepPageRequest, eventIDs []string) (sent []string, err error) {
	reason := cmp.Or(in.Reason, sweepReasons[in.Kind])
	for _, id := range eventIDs {
		switch err := a.Open.Signal(ctx, in.WebhookID, id, in.Signal, reason); holdfast.ErrorCode(err) {
		case "":
			sent = append(sent, id)
		case holdfast.CodeNotFound:
		default:
			return sent, failure(err)
		}
		activity.RecordHeartbeat(ctx)
	}
	return sent, nil
}
