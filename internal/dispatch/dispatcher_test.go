package dispatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/workflows"
)

// marks is the memory of event ids, in memory.
type marks struct {
	mu       sync.Mutex
	byID     map[string]*Mark
	fail     error
	begins   int
	released []string
}

func (m *marks) Begin(_ context.Context, ids []string) (registry.Position, []*Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begins++
	if m.fail != nil {
		return registry.Position{}, nil, m.fail
	}
	found := make([]*Mark, len(ids))
	for i, id := range ids {
		if mark := m.byID[id]; mark != nil {
			c := *mark
			found[i] = &c
			continue
		}
		m.byID[id] = &Mark{EventID: id, Claimed: true}
	}
	return registry.Position{Revision: 1, Complete: true}, found, nil
}

func (m *marks) Settle(_ context.Context, settled []Mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for _, mark := range settled {
		m.byID[mark.EventID] = &mark
	}
	return nil
}

func (m *marks) Release(_ context.Context, ids []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released = append(m.released, ids...)
	for _, id := range ids {
		delete(m.byID, id)
	}
	return m.fail
}

func (m *marks) of(id string) *Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byID[id]
}

func (m *marks) set(change func(*marks)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(m)
}

// cache is a registry cache over fixed webhooks; nil is one that has never loaded.
type cache struct {
	*registry.Registry
	mu          sync.Mutex
	unreachable int
}

func (c *cache) CurrentBy(ctx context.Context, look func(context.Context) (registry.Position, error)) error {
	_, err := look(ctx)
	if err == nil {
		return nil
	}
	c.mu.Lock()
	c.unreachable++
	c.mu.Unlock()
	return c.Registry.CurrentBy(ctx, func(context.Context) (registry.Position, error) { return registry.Position{}, err })
}

type fixed []*holdfast.Webhook

func (f fixed) Position(context.Context) (registry.Position, error) {
	return registry.Position{Revision: 1, Complete: true}, nil
}

func (f fixed) Changes(context.Context, int64) (registry.Feed, error) {
	return registry.Feed{Position: registry.Position{Revision: 1, Complete: true}, Full: true, Webhooks: f}, nil
}

func (f fixed) Everything(ctx context.Context, since int64) (registry.Feed, error) {
	return f.Changes(ctx, since)
}

func (f fixed) Distrust(context.Context, string, string) error { return nil }

func webhooks(n int, eventType string) fixed {
	var all fixed
	for i := range n {
		all = append(all, &holdfast.Webhook{ID: fmt.Sprintf("wh_%03d", i), Active: true, Events: []string{eventType}})
	}
	return all
}

// group is one start: the deliveries it made durable.
type group struct {
	id      string // "" for a single delivery
	key     string // of a delivery made in order
	events  []holdfast.Event
	targets []activities.Target
}

func (g *group) bytes() int {
	size := 0
	for i := range g.events {
		size += g.events[i].Size()
	}
	return size + targetBytes*len(g.targets)
}

// starter keeps what was started. A start waits while gate is not nil, and fails with what fail gives.
type starter struct {
	mu      sync.Mutex
	started []group
	starts  int
	gate    chan struct{}
	fail    func(start int) error
	late    func(start int) error // the start succeeds, but its answer is lost
}

func (s *starter) start(ctx context.Context, g group) (string, string, error) {
	s.mu.Lock()
	s.starts++
	n, gate := s.starts, s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return "", "", holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "timed out")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(n); err != nil {
			return "", "", err
		}
	}
	s.started = append(s.started, g)
	if s.late != nil {
		if err := s.late(n); err != nil {
			return "", "", err
		}
	}
	return g.id, "run", nil
}

func (s *starter) StartDelivery(ctx context.Context, in workflows.DeliveryInput) (string, string, error) {
	g := group{events: []holdfast.Event{in.Event}, targets: []activities.Target{{WebhookID: in.WebhookID}}}
	_, _, err := s.start(ctx, g)
	return workflows.DeliveryWorkflowID(in.WebhookID, in.Event.ID), "run", err
}

func (s *starter) StartGroup(ctx context.Context, id string, in workflows.GroupInput) (string, string, error) {
	return s.start(ctx, group{id: id, events: in.Events, targets: in.Targets})
}

