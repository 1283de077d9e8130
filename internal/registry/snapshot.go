package registry

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/emprops/holdfast"
)

// Position says which state of the registry a snapshot shows. Digest and Count cover the webhooks that have a revision,
// that is all but those the original wrote.
type Position struct {
	Revision int64
	Count    int64
	Digest   string
}

// Snapshot is one immutable state of the registry.
type Snapshot struct {
	position Position
	digest   uint64
	count    int64
	byID     map[string]*holdfast.Webhook
	byType   map[string][]*holdfast.Webhook // active webhooks by the event types they want, ordered by id
	poisoned map[string]error
	// What the position covered at the last full load beyond the entries that could be read: poisoned ones, mostly.
	unreadDigest uint64
	unread       int64
}

// Position returns the registry state the snapshot shows.
func (s *Snapshot) Position() Position { return s.position }

// Len returns how many webhooks there are, active or not.
func (s *Snapshot) Len() int { return len(s.byID) }

// Webhook returns the webhook with the id, or nil. It must not be modified.
func (s *Snapshot) Webhook(id string) *holdfast.Webhook { return s.byID[id] }

// All returns every webhook, newest first. They must not be modified.
func (s *Snapshot) All() []*holdfast.Webhook {
	return slices.SortedFunc(maps.Values(s.byID), func(a, b *holdfast.Webhook) int {
		switch {
		case a.CreatedAt != b.CreatedAt && a.CreatedAt > b.CreatedAt:
			return -1
		case a.CreatedAt != b.CreatedAt:
			return 1
		case a.ID > b.ID:
			return -1
		}
		return 1
	})
}

// Poisoned returns the entries that could not be read, with the reason; they match nothing and harm no other (D31).
func (s *Snapshot) Poisoned() map[string]error { return maps.Clone(s.poisoned) }

// Match returns the active webhooks that want the event, ordered by id. The event's facts are read only when a candidate
// has a filter.
func (s *Snapshot) Match(e *holdfast.Event) []*holdfast.Webhook {
	candidates := s.byType[e.Type]
	var facts holdfast.Facts
	read := false
	var matched []*holdfast.Webhook
	for _, w := range candidates {
		if !w.Filters.None() {
			if !read {
				facts, read = holdfast.FactsOf(e.Data), true
			}
			if !w.Filters.Pass(e.Type, facts) {
				continue
			}
		}
		matched = append(matched, w)
	}
	return matched
}

// Feed is what brings a snapshot to another position.
type Feed struct {
	Position Position
	Full     bool // Webhooks is everything there is
	Webhooks []*holdfast.Webhook
	Removed  []string
	Poisoned map[string]error
}

// DigestOf is a webhook's part of the registry digest; the digest is the exclusive or of all parts.
type DigestOf func(id string, revision int64) uint64

// apply returns the snapshot after the feed; s itself stays as it is.
func (s *Snapshot) apply(f Feed, digestOf DigestOf) *Snapshot {
	next := &Snapshot{position: f.Position, poisoned: map[string]error{}}
	touched := map[string]bool{}
	if f.Full {
		next.byID = make(map[string]*holdfast.Webhook, len(f.Webhooks))
		next.byType = map[string][]*holdfast.Webhook{}
	} else {
		next.byID, next.byType = maps.Clone(s.byID), maps.Clone(s.byType)
		next.digest, next.count, next.unreadDigest, next.unread = s.digest, s.count, s.unreadDigest, s.unread
		maps.Copy(next.poisoned, s.poisoned)
	}
	remove := func(id string) {
		delete(next.poisoned, id)
		old := next.byID[id]
		if old == nil {
			return
		}
		delete(next.byID, id)
		next.account(old, digestOf, -1)
		for _, t := range old.Events {
			touched[t] = true
		}
	}
	for _, id := range f.Removed {
		remove(id)
	}
	for _, w := range f.Webhooks {
		remove(w.ID)
		next.byID[w.ID] = w
		next.account(w, digestOf, 1)
		for _, t := range w.Events {
			touched[t] = true
		}
	}
	for id, err := range f.Poisoned {
		remove(id)
		next.poisoned[id] = err
	}
	next.reindex(touched, f)
	if f.Full {
		next.unreadDigest, next.unread = next.digest^parseDigest(f.Position.Digest), f.Position.Count-next.count
	}
	return next
}

// verified compares the snapshot with what the source says of itself at that position. A full load is all there is to
// know and holds by definition; whatever it could not read is expected to stay as it is until the next one.
func (s *Snapshot) verified() bool {
	return s.count+s.unread == s.position.Count && s.digest^s.unreadDigest == parseDigest(s.position.Digest)
}

// FormatDigest is the spelling of a digest in a Position.
func FormatDigest(digest uint64) string { return fmt.Sprintf("%016x", digest) }

// parseDigest is its inverse; what is no digest, like none at all, counts as that of nothing.
func parseDigest(text string) uint64 {
	digest, _ := strconv.ParseUint(text, 16, 64)
	return digest
}

func (s *Snapshot) account(w *holdfast.Webhook, digestOf DigestOf, n int64) {
	if w.Revision != 0 {
		s.digest ^= digestOf(w.ID, w.Revision)
		s.count += n
	}
}

// reindex rebuilds the lists of the touched types: what is left of the old list, plus what the feed brought.
func (s *Snapshot) reindex(touched map[string]bool, f Feed) {
	fresh := map[string][]*holdfast.Webhook{}
	for _, w := range f.Webhooks {
		if s.byID[w.ID] != w || w.State() != holdfast.WebhookActive {
			continue
		}
		for _, t := range w.Events {
			fresh[t] = append(fresh[t], w)
		}
	}
	for t := range touched {
		kept := make([]*holdfast.Webhook, 0, len(s.byType[t])+len(fresh[t]))
		for _, w := range s.byType[t] {
			if s.byID[w.ID] == w {
				kept = append(kept, w)
			}
		}
		kept = append(kept, fresh[t]...)
		slices.SortFunc(kept, func(a, b *holdfast.Webhook) int { return strings.Compare(a.ID, b.ID) })
		s.byType[t] = slices.Compact(kept) // a webhook may name a type twice
	}
}
