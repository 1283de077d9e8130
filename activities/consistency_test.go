package activities

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// checked is what the consistency activities look at. A nil function succeeds with nothing to tell.
type checked struct {
	mu        sync.Mutex
	audits    []Audit // one after the other; the last stays
	removed   []string
	webhooks  map[string]*holdfast.Webhook
	open      []string
	openErr   error
	listed    int
	reconcile func(ctx context.Context, id string, adopt bool) (Reconciled, error)
	known     map[string]bool // to EMPROPS
	confirm   func(id string)
	confirmed []string
	asked     []string
	showErr   error
	healthErr error
}

func (f *checked) activities() *Consistency {
	return &Consistency{Registry: f, Open: f, Reconciler: f, Platform: f, Sample: f}
}

func (f *checked) Audit(context.Context) (Audit, error) {
	a := f.audits[0]
	if len(f.audits) > 1 {
		f.audits = f.audits[1:]
	}
	return a, nil
}
func (f *checked) RepairActiveSet(context.Context, []string) (int, error)       { return 0, nil }
func (f *checked) RebuildDigest(context.Context) error                          { return nil }
func (f *checked) MarkComplete(context.Context, string) error                   { return nil }
func (f *checked) SaveReport(context.Context, holdfast.ConsistencyReport) error { return nil }
func (f *checked) CountOpen(context.Context) (int, error)                       { return len(f.open), f.openErr }
func (f *checked) Enabled() bool                                                { return true }
func (f *checked) Required() bool                                               { return true }
func (f *checked) Health(context.Context) error                                 { return f.healthErr }
func (f *checked) Reconcile(ctx context.Context, id string, a bool) (Reconciled, error) {
	return f.reconcile(ctx, id, a)
}

func (f *checked) ListOpen(context.Context) ([]string, error) {
	f.listed++
	return f.open, f.openErr
}

func (f *checked) RemoveWebhook(_ context.Context, id string) (int64, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = append(f.removed, id)
	return 1, false, nil
}

func (f *checked) ReadWebhook(_ context.Context, id string) (*holdfast.Webhook, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w := f.webhooks[id]; w != nil {
		return w, true, nil
	}
	return nil, false, holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")
}

func (f *checked) Shows(_ context.Context, w *holdfast.Webhook) (bool, string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, w.ID)
	return f.known[w.ID], "not known", f.showErr
}

func (f *checked) Confirm(_ context.Context, w *holdfast.Webhook) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[w.ID] = true
	f.confirmed = append(f.confirmed, fmt.Sprintf("%s@%d", w.ID, w.Revision))
	if f.confirm != nil {
		f.confirm(w.ID)
	}
	return nil
}

func (f *checked) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, id)
	return nil
}