func (s *starter) Enqueue(ctx context.Context, key string, in workflows.DeliveryInput) (string, string, error) {
	g := group{key: key, events: []holdfast.Event{in.Event}, targets: []activities.Target{{WebhookID: in.WebhookID}}}
	_, _, err := s.start(ctx, g)
	return workflows.OrderedID(in.WebhookID, key), "run", err
}

func (s *starter) NewGroupID() string {
	return workflows.GroupID("n1", fmt.Sprint(time.Now().UnixNano()))
}

func (s *starter) groups() []group {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.started)
}

func (s *starter) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts
}

func (s *starter) setGate(gate chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

type bundle struct {
	*Dispatcher
	marks   *marks
	starter *starter
	cache   *cache
}

func newBundle(t testing.TB, hooks fixed, options ...func(*Options)) *bundle {
	b := &bundle{marks: &marks{byID: map[string]*Mark{}}, starter: &starter{}}
	b.cache = &cache{Registry: registry.New(hooks, registry.Options{
		DigestOf: func(string, int64) uint64 { return 0 }, ParseDigest: func(string) uint64 { return 0 },
	}, zap.NewNop())}
	if hooks != nil {
		require.NoError(t, b.cache.Registry.Current(t.Context()))
	}
	opts := Options{
		Grouping: true, GroupMaxDeliveries: 100, GroupMaxBytes: 1 << 20, QueueMaxDeliveries: 10_000,
		QueueMaxBytes: 64 << 20, AttemptTimeout: 30 * time.Second, HoldFor: time.Hour,
	}
	for _, o := range options {
		o(&opts)
	}
	b.Dispatcher = New(b.cache, b.marks, b.starter, opts, testkit.Logger(t))
	t.Cleanup(func() { _ = b.Stop(context.WithoutCancel(t.Context())) })
	return b
}

func event(id string) *holdfast.Event {
	return &holdfast.Event{ID: id, Type: "job_failed", Data: []byte(`{"a":1}`)}
}

func TestPublish_OneDeliveryStartsAtOnceAsItself(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	r, err := b.Publish(t.Context(), event("evt_1"))
	require.NoError(t, err)
	require.Equal(t, Result{EventID: "evt_1", WebhookIDs: []string{"wh_000"}}, r)
	require.Len(t, b.starter.groups(), 1)
	require.Empty(t, b.starter.groups()[0].id)
	m := b.marks.of("evt_1")
	require.False(t, m.Claimed)
	require.Equal(t, "delivery/wh_000/evt_1", m.WorkflowID)
	require.Equal(t, "run", m.RunID)
}

func TestPublish_EventNobodyWantsIsAnsweredAndRemembered(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "complete_job"))
	r, err := b.Publish(t.Context(), event("evt_1"))
	require.NoError(t, err)
	require.Equal(t, Result{EventID: "evt_1", WebhookIDs: []string{}}, r)
	require.Zero(t, b.starter.count())
	r, err = b.Publish(t.Context(), event("evt_1"))
	require.NoError(t, err)
	require.True(t, r.Duplicate)
	r, err = b.Publish(t.Context(), &holdfast.Event{Type: "job_failed", Data: []byte(`{}`)})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(r.EventID, "evt_"))
	require.Nil(t, b.marks.of(r.EventID), "an id made here cannot come again before its answer")
}

func TestD22_DataIsBroughtIntoTheBytesThatAreSent(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	e := event("evt_1")
	e.Data = []byte("{ \"b\" : 1.0, \"a\":\"\\u003cx\\u003e\", \"1\":[ 1e2 ] }")
	_, err := b.Publish(t.Context(), e)
	require.NoError(t, err)
	got := b.starter.groups()[0].events[0]
	require.Equal(t, `{"1":[100],"b":1,"a":"<x>"}`, string(got.Data))
	require.Positive(t, got.Timestamp)
}

