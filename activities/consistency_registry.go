package activities

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/emprops/holdfast"
)

// SuspectOrphan is the kind of suspects that have a revision and no entry. What they are in truth, a registration that is
// missing in Redis or a leftover, their reconciliation tells.
const SuspectOrphan holdfast.DriftKind = "orphan"

// suspectKinds are the kinds that InspectRegistry tells, in the order in which an id counts for the first that fits.
var suspectKinds = []holdfast.DriftKind{
	holdfast.DriftPoisoned, holdfast.DriftMissing, holdfast.DriftUnregistered, holdfast.DriftChanged, SuspectOrphan,
	holdfast.DriftSealing, holdfast.DriftActiveSet,
}

// RegistryInspection asks for the state of the registry.
type RegistryInspection struct {
	// List compares with every open registration, even when their number gives no reason to.
	List bool `json:"list,omitempty"`
	// Deep suspects every registered webhook whose entry the original wrote: it leaves no trace when it changes one again.
	Deep bool `json:"deep,omitempty"`
	// After is the last id that was already told of each kind; kinds that are not named begin with the first.
	After map[holdfast.DriftKind]string `json:"after,omitempty"`
	// Limit bounds the ids told per kind.
	Limit int `json:"limit"`
}

// Suspects are the webhooks that seem to have drifted in one way.
type Suspects struct {
	Kind  holdfast.DriftKind `json:"kind"`
	Count int                `json:"count"` // all there are
	IDs   []string           `json:"ids"`   // ordered; those after RegistryInspection.After
	More  bool               `json:"more,omitempty"`
}

// RegistryState is what InspectRegistry found.
type RegistryState struct {
	Position      RegistryPosition `json:"position"`
	Webhooks      int              `json:"webhooks"` // entries
	Active        int              `json:"active"`
	Registrations int              `json:"registrations"`
	Listed        bool             `json:"listed,omitempty"`   // the registrations were compared one by one
	Unlisted      string           `json:"unlisted,omitempty"` // why they could not be counted or listed
	DigestWrong   bool             `json:"digest_wrong,omitempty"`
	Suspects      []Suspects       `json:"suspects,omitempty"`
	Poisoned      []PoisonedEntry  `json:"poisoned,omitempty"` // with reasons; at most holdfast.MaxDriftIDs
	// Repairable are the unreadable entries whose registration is open, which can write them anew.
	Repairable []string `json:"repairable,omitempty"`
}

// InspectRegistry audits Redis and compares it with the open registrations: first their numbers, and each of them when the
// numbers differ, something cannot be read, or the registry is not complete. Registrations that cannot be asked do not
// hide what is wrong inside Redis.
func (a *Consistency) InspectRegistry(ctx context.Context, in RegistryInspection) (RegistryState, error) {
	audit, err := a.audit(ctx)
	if err != nil {
		return RegistryState{}, ours(err) // a registry that is too busy now may be calm at the next attempt
	}
	unusable := map[string]bool{}
	for _, p := range audit.Poisoned {
		if _, entry := audit.Revisions[p.ID]; entry {
			unusable[p.ID] = true
		}
	}
	s := RegistryState{
		Position: audit.Position, Webhooks: len(audit.Revisions),
		Active: audit.Active, DigestWrong: !audit.DigestOK,
	}
	found := map[holdfast.DriftKind][]string{
		holdfast.DriftPoisoned: slices.Collect(maps.Keys(unusable)), holdfast.DriftChanged: audit.Changed,
		SuspectOrphan: audit.Orphans, holdfast.DriftSealing: audit.OldKey, holdfast.DriftActiveSet: audit.ActiveSetWrong,
	}
	if open := a.registrations(ctx, in.List || in.Deep || len(unusable) > 0, &s); open != nil {
		for id, revision := range audit.Revisions {
			// What is older than an incarnation that is not complete came with a backup: it may be older than the truth.
			restored := !audit.Position.Complete && revision < audit.Position.Born
			if open[id] && (restored || in.Deep && revision == 0) {
				found[holdfast.DriftChanged] = append(found[holdfast.DriftChanged], id)
			}
		}
		found[holdfast.DriftMissing] = without(open, audit.Revisions)
		found[holdfast.DriftUnregistered] = without(audit.Revisions, open)
		for id := range unusable {
			if open[id] {
				s.Repairable = append(s.Repairable, id)
			}
		}
		slices.Sort(s.Repairable)
		s.Repairable = s.Repairable[:min(len(s.Repairable), holdfast.MaxDriftIDs)]
	}
	s.suspect(found, in)
	s.explain(audit.Poisoned, unusable)
	return s, nil
}

