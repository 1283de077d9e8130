package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventfilter"
)

// The index finds exactly what asking every webhook finds, whatever was written, changed and removed before.
func TestMatch_FindsWhatAskingEveryWebhookFinds(t *testing.T) {
	t.Parallel()
	words := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "a", "b", "c", "ab"}), 0, 4, rapid.ID[string])
	filter := rapid.OneOf(rapid.Just([]string(nil)), words)
	priorities := rapid.OneOf(rapid.Just([]float64(nil)), rapid.SliceOfN(rapid.SampledFrom([]float64{0, -1, 1, 2.5}), 0, 3))
	types := rapid.SliceOfN(rapid.SampledFrom([]string{"job_failed", "workflow_completed", "job_submitted"}), 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		s := newSource()
		r := newRegistry(s)
		require.NoError(t, r.Current(t.Context()))
		word := func(name string) any {
			return rapid.SampledFrom([]any{nil, "", "a", "b", "c", "ab", "z", 5}).Draw(t, name)
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				w := webhook(fmt.Sprintf("wh_%d", rapid.IntRange(0, 12).Draw(t, "id")), types.Draw(t, "types")...)
				w.CreatedAt = int64(rapid.IntRange(0, 3).Draw(t, "created"))
				w.Filters = holdfast.Filters{
					JobTypes: filter.Draw(t, "job types"), Priorities: priorities.Draw(t, "priorities"),
					MachineIDs: filter.Draw(t, "machines"), WorkerIDs: filter.Draw(t, "workers"),
				}
				w.Filter = rapid.SampledFrom([]string{"", "id is 1", "id is 2", "nonsense"}).Draw(t, "expression")
				s.put(w)
			},
			"remove": func(t *rapid.T) { s.remove(fmt.Sprintf("wh_%d", rapid.IntRange(0, 12).Draw(t, "id"))) },
			"trim":   func(*rapid.T) { s.set(func(s *source) { s.trimmed = s.revision }) },
			"match": func(t *rapid.T) {
				require.NoError(t, r.Current(t.Context()))
				data := map[string]any{}
				for _, name := range []string{"job_type", "machine_id", "worker_id"} {
					if v := word(name); v != nil {
						data[name] = v
					}
				}
				if p := rapid.SampledFrom([]any{nil, 0, -1, 1, 2.5, 7, "1"}).Draw(t, "priority"); p != nil {
					data["priority"] = p
				}
				encoded, err := json.Marshal(data)
				require.NoError(t, err)
				e := &holdfast.Event{ID: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id"), Type: types.Draw(t, "type")[0], Data: encoded}
				facts := holdfast.FactsOf(e.Data)
				var want []*holdfast.Webhook
				all := []*holdfast.Webhook{}
				s.mu.Lock()
				for _, w := range s.entries {
					if w.Filter == "nonsense" {
						continue
					}
					all = append(all, w)
					if w.Subscribed(e.Type) && w.Filters.Pass(e.Type, facts) && (w.Filter == "" || w.Filter == "id is "+e.ID) {
						want = append(want, w)
					}
				}
				s.mu.Unlock()
				slices.SortFunc(want, func(a, b *holdfast.Webhook) int { return byID(&entry{id: a.ID}, &entry{id: b.ID}) })
				slices.SortFunc(all, func(a, b *holdfast.Webhook) int {
					if newerFirst(&entry{id: a.ID, webhook: a}, &entry{id: b.ID, webhook: b}) {
						return -1
					}
					return 1
				})
				snapshot, err := r.Snapshot()
				require.NoError(t, err)
				require.Equal(t, want, snapshot.Match(e), string(encoded))
				require.Equal(t, all, snapshot.All())
			},
		})
	})
}

