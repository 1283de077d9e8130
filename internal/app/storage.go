package app

import (
	"context"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/batch"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/telemetry"
	"github.com/emprops/holdfast/server"
)

// The types in this file let the packages that declare what they need be served by the one that stores it.

// deliveryRecords is the storage as the delivery activities see it. Concurrent records share a pipeline.
type deliveryRecords struct {
	store   *redisstore.Store
	metrics *telemetry.Metrics
	records *batch.Batcher[activities.Record, int]
}

func newDeliveryRecords(store *redisstore.Store, metrics *telemetry.Metrics) *deliveryRecords {
	d := &deliveryRecords{store: store, metrics: metrics}
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
		if stored[i].Terminal {
			d.metrics.DeliveryEnded(stored[i].Delivery.State)
		}
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

func (t testReceivers) Receivers(ctx context.Context) ([]server.Receiver, error) {
	stored, err := t.Store.Receivers(ctx)
	out := make([]server.Receiver, len(stored))
	for i, r := range stored {
		out[i] = server.Receiver(r)
	}
	return out, err
}

func (t testReceivers) AddReceivedRequest(ctx context.Context, id string, r server.ReceivedRequest) error {
	return t.Store.AddReceivedRequest(ctx, id, redisstore.ReceivedRequest(r))
}

func (t testReceivers) ReceivedRequests(ctx context.Context, id string, limit int) ([]server.ReceivedRequest, error) {
	stored, err := t.Store.ReceivedRequests(ctx, id, limit)
	return receivedRequests(stored), err
}

// sessions is the storage as the routes of monitor sessions see it.
type sessions struct{ *redisstore.Store }

func (s sessions) AddSessionRequest(ctx context.Context, id string, r server.ReceivedRequest) error {
	return s.Store.AddSessionRequest(ctx, id, redisstore.ReceivedRequest(r))
}

func (s sessions) SessionRequests(ctx context.Context, id string, limit int) ([]server.ReceivedRequest, int64, error) {
	stored, total, err := s.Store.SessionRequests(ctx, id, limit)
	return receivedRequests(stored), total, err
}

func receivedRequests(stored []redisstore.ReceivedRequest) []server.ReceivedRequest {
	out := make([]server.ReceivedRequest, len(stored))
	for i, r := range stored {
		out[i] = server.ReceivedRequest(r)
	}
	return out
}
