package registry

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventfilter"
	"github.com/emprops/holdfast/internal/testkit"
)

func digestOf(id string, revision int64) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id + "\x00" + strconv.FormatInt(revision, 10)))
	return h.Sum64()
}

// source is a complete registry in memory that can fail, hold poison, and forget its change entries.
type source struct {
	mu       sync.Mutex
	revision int64
	entries  map[string]*holdfast.Webhook
	poison   map[string]int64 // ids with their revisions
	changed  map[string]int64 // id → revision of its last change, removals included
	trimmed  int64            // changes up to here cannot be told
	skew     uint64           // what the stored digest is off by
	fail     error            // of every read
	reads    int
	fulls    int
	between  func(*source) // runs once, between a position and the changes asked for because of it
}

func newSource() *source {
	return &source{entries: map[string]*holdfast.Webhook{}, poison: map[string]int64{}, changed: map[string]int64{}}
}

var errDown = holdfast.Errorf(holdfast.CodeUnavailable, "down")

func (s *source) put(w *holdfast.Webhook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	c := *w
	c.Revision = s.revision
	delete(s.poison, w.ID)
	s.entries[w.ID], s.changed[w.ID] = &c, s.revision
}

func (s *source) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.entries, id)
	delete(s.poison, id)
	s.changed[id] = s.revision
}

func (s *source) poisonEntry(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.entries, id)
	s.poison[id], s.changed[id] = s.revision, s.revision
}

func (s *source) set(change func(*source)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *source) positionLocked() Position {
	p, digest := Position{Revision: s.revision, Incarnation: "one", Complete: true}, s.skew
	for _, w := range s.entries {
		p.Count++
		digest ^= digestOf(w.ID, w.Revision)
	}
	for id, revision := range s.poison {
		p.Count++
		digest ^= digestOf(id, revision)
	}
	p.Digest = formatDigest(digest)
	return p
}

func (s *source) Position(context.Context) (Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if s.fail != nil {
		return Position{}, s.fail
	}
	return s.positionLocked(), nil
}

func formatDigest(digest uint64) string { return strconv.FormatUint(digest, 36) }

func parseDigest(text string) uint64 {
	digest, _ := strconv.ParseUint(text, 36, 64)
	return digest
}

func (s *source) Changes(_ context.Context, since int64) (Feed, error) { return s.read(since, false) }

func (s *source) Everything(_ context.Context, since int64) (Feed, error) { return s.read(since, true) }

func (s *source) Distrust(context.Context, string, string) error {
	return errors.New("nothing was restored")
}

func (s *source) read(since int64, full bool) (Feed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.between != nil {
		s.between(s)
		s.between = nil
	}
	if s.fail != nil {
		return Feed{}, s.fail
	}
	f := Feed{Position: s.positionLocked(), Full: full || since == 0 || since < s.trimmed || since > s.revision, Removed: map[string]int64{}}
	if f.Full {
		s.fulls++
	}
	for id, w := range s.entries {
		if f.Full || s.changed[id] > since {
			f.Webhooks = append(f.Webhooks, w)
		}
	}
	for id, revision := range s.poison {
		if f.Full || s.changed[id] > since {
			f.Poisoned = append(f.Poisoned, Poisoned{id, revision, errors.New("cannot be decoded")})
		}
	}
	for id, revision := range s.changed {
		if s.entries[id] == nil && s.poison[id] == 0 && revision > since && !f.Full {
			f.Removed[id] = revision
		}
	}
	return f, nil
}

var nop = zap.NewNop()

var testOptions = Options{DigestOf: digestOf, ParseDigest: parseDigest, Compile: compile}

func newRegistry(s Source) *Registry { return New(s, testOptions, nop) }

// compile knows expressions that name the one event id that passes.
func compile(expression string) (func(*eventfilter.View) bool, error) {
	id, ok := strings.CutPrefix(expression, "id is ")
	if !ok {
		return nil, errors.New("unknown expression")
	}
	return func(v *eventfilter.View) bool { return v.Event().ID == id }, nil
}

func webhook(id string, types ...string) *holdfast.Webhook {
	return &holdfast.Webhook{ID: id, URL: "https://a.example", Active: true, Events: types}
}

