package redisstore

import "context"

// HeldDelivery is a delivery that waits for its webhook.
type HeldDelivery struct {
	EventID   string
	CreatedAt int64 // ms
}

// Held lists the held deliveries of a webhook, oldest first by creation time, then id. Every one is listed, however many
// there are. after is "" or the next of the page before; next is "" at the end. A limit that is not positive means 50, no
// page has more than 500. CodeInvalid for a token that is not from here; CodeUnavailable.
func (s *Store) Held(ctx context.Context, webhookID, after string, limit int) (items []HeldDelivery, next string, err error) {
	from, err := parsePageToken(after, false)
	if err != nil {
		return nil, "", err
	}
	marks, end, err := s.indexAfter(ctx, s.keys.held(webhookID), window{oldestFirst: true}, from, pageOf(limit))
	if err != nil {
		return nil, "", unavailable("listing held deliveries", err)
	}
	for _, m := range marks {
		items = append(items, HeldDelivery{EventID: m.member, CreatedAt: m.score})
	}
	if !end {
		next = marks[len(marks)-1].token()
	}
	return items, next, nil
}
