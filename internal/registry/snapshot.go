package registry

import (
	"iter"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventfilter"
)

// Position says which state of the registry a snapshot shows. Digest and Count cover the webhooks that have a revision,
// that is all but those the original wrote.
type Position struct {
	Revision    int64
	Count       int64
	Digest      string
	Incarnation string // of the registry; another after it was wiped or restored
	Born        int64  // the revision at which the incarnation began
	Complete    bool   // the registry has every webhook there is; while it does not, what it lacks may still come back
}

// entry is a webhook in a snapshot.
type entry struct {
	id      string
	webhook *holdfast.Webhook
	pass    func(*eventfilter.View) bool // the compiled filter expression; nil when there is none
	counted int64                        // the revision that the registry has it at; 0 when it has none, or lacks the webhook
}

// aside is an entry of the registry that the snapshot does not show.
type aside struct {
	revision int64
	err      error // why it cannot be used; nil when it came back from a backup that is older than its removal
}

// Snapshot is one immutable state of the registry. The next one shares everything with it that did not change.
type Snapshot struct {
	position Position
	// horizon is the newest revision that the snapshot knows of. It is more than the position's when the registry went
	// back and has not yet been completed.
	horizon int64
	whole   bool // it, or one that it goes on from, showed a complete registry
	entries *btree.Map[string, *entry]
	newest  *btree.BTreeG[*entry]
	index   index
	asides  *btree.Map[string, aside]
	digest  uint64 // over all entries and asides that count
	count   int64
	// By how much the stored digest was off at the last full load, which is all there is to know.
	skewDigest uint64
	skewCount  int64
}

func newSnapshot() *Snapshot {
	return &Snapshot{
		entries: btree.NewMap[string, *entry](degree),
		newest:  btree.NewBTreeGOptions(newerFirst, btree.Options{NoLocks: true, Degree: degree}),
		index:   newIndex(),
		asides:  btree.NewMap[string, aside](degree),
	}
}

// copy returns a snapshot to change. Nobody may change the original any more.
func (s *Snapshot) copy() *Snapshot {
	next := *s
	next.entries, next.newest, next.index, next.asides = s.entries.Copy(), s.newest.Copy(), s.index.copy(), s.asides.Copy()
	return &next
}

// fill puts everything into an empty snapshot.
func (s *Snapshot) fill(m *merge, o *Options) {
	slices.SortFunc(m.entries, byID)
	for _, e := range m.entries {
		s.entries.Load(e.id, e)
		s.account(e.id, e.counted, 1, o)
	}
	s.index.fill(m.entries)
	slices.SortFunc(m.entries, func(a, b *entry) int {
		if newerFirst(a, b) {
			return -1
		}
		return 1
	})
	for _, e := range m.entries {
		s.newest.Load(e)
	}
	for id, a := range m.asides {
		s.setAside(id, a, o)
	}
}

// show puts a webhook in place of whatever there is under its id.
func (s *Snapshot) show(e *entry, o *Options) {
	old, ok := s.entries.Get(e.id)
	if !ok || old.webhook.CreatedAt != e.webhook.CreatedAt {
		s.take(e.id, o)
		s.index.add(e)
	} else {
		s.index.replace(old, e)
		s.account(e.id, old.counted, -1, o)
	}
	s.entries.Set(e.id, e)
	s.newest.Set(e)
	s.account(e.id, e.counted, 1, o)
}

// take takes out whatever there is under an id.
func (s *Snapshot) take(id string, o *Options) {
	if e, ok := s.entries.Delete(id); ok {
		s.newest.Delete(e)
		s.index.remove(e)
		s.account(id, e.counted, -1, o)
	}
	if a, ok := s.asides.Delete(id); ok {
		s.account(id, a.revision, -1, o)
	}
}

func (s *Snapshot) setAside(id string, a aside, o *Options) {
	s.asides.Set(id, a)
	s.account(id, a.revision, 1, o)
}

