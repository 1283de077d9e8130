package activities

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

type replayList struct {
	items []*holdfast.Delivery
	err   error
}

func (l *replayList) ListDeliveries(context.Context, holdfast.ReplayFilter, int, string) ([]*holdfast.Delivery, string, error) {
	return l.items, "next", l.err
}

type restarts struct {
	mu    sync.Mutex
	asked map[string]int
	fail  map[string]error
}

func (r *restarts) Restart(_ context.Context, in Restart) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[in.ReplayID+" "+in.Delivery.ID()]++
	return r.fail[in.Delivery.EventID]
}

func TestReplayPage_countsWhatItCouldNotReplay(t *testing.T) {
	t.Parallel()
	list := &replayList{items: []*holdfast.Delivery{
		{WebhookID: "w", EventID: "a"}, {WebhookID: "w", EventID: "b"}, {WebhookID: "w", EventID: "c"},
	}}
	restart := &restarts{asked: map[string]int{}, fail: map[string]error{
		"b": holdfast.Errorf(holdfast.CodePrecondition, "the payload is gone"),
	}}
	a := &Replays{Deliveries: list, Restarter: restart}
	env := environment()
	env.RegisterActivity(a.ReplayPage)
	value, err := env.ExecuteActivity(a.ReplayPage, ReplayPageRequest{ReplayID: "r", Limit: 3})
	require.NoError(t, err)
	var got ReplayPageResult
	require.NoError(t, value.Get(&got))
	require.Equal(t, ReplayPageResult{NextPageToken: "next", Replayed: 2, Refused: 1, LastRefusal: "w/b: the payload is gone"}, got)
	require.Equal(t, map[string]int{"r w/a": 1, "r w/b": 1, "r w/c": 1}, restart.asked)

	restart.fail["c"] = holdfast.Errorf(holdfast.CodeUnavailable, "Temporal is away")
	_, err = env.ExecuteActivity(a.ReplayPage, ReplayPageRequest{ReplayID: "r", Limit: 3})
	require.ErrorContains(t, err, "Temporal is away", "we failed: the page is done again, nothing is counted as refused")
	list.err = holdfast.Errorf(holdfast.CodeUnavailable, "Redis is away")
	_, err = env.ExecuteActivity(a.ReplayPage, ReplayPageRequest{ReplayID: "r", Limit: 3})
	require.ErrorContains(t, err, "Redis is away")
}

// heldList is an index of held deliveries that empties as they are released.
type heldList struct {
	mu     sync.Mutex
	held   []string // oldest first
	sent   []string
	stuck  string // stays held whatever is signalled
	closed string // has no open workflow
	asked  []OpenQuery
}

func (h *heldList) Held(_ context.Context, _, after string, limit int) ([]HeldDelivery, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var items []HeldDelivery
	for _, id := range h.held {
		if id > after && len(items) < limit {
			items = append(items, HeldDelivery{EventID: id})
		}
	}
	if len(items) < limit {
		return items, "", nil
	}
	return items, items[len(items)-1].EventID, nil
}

func (h *heldList) StateOf(_ context.Context, _, id string) (holdfast.DeliveryState, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Contains(h.held, id) {
		return holdfast.DeliveryHeld, nil
	}
	return holdfast.DeliveryDelivered, nil
}

func (h *heldList) Open(_ context.Context, q OpenQuery, _ int, _ []byte) ([]string, []byte, error) {
	h.asked = append(h.asked, q)
	switch q.Kind {
	case OpenHeld:
		return nil, nil, nil
	case OpenAll:
		return append(slices.Clone(h.held), "waiting"), nil, nil
	default:
		return []string{"waiting"}, []byte("t"), nil
	}
}

func (h *heldList) Signal(_ context.Context, _, id, signal, reason string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if id == h.closed {
		return holdfast.Errorf(holdfast.CodeNotFound, "not open")
	}
	h.sent = append(h.sent, strings.TrimSpace(signal+" "+id+" "+reason))
	for i, held := range h.held {
		if held == id && id != h.stuck {
			h.held = append(h.held[:i:i], h.held[i+1:]...)
			break
		}
	}
	return nil
}

func sweepPage(t *testing.T, a *Sweeps, in SweepPageRequest) SweepPageResult {
	t.Helper()
	env := environment()
	env.RegisterActivity(a.SweepPage)
	value, err := env.ExecuteActivity(a.SweepPage, in)
	require.NoError(t, err)
	var got SweepPageResult
	require.NoError(t, value.Get(&got))
	return got
}

func TestSweepPage_releasesTheOldestFirst(t *testing.T) {
	t.Parallel()
	h := &heldList{held: []string{"a", "b", "c", "d", "e"}, closed: "b"}
	a := &Sweeps{Held: h, Open: h, PageSize: 2}
	in := SweepPageRequest{WebhookID: "w", Kind: SweepRelease, Signal: "resume"}
	for {
		got := sweepPage(t, a, in)
		if in.After = got.After; in.After == "" {
			break
		}
	}
	require.Equal(t, []string{"resume a", "resume c", "resume d", "resume e"}, h.sent)
	require.Equal(t, []string{"b"}, h.held, "what has no workflow any more is left alone")
}

func TestSweepPage_goesOnPastADeliveryThatStaysHeld(t *testing.T) {
	t.Parallel()
	h := &heldList{held: []string{"a", "b"}, stuck: "a"}
	a := &Sweeps{Held: h, Open: h, PageSize: 2}
	got := sweepPage(t, a, SweepPageRequest{WebhookID: "w", Kind: SweepRelease, Signal: "resume"})
	require.Equal(t, SweepPageResult{Signalled: 2, After: "b"}, got)
}

func TestSweepPage_holdsWhatIsOpenAndTellsWhy(t *testing.T) {
	t.Parallel()
	for reason, told := range map[string]string{"the webhook is paused": "the webhook is paused", "": "the webhook takes no deliveries"} {
		h := &heldList{}
		a := &Sweeps{Held: h, Open: h, PageSize: 2}
		got := sweepPage(t, a, SweepPageRequest{WebhookID: "w", Kind: SweepHold, Signal: "hold", Reason: reason, Listed: true})
		require.Equal(t, SweepPageResult{Signalled: 1, Token: []byte("t")}, got)
		require.Equal(t, []string{"hold waiting " + told}, h.sent)
	}
}

// A delivery that waits for its next attempt is cancelled with its webhook, not only when that attempt is due.
func TestSweepPage_cancelsWhateverIsOpen(t *testing.T) {
	t.Parallel()
	h := &heldList{held: []string{"a"}}
	got := sweepPage(t, &Sweeps{Held: h, Open: h, PageSize: 2}, SweepPageRequest{WebhookID: "w", Kind: SweepCancel, Signal: "cancel", OrderedAt: 5, Listed: true})
	require.Equal(t, SweepPageResult{Signalled: 2}, got)
	require.Equal(t, []string{"cancel a the webhook is deleted", "cancel waiting the webhook is deleted"}, h.sent)
	require.Equal(t, []OpenQuery{{"w", OpenAll, 5}}, h.asked, "what a webhook that is registered anew has is its own")
}