func (f *checked) WebhooksAfter(after string, limit int) ([]*holdfast.Webhook, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []*holdfast.Webhook
	for _, w := range f.webhooks {
		if w.ID > after {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b *holdfast.Webhook) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return all[:min(limit, len(all))], nil
}

// execute runs an activity as a worker does; progress is the last heartbeat of an earlier attempt, nil for none.
func execute[In, Out any](t *testing.T, f func(context.Context, In) (Out, error), in In, progress any) (Out, error) {
	t.Helper()
	env := environment()
	env.RegisterActivity(f)
	if progress != nil {
		env.SetHeartbeatDetails(progress)
	}
	var out Out
	value, err := env.ExecuteActivity(f, in)
	if err == nil {
		require.NoError(t, value.Get(&out))
	}
	return out, err
}

func inspect(t *testing.T, f *checked, in RegistryInspection) RegistryState {
	t.Helper()
	if in.Limit == 0 {
		in.Limit = 100
	}
	s, err := execute(t, f.activities().InspectRegistry, in, nil)
	require.NoError(t, err)
	return s
}

func (s *RegistryState) ids(kind holdfast.DriftKind) []string {
	for _, found := range s.Suspects {
		if found.Kind == kind {
			return found.IDs
		}
	}
	return nil
}

func TestRegistrationsAreListedOnlyForAReason(t *testing.T) {
	t.Parallel()
	healthy := Audit{Position: RegistryPosition{Complete: true}, Revisions: map[string]int64{"a": 1, "b": 2}, DigestOK: true}
	incomplete := healthy
	incomplete.Position.Complete = false
	poisoned := healthy
	poisoned.Poisoned = []PoisonedEntry{{ID: "a", Reason: "no"}}
	for name, tc := range map[string]struct {
		audit  Audit
		open   []string
		in     RegistryInspection
		listed bool
	}{
		"equal numbers":        {healthy, []string{"a", "b"}, RegistryInspection{}, false},
		"different numbers":    {healthy, []string{"a"}, RegistryInspection{}, true},
		"asked to":             {healthy, []string{"a", "b"}, RegistryInspection{List: true}, true},
		"not complete":         {incomplete, []string{"a", "b"}, RegistryInspection{}, true},
		"something unreadable": {poisoned, []string{"a", "b"}, RegistryInspection{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &checked{audits: []Audit{tc.audit}, open: tc.open}
			require.Equal(t, tc.listed, inspect(t, f, tc.in).Listed)
			require.Equal(t, tc.listed, f.listed > 0)
		})
	}
}

func TestSuspectsComePageByPageAndEachOnce(t *testing.T) {
	t.Parallel()
	a := Audit{Revisions: map[string]int64{}, DigestOK: true}
	for i := range 25 {
		a.Revisions[fmt.Sprintf("u%02d", i)] = 1
	}
	a.Changed, a.OldKey = []string{"u03", "both"}, []string{"both", "old"}
	for _, id := range []string{"both", "old", "bad"} {
		a.Revisions[id] = 2
	}
	a.Poisoned = []PoisonedEntry{{ID: "bad", Reason: "no"}}
	f := &checked{audits: []Audit{a}, open: []string{"both", "old", "bad", "m1", "m2"}}
	in := RegistryInspection{Limit: 10, After: map[holdfast.DriftKind]string{}}
	var unregistered []string
	for page := range 3 {
		s := inspect(t, f, in)
		require.Equal(t, []int{28, 5}, []int{s.Webhooks, s.Registrations})
		for _, found := range s.Suspects {
			require.Equal(t, found.Kind == holdfast.DriftUnregistered && page < 2, found.More)
			if len(found.IDs) > 0 {
				in.After[found.Kind] = found.IDs[len(found.IDs)-1]
			}
		}
		if page == 0 {
			require.Equal(t, []string{"m1", "m2"}, s.ids(holdfast.DriftMissing))
			require.Equal(t, []string{"both"}, s.ids(holdfast.DriftChanged), "u03 is to be adopted in the first place")
			require.Equal(t, []string{"old"}, s.ids(holdfast.DriftSealing))
			require.Equal(t, []string{"bad"}, s.ids(holdfast.DriftPoisoned))
			require.Equal(t, []string{"bad"}, s.Repairable)
		} else {
			require.Empty(t, s.ids(holdfast.DriftMissing), "told already")
		}
		unregistered = append(unregistered, s.ids(holdfast.DriftUnregistered)...)
	}
	require.Len(t, unregistered, 25)
	require.True(t, slices.IsSorted(unregistered))
	require.Len(t, slices.Compact(unregistered), 25)
}

func TestWhatRedisSaysOfItselfIsBelievedTheSecondTime(t *testing.T) {
	t.Parallel()
	first := Audit{Revisions: map[string]int64{"a": 1, "b": 2}, ActiveSetWrong: []string{"a", "b"}, Orphans: []string{"x"}}
	again := Audit{Revisions: first.Revisions, ActiveSetWrong: []string{"b", "c"}, DigestOK: true}
	s := inspect(t, &checked{audits: []Audit{first, again}, open: []string{"a", "b"}}, RegistryInspection{})
	require.Equal(t, []string{"b"}, s.ids(holdfast.DriftActiveSet))
	require.Empty(t, s.ids(SuspectOrphan))
	require.False(t, s.DigestWrong)
	s = inspect(t, &checked{audits: []Audit{first}, open: []string{"a", "b"}}, RegistryInspection{})
	require.True(t, s.DigestWrong)
	require.Equal(t, []string{"x"}, s.ids(SuspectOrphan))
}

func TestRegistrationsThatCannotBeAskedDoNotHideWhatIsWrongInRedis(t *testing.T) {
	t.Parallel()
	f := &checked{
		audits: []Audit{{Revisions: map[string]int64{"a": 1}, ActiveSetWrong: []string{"a"}, DigestOK: true}}, openErr: errUnavailable,
	}
	s := inspect(t, f, RegistryInspection{})
	require.Equal(t, []string{"a"}, s.ids(holdfast.DriftActiveSet))
	require.Equal(t, "storage is unavailable", s.Unlisted)
	require.False(t, s.Listed)
}

func TestReconcilingAsksABoundedNumberAtOnceAndSumsUp(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	running, most := 0, 0
	gate := make(chan struct{})
	full := sync.OnceFunc(func() { close(gate) })
	f := &checked{}
	f.reconcile = func(ctx context.Context, id string, adopt bool) (Reconciled, error) {
		mu.Lock()
		running++
		most = max(most, running)
		if running == reconcileAtOnce {
			full()
		}
		mu.Unlock()
		select {
		case <-gate:
		case <-ctx.Done():
		}
		mu.Lock()
		running--
		mu.Unlock()
		switch {
		case !adopt:
			return Reconciled{}, fmt.Errorf("adopt was not passed on")
		case id == "w007":
			return Reconciled{}, errUnavailable
		case id < "w150":
			return Reconciled{Action: ReconcileAdopted}, nil
		}
		return Reconciled{Action: ReconcileUnchanged}, nil
	}
	in := ReconcileBatch{Adopt: true}
	for i := range 200 {
		in.IDs = append(in.IDs, fmt.Sprintf("w%03d", i))
	}
	r, err := execute(t, f.activities().ReconcileWebhooks, in, nil)
	require.NoError(t, err)
	require.Equal(t, reconcileAtOnce, most)
	require.Equal(t, []int{149, 50}, []int{r.tally(ReconcileAdopted).Count, r.tally(ReconcileUnchanged).Count})
	require.Len(t, r.tally(ReconcileAdopted).IDs, holdfast.MaxDriftIDs)
	require.Equal(t, ReconcileTally{Count: 1, IDs: []string{"w007"}}, r.Failed)
	require.Equal(t, "storage is unavailable", r.Detail, "without what is inside")
	require.False(t, r.GaveUp)
}

func TestReconcilingGoesOnWhereAnEarlierAttemptEnded(t *testing.T) {
	t.Parallel()
	f := &checked{}
	var asked []string
	f.reconcile = func(_ context.Context, id string, _ bool) (Reconciled, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		asked = append(asked, id)
		return Reconciled{Action: ReconcileRestored}, nil
	}
	before := reconcileProgress{Next: 2}
	before.Result.tally(ReconcileRestored).add("a")
	before.Result.tally(ReconcileUnchanged).add("b")
	r, err := execute(t, f.activities().ReconcileWebhooks, ReconcileBatch{IDs: []string{"a", "b", "c", "d"}}, before)
	require.NoError(t, err)
	slices.Sort(asked)
	require.Equal(t, []string{"c", "d"}, asked)
	require.Equal(t, 3, r.tally(ReconcileRestored).Count)
	require.Equal(t, 1, r.tally(ReconcileUnchanged).Count)
}

func TestReconcilingGivesUpWhenEverythingFails(t *testing.T) {
	t.Parallel()
	f := &checked{}
	f.reconcile = func(context.Context, string, bool) (Reconciled, error) { return Reconciled{}, errUnavailable }
	r, err := execute(t, f.activities().ReconcileWebhooks, ReconcileBatch{IDs: make([]string, 5000)}, nil)
	require.NoError(t, err)
	require.True(t, r.GaveUp)
	require.Equal(t, 5000, r.Failed.Count)
}

func TestWhatIsLeftOfAWebhookNobodyHasIsCleared(t *testing.T) {
	t.Parallel()
	f := &checked{webhooks: map[string]*holdfast.Webhook{"registered since": {}}}
	f.reconcile = func(context.Context, string, bool) (Reconciled, error) { return Reconciled{Action: ReconcileGone}, nil }
	ids := []string{"left over", "registered since"}
	r, err := execute(t, f.activities().ReconcileWebhooks, ReconcileBatch{IDs: ids, Clear: true}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"left over"}, f.removed)
	require.Equal(t, []string{"left over"}, r.tally(ReconcileRemoved).IDs)
	_, err = execute(t, f.activities().ReconcileWebhooks, ReconcileBatch{IDs: ids}, nil)
	require.NoError(t, err)
	require.Len(t, f.removed, 1, "only when asked to")
}

