package proof_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/redisstore"
)

const (
	stepsOfSchedule = 18
	webhooks        = 5
)

var eventTypes = holdfast.EventTypes[:3]

// schedule is one random run of a cluster of three nodes.
type schedule struct {
	seed      uint64
	sites     []*site
	prefix    string
	tamper    tamper
	model     *model
	committed *committed
	ids       []string

	mu      sync.Mutex
	slots   []*process // nil while the node is down
	all     []*process
	pending []*operation
	busy    map[string]bool // webhooks with an operation under way
	urls    int
	counts  counts
}

// counts tell what a schedule has come across, so that a test can see that it tested something.
type counts struct {
	confirmed, pended        int // operations
	exact, matched, degraded int // events published by nodes that reach Redis, those of them that matched, and by others
}

func (c *counts) add(other counts) {
	c.confirmed, c.pended = c.confirmed+other.confirmed, c.pended+other.pended
	c.exact, c.matched, c.degraded = c.exact+other.exact, c.matched+other.matched, c.degraded+other.degraded
}

func (s *schedule) count(change func(*counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.counts)
}

// run runs the schedule with the seed; the error tells what was wrong and what had happened.
func run(ctx context.Context, sites []*site, seed uint64, t tamper) (found counts, err error) {
	s := &schedule{
		seed: seed, sites: sites, prefix: fmt.Sprintf("proof-%d", seed), tamper: t, model: newModel(),
		committed: &committed{byID: map[string][]string{}}, slots: make([]*process, nodesOfCluster), busy: map[string]bool{},
	}
	for i := range webhooks {
		s.ids = append(s.ids, fmt.Sprintf("wh_%c", 'a'+i))
	}
	defer func() {
		for _, p := range s.all {
			err = errors.Join(err, p.dispatcher.Stop(ctx))
		}
		for _, site := range sites {
			site.line.set(false)
		}
		if err != nil {
			err = fmt.Errorf("schedule with -seed %d: %w\n%s", seed, err, strings.Join(s.model.log, "\n"))
		}
	}()
	random := rand.New(rand.NewPCG(seed, 0))
	// The first consistency check of an installation finds that nothing is missing.
	first := redisstore.New(sites[0].client, redisstore.Options{Prefix: s.prefix})
	if err := first.MarkComplete(ctx, ""); err != nil {
		return found, err
	}
	for i := range s.slots {
		s.join(ctx, i)
	}
	for range stepsOfSchedule {
		together := 1
		if random.IntN(3) == 0 {
			together = 2 + random.IntN(4)
		}
		if err := s.step(ctx, random, together); err != nil {
			return s.counts, err
		}
	}
	err = s.settle(ctx, random)
	return s.counts, err
}

// action is something to do, decided on before it is done, so that the seed decides and not the timing.
type action func(context.Context) error

// step does some actions at the same time.
func (s *schedule) step(ctx context.Context, random *rand.Rand, together int) error {
	actions := make([]action, together)
	for i := range actions {
		actions[i] = s.choose(random)
	}
	if together == 1 {
		return actions[0](ctx)
	}
	s.model.logf("at the same time (%d):", together)
	errs := make([]error, together)
	var wg sync.WaitGroup
	for i, a := range actions {
		wg.Go(func() { errs[i] = a(ctx) })
	}
	wg.Wait()
	s.model.logf("all done")
	return errors.Join(errs...)
}

func (s *schedule) choose(random *rand.Rand) action {
	slot, id := random.IntN(nodesOfCluster), s.ids[random.IntN(len(s.ids))]
	eventType := eventTypes[random.IntN(len(eventTypes))]
	named := random.IntN(2) == 0
	publish := func(ctx context.Context) error { return s.publish(ctx, slot, eventType, named) }
	at := random.Perm(nodesOfCluster)
	switch n := random.IntN(100); {
	case n < 42:
		return publish
	case n < 47:
		return func(ctx context.Context) error { return s.refresh(ctx, slot) }
	case n < 53:
		cut, _ := s.sites[slot].line.state()
		return func(context.Context) error { return s.cut(slot, !cut) }
	case n < 64:
		return s.membership(random, slot)
	case n < 74:
		if o := s.takePending(random); o != nil {
			return func(ctx context.Context) error { return s.advance(ctx, o, at) }
		}
		return publish
	}
	o := s.plan(random, id)
	if o == nil {
		return publish
	}
	return func(ctx context.Context) error { return s.begin(ctx, o, at) }
}

// membership is a node that joins, crashes, or loses and regains its heartbeat while it goes on working.
func (s *schedule) membership(random *rand.Rand, slot int) action {
	s.mu.Lock()
	p := s.slots[slot]
	s.mu.Unlock()
	kind, lapse := random.IntN(4), random.IntN(2) == 0
	switch {
	case p == nil && kind == 0:
		return func(ctx context.Context) error { return s.lapse(ctx, nodeID(slot)) } // of a node that crashed
	case p == nil:
		return func(ctx context.Context) error { s.join(ctx, slot); return nil }
	case kind == 0:
		return func(ctx context.Context) error { return s.crash(ctx, slot, lapse) }
	case kind == 1:
		return func(ctx context.Context) error { return s.beat(ctx, slot) }
	}
	return func(ctx context.Context) error { return s.lapse(ctx, p.id) }
}

