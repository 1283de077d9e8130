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
	subscription := s.client.Subscribe(ctx, s.keys.deliveryChanges())
	if _, err := subscription.Receive(ctx); err != nil {
		_ = subscription.Close()
		return nil, unavailable("watching deliveries", err)
	}
	buffer := make(chan DeliveryChanged, watchBuffer)
	var skipped atomic.Int64
	go func() {
		defer close(buffer)
		defer func() { _ = subscription.Close() }()
		for {
			message, err := subscription.ReceiveMessage(ctx)
			if err != nil { // announcements may have been missed: the reader is told by the end
				return
			}
			webhookID, eventID, ok := holdfast.ParseDeliveryID(message.Payload)
			if !ok {
				continue
			}
			select {
			case buffer <- DeliveryChanged{webhookID, eventID, skipped.Swap(0)}:
			default:
				skipped.Add(1)
			}
		}
	}()
	return buffer, nil
}