func TestPublish_InvalidEventsNameTheFieldAndClaimNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	for field, change := range map[string]func(*holdfast.Event){
		"event.type":      func(e *holdfast.Event) { e.Type = "no_such" },
		"event.id":        func(e *holdfast.Event) { e.ID = "a/b" },
		"event.timestamp": func(e *holdfast.Event) { e.Timestamp = -1 },
	} {
		e := event("evt_1")
		change(e)
		requireInvalid(t, b, e, field)
	}
	for _, data := range []string{
		``, `null`, `[]`, `"x"`, `{`, `{"a":}`, `{"a":1}x`, "{\"a\":\"\x00\"}",
		`{"a":"` + strings.Repeat("x", holdfast.MaxEventBytes) + `"}`,
		`{"a":[1e20` + strings.Repeat(",1e20", 100_000) + `]}`, // small as it comes, too large as it goes
	} {
		e := event("evt_1")
		e.Data = []byte(data)
		requireInvalid(t, b, e, "event.data")
	}
	require.Zero(t, b.marks.begins)
	require.Zero(t, b.starter.count())
}

func requireInvalid(t *testing.T, b *bundle, e *holdfast.Event, field string) {
	t.Helper()
	_, err := b.Publish(t.Context(), e)
	var coded *holdfast.Error
	require.ErrorAs(t, err, &coded)
	require.Equal(t, holdfast.CodeInvalid, coded.Code)
	require.Equal(t, field, coded.Violations[0].Field)
}

func TestG6_SameEventAtTheSameTimeIsStartedOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(3, "job_failed"))
	var wait sync.WaitGroup
	var mu sync.Mutex
	duplicates := 0
	for range 20 {
		wait.Go(func() {
			r, err := b.Publish(t.Context(), event("evt_1"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !slices.Equal(r.WebhookIDs, []string{"wh_000", "wh_001", "wh_002"}) {
				t.Errorf("answer %+v, error %v", r, err)
			}
			if r.Duplicate {
				duplicates++
			}
		})
	}
	wait.Wait()
	require.Equal(t, 19, duplicates)
	require.Equal(t, 1, b.starter.count())
}

// Whoever claimed the event has died: its claim lapses and the event is taken over.
func TestG3_LapsedClaimIsTakenOver(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	b.marks.byID["evt_1"] = &Mark{EventID: "evt_1", Claimed: true}
	answered := make(chan Result, 1)
	go func() {
		if r, err := b.Publish(t.Context(), event("evt_1")); err == nil {
			answered <- r
		}
		close(answered)
	}()
	testkit.Await(t, "the claim to be looked at again", func() bool {
		b.marks.mu.Lock()
		defer b.marks.mu.Unlock()
		return b.marks.begins > 2
	})
	require.Zero(t, b.starter.count())
	b.marks.set(func(m *marks) { delete(m.byID, "evt_1") })
	require.Equal(t, Result{EventID: "evt_1", WebhookIDs: []string{"wh_000"}}, <-answered)
	require.Equal(t, 1, b.starter.count())
}

func TestPublish_WaitForAnotherClaimEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	b.marks.byID["evt_1"] = &Mark{EventID: "evt_1", Claimed: true}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err := b.Publish(ctx, event("evt_1"))
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	require.True(t, b.marks.of("evt_1").Claimed, "it is not ours to release")
}

func TestPublish_StartThatFailedForSureReleasesTheClaim(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	b.starter.fail = func(int) error { return holdfast.Errorf(holdfast.CodeInternal, "refused by Temporal") }
	_, err := b.Publish(t.Context(), event("evt_1"))
	require.Equal(t, holdfast.CodeInternal, holdfast.ErrorCode(err))
	require.Nil(t, b.marks.of("evt_1"))
	b.starter.fail = nil
	r, err := b.Publish(t.Context(), event("evt_1"))
	require.NoError(t, err)
	require.False(t, r.Duplicate)
}

// A start that may have succeeded keeps its claim: a repeat must not start it a second time at once.
func TestG6_StartOfUnknownOutcomeKeepsTheClaim(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	b.starter.fail = func(start int) error {
		if start == 1 {
			return holdfast.Errorf(holdfast.CodeUnavailable, "the answer was lost")
		}
		return holdfast.Errorf(holdfast.CodeInternal, "refused")
	}
	_, err := b.Publish(t.Context(), event("evt_1"))
	require.Error(t, err)
	require.True(t, b.marks.of("evt_1").Claimed)
	require.Empty(t, b.marks.released)
}

