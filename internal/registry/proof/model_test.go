package proof_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/emprops/holdfast"
)

// state is what a registration operation makes of a webhook.
type state struct {
	present bool
	webhook holdfast.Webhook // Revision is 0 until the operation is confirmed
}

func (s state) String() string {
	if !s.present {
		return "absent"
	}
	return fmt.Sprintf("%s %s %s", s.webhook.State(), strings.Join(s.webhook.Events, "+"), s.webhook.URL)
}

// change is one registration operation in the model's time. While it is under way its outcome may be seen or not; once
// confirmed it must be.
type change struct {
	begun, confirmed int64 // confirmed is 0 until it is
	after            state
}

// model is the truth about a schedule: the operations on each webhook, which are serialised for each, and a log.
type model struct {
	mu      sync.Mutex
	now     int64
	changes map[string][]*change
	log     []string
}

func newModel() *model { return &model{changes: map[string][]*change{}} }

// tick is a moment between all that ended before it and all that begins after it.
func (m *model) tick() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now++
	return m.now
}

func (m *model) logf(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now++
	m.log = append(m.log, fmt.Sprintf("%4d  ", m.now)+fmt.Sprintf(format, args...))
}

func (m *model) begin(id string, after state) *change {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now++
	c := &change{begun: m.now, after: after}
	m.changes[id] = append(m.changes[id], c)
	return c
}

func (m *model) confirm(c *change, revision int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now++
	c.confirmed, c.after.webhook.Revision = m.now, revision
}

// latest is the state the last operation leads to.
func (m *model) latest(id string) state {
	m.mu.Lock()
	defer m.mu.Unlock()
	if all := m.changes[id]; len(all) > 0 {
		return all[len(all)-1].after
	}
	return state{}
}

// visible lists the states of a webhook that something may see that looks once between two moments: the last one
// confirmed before the first moment, and those of all operations that were under way since.
func (m *model) visible(id string, from, to int64) []state {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := []state{{}}
	for _, c := range m.changes[id] {
		switch {
		case c.confirmed != 0 && c.confirmed < from:
			states = []state{c.after}
		case c.begun < to:
			states = append(states, c.after)
		}
	}
	return states
}

// look is what a match found between two moments: the webhooks, and their copies in the snapshot a little later.
type look struct {
	who       string
	eventType string
	from, to  int64
	matched   []string
	copies    map[string]*holdfast.Webhook
	read      int64 // when the copies were read
}

// check compares a look with the model; "" when it saw what was there.
func (m *model) check(l look, ids []string) string {
	for _, id := range l.matched {
		if !slices.Contains(ids, id) {
			return fmt.Sprintf("%s matched %s, which never was", l.who, id)
		}
	}
	for _, id := range ids {
		if wrong := m.checkOne(l, id); wrong != "" {
			return wrong
		}
	}
	return ""
}

func (m *model) checkOne(l look, id string) string {
	states := m.visible(id, l.from, l.to)
	matched := slices.Contains(l.matched, id)
	right := slices.ContainsFunc(states, func(s state) bool {
		must, may := demanded(s)
		wanted := s.present && s.webhook.Subscribed(l.eventType)
		return matched && may && wanted || !matched && (!must || !wanted)
	})
	if !right {
		return fmt.Sprintf("%s matched=%t for %s with %s between %d and %d, where the webhook was: %v",
			l.who, matched, id, l.eventType, l.from, l.to, states)
	}
	if !matched {
		return ""
	}
	// The delivery uses the snapshot's copy, which may be newer than the match but not older.
	states = m.visible(id, l.from, l.read)
	found := l.copies[id]
	right = slices.ContainsFunc(states, func(s state) bool {
		if found == nil || !s.present {
			return found == nil && !s.present
		}
		return found.URL == s.webhook.URL && found.State() == s.webhook.State() && found.Revision >= s.webhook.Revision
	})
	if !right {
		return fmt.Sprintf("%s would deliver to %+v, but between %d and %d the webhook was: %v", l.who, found, l.from, l.read, states)
	}
	return ""
}
