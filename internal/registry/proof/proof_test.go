package proof_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/testkit"
)

var (
	schedules = flag.Int("schedules", 2000, "how many random schedules to run")
	seed      = flag.Uint64("seed", 0, "run the schedule with this seed alone")
)

// redisAddress starts a Redis whose change streams are trimmed after a few entries, so that full loads occur as well.
func redisAddress(t *testing.T) string {
	t.Helper()
	redisstore.LogTo(zap.NewNop())
	client := testkit.Redis(t)
	require.NoError(t, client.ConfigSet(t.Context(), "stream-node-max-entries", "4").Err())
	require.NoError(t, client.ConfigSet(t.Context(), "save", "").Err())
	return client.Options().Addr
}

// many runs schedules on several clusters at the same time until one fails or all have run.
func many(t *testing.T, address string, n int, tampered tamper) (ran int, found counts, failure error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	first := rand.Uint64() >> 16
	var started atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		sites := newSites(t, address)
		wg.Go(func() {
			for ctx.Err() == nil {
				i := started.Add(1) - 1
				if i >= int64(n) {
					return
				}
				c, err := run(t.Context(), sites, first+uint64(i), tampered)
				mu.Lock()
				if err != nil && failure == nil {
					failure = err
					stop()
				} else if err == nil {
					ran++
					found.add(c)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ran, found, failure
}

// G2: an event accepted after a confirmed operation is matched with what was confirmed, on every node that reaches Redis;
// one that does not says so and goes on with its last good snapshot.
func TestG2_RandomSchedulesOnThreeNodes(t *testing.T) {
	t.Parallel()
	address := redisAddress(t)
	if *seed != 0 {
		_, err := run(t.Context(), newSites(t, address), *seed, nil)
		require.NoError(t, err)
		return
	}
	ran, found, err := many(t, address, *schedules, nil)
	require.NoError(t, err)
	require.Equal(t, *schedules, ran)
	t.Logf("%d schedules: %+v", ran, found)
	if ran < 100 {
		return // too few for what follows to be sure
	}
	require.Greater(t, found.confirmed, 3*ran)
	require.Greater(t, found.pended, ran/5)
	require.Greater(t, found.exact, 10*ran)
	require.Greater(t, found.matched, 3*ran)
	require.Greater(t, found.degraded, ran/5)
}

// The defects that the model must find, each put between a node and its cache.
var defects = map[string]tamper{
	"a node does not look at the revision before it matches": func(c cache) cache { return unchecked{c} },
	"a node looks at every third event only":                 func(c cache) cache { return &lazy{cache: c} },
	"a node says it has refreshed and has not":               func(c cache) cache { return &liar{cache: c} },
	"a failed read empties the snapshot (D2)":                func(c cache) cache { return &forgetful{cache: c} },
	"a node does not say that it is behind":                  func(c cache) cache { return silent{c} },
}

type looking = func(context.Context) (registry.Position, error)

// lookOnly makes the look and does nothing about what it finds, unless that is an error.
func lookOnly(ctx context.Context, c cache, look looking) error {
	position, err := look(ctx)
	if err != nil {
		return c.CurrentBy(ctx, func(context.Context) (registry.Position, error) { return position, err })
	}
	return nil
}

type unchecked struct{ cache }

func (u unchecked) CurrentBy(ctx context.Context, look looking) error {
	return lookOnly(ctx, u.cache, look)
}

type lazy struct {
	cache
	looks atomic.Int64
}

func (l *lazy) CurrentBy(ctx context.Context, look looking) error {
	if l.looks.Add(1)%3 != 0 {
		return lookOnly(ctx, l.cache, look)
	}
	return l.cache.CurrentBy(ctx, look)
}

type liar struct {
	cache
	loaded atomic.Bool
}

func (l *liar) CurrentBy(ctx context.Context, look looking) error {
	return lookOnly(ctx, l.cache, look)
}

func (l *liar) Refresh(ctx context.Context, atLeast int64) (revision int64, digest string, count int, err error) {
	if l.loaded.Swap(true) && atLeast > 0 {
		return atLeast, "", 0, nil
	}
	return l.cache.Refresh(ctx, atLeast)
}

type forgetful struct {
	cache
	empty   atomic.Bool
	nothing atomic.Pointer[registry.Snapshot]
}

func (f *forgetful) CurrentBy(ctx context.Context, look looking) error {
	return f.cache.CurrentBy(ctx, func(ctx context.Context) (registry.Position, error) {
		position, err := look(ctx)
		f.empty.Store(err != nil)
		if f.nothing.Load() == nil {
			empty, err := nothing(ctx)
			if err != nil {
				return position, err
			}
			f.nothing.Store(empty)
		}
		return position, err
	})
}

func (f *forgetful) Matchable() (*registry.Snapshot, error) {
	if empty := f.nothing.Load(); empty != nil && f.empty.Load() {
		return empty, nil
	}
	return f.cache.Matchable()
}

// nothing is a snapshot of a registry without webhooks.
func nothing(ctx context.Context) (*registry.Snapshot, error) {
	r := registry.New(void{}, registry.Options{DigestOf: redisstore.DigestOf, ParseDigest: redisstore.ParseDigest}, zap.NewNop())
	if err := r.Current(ctx); err != nil {
		return nil, err
	}
	return r.Snapshot()
}

type void struct{}

func (void) Position(context.Context) (registry.Position, error) {
	return registry.Position{Revision: 1, Complete: true}, nil
}

func (v void) Changes(ctx context.Context, since int64) (registry.Feed, error) {
	return v.Everything(ctx, since)
}

func (v void) Everything(ctx context.Context, _ int64) (registry.Feed, error) {
	at, err := v.Position(ctx)
	return registry.Feed{Position: at, Full: true}, err
}

func (void) Distrust(context.Context, string, string) error { return nil }

type silent struct{ cache }

func (silent) Degraded() string { return "" }

func TestModelCatchesStaleMatch(t *testing.T) {
	t.Parallel()
	address := redisAddress(t)
	for name, defect := range defects {
		ran, _, err := many(t, address, 500, defect)
		require.Error(t, err, name)
		require.ErrorContains(t, err, "-seed ")
		t.Logf("%s: found after %d schedules", name, ran)
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	redis.SetLogger(quiet{})
	m.Run()
}

// quiet keeps the client's complaints about cut lines out of the output.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
