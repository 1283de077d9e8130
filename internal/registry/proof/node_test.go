package proof_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/redisadapter"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/workflows"
)

const nodesOfCluster = 3

// site is where nodes live one after the other: a line to Redis with a client of its own. Sites serve many schedules.
type site struct {
	line   *line
	client *redis.Client
}

func newSites(tb testing.TB, address string) []*site {
	tb.Helper()
	sites := make([]*site, nodesOfCluster)
	for i := range sites {
		l := newLine(tb, address)
		// Nothing is repeated: schedules have no time for it, and an error is as good as a patient one.
		c := redis.NewClient(&redis.Options{
			Addr: l.listener.Addr().String(), ContextTimeoutEnabled: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 20,
			DisableIdentity: true,
		})
		tb.Cleanup(func() { require.NoError(tb, c.Close()) })
		sites[i] = &site{line: l, client: c}
	}
	return sites
}

// process is one run of a node, from its join to its crash.
type process struct {
	id            string
	site          *site
	store         *redisstore.Store
	cache         *watched
	dispatcher    *dispatch.Dispatcher
	registrations *activities.Registrations
	nodes         *activities.Nodes
	refresher     *activities.NodeCache
	lastGood      atomic.Int64 // the beginning of the last look known to have been at Redis
}

// seen notes a look that was at Redis.
func (p *process) seen(at int64) {
	for old := p.lastGood.Load(); old < at && !p.lastGood.CompareAndSwap(old, at); old = p.lastGood.Load() {
	}
}

// watched counts how often the node has found Redis out of reach.
type watched struct {
	cache
	lost atomic.Int64
}

func (w *watched) CurrentBy(ctx context.Context, look looking) error {
	return w.cache.CurrentBy(ctx, func(ctx context.Context) (registry.Position, error) {
		position, err := look(ctx)
		if err != nil {
			w.lost.Add(1)
		}
		return position, err
	})
}

// tamper puts a defect between a node and its cache; nil for none.
type tamper func(cache) cache

func newProcess(id string, s *site, prefix string, committed *committed, t tamper) *process {
	store := redisstore.New(s.client, redisstore.Options{Prefix: prefix, Limits: redisstore.Limits{Changes: 4}})
	inner := newCache(store)
	if t != nil {
		inner = t(inner)
	}
	p := &process{id: id, site: s, store: store, cache: &watched{cache: inner}}
	p.dispatcher = newDispatcher(p.cache, store, committed)
	p.registrations = newRegistrations(store)
	p.nodes = &activities.Nodes{Lister: redisadapter.Nodes{Store: store}}
	p.refresher = &activities.NodeCache{Node: id, Registry: p.cache}
	return p
}

// beat makes the node count as alive, as a node does after its first load.
func (p *process) beat(ctx context.Context) error {
	return p.store.Heartbeat(ctx, redisstore.Node{ID: p.id, Address: p.id})
}

// committed is the durable side: it notes which webhooks each event was started for.
type committed struct {
	mu     sync.Mutex
	groups int
	byID   map[string][]string
}

func (c *committed) StartDelivery(_ context.Context, in workflows.DeliveryInput) (workflowID, runID string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID[in.Event.ID] = append(c.byID[in.Event.ID], in.WebhookID)
	return "delivery/" + in.Event.ID, "run", nil
}

func (c *committed) Enqueue(ctx context.Context, _ string, in workflows.DeliveryInput) (workflowID, runID string, err error) {
	return c.StartDelivery(ctx, in)
}

func (c *committed) StartGroup(_ context.Context, id string, in workflows.GroupInput) (workflowID, runID string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range in.Targets {
		event := in.Events[t.Event].ID
		c.byID[event] = append(c.byID[event], t.WebhookID)
	}
	return id, "run", nil
}

func (c *committed) NewGroupID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups++
	return fmt.Sprintf("group/%d", c.groups)
}

func (c *committed) of(event string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := slices.Clone(c.byID[event])
	slices.Sort(ids)
	return ids
}

// copies reads webhooks from the node's snapshot, as deliveries do.
func (p *process) copies(ids []string) map[string]*holdfast.Webhook {
	found := map[string]*holdfast.Webhook{}
	if s, err := p.cache.Matchable(); err == nil {
		for _, id := range ids {
			found[id] = s.Webhook(id)
		}
	}
	return found
}