// audit looks a second time when Redis seems to disagree with itself: an audit takes a while, and what changes under it
// may look wrong once.
func (a *Consistency) audit(ctx context.Context) (Audit, error) {
	audit, err := a.Registry.Audit(ctx)
	if err != nil || audit.DigestOK && len(audit.ActiveSetWrong) == 0 && len(audit.Orphans) == 0 {
		return audit, err
	}
	again, err := a.Registry.Audit(ctx)
	if err != nil {
		return Audit{}, err
	}
	again.DigestOK = again.DigestOK || audit.DigestOK
	again.ActiveSetWrong = both(audit.ActiveSetWrong, again.ActiveSetWrong)
	again.Orphans = both(audit.Orphans, again.Orphans)
	return again, nil
}

// registrations counts the open registrations and lists them when there is a reason to; nil when they were not listed.
func (a *Consistency) registrations(ctx context.Context, list bool, s *RegistryState) map[string]bool {
	n, err := a.Open.CountOpen(ctx)
	if err != nil {
		s.Unlisted = holdfast.ErrorMessage(err)
		return nil
	}
	s.Registrations = n
	if !list && n == s.Webhooks && s.Position.Complete {
		return nil
	}
	ids, err := a.Open.ListOpen(ctx)
	if err != nil {
		s.Unlisted = holdfast.ErrorMessage(err)
		return nil
	}
	open := make(map[string]bool, len(ids))
	for _, id := range ids {
		open[id] = true
	}
	s.Registrations, s.Listed = len(open), true
	return open
}

// suspect fills in the suspects: each id once, ordered, page by page.
func (s *RegistryState) suspect(found map[holdfast.DriftKind][]string, in RegistryInspection) {
	taken := map[string]bool{}
	for _, kind := range suspectKinds {
		ids := found[kind]
		if kind != holdfast.DriftActiveSet { // repaired by itself, so it may be wrong beside something else
			ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return taken[id] })
			for _, id := range ids {
				taken[id] = true
			}
		}
		if len(ids) == 0 {
			continue
		}
		slices.Sort(ids)
		page := Suspects{Kind: kind, Count: len(ids)}
		if after, told := in.After[kind]; told {
			from, exact := slices.BinarySearch(ids, after)
			if exact {
				from++
			}
			ids = ids[from:]
		}
		page.More = len(ids) > in.Limit
		page.IDs = ids[:min(len(ids), in.Limit)]
		s.Suspects = append(s.Suspects, page)
	}
}

// explain keeps why entries cannot be used, ordered by id.
func (s *RegistryState) explain(poisoned []PoisonedEntry, unusable map[string]bool) {
	for _, p := range poisoned {
		if unusable[p.ID] {
			s.Poisoned = append(s.Poisoned, PoisonedEntry{ID: p.ID, Reason: truncated(p.Reason, 200)})
		}
	}
	slices.SortFunc(s.Poisoned, func(a, b PoisonedEntry) int { return strings.Compare(a.ID, b.ID) })
	s.Poisoned = s.Poisoned[:min(len(s.Poisoned), holdfast.MaxDriftIDs)]
}

func without[V, W any](these map[string]V, those map[string]W) []string {
	var ids []string
	for id := range these {
		if _, there := those[id]; !there {
			ids = append(ids, id)
		}
	}
	return ids
}

func both(a, b []string) []string {
	in := make(map[string]bool, len(a))
	for _, id := range a {
		in[id] = true
	}
	return slices.DeleteFunc(b, func(id string) bool { return !in[id] })
}