// plan decides on an operation on a webhook; nil when one is under way already.
func (s *schedule) plan(random *rand.Rand, id string) *operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy[id] {
		return nil
	}
	s.busy[id] = true
	next := s.model.latest(id)
	next.webhook.Revision = 0
	s.urls++
	switch kind := random.IntN(10); {
	case !next.present:
		next = state{present: true, webhook: holdfast.Webhook{
			ID: id, URL: fmt.Sprintf("https://receiver.example/%d", s.urls), Events: someTypes(random), Active: random.IntN(4) > 0,
			RetryConfig: holdfast.DefaultRetryPolicy(), CreatedAt: 1, UpdatedAt: 1,
		}}
	case kind < 3:
		next = state{}
	case kind < 5:
		next.webhook.URL = fmt.Sprintf("https://receiver.example/%d", s.urls)
	case kind < 7:
		next.webhook.Events = someTypes(random)
	case kind < 9:
		next.webhook.Active = !next.webhook.Active
	default:
		next.webhook.Disconnected = !next.webhook.Disconnected
	}
	return &operation{id: id, change: &change{after: next}}
}

func someTypes(random *rand.Rand) []string {
	some := slices.Clone(eventTypes)
	random.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some[:1+random.IntN(len(some))]
}

func (s *schedule) takePending(random *rand.Rand) *operation {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending) == 0 {
		return nil
	}
	i := random.IntN(len(s.pending))
	o := s.pending[i]
	s.pending = slices.Delete(s.pending, i, i+1)
	return o
}

func (s *schedule) begin(ctx context.Context, o *operation, at []int) error {
	s.model.logf("%s → %s begins", o.id, o.change.after)
	o.change = s.model.begin(o.id, o.change.after)
	return s.advance(ctx, o, at)
}

// advance takes an operation on, on the first node of a list that gets it done.
func (s *schedule) advance(ctx context.Context, o *operation, at []int) error {
	for _, slot := range at {
		p := s.processOf(nodeID(slot))
		if p == nil {
			continue
		}
		done, err := o.advance(ctx, s, p)
		if err != nil {
			return err
		}
		if done {
			s.mu.Lock()
			s.busy[o.id] = false
			s.counts.confirmed++
			s.mu.Unlock()
			s.model.logf("%s → %s is confirmed at revision %d by %s", o.id, o.change.after, o.revision, p.id)
			return nil
		}
	}
	s.model.logf("%s → %s is pending at step %d: %s", o.id, o.change.after, o.step, o.why)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, o)
	s.counts.pended++
	return nil
}

func nodeID(slot int) string { return fmt.Sprintf("n%d", slot+1) }

func (s *schedule) processOf(id string) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	for slot, p := range s.slots {
		if nodeID(slot) == id {
			return p
		}
	}
	return nil
}