// platformOf has n webhooks that EMPROPS knows.
func platformOf(n int) *checked {
	f := &checked{webhooks: map[string]*holdfast.Webhook{}, known: map[string]bool{}}
	for i := range n {
		id := fmt.Sprintf("w%04d", i)
		f.webhooks[id], f.known[id] = &holdfast.Webhook{ID: id, Revision: 1}, true
	}
	return f
}

func TestASampleEndsAndBeginsAnew(t *testing.T) {
	t.Parallel()
	f := platformOf(600)
	after := ""
	for _, want := range []struct {
		limit, asked int
		next         string
	}{{250, 250, "w0249"}, {300, 300, "w0549"}, {100, 50, ""}, {600, 600, "w0599"}, {0, 0, ""}, {0, 600, ""}} {
		s, err := execute(t, f.activities().InspectPlatform, PlatformInspection{After: after, Limit: want.limit}, nil)
		require.NoError(t, err)
		require.Equal(t, []any{want.asked, want.asked, want.next}, []any{s.Asked, s.Known, s.Next})
		after = s.Next
	}
}

func TestAWebhookThatIsBeingRegisteredIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	f := platformOf(3)
	f.webhooks["w0001"].UpdatedAt = time.Now().UnixMilli()
	f.known["w0001"] = false
	s, err := execute(t, f.activities().InspectPlatform, PlatformInspection{}, nil)
	require.NoError(t, err)
	require.Equal(t, []int{2, 2, 0}, []int{s.Asked, s.Known, s.Confirmed.Count})
	require.NotContains(t, f.asked, "w0001")
}