func (s *Snapshot) account(id string, revision, n int64, o *Options) {
	if revision != 0 {
		s.digest ^= o.DigestOf(id, revision)
		s.count += n
	}
}

// verified compares the snapshot with what the registry says of itself at that position.
func (s *Snapshot) verified(o *Options) bool {
	return s.count+s.skewCount == s.position.Count && s.digest^s.skewDigest == o.ParseDigest(s.position.Digest)
}

// kept tells how many webhooks the snapshot has that the registry lacks or has an older version of.
func (s *Snapshot) kept() (n int) {
	s.entries.Scan(func(_ string, e *entry) bool {
		if e.counted != e.webhook.Revision {
			n++
		}
		return true
	})
	return n
}

// Position returns the registry state the snapshot shows.
func (s *Snapshot) Position() Position { return s.position }

// Whole tells whether the snapshot has every webhook there is, as far as that can be known: not when the registry that it
// shows is not complete and it does not go on from one that was.
func (s *Snapshot) Whole() bool { return s.whole }

// Len returns how many webhooks there are, active or not.
func (s *Snapshot) Len() int { return s.entries.Len() }

// Webhook returns the webhook with the id, or nil. It must not be modified.
func (s *Snapshot) Webhook(id string) *holdfast.Webhook {
	if e, ok := s.entries.Get(id); ok {
		return e.webhook
	}
	return nil
}

func newerFirst(a, b *entry) bool {
	if a.webhook.CreatedAt != b.webhook.CreatedAt {
		return a.webhook.CreatedAt > b.webhook.CreatedAt
	}
	return a.id > b.id
}

// Newest goes through every webhook, newest first. They must not be modified.
func (s *Snapshot) Newest() iter.Seq[*holdfast.Webhook] {
	return func(yield func(*holdfast.Webhook) bool) {
		s.newest.Scan(func(e *entry) bool { return yield(e.webhook) })
	}
}

// After goes through the webhooks whose ids come after id, ordered by id. They must not be modified.
func (s *Snapshot) After(id string) iter.Seq[*holdfast.Webhook] {
	return func(yield func(*holdfast.Webhook) bool) {
		s.entries.Ascend(id, func(found string, e *entry) bool { return found == id || yield(e.webhook) })
	}
}

// All returns every webhook, newest first. They must not be modified.
func (s *Snapshot) All() []*holdfast.Webhook {
	all := make([]*holdfast.Webhook, 0, s.Len())
	return slices.AppendSeq(all, s.Newest())
}

// Poisoned returns the entries that cannot be used, with the reason; they match nothing and harm no other (D31).
func (s *Snapshot) Poisoned() map[string]error {
	poisoned := map[string]error{}
	s.asides.Scan(func(id string, a aside) bool {
		if a.err != nil {
			poisoned[id] = a.err
		}
		return true
	})
	return poisoned
}

// Match returns the webhooks that want the event, ordered by id, whether they are active, disconnected or paused: the
// deliveries of the latter two are held. It takes no longer for webhooks that do not match. The event's facts are read
// only when a webhook has a filter.
func (s *Snapshot) Match(e *holdfast.Event) []*holdfast.Webhook {
	var facts *holdfast.Facts
	read := func() *holdfast.Facts {
		if facts == nil {
			f := holdfast.FactsOf(e.Data)
			facts = &f
		}
		return facts
	}
	var view *eventfilter.View
	passes := func(c *entry) bool {
		if c.pass == nil {
			return true
		}
		if view == nil {
			view = eventfilter.NewView(e)
		}
		return c.pass(view)
	}
	var matched []*holdfast.Webhook
	ordered := s.index.find(e, read, func(c *entry) {
		switch w := c.webhook; {
		case !w.Subscribed(e.Type), !w.Filters.None() && !w.Filters.Pass(e.Type, *read()), !passes(c):
			return
		}
		matched = append(matched, c.webhook)
	})
	if !ordered {
		slices.SortFunc(matched, func(a, b *holdfast.Webhook) int { return strings.Compare(a.ID, b.ID) })
		matched = slices.Compact(matched)
	}
	return matched
}