func matches(t require.TestingT, r *Registry, eventType, data string) []string {
	snapshot, err := r.Snapshot()
	require.NoError(t, err)
	var ids []string
	for _, w := range snapshot.Match(&holdfast.Event{Type: eventType, Data: []byte(data)}) {
		ids = append(ids, w.ID)
	}
	return ids
}

// sameAs requires that the registry shows what the source holds, in every view.
func sameAs(t require.TestingT, r *Registry, s *source) {
	snapshot, err := r.Snapshot()
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(t, s.positionLocked(), snapshot.Position())
	require.Equal(t, len(s.entries), snapshot.Len())
	require.Len(t, snapshot.All(), len(s.entries))
	for id, w := range s.entries {
		require.Equal(t, w, snapshot.Webhook(id))
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(s.poison)), slices.Collect(maps.Keys(snapshot.Poisoned())))
	for _, eventType := range holdfast.EventTypes {
		var want []string
		for id, w := range s.entries {
			if w.Subscribed(eventType) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		require.Equal(t, want, matches(t, r, eventType, `{}`), eventType)
	}
}

// Whatever happened, in whatever order: after a successful look the snapshot is what the source holds, and a failed look
// leaves it as it was.
func TestG2_SnapshotFollowsTheSource(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		s := newSource()
		r := newRegistry(s)
		id := func() string { return fmt.Sprintf("wh_%d", rapid.IntRange(0, 9).Draw(t, "id")) }
		t.Repeat(map[string]func(*rapid.T){
			"write": func(*rapid.T) {
				// What is written follows from id and revision: no other difference could be told by the digest.
				w := webhook(id())
				s.mu.Lock()
				bits := digestOf(w.ID, s.revision+1)
				s.mu.Unlock()
				if bits%6 == 0 {
					s.poisonEntry(w.ID)
					return
				}
				w.Active, w.Disconnected = bits%7 > 0, bits%5 == 0
				for i, eventType := range holdfast.EventTypes {
					if bits>>(8+i)&1 == 1 {
						w.Events = append(w.Events, eventType)
					}
				}
				s.put(w)
			},
			"remove": func(*rapid.T) { s.remove(id()) },
			"trim":   func(*rapid.T) { s.set(func(s *source) { s.trimmed = s.revision }) },
			"skew":   func(*rapid.T) { s.set(func(s *source) { s.skew ^= 0xdead }) },
			"rebuild": func(t *rapid.T) {
				_, _, _, err := r.Rebuild(ctx)
				require.NoError(t, err)
				sameAs(t, r, s)
			},
			"look while it fails": func(t *rapid.T) {
				before, _ := r.Snapshot()
				s.set(func(s *source) { s.fail = errDown })
				err := r.Current(ctx)
				s.set(func(s *source) { s.fail = nil })
				require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
				after, _ := r.Snapshot()
				require.Same(t, before, after)
				require.NotEmpty(t, r.Degraded())
			},
			"look": func(t *rapid.T) {
				require.NoError(t, r.Current(ctx))
				require.Empty(t, r.Degraded())
				require.Empty(t, r.NotReady())
				sameAs(t, r, s)
			},
		})
	})
}

func TestD02_FailedReadKeepsTheSnapshot(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	_, err := r.Snapshot()
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err), "nothing loaded is not an empty registry")
	_, err = r.Webhook("wh_1")
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	s.put(webhook("wh_1", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	s.put(webhook("wh_2", "job_failed"))
	s.set(func(s *source) { s.fail = errDown })
	require.Error(t, r.Current(t.Context()))
	require.Equal(t, []string{"wh_1"}, matches(t, r, "job_failed", `{}`))
	require.Equal(t, "storage is unavailable", r.Degraded())
	s.set(func(s *source) { s.fail = nil })
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, []string{"wh_1", "wh_2"}, matches(t, r, "job_failed", `{}`))
	require.Empty(t, r.Degraded())
}