// Of an event that goes in several starts, one that failed says nothing of the others.
func TestG6_PartlyStartedEventKeepsTheClaim(t *testing.T) {
	t.Parallel()
	for name, grouping := range map[string]bool{"several groups": true, "several deliveries": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, webhooks(30, "job_failed"), func(o *Options) {
				o.GroupMaxDeliveries, o.Grouping, o.StartsInFlight, o.FanOutMaxBytes = 10, grouping, 1, 1
				if !grouping {
					o.GroupMaxDeliveries = 30
				}
			})
			b.starter.fail = func(start int) error {
				if start == 2 {
					return holdfast.Errorf(holdfast.CodeInternal, "refused")
				}
				return nil
			}
			_, err := b.Publish(t.Context(), event("evt_1"))
			require.Error(t, err)
			require.True(t, b.marks.of("evt_1").Claimed)
		})
	}
}

func TestG3_StartIsRepeatedWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(2, "job_failed"))
	var ids []string
	b.starter.late = func(start int) error {
		ids = append(ids, b.starter.started[start-1].id)
		if start < 3 {
			return holdfast.Errorf(holdfast.CodeUnavailable, "the answer was lost")
		}
		return nil
	}
	r, err := b.Publish(t.Context(), event("evt_1"))
	require.NoError(t, err)
	require.False(t, r.Duplicate)
	require.Len(t, ids, 3)
	require.Equal(t, []string{ids[0], ids[0], ids[0]}, ids, "under the same id, so that one that got through is not repeated")
	require.Equal(t, ids[0], b.marks.of("evt_1").WorkflowID)
}

func TestPublish_FullQueueAcceptsNothing(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(*Options){
		"deliveries": func(o *Options) { o.QueueMaxDeliveries = 4 },
		"bytes":      func(o *Options) { o.QueueMaxBytes = 4 * (event("evt_0").Size() + 2*targetBytes) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t, webhooks(2, "job_failed"), limit, func(o *Options) { o.StartsInFlight = 1 })
			gate := make(chan struct{})
			b.starter.setGate(gate)
			accepted := 0
			var wait sync.WaitGroup
			for {
				id := fmt.Sprintf("evt_%d", accepted)
				full := make(chan error, 1)
				wait.Go(func() {
					_, err := b.Publish(t.Context(), event(id))
					full <- err
				})
				var err error
				queued := testkit.AwaitValue(t, "the event to be queued or refused", func() (bool, bool) {
					select {
					case err = <-full:
						return false, true
					default:
					}
					b.commits.mu.Lock()
					defer b.commits.mu.Unlock()
					return true, b.commits.count == 2*(accepted+1)
				})
				if !queued {
					var coded *holdfast.Error
					require.ErrorAs(t, err, &coded)
					require.Equal(t, holdfast.CodeExhausted, coded.Code)
					require.Positive(t, coded.RetryAfter)
					require.Nil(t, b.marks.of(id), "it can be published again at once")
					break
				}
				accepted++
			}
			require.Positive(t, accepted)
			require.LessOrEqual(t, accepted, 4)
			close(gate)
			wait.Wait()
			require.Zero(t, b.commits.count)
			require.Zero(t, b.commits.bytes)
			events := map[string]bool{}
			for _, g := range b.starter.groups() {
				for _, e := range g.events {
					events[e.ID] = true
				}
			}
			require.Len(t, events, accepted)
			_, err := b.Publish(t.Context(), event("evt_after"))
			require.NoError(t, err)
		})
	}
}

func TestG5_RedisAwayPublishesOnTheLastSnapshot(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	b.marks.fail = holdfast.Errorf(holdfast.CodeUnavailable, "down")
	for i := range 50 {
		r, err := b.Publish(t.Context(), event(fmt.Sprintf("evt_%d", i)))
		require.NoError(t, err)
		require.Equal(t, []string{"wh_000"}, r.WebhookIDs)
	}
	require.Len(t, b.starter.groups(), 50)
	require.NotEmpty(t, b.cache.Degraded())
	require.Less(t, b.marks.begins, 50, "what is known to be away is not asked for every event")
	b.marks.set(func(m *marks) { m.fail = nil })
	b.redisOut.Store(0)
	_, err := b.Publish(t.Context(), event("evt_back"))
	require.NoError(t, err)
	require.NotNil(t, b.marks.of("evt_back"))
}