func TestConfirmingAgainUndoesNoDeletionAndNoChange(t *testing.T) {
	t.Parallel()
	f := platformOf(3)
	f.known = map[string]bool{"w0002": true}
	f.confirm = func(id string) {
		if id == "w0000" { // deleted just then, at EMPROPS first
			delete(f.webhooks, id)
		}
		if id == "w0001" && f.webhooks[id].Revision == 1 {
			f.webhooks[id] = &holdfast.Webhook{ID: id, Revision: 2}
		}
	}
	s, err := execute(t, f.activities().InspectPlatform, PlatformInspection{}, nil)
	require.NoError(t, err)
	require.False(t, f.known["w0000"], "a deleted webhook does not come back")
	require.Equal(t, []string{"w0001"}, s.Confirmed.IDs)
	slices.Sort(f.confirmed)
	require.Equal(t, []string{"w0000@1", "w0001@1", "w0001@2"}, f.confirmed)
	require.Zero(t, s.Failed.Count)
}

func TestEMPROPSThatFailsEveryTimeCountsAsAway(t *testing.T) {
	t.Parallel()
	f := platformOf(1000)
	f.showErr = holdfast.Errorf(holdfast.CodeUnavailable, "EMPROPS GET /webhooks: failed (HTTP 500)")
	s, err := execute(t, f.activities().InspectPlatform, PlatformInspection{}, nil)
	require.NoError(t, err)
	require.Equal(t, "EMPROPS GET /webhooks: failed (HTTP 500)", s.Unhealthy)
	require.Less(t, len(f.asked), 20)

	f = platformOf(3)
	f.healthErr = holdfast.Errorf(holdfast.CodeUnavailable, "EMPROPS GET /health: unreachable")
	s, err = execute(t, f.activities().InspectPlatform, PlatformInspection{}, nil)
	require.NoError(t, err)
	require.Equal(t, "EMPROPS GET /health: unreachable", s.Unhealthy)
	require.Empty(t, f.asked)
}
