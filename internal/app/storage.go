package app

import (
	"context"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/batch"
	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/server"
)

// The types in this file let the packages that declare what they need be served by the one that stores it.

// registrySource is the storage as the registry cache sees it.
type registrySource struct{ store *redisstore.Store }

func (s registrySource) Position(ctx context.Context) (registry.Position, error) {
	p, err := s.store.Position(ctx)
	return registry.Position(p), err
}

func (s registrySource) Changes(ctx context.Context, since int64) (registry.Feed, error) {
	f, err := s.store.Changes(ctx, since)
	return feed(f), err
}

func (s registrySource) Everything(ctx context.Context, since int64) (registry.Feed, error) {
	f, err := s.store.Everything(ctx, since)
	return feed(f), err
}

func (s registrySource) Distrust(ctx context.Context, incarnation, reason string) error {
	return s.store.Distrust(ctx, incarnation, reason)
}

func feed(f redisstore.Feed) registry.Feed {
	out := registry.Feed{
		Position: registry.Position(f.Position), Full: f.Full, Foreign: f.Foreign, Webhooks: f.Webhooks, Removed: f.Removed,
	}
	for _, p := range f.Poisoned {
		out.Poisoned = append(out.Poisoned, registry.Poisoned(p))
	}
	return out
}

// eventMarks is the storage as the dispatcher sees it.
type eventMarks struct{ store *redisstore.Store }

func (m eventMarks) Begin(ctx context.Context, ids []string) (registry.Position, []*dispatch.Mark, error) {
	p, stored, err := m.store.BeginEvents(ctx, ids)
	if err != nil {
		return registry.Position{}, nil, err
	}
	marks := make([]*dispatch.Mark, len(stored))
	for i, mark := range stored {
		marks[i] = (*dispatch.Mark)(mark)
	}
	return registry.Position(p), marks, nil
}

func (m eventMarks) Settle(ctx context.Context, marks []dispatch.Mark) error {
	stored := make([]redisstore.EventMark, len(marks))
	for i, mark := range marks {
		stored[i] = redisstore.EventMark(mark)
	}
	return m.store.SettleEvents(ctx, stored)
}

func (m eventMarks) Release(ctx context.Context, ids []string) error {
	return m.store.ReleaseEvents(ctx, ids)
}

// deliveryRecords is the storage as the delivery activities see it. Concurrent records share a pipeline.
type deliveryRecords struct {
	store   *redisstore.Store
	records *batch.Batcher[activities.Record, int]
}

func newDeliveryRecords(store *redisstore.Store) *deliveryRecords {
	d := &deliveryRecords{store: store}
	d.records = batch.New(recordsPerPipeline, 2, redisOperation, d.recordAll)
	return d
}

func (d *deliveryRecords) Record(ctx context.Context, r activities.Record) (int, error) {
	return d.records.Do(ctx, r)
}

func (d *deliveryRecords) recordAll(ctx context.Context, records []activities.Record) ([]int, error) {
	stored := make([]redisstore.Record, len(records))
	for i, r := range records {
		stored[i] = redisstore.Record{Delivery: r.Delivery, Attempt: r.Attempt, Terminal: r.Delivery.State.Final()}
	}
	if err := d.store.Record(ctx, stored); err != nil {
		return nil, err
	}
	failures := make([]int, len(stored))
	for i := range stored {
		failures[i] = int(stored[i].ConsecutiveFailures)
	}
	return failures, nil
}

func (d *deliveryRecords) Settled(ctx context.Context, keys []activities.DeliveryKey) ([]holdfast.DeliveryState, error) {
	stored := make([]redisstore.DeliveryKey, len(keys))
	for i, k := range keys {
		stored[i] = redisstore.DeliveryKey(k)
	}
	return d.store.Settled(ctx, stored)
}

func (d *deliveryRecords) Delivery(ctx context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	return d.store.Delivery(ctx, webhookID, eventID)
}

// nodeList is the storage as the registration activities see it.
type nodeList struct{ store *redisstore.Store }

func (n nodeList) LiveNodes(ctx context.Context) ([]string, error) {
	live, _, err := n.store.Nodes(ctx)
	ids := make([]string, len(live))
	for i, node := range live {
		ids[i] = node.ID
	}
	return ids, err
}

// testReceivers is the storage as the receiver API sees it.
type testReceivers struct{ *redisstore.Store }

func (t testReceivers) CreateReceiver(ctx context.Context, id string) (server.Receiver, error) {
	r, err := t.Store.CreateReceiver(ctx, id)
	return server.Receiver(r), err
}

func (t testReceivers) Receiver(ctx context.Context, id string) (server.Receiver, error) {
	r, err := t.Store.Receiver(ctx, id)
	return server.Receiver(r), err
}

func (t testReceivers) AddReceivedRequest(ctx context.Context, id string, r server.ReceivedRequest) error {
	return t.Store.AddReceivedRequest(ctx, id, redisstore.ReceivedRequest(r))
}

func (t testReceivers) ReceivedRequests(ctx context.Context, id string, limit int) ([]server.ReceivedRequest, error) {
	stored, err := t.Store.ReceivedRequests(ctx, id, limit)
	out := make([]server.ReceivedRequest, len(stored))
	for i, r := range stored {
		out[i] = server.ReceivedRequest(r)
	}
	return out, err
}