// join starts a node: it loads the registry and, when that worked, counts as alive.
func (s *schedule) join(ctx context.Context, slot int) {
	p := newProcess(nodeID(slot), s.sites[slot], s.prefix, s.committed, s.tamper)
	at := s.model.tick()
	_, _, _, err := p.cache.Refresh(ctx, 0)
	if err == nil {
		p.seen(at)
		err = p.beat(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, p)
	if s.slots[slot] == nil {
		s.slots[slot] = p
	}
	s.model.logf("%s joins: %v", p.id, err)
}

// crash ends a node. Its heartbeat lapses at once, or is left for operations to wait for.
func (s *schedule) crash(ctx context.Context, slot int, lapse bool) error {
	s.mu.Lock()
	s.slots[slot] = nil
	s.mu.Unlock()
	s.model.logf("%s crashes", nodeID(slot))
	if lapse {
		return s.lapse(ctx, nodeID(slot))
	}
	return nil
}

// lapse ends a node's heartbeat, by way of any node that reaches Redis.
func (s *schedule) lapse(ctx context.Context, id string) error {
	for slot := range nodesOfCluster {
		if p := s.processOf(nodeID(slot)); p != nil && p.store.RemoveNode(ctx, id) == nil {
			s.model.logf("the heartbeat of %s lapses", id)
			return nil
		}
	}
	return nil
}

func (s *schedule) beat(ctx context.Context, slot int) error {
	p := s.processOf(nodeID(slot))
	if p == nil {
		return nil
	}
	at := s.model.tick()
	if _, _, _, err := p.cache.Refresh(ctx, 0); err != nil {
		return nil //nolint:nilerr // it cannot reach Redis and stays away
	}
	p.seen(at)
	err := p.beat(ctx)
	s.model.logf("%s beats: %v", p.id, err)
	return nil
}

func (s *schedule) cut(slot int, cut bool) error {
	s.sites[slot].line.set(cut)
	s.model.logf("line of %s cut: %t", nodeID(slot), cut)
	return nil
}

func (s *schedule) refresh(ctx context.Context, slot int) error {
	p := s.processOf(nodeID(slot))
	if p == nil {
		return nil
	}
	cutBefore, cuts := p.site.line.state()
	at := s.model.tick()
	revision, _, _, err := p.cache.Refresh(ctx, 0)
	s.model.logf("%s refreshes: revision %d, %v", p.id, revision, err)
	cut, after := p.site.line.state()
	switch {
	case err == nil:
		p.seen(at)
	case holdfast.ErrorCode(err) != holdfast.CodeUnavailable:
		return fmt.Errorf("%s refreshes: %w", p.id, err)
	case cut && cutBefore && cuts == after && p.cache.Degraded() == "":
		return fmt.Errorf("%s cannot reach Redis and does not say so", p.id)
	}
	return nil
}

// publish publishes an event on a node and compares what was committed with the model.
func (s *schedule) publish(ctx context.Context, slot int, eventType string, named bool) error {
	p := s.processOf(nodeID(slot))
	if p == nil {
		return nil
	}
	_, loadErr := p.cache.Matchable()
	cutBefore, cuts := p.site.line.state()
	degraded, lost, lastGood := p.cache.Degraded() != "", p.cache.lost.Load(), p.lastGood.Load()
	e := &holdfast.Event{Type: eventType, Data: []byte(`{"job_id":"j"}`)}
	from := s.model.tick()
	if named {
		e.ID = fmt.Sprintf("evt-%d", from)
	}
	result, err := p.dispatcher.Publish(ctx, e)
	l := look{who: p.id, eventType: eventType, from: from, to: s.model.tick(), matched: s.committed.of(result.EventID)}
	l.copies = p.copies(s.ids)
	l.read = s.model.tick()
	cutAfter, cutsAfter := p.site.line.state()
	steady := cuts == cutsAfter
	reaches := steady && !cutBefore && !degraded && lost == p.cache.lost.Load() && p.cache.Degraded() == ""
	s.model.logf("%s published %s from %d to %d, reaches Redis: %t, matched %v, %v", p.id, eventType, l.from, l.to, reaches, l.matched, err)
	switch {
	case err != nil && (loadErr == nil || holdfast.ErrorCode(err) != holdfast.CodeUnavailable):
		return fmt.Errorf("%s refused an event: %w", p.id, err)
	case err != nil:
		return nil //nolint:nilerr // it has never loaded anything and says so
	case steady && cutAfter && p.cache.Degraded() == "":
		return fmt.Errorf("%s cannot reach Redis and does not say so", p.id)
	case !reaches && cutsAfter == 0:
		return fmt.Errorf("%s says %q though its line was never cut", p.id, p.cache.Degraded())
	case !slices.Equal(l.matched, slices.Sorted(slices.Values(result.WebhookIDs))):
		return fmt.Errorf("%s committed %v and answered %v", p.id, l.matched, result.WebhookIDs)
	}
	if !reaches {
		l.from = lastGood // it goes on with the last good snapshot
	}
	if wrong := s.model.check(l, s.ids); wrong != "" {
		return errors.New(wrong)
	}
	if reaches {
		p.seen(from)
	}
	s.count(func(c *counts) {
		switch {
		case !reaches:
			c.degraded++
		case len(l.matched) > 0:
			c.matched++
			fallthrough
		default:
			c.exact++
		}
	})
	return nil
}

// settle ends all trouble: then every operation is confirmed, and every node matches with all of them.
func (s *schedule) settle(ctx context.Context, random *rand.Rand) error {
	s.model.logf("the trouble ends")
	for slot, site := range s.sites {
		site.line.set(false)
		if s.processOf(nodeID(slot)) == nil {
			s.join(ctx, slot)
		}
	}
	for tries := 0; ; tries++ {
		o := s.takePending(random)
		if o == nil {
			break
		}
		if tries > 50 {
			return fmt.Errorf("an operation on %s is never confirmed: %s", o.id, o.why)
		}
		if err := s.advance(ctx, o, random.Perm(nodesOfCluster)); err != nil {
			return err
		}
	}
	for slot := range nodesOfCluster {
		p := s.processOf(nodeID(slot))
		if _, _, _, err := p.cache.Refresh(ctx, 0); err != nil || p.cache.Degraded() != "" {
			return fmt.Errorf("%s does not recover: %q %w", p.id, p.cache.Degraded(), err)
		}
	}
	errs := make([]error, nodesOfCluster*len(eventTypes))
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = s.publish(ctx, i%nodesOfCluster, eventTypes[i/nodesOfCluster], false) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// activityCode is the code of an error as an activity returns it.
func activityCode(err error) holdfast.Code {
	if app, ok := errors.AsType[*temporal.ApplicationError](err); ok {
		return holdfast.Code(app.Type())
	}
	return holdfast.ErrorCode(err)
}