// Redis was away a moment ago, but the registry has been refreshed since and counts as current: had the event not looked
// again, it would be matched on what may be old by a node that says it is not.
func TestG2_RedisIsAskedAgainAsSoonAsTheRegistryIsCurrent(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"))
	b.marks.fail = holdfast.Errorf(holdfast.CodeUnavailable, "down")
	_, err := b.Publish(t.Context(), event("evt_1"))
	require.NoError(t, err)
	_, err = b.Publish(t.Context(), event("evt_2"))
	require.NoError(t, err)
	require.Equal(t, 1, b.marks.begins, "not so soon while the registry is behind")
	require.NoError(t, b.cache.Current(t.Context()))
	_, err = b.Publish(t.Context(), event("evt_3"))
	require.NoError(t, err)
	require.Equal(t, 2, b.marks.begins)
}

func TestPublish_RegistryNotLoadedIsUnavailableAndClaimsNothing(t *testing.T) {
	t.Parallel()
	b := newBundle(t, nil)
	_, err := b.Publish(t.Context(), event("evt_1"))
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	require.Nil(t, b.marks.of("evt_1"), "a repeat need not wait for the claim to lapse")
}

func TestPublish_GroupingOffStartsEveryDeliveryByItself(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(5, "job_failed"), func(o *Options) { o.Grouping = false })
	var wait sync.WaitGroup
	for i := range 10 {
		wait.Go(func() { _, _ = b.Publish(t.Context(), event(fmt.Sprintf("evt_%d", i))) })
	}
	wait.Wait()
	seen := map[string]bool{}
	for _, g := range b.starter.groups() {
		require.Empty(t, g.id)
		seen[g.events[0].ID+g.targets[0].WebhookID] = true
	}
	require.Len(t, seen, 50)
	require.Len(t, b.starter.groups(), 50)
}

