package demo

import (
	"encoding/json"
	"fmt"
	"slices"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// watch matches what arrives with what was published. A request is known by its event's type and timestamp, which is the
// message's (CONTRACT 2.2); what matches nothing belongs to somebody else.
type watch struct {
	targets    []*target
	messages   []*message
	temporalUI string
	passages   []*passage
	byKey      map[key]*passage
	eventIDs   map[*message]string
}

type key struct {
	webhookID, eventType string
	timestamp            int64
}

// envelope is the body of a request (CONTRACT 4.4).
type envelope struct {
	EventType string `json:"event_type"`
	EventID   string `json:"event_id"`
	Timestamp int64  `json:"timestamp"`
	WebhookID string `json:"webhook_id"`
	Data      facts  `json:"data"`
}

func newWatch(targets []*target, messages []*message, temporalUI string) *watch {
	return &watch{
		targets: targets, messages: messages, temporalUI: temporalUI,
		byKey: map[key]*passage{}, eventIDs: map[*message]string{},
	}
}

// expect takes note of a message that is about to be published.
func (w *watch) expect(m *message) (facts, error) {
	f, err := m.facts()
	if err != nil {
		return f, err
	}
	for _, t := range w.targets {
		if !slices.Contains(t.events, m.Channel) {
			continue
		}
		k := key{t.webhook.GetId(), m.Channel, f.Timestamp}
		if w.byKey[k] != nil {
			return f, fmt.Errorf("two messages on %s have the timestamp %d", m.Channel, f.Timestamp)
		}
		p := &passage{target: t, message: m, facts: f}
		w.byKey[k], w.passages = p, append(w.passages, p)
	}
	return f, nil
}

// arrived takes in everything a receiver has recorded so far, the newest first.
func (w *watch) arrived(t *target, requests []*holdfastv1.ReceivedRequest) error {
	for _, p := range w.passages {
		if p.target == t {
			p.requests = nil
		}
	}
	for _, req := range slices.Backward(requests) {
		var e envelope
		if err := json.Unmarshal(req.GetBody(), &e); err != nil {
			return fmt.Errorf("%s received a body that is not an envelope: %w", t.name, err)
		}
		p := w.byKey[key{e.WebhookID, e.EventType, e.Timestamp}]
		if p == nil || p.target != t {
			continue
		}
		if err := p.take(req, &e); err != nil {
			return fmt.Errorf("%s to %s: %w", e.EventType, t.name, err)
		}
		if id := w.eventIDs[p.message]; id != "" && id != e.EventID {
			return fmt.Errorf("%s has to have one event id for every webhook, it has %s and %s", e.EventType, id, e.EventID)
		}
		w.eventIDs[p.message] = e.EventID
	}
	return nil
}

// open are the deliveries that are not done, those published first first.
func (w *watch) open() []*passage {
	var open []*passage
	for _, p := range w.passages {
		if p.delivery == nil {
			open = append(open, p)
		}
	}
	return open
}

// waits tells whether a delivery to the target is not done.
func (w *watch) waits(t *target) bool {
	return slices.ContainsFunc(w.passages, func(p *passage) bool { return p.target == t && p.delivery == nil })
}
