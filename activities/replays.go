package activities

import (
	"context"
	"sync"

	"go.temporal.io/sdk/activity"

	"github.com/emprops/holdfast"
)

// DeliveryLister lists deliveries, the newest first; next is "" at the end. A page may hold fewer than asked for.
type DeliveryLister interface {
	ListDeliveries(ctx context.Context, f holdfast.ReplayFilter, size int, token string) (items []*holdfast.Delivery, next string, err error)
}

// Restart asks for another round of attempts of a delivery, whatever its state.
type Restart struct {
	Delivery *holdfast.Delivery
	// ReplayID names the replay on whose behalf it is done: the same one restarts a delivery only once.
	ReplayID string
}

// Restarter makes deliveries be attempted again. CodePrecondition: the delivery cannot be restarted, as when its payload is
// gone; CodeUnavailable: try again.
type Restarter interface {
	Restart(ctx context.Context, r Restart) error
}

// Replays holds the activity of the Replay workflow.
type Replays struct {
	Deliveries DeliveryLister
	Restarter  Restarter
}

// ReplayPageRequest asks for one page of a replay.
type ReplayPageRequest struct {
	ReplayID  string                `json:"replay_id"`
	Filter    holdfast.ReplayFilter `json:"filter"`
	PageToken string                `json:"page_token,omitempty"`
	Limit     int                   `json:"limit"`
}

// ReplayPageResult tells what became of a page.
type ReplayPageResult struct {
	NextPageToken string `json:"next_page_token,omitempty"` // "" at the end
	Replayed      int    `json:"replayed"`
	Refused       int    `json:"refused,omitempty"` // cannot be replayed, as when the payload is gone
	LastRefusal   string `json:"last_refusal,omitempty"`
}

// replayConcurrency is how many deliveries of a page are restarted side by side.
const replayConcurrency = 8

// ReplayPage restarts the deliveries of one page. Repeating it restarts none of them twice.
func (a *Replays) ReplayPage(ctx context.Context, in ReplayPageRequest) (ReplayPageResult, error) {
	items, next, err := a.Deliveries.ListDeliveries(ctx, in.Filter, in.Limit, in.PageToken)
	if err != nil {
		return ReplayPageResult{}, failure(err)
	}
	result := ReplayPageResult{NextPageToken: next}
	var mu sync.Mutex
	var broken error
	slots := make(chan struct{}, replayConcurrency)
	var work sync.WaitGroup
	for _, d := range items {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			err := a.Restarter.Restart(ctx, Restart{d, in.ReplayID})
			activity.RecordHeartbeat(ctx)
			mu.Lock()
			defer mu.Unlock()
			switch holdfast.ErrorCode(err) {
			case "":
				result.Replayed++
			case holdfast.CodePrecondition, holdfast.CodeNotFound:
				result.Refused++
				result.LastRefusal = d.ID() + ": " + holdfast.ErrorMessage(err)
			default:
				broken = err
			}
		})
	}
	work.Wait()
	return result, failure(broken)
}