// 100,000 events come while nothing can be made durable: as many as the queue holds are taken, the others are refused and
// leave nothing behind, and what was taken becomes durable once that is possible.
func TestD24_MemoryIsBoundedUnder100kEvents(t *testing.T) {
	const room, events, size = 2_000, 100_000, 512
	b := newBundle(t, webhooks(1, "job_failed"), func(o *Options) { o.QueueMaxDeliveries, o.QueueMaxBytes = room, 64<<20 })
	gate := make(chan struct{})
	b.starter.setGate(gate)
	text := strings.Repeat("x", size)
	payload := func(n int) *holdfast.Event {
		return &holdfast.Event{
			ID: fmt.Sprintf("evt_%d", n), Type: "job_failed", Data: fmt.Appendf(nil, `{"n":%d,"text":"%s"}`, n, text),
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	var taken sync.WaitGroup
	for n := range room {
		taken.Go(func() {
			_, err := b.Publish(t.Context(), payload(n))
			require.NoError(t, err)
		})
	}
	testkit.Await(t, "the queue to be full", func() bool { return b.commits.total() == room })
	full := heap()
	for n := room; n < events; n++ {
		_, err := b.Publish(t.Context(), payload(n))
		require.Equal(t, holdfast.CodeExhausted, holdfast.ErrorCode(err))
	}
	after := heap()
	t.Logf("heap: %d KiB before, %d KiB with %d events in the queue, %d KiB after %d more were refused",
		before>>10, full>>10, room, after>>10, events-room)
	require.Less(t, full, before+room*size*16)
	require.Less(t, after, full+(8<<20), "a refused event leaves nothing")
	close(gate)
	taken.Wait()
	durable := 0
	for _, g := range b.starter.groups() {
		durable += len(g.targets)
	}
	require.Equal(t, room, durable)
}

// Events that come while a start is under way wait for more of their kind, but not for more than fit into a group; one that
// finds nothing under way waits for nobody.
func TestCommit_StartsUnderLoadAreSpaced(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"), func(o *Options) { o.StartSpacing, o.GroupMaxDeliveries = time.Hour, 3 })
	var running sync.WaitGroup
	publish := func(id string) {
		running.Go(func() {
			_, err := b.Publish(t.Context(), event(id))
			require.NoError(t, err)
		})
	}
	for _, id := range []string{"alone", "alone_again"} {
		publish(id)
		running.Wait()
	}
	require.Len(t, b.starter.groups(), 2)

	gate := make(chan struct{})
	b.starter.setGate(gate)
	publish("first")
	testkit.Await(t, "its start", func() bool { return b.starter.count() == 3 })
	publish("second")
	testkit.Await(t, "the second to be queued", func() bool { return b.commits.total() == 2 })
	close(gate)
	testkit.Await(t, "the first to be durable", func() bool { return len(b.starter.groups()) == 3 && b.commits.total() == 1 })
	publish("third")
	testkit.Await(t, "the third to be queued", func() bool { return b.commits.total() == 2 })
	require.Len(t, b.starter.groups(), 3, "they wait for more")
	publish("fourth")
	running.Wait()
	require.Len(t, b.starter.groups(), 4)
	require.Len(t, b.starter.groups()[3].targets, 3)
}

// Stop refuses what is new, and what was accepted is durable and marked when it returns.
func TestG3_StopDrains(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(2, "job_failed"), func(o *Options) { o.StartsInFlight = 1 })
	gate := make(chan struct{})
	b.starter.setGate(gate)
	var wait sync.WaitGroup
	errs := make(chan error, 30)
	for i := range 30 {
		wait.Go(func() {
			_, err := b.Publish(t.Context(), event(fmt.Sprintf("evt_%d", i)))
			errs <- err
		})
	}
	testkit.Await(t, "all to be queued", func() bool {
		b.commits.mu.Lock()
		defer b.commits.mu.Unlock()
		return b.commits.count == 60
	})
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, b.commits.stop(short), context.DeadlineExceeded)
	_, err := b.Publish(t.Context(), event("evt_late"))
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	close(gate)
	require.NoError(t, b.Stop(t.Context()))
	for i := range 30 {
		m := b.marks.of(fmt.Sprintf("evt_%d", i))
		require.NotNil(t, m)
		require.False(t, m.Claimed, "its mark is written before Stop returns")
	}
	wait.Wait()
	for range 30 {
		require.NoError(t, <-errs)
	}
	require.NoError(t, b.Stop(t.Context()))
}

// A caller that gives up changes nothing for the event: it becomes durable, and others are answered.
func TestG3_CallerThatGivesUpTakesNothingBack(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"), func(o *Options) { o.StartsInFlight = 1 })
	gate := make(chan struct{})
	b.starter.setGate(gate)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := b.Publish(ctx, event("evt_1"))
		gone <- err
	}()
	testkit.Await(t, "the start", func() bool { return b.starter.count() == 1 })
	cancel()
	err := <-gone
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, b.marks.of("evt_1"), "its outcome is unknown to the caller: the claim stays")
	close(gate)
	testkit.Await(t, "the delivery", func() bool { return len(b.starter.groups()) == 1 })
}