func TestD31_PoisonedEntryHarmsNoOther(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	s.put(webhook("wh_1", "job_failed"))
	s.put(webhook("wh_2", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	s.poisonEntry("wh_1")
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, []string{"wh_2"}, matches(t, r, "job_failed", `{}`))
	snapshot, err := r.Snapshot()
	require.NoError(t, err)
	require.Contains(t, snapshot.Poisoned(), "wh_1")
	s.put(webhook("wh_3", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, []string{"wh_2", "wh_3"}, matches(t, r, "job_failed", `{}`))
	s.put(webhook("wh_1", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	sameAs(t, r, s)
}

// One poisoned entry must not switch verification off for all the others: what changed unseen must still be found.
func TestD31_SnapshotWithPoisonIsStillVerified(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	s.poisonEntry("wh_bad")
	s.put(webhook("wh_1", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	s.set(func(s *source) { // a restore: another history with the poison still in it
		s.revision += 5
		delete(s.entries, "wh_1")
		s.changed = map[string]int64{}
	})
	s.put(webhook("wh_2", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	sameAs(t, r, s)
	fulls := s.fulls
	s.put(webhook("wh_3", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	sameAs(t, r, s)
	require.Equal(t, fulls, s.fulls, "poison does not make every change a full load")
}

// A digest that someone spoiled costs one full load, not one for every look.
func TestRegistry_SpoiledDigestIsLivedWith(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	s.put(webhook("wh_1", "job_failed"))
	s.set(func(s *source) { s.skew = 1 })
	require.NoError(t, r.Current(t.Context()))
	s.put(webhook("wh_2", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	require.NoError(t, r.Current(t.Context()))
	sameAs(t, r, s)
	require.Equal(t, 1, s.fulls)
}

func TestD01_WebhookRegisteredDuringAFullRefreshIsVisibleRightAfter(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	const n = 5000
	for i := range n {
		s.put(webhook(fmt.Sprintf("wh_%05d", i), "job_failed"))
	}
	require.NoError(t, r.Current(t.Context()))
	s.put(webhook("wh_other", "job_failed"))
	s.set(func(s *source) {
		s.trimmed = s.revision // forces a full load
		s.between = func(s *source) {
			s.revision++
			w := webhook("wh_new", "complete_job")
			w.Revision = s.revision
			s.entries[w.ID], s.changed[w.ID] = w, s.revision
		}
	})
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, []string{"wh_new"}, matches(t, r, "complete_job", `{}`))
	s.put(webhook("wh_newer", "complete_job"))
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, []string{"wh_new", "wh_newer"}, matches(t, r, "complete_job", `{}`))
	sameAs(t, r, s)
}

// Readers never wait and never see half a state, however often it changes.
func TestG2_MatchWhileRefreshing(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	s.put(webhook("wh_a", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil {
				if got := matchIDs(r); len(got) != 1 {
					stop()
				}
			}
		})
		wait.Go(func() {
			for ctx.Err() == nil {
				_ = r.Current(ctx)
			}
		})
	}
	for i := range 300 {
		if i%50 == 0 {
			s.set(func(s *source) { s.trimmed = s.revision })
		}
		s.put(webhook("wh_a", "job_failed"))
		require.NoError(t, r.Current(t.Context()))
		snapshot, err := r.Snapshot()
		require.NoError(t, err)
		require.GreaterOrEqual(t, snapshot.Position().Revision, int64(i+2), "what is confirmed is visible")
	}
	require.NoError(t, ctx.Err(), "one webhook was there at any time")
	stop()
	wait.Wait()
}

func matchIDs(r *Registry) []*holdfast.Webhook {
	snapshot, err := r.Snapshot()
	if err != nil {
		return nil
	}
	return snapshot.Match(&holdfast.Event{Type: "job_failed"})
}

func TestRegistry_CurrentSnapshotCostsOneLook(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	s.put(webhook("wh_1", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	before, fulls := s.reads, s.fulls
	for range 10 {
		require.NoError(t, r.Current(t.Context()))
	}
	require.Equal(t, before+10, s.reads)
	require.Equal(t, fulls, s.fulls)
	snapshot, err := r.Snapshot()
	require.NoError(t, err)
	require.NoError(t, r.CurrentBy(t.Context(), func(context.Context) (Position, error) { return snapshot.Position(), nil }))
	require.Equal(t, before+10, s.reads)
}

// A look that was at the source before it went away may end after one that found it away.
func TestG2_AnOlderLookDoesNotHideThatStorageIsAway(t *testing.T) {
	t.Parallel()
	for name, begun := range map[string]bool{"degraded for the first time": false, "degraded already when the older look began": true} {
		s := newSource()
		r := newRegistry(s)
		s.put(webhook("wh_1", "job_failed"))
		require.NoError(t, r.Current(t.Context()))
		away := func(context.Context) (Position, error) { return Position{}, errors.New("connection refused") }
		if begun {
			require.Error(t, r.CurrentBy(t.Context(), away), name)
		}
		require.NoError(t, r.CurrentBy(t.Context(), func(ctx context.Context) (Position, error) {
			position, err := s.Position(ctx)
			require.Error(t, r.CurrentBy(ctx, away), name)
			return position, err
		}), name)
		require.Equal(t, unreachable, r.Degraded(), name)
		require.NoError(t, r.Current(t.Context()), name)
		require.Empty(t, r.Degraded(), name)
	}
}

func TestRefresh_ConfirmsARevision(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := New(s, testOptions, testkit.Logger(t))
	s.put(webhook("wh_1", "job_failed"))
	revision, digest, count, err := r.Refresh(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, []any{int64(1), formatDigest(digestOf("wh_1", 1)), 1}, []any{revision, digest, count})
	revision, _, _, err = r.Refresh(t.Context(), 2)
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err), "a replica may be behind")
	require.Equal(t, int64(1), revision)
}

func TestMatch_Filters(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	filtered := func(id string, f holdfast.Filters) {
		w := webhook(id, "job_failed", "workflow_completed")
		w.Filters = f
		s.put(w)
	}
	filtered("wh_all", holdfast.Filters{})
	filtered("wh_image", holdfast.Filters{JobTypes: []string{"image", "video"}})
	filtered("wh_urgent", holdfast.Filters{JobTypes: []string{"image"}, Priorities: []float64{1}})
	filtered("wh_nothing", holdfast.Filters{JobTypes: []string{}})
	filtered("wh_worker", holdfast.Filters{WorkerIDs: []string{"w1"}})
	paused := webhook("wh_paused", "complete_job")
	paused.Active = false
	s.put(paused)
	gone := webhook("wh_gone", "complete_job")
	gone.Disconnected = true
	s.put(gone)
	require.NoError(t, r.Current(t.Context()))
	for data, want := range map[string][]string{
		`{"job_type":"image","priority":1}`:                  {"wh_all", "wh_image", "wh_urgent", "wh_worker"},
		`{"job_type":"image","priority":2}`:                  {"wh_all", "wh_image", "wh_worker"},
		`{"job_type":"text"}`:                                {"wh_all", "wh_worker"},
		`{"Job_Type":"text","job_type":"video"}`:             {"wh_all", "wh_image", "wh_worker"},
		`{"job_type":"image","worker_id":"w2"}`:              {"wh_all", "wh_image", "wh_urgent"},
		`{}`:                                                 {"wh_all", "wh_image", "wh_nothing", "wh_urgent", "wh_worker"},
		`{"job_type":null,"priority":"1","worker_id":["w"]}`: {"wh_all", "wh_image", "wh_nothing", "wh_urgent", "wh_worker"},
	} {
		require.Equal(t, want, matches(t, r, "job_failed", data), data)
	}
	require.Contains(t, matches(t, r, "workflow_completed", `{"worker_id":"w2"}`), "wh_worker", "worker filters do not apply to it (CONTRACT 3.3)")
	require.Empty(t, matches(t, r, "job_submitted", `{}`))
	require.Equal(t, []string{"wh_gone", "wh_paused"}, matches(t, r, "complete_job", `{}`), "their deliveries are held")
}

// G6: stored data of the original may name an event type twice; that is still one delivery.
func TestG6_WebhookThatNamesATypeTwiceMatchesOnce(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	s.put(webhook("wh_1", "job_failed", "job_failed", "job_submitted"))
	s.put(webhook("wh_0", "job_failed"))
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, []string{"wh_0", "wh_1"}, matches(t, r, "job_failed", `{}`))
}
