package registry_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/testkit"
)

// world is a registry that is written, wiped, restored and checked, the nodes that show it, and what they must show.
type world struct {
	ctx    context.Context
	client *redis.Client
	prefix string
	store  *redisstore.Store
	nodes  []*node

	live    map[string]bool  // registered and not removed
	lost    map[string]int64 // given up by a check and so absent from a registry that was complete at that revision
	written map[string]int64 // by id, the revision of a write that Redis has not lost since
	removed map[string]bool  // since Redis was last wiped or restored
	backups []map[string]string
}

// node is a node with what is known of it.
type node struct {
	*registry.Registry
	shown   map[string]int64 // at its last refresh
	without map[string]bool  // what it has shown to be removed
}

func (w *world) write(t *rapid.T, id string) {
	w.written[id] = write(t, w.ctx, w.store, id)
	w.live[id] = true
	delete(w.removed, id)
	for _, n := range w.nodes {
		delete(n.without, id)
	}
}

func (w *world) remove(t *rapid.T, id string) {
	remove(t, w.ctx, w.store, id)
	w.removed[id] = true
	delete(w.live, id)
	delete(w.written, id)
}

// back notes that Redis lost writes and removals.
func (w *world) back() {
	clear(w.written)
	clear(w.removed)
}

// check is what the consistency check does to the registry: it writes what should be there again, or gives it up, and
// removes what should not.
func (w *world) check(t *rapid.T) {
	at, err := w.store.Position(w.ctx)
	require.NoError(t, err)
	audit, err := w.store.Audit(w.ctx)
	require.NoError(t, err)
	var lost []string
	for _, id := range slices.Sorted(maps.Keys(w.live)) {
		switch _, there := audit.Revisions[id]; {
		case there && w.written[id] == 0: // an older version may have come back
			w.write(t, id)
		case there:
		case !at.Complete && rapid.Bool().Draw(t, "give up"):
			delete(w.live, id)
			lost = append(lost, id)
		default:
			w.write(t, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(audit.Revisions)) {
		if !w.live[id] {
			w.remove(t, id)
		}
	}
	for _, id := range audit.Orphans {
		w.remove(t, id)
	}
	complete(t, w.ctx, w.store)
	at, err = w.store.Position(w.ctx)
	require.NoError(t, err)
	for _, id := range lost {
		w.lost[id] = at.Revision
	}
}

// refresh lets a node look and requires of it what was promised.
func (w *world) refresh(t *rapid.T, n *node) {
	at, err := w.store.Position(w.ctx)
	require.NoError(t, err)
	if rapid.Bool().Draw(t, "rebuild") {
		_, _, _, err = n.Rebuild(w.ctx)
	} else {
		err = n.Current(w.ctx)
	}
	got := shown(t, n.Registry)
	if err != nil {
		require.Equal(t, redisstore.Position{}, at, "only a wiped registry is no state to follow")
		require.Equal(t, n.shown, got)
		return
	}
	s, err := n.Snapshot()
	require.NoError(t, err)
	stored, err := w.store.Position(w.ctx)
	require.NoError(t, err)
	require.Equal(t, registry.Position(stored), s.Position())
	require.Equal(t, stored.Complete, n.NotReady() == "")
	for id, revision := range n.shown {
		if w.live[id] && revision > w.lost[id] {
			require.Contains(t, got, id, "lost, though nobody removed it")
			require.GreaterOrEqual(t, got[id], revision, "%s went back to an older version", id)
		}
	}
	for id, revision := range w.written {
		require.Equal(t, revision, got[id], "%s is not the version written last", id)
	}
	for id := range w.removed {
		n.without[id] = true
	}
	for id := range n.without {
		require.NotContains(t, got, id, "shown after its removal was confirmed")
	}
	n.shown = got
}

func (w *world) restart(t *rapid.T, n *node) {
	n.Registry = newNode(w.store)
	require.NoError(t, n.Current(w.ctx))
	n.shown, n.without = shown(t, n.Registry), map[string]bool{}
}

// Whatever happens to Redis: at no time does a snapshot lose a webhook that was neither removed nor absent from a complete
// registry, and at no time does it show one after a confirmed removal (G2 and G5 hold together).
func TestG2_G5_NothingIsLostAndNothingComesBack(t *testing.T) {
	t.Parallel()
	client, run := testkit.Redis(t), 0
	ctx := t.Context()
	require.NoError(t, client.ConfigSet(ctx, "stream-node-max-entries", "10").Err())
	rapid.Check(t, func(t *rapid.T) {
		run++
		w := &world{
			ctx: ctx, client: client, prefix: fmt.Sprintf("p%d", run),
			live: map[string]bool{}, lost: map[string]int64{}, written: map[string]int64{}, removed: map[string]bool{},
		}
		// How far a node is behind can be told as long as the change stream reaches; nothing can be said of a backup that is
		// restored under a node which is further behind than that.
		reach := rapid.SampledFrom([]int{10, 10_000}).Draw(t, "changes kept")
		w.store = redisstore.New(client, redisstore.Options{Prefix: w.prefix, Limits: redisstore.Limits{Changes: reach}})
		for range 3 {
			n := &node{}
			w.restart(t, n)
			w.nodes = append(w.nodes, n)
		}
		id := func(t *rapid.T) string { return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "id") }
		actions := map[string]func(*rapid.T){
			"write":  func(t *rapid.T) { w.write(t, id(t)) },
			"remove": func(t *rapid.T) { w.remove(t, id(t)) },
			"many": func(t *rapid.T) {
				for range 25 {
					w.write(t, "m")
				}
			},
			"wipe":  func(t *rapid.T) { restore(t, ctx, client, w.prefix, nil); w.back() },
			"check": func(t *rapid.T) { w.check(t) },
			"refresh": func(t *rapid.T) {
				w.refresh(t, rapid.SampledFrom(w.nodes).Draw(t, "node"))
			},
			"refresh all": func(t *rapid.T) {
				for _, n := range w.nodes {
					w.refresh(t, n)
				}
			},
			"restart": func(t *rapid.T) { w.restart(t, rapid.SampledFrom(w.nodes).Draw(t, "node")) },
		}
		if reach > 1000 {
			actions["backup"] = func(t *rapid.T) { w.backups = append(w.backups, dump(t, ctx, client, w.prefix)) }
			actions["restore"] = func(t *rapid.T) {
				if len(w.backups) > 0 {
					restore(t, ctx, client, w.prefix, rapid.SampledFrom(w.backups).Draw(t, "backup"))
					w.back()
				}
			}
			actions["doubt"] = func(t *rapid.T) { require.NoError(t, w.store.MarkIncomplete(ctx, "a test")) }
		}
		t.Repeat(actions)
	})
}