// Whatever comes, however it is bounded: every accepted delivery is in exactly one start, a start keeps its bounds, an
// event is not torn apart without need, and what waited is started in its order.
func TestG3_GroupCommit(t *testing.T) {
	t.Parallel()
	base := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		opts := Options{
			Grouping: rapid.Bool().Draw(t, "grouping"), GroupMaxDeliveries: rapid.IntRange(1, 20).Draw(t, "maxDeliveries"),
			GroupMaxBytes: rapid.IntRange(200, 3000).Draw(t, "maxBytes"), StartsInFlight: rapid.IntRange(0, 3).Draw(t, "inFlight"),
			QueueMaxDeliveries: 1 << 20, QueueMaxBytes: 1 << 30, FanOutMaxBytes: rapid.IntRange(1, 2000).Draw(t, "fanOut"),
		}
		s := &starter{gate: make(chan struct{})}
		c := newCommitter(s, opts, zap.NewNop())
		sizes := rapid.SliceOfN(rapid.IntRange(1, 30), 1, 40).Draw(t, "webhooks")
		data := rapid.SliceOfN(rapid.IntRange(0, 900), len(sizes), len(sizes)).Draw(t, "bytes")
		var wait sync.WaitGroup
		for i, n := range sizes {
			e := &holdfast.Event{ID: fmt.Sprintf("evt_%03d", i), Data: []byte(strings.Repeat("x", data[i]))}
			var hooks []string
			for j := range n {
				hooks = append(hooks, fmt.Sprintf("wh_%d", j))
			}
			before := c.total()
			wait.Go(func() {
				if _, err := c.commit(e, hooks); err != nil {
					t.Errorf("commit: %v", err)
				}
			})
			for c.total() == before { // one after the other, so that their order is known
				runtime.Gosched()
			}
		}
		close(s.gate)
		wait.Wait()
		require.NoError(t, c.stop(base))
		require.Zero(t, c.count)
		require.Zero(t, c.bytes)

		seen := map[string]int{}
		last := map[string]int{} // event → number of starts it went in
		for _, g := range s.groups() {
			in := map[string]bool{}
			for _, target := range g.targets {
				id := g.events[target.Event].ID
				seen[id+target.WebhookID]++
				in[id] = true
			}
			for id := range in {
				last[id]++
			}
			require.Len(t, g.events, len(in), "no event without a delivery, none twice")
			if len(g.targets) > opts.GroupMaxDeliveries {
				require.Len(t, in, 1)
				require.LessOrEqual(t, g.bytes(), opts.FanOutMaxBytes)
			}
			if len(in) > 1 {
				require.True(t, opts.Grouping)
				require.LessOrEqual(t, g.bytes(), opts.GroupMaxBytes)
				require.True(t, slices.IsSortedFunc(g.events, func(a, b holdfast.Event) int { return strings.Compare(a.ID, b.ID) }))
			}
		}
		for i, n := range sizes {
			id := fmt.Sprintf("evt_%03d", i)
			for j := range n {
				require.Equal(t, 1, seen[fmt.Sprintf("%swh_%d", id, j)], id)
			}
			if opts.Grouping {
				e := holdfast.Event{ID: id, Data: []byte(strings.Repeat("x", data[i]))}
				largest := max(opts.GroupMaxDeliveries, (opts.FanOutMaxBytes-e.Size())/targetBytes)
				require.Equal(t, (n+largest-1)/largest, last[id], "an event is split only where it must be")
			}
		}
		require.Len(t, seen, sum(sizes))
		if opts.StartsInFlight == 1 && opts.Grouping {
			var order []string
			for _, g := range s.groups() {
				for _, e := range g.events {
					order = append(order, e.ID)
				}
			}
			require.True(t, slices.IsSorted(order))
		}
	})
}

func sum(values []int) int {
	total := 0
	for _, v := range values {
		total += v
	}
	return total
}

// total counts the deliveries that wait or are being started.
func (c *committer) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// While a start is under way, what arrives goes together in the next.
func TestDispatch_GroupsGrowWithTheLoad(t *testing.T) {
	t.Parallel()
	b := newBundle(t, webhooks(1, "job_failed"), func(o *Options) { o.StartsInFlight = 1 })
	gate := make(chan struct{})
	b.starter.setGate(gate)
	var wait sync.WaitGroup
	for i := range 65 {
		wait.Go(func() { _, _ = b.Publish(t.Context(), event(fmt.Sprintf("evt_%d", i))) })
	}
	testkit.Await(t, "all to be queued", func() bool { return b.commits.total() == 65 })
	close(gate)
	wait.Wait()
	sizes := map[int]int{}
	for _, g := range b.starter.groups() {
		sizes[len(g.targets)]++
	}
	require.Len(t, b.starter.groups(), 2, "%v", slices.Collect(maps.Keys(sizes)))
	require.Equal(t, 65, sum([]int{len(b.starter.groups()[0].targets), len(b.starter.groups()[1].targets)}))
}

func TestUnfinished_LeavesOtherErrorsAlone(t *testing.T) {
	t.Parallel()
	err := errors.New("x")
	require.Same(t, err, unfinished(err))
	require.NoError(t, unfinished(nil))
}
