package redisstore

import (
	"context"
	"sync/atomic"

	holdfast "github.com/emprops/holdfast"
)

// DeliveryChanged announces that the record of a delivery has changed.
type DeliveryChanged struct {
	WebhookID, EventID string
	Skipped            int64 // announcements left out before this one, because the reader was too slow
}

// watchBuffer is how many announcements wait for a slow reader before they are left out.
const watchBuffer = 1024

// WatchDeliveries announces changes of records from the moment it returns until ctx ends or the connection is lost, which
// closes the channel. An announcement tells which record changed, not how: a reader reads the record. CodeUnavailable.
func (s *Store) WatchDeliveries(ctx context.Context) (<-chan DeliveryChanged, error) {
	var skipped atomic.Int64
	return watch(ctx, s, "watching deliveries", s.keys.deliveryChanges(), watchBuffer, func(out chan<- DeliveryChanged, payload string) {
		webhookID, eventID, ok := holdfast.ParseDeliveryID(payload)
		if !ok {
			return
		}
		select {
		case out <- DeliveryChanged{webhookID, eventID, skipped.Swap(0)}:
		default:
			skipped.Add(1)
		}
	})
}

// WatchReceiver announces requests to a test receiver, in the same way. Those that arrive before one is read are announced
// together. CodeUnavailable.
func (s *Store) WatchReceiver(ctx context.Context, id string) (<-chan struct{}, error) {
	return watch(ctx, s, "watching a receiver", s.keys.receiverChanges(id), 1, func(out chan<- struct{}, _ string) {
		select {
		case out <- struct{}{}:
		default:
		}
	})
}

// watch calls announce, which must not block, for every message of a pub/sub channel.
func watch[T any](
	ctx context.Context, s *Store, operation, channel string, buffered int, announce func(out chan<- T, payload string),
) (<-chan T, error) {
	subscription := s.client.Subscribe(ctx, channel)
	if _, err := subscription.Receive(ctx); err != nil {
		_ = subscription.Close()
		return nil, unavailable(operation, err)
	}
	out := make(chan T, buffered)
	go func() {
		defer close(out)
		defer func() { _ = subscription.Close() }()
		for {
			message, err := subscription.ReceiveMessage(ctx)
			if err != nil { // announcements may have been missed: the reader is told by the end
				return
			}
			announce(out, message.Payload)
		}
	}()
	return out, nil
}