// A webhook with many values in several filters is not put into a bucket for each combination.
func TestMatch_ManyFilterValues(t *testing.T) {
	t.Parallel()
	many := func(prefix string) []string {
		values := make([]string, 1000)
		for i := range values {
			values[i] = fmt.Sprint(prefix, i)
		}
		return values
	}
	s := newSource()
	r := newRegistry(s)
	w := webhook("wh_1", "job_failed")
	w.Filters = holdfast.Filters{JobTypes: many("j"), MachineIDs: many("m"), WorkerIDs: many("w"), Priorities: []float64{1, 2}}
	s.put(w)
	require.NoError(t, r.Current(t.Context()))
	snapshot, err := r.Snapshot()
	require.NoError(t, err)
	require.LessOrEqual(t, snapshot.index.postings.Len(), maxBuckets)
	for data, want := range map[string][]string{
		`{"job_type":"j7","machine_id":"m999","worker_id":"w0","priority":2}`: {"wh_1"},
		`{"job_type":"j7","machine_id":"m999","worker_id":"j0","priority":2}`: nil,
		`{"job_type":"x","machine_id":"m999","worker_id":"w0"}`:               nil,
		`{"worker_id":"w0"}`:                   {"wh_1"},
		`{"worker_id":"w0","machine_id":"no"}`: nil,
		`{"priority":3}`:                       nil,
	} {
		require.Equal(t, want, matches(t, r, "job_failed", data), data)
	}
}

func TestD31_ExpressionThatCannotBeCompiledHarmsNoOther(t *testing.T) {
	t.Parallel()
	s := newSource()
	r := newRegistry(s)
	good, bad := webhook("wh_good", "job_failed"), webhook("wh_bad", "job_failed")
	good.Filter, bad.Filter = "id is 1", "what?"
	s.put(good)
	s.put(bad)
	require.NoError(t, r.Current(t.Context()))
	snapshot, err := r.Snapshot()
	require.NoError(t, err)
	require.Contains(t, snapshot.Poisoned(), "wh_bad")
	require.Len(t, snapshot.Match(&holdfast.Event{ID: "1", Type: "job_failed"}), 1)
	require.Empty(t, snapshot.Match(&holdfast.Event{ID: "2", Type: "job_failed"}))
	bad.Filter = "id is 2"
	s.put(bad)
	fulls := s.fulls
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, fulls, s.fulls, "poison counts in the digest")
	snapshot, err = r.Snapshot()
	require.NoError(t, err)
	require.Empty(t, snapshot.Poisoned())
	require.Len(t, snapshot.Match(&holdfast.Event{ID: "2", Type: "job_failed"}), 1)
}

func TestExpression_IsCompiledOncePerVersion(t *testing.T) {
	t.Parallel()
	compiled := 0
	opts := testOptions
	opts.Compile = func(expression string) (func(*eventfilter.View) bool, error) {
		if compiled++; expression == "" {
			return nil, errors.New("empty")
		}
		return func(*eventfilter.View) bool { return true }, nil
	}
	s := newSource()
	r := New(s, opts, nop)
	w := webhook("wh_1", "job_failed")
	w.Filter = "true"
	s.put(w)
	for range 3 {
		_, _, _, err := r.Rebuild(t.Context())
		require.NoError(t, err)
		s.put(webhook("wh_2", "job_failed"))
		require.NoError(t, r.Current(t.Context()))
	}
	require.Equal(t, 1, compiled)
	w.Filter = "false"
	s.put(w)
	require.NoError(t, r.Current(t.Context()))
	require.Equal(t, 2, compiled)
}

// Decoding an event's data costs more than asking a filter: however many filters look at an event, they share one view.
func TestMatch_ShowsOneEventToAllFiltersInOneView(t *testing.T) {
	t.Parallel()
	views := map[*eventfilter.View]int{}
	opts := testOptions
	opts.Compile = func(string) (func(*eventfilter.View) bool, error) {
		return func(v *eventfilter.View) bool { views[v]++; return true }, nil
	}
	s := newSource()
	r := New(s, opts, nop)
	for _, id := range []string{"wh_1", "wh_2", "wh_3"} {
		w := webhook(id, "job_failed")
		w.Filter = id
		s.put(w)
	}
	require.NoError(t, r.Current(t.Context()))
	require.Len(t, matches(t, r, "job_failed", `{}`), 3)
	require.Len(t, views, 1)
}
