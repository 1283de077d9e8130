package registry

import (
	"github.com/emprops/holdfast"
)

// Feed is what brings a snapshot to another position.
type Feed struct {
	Position Position
	Full     bool // Webhooks and Poisoned are everything there is
	// Foreign tells that the snapshot's revision belongs to another history than the registry's: it was restored from a
	// backup. Nothing but Position is set then.
	Foreign  bool
	Webhooks []*holdfast.Webhook
	// Removed has the revisions of removals; in a full feed of those since a registry that is not complete began.
	Removed  map[string]int64
	Poisoned []Poisoned
}

// Poisoned is an entry that cannot be used, with the revision that it counts at in the digest, if it has one.
type Poisoned struct {
	ID       string
	Revision int64
	Err      error
}

// follow returns the snapshot after a feed of changes; old stays as it is.
func (o *Options) follow(old *Snapshot, f Feed) *Snapshot {
	next := old.copy()
	next.position, next.horizon, next.whole = f.Position, horizon(old, f.Position), old.whole || f.Position.Complete
	for id := range f.Removed {
		next.take(id, o)
	}
	for _, w := range f.Webhooks {
		e, err := o.entry(old, w)
		if err != nil {
			next.take(w.ID, o)
			next.setAside(w.ID, aside{w.Revision, err}, o)
			continue
		}
		next.show(e, o)
	}
	for _, p := range f.Poisoned {
		next.take(p.ID, o)
		next.setAside(p.ID, aside{p.Revision, p.Err}, o)
	}
	return next
}

// load returns the snapshot of a full feed. If the registry is not complete, what old has stays where the registry does
// not know better; foreign tells that old is of another history than the registry.
func (o *Options) load(old *Snapshot, f Feed, foreign bool) *Snapshot {
	next := newSnapshot()
	next.position, next.horizon = f.Position, horizon(old, f.Position)
	next.whole = f.Position.Complete || old != nil && old.whole
	m := &merge{old: old, foreign: foreign, entries: make([]*entry, 0, len(f.Webhooks)), asides: map[string]aside{}}
	if f.Position.Complete {
		m.old = nil
	}
	for _, w := range f.Webhooks {
		if m.outdated(w.ID, w.Revision) {
			continue
		}
		if e, err := o.entry(old, w); err != nil {
			m.asides[w.ID] = aside{w.Revision, err}
		} else {
			m.entries = append(m.entries, e)
		}
	}
	for _, p := range f.Poisoned {
		if !m.outdated(p.ID, p.Revision) {
			m.asides[p.ID] = aside{p.Revision, p.Err}
		}
	}
	m.keep(f)
	next.fill(m, o)
	next.skewDigest, next.skewCount = next.digest^o.ParseDigest(f.Position.Digest), f.Position.Count-next.count
	return next
}

func horizon(old *Snapshot, at Position) int64 {
	if at.Complete || old == nil {
		return at.Revision
	}
	return max(old.horizon, at.Revision)
}

// entry makes an entry of a webhook, with its filter expression compiled; one that stayed the same is not compiled again.
func (o *Options) entry(old *Snapshot, w *holdfast.Webhook) (*entry, error) {
	e := &entry{id: w.ID, webhook: w, counted: w.Revision}
	if w.Filter == "" {
		return e, nil
	}
	if old != nil {
		if known, ok := old.entries.Get(w.ID); ok && known.webhook.Filter == w.Filter {
			e.pass = known.pass
			return e, nil
		}
	}
	if o.Compile == nil {
		return nil, holdfast.Errorf(holdfast.CodeInternal, "filter expressions are not supported here")
	}
	pass, err := o.Compile(w.Filter)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the filter expression cannot be compiled")
	}
	e.pass = pass
	return e, nil
}

// merge puts together what a registry that is not complete has and what the snapshot before it had.
type merge struct {
	old     *Snapshot // nil when the registry alone counts
	foreign bool
	entries []*entry
	asides  map[string]aside
}

// outdated tells whether what the registry has under an id, at a revision, is older than what the snapshot knows of it,
// as after a restore from a backup: a later version stays, and so does a removal. A webhook that the original wrote, which
// has no revision, does not replace one that Holdfast wrote.
func (m *merge) outdated(id string, revision int64) bool {
	if m.old == nil {
		return false
	}
	known, shown := m.old.entries.Get(id)
	hidden, put := m.old.asides.Get(id)
	switch {
	case m.foreign && shown:
		if revision > m.old.horizon || known.webhook.Revision <= revision {
			return false
		}
	case m.foreign:
		if revision == 0 || revision > m.old.horizon {
			return false
		}
	case shown: // kept before
		if known.counted != revision || known.webhook.Revision == revision {
			return false
		}
	default: // hidden before
		if !put || hidden.err != nil || hidden.revision != revision {
			return false
		}
	}
	if shown {
		m.entries = append(m.entries, &entry{id: id, webhook: known.webhook, pass: known.pass, counted: revision})
	} else {
		m.asides[id] = aside{revision, hidden.err}
	}
	return true
}

// keep adds what the snapshot has and the registry lacks, unless it was removed.
func (m *merge) keep(f Feed) {
	if m.old == nil {
		return
	}
	since := m.old.position.Revision
	if m.foreign {
		since = m.old.horizon
	}
	has := make(map[string]bool, len(f.Webhooks)+len(f.Poisoned))
	for _, w := range f.Webhooks {
		has[w.ID] = true
	}
	for _, p := range f.Poisoned {
		has[p.ID] = true
	}
	m.old.entries.Scan(func(id string, e *entry) bool {
		if !has[id] && f.Removed[id] <= since {
			m.entries = append(m.entries, &entry{id: id, webhook: e.webhook, pass: e.pass})
		}
		return true
	})
}
