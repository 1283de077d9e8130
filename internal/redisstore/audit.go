package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // the hash that Redis offers its scripts; it guards against accidents, not attackers
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// Rotator is a Sealer with several keys. Stale tells whether a value was sealed by another key than the one that seals now.
type Rotator interface {
	Stale(sealed string) bool
}

// Audit is what a look at the whole registry found. Ids are sorted.
type Audit struct {
	Position  Position
	Webhooks  int              // in the registry
	Active    int              // in the active set
	Revisions map[string]int64 // of every registry entry; 0 when the original wrote it
	// ActiveSetWrong are in the active set and should not be, or the other way round (D3); RepairActiveSet repairs it.
	ActiveSetWrong []string
	// Changed have other contents than Holdfast wrote: the original changed them.
	Changed []string
	// Orphans have a revision and are not in the registry: the original removed them. RemoveWebhook clears them away.
	Orphans []string
	// Poisoned cannot be used (D31).
	Poisoned []Poisoned
	// OldKey were written by Holdfast and have credentials that are not sealed by the key that seals now, where a key is
	// configured. Writing them again repairs it.
	OldKey []string
	// DigestOK tells whether the stored digest fits the revisions; RebuildDigest repairs it.
	DigestOK bool
}

// Audit looks at the whole registry in pages, without keeping Redis busy, and returns what is there at Position. What
// changes meanwhile is not taken for drift. CodeAborted when the registry changes faster than it can be read;
// CodeUnavailable.
func (s *Store) Audit(ctx context.Context) (Audit, error) {
	for range loadTries {
		a := auditing{
			store: s, revisions: map[string]int64{}, members: map[string]bool{}, wrong: map[string]bool{}, changed: map[string]bool{},
			oldKey: map[string]bool{}, poisoned: map[string]Poisoned{},
		}
		ok, err := a.run(ctx)
		if err != nil {
			return Audit{}, unavailable("auditing the registry", err)
		}
		if ok {
			return a.result(), nil
		}
	}
	return Audit{}, errTooFast()
}

// auditing is an audit under way.
type auditing struct {
	store     *Store
	at        Position
	revisions map[string]int64 // of the registry's entries
	counted   map[string]int64 // of the hash of revisions
	members   map[string]bool  // of the active set
	wrong     map[string]bool
	changed   map[string]bool
	oldKey    map[string]bool
	poisoned  map[string]Poisoned
	orphans   []string
}

func (a *auditing) run(ctx context.Context) (ok bool, err error) {
	began, err := a.store.rawPosition(ctx)
	if err != nil {
		return false, err
	}
	if err := a.readRegistry(ctx); err != nil {
		return false, err
	}
	if err := a.readActiveSet(ctx); err != nil {
		return false, err
	}
	if a.counted, err = a.store.readRevisions(ctx); err != nil {
		return false, err
	}
	entries := map[string]entry{}
	if a.at, ok, err = a.store.catchUp(ctx, began, entries); err != nil || !ok {
		return false, err
	}
	for id, e := range entries {
		a.forget(id)
		if e.present { // a script wrote it just now, and so all that belongs to it
			a.look(id, e.json, e.revision, contentHash(e.json), nil)
		}
		if delete(a.counted, id); e.revision > 0 {
			a.counted[id] = e.revision
		}
	}
	return true, a.confirm(ctx)
}

func (a *auditing) readRegistry(ctx context.Context) error {
	for cursor := "0"; ; {
		values, err := reply(auditScript.Run(ctx, a.store.client, a.store.keys.forAudit(), cursor, pageSize), 1)
		if err != nil {
			return err
		}
		for i := 1; i+4 < len(values); i += 5 {
			member := values[i+4] == int64(1)
			id := text(values[i])
			a.forget(id) // a scan may show an entry twice
			a.look(id, text(values[i+1]), parseInt(text(values[i+2])), text(values[i+3]), &member)
		}
		if cursor = text(values[0]); cursor == "0" {
			return nil
		}
	}
}

// look judges an entry. Without hash nothing is known of what was written, and without member the active set is right.
func (a *auditing) look(id, encoded string, revision int64, hash string, member *bool) {
	a.revisions[id] = revision
	if hash != "" && revision > 0 && hash != contentHash(encoded) {
		a.changed[id] = true
	}
	w, err := decodeWebhook(id, encoded, revision, a.store.opts.Sealer)
	if err == nil {
		if member != nil && *member != w.Active {
			a.wrong[id] = true
		}
		err = usable(w)
	}
	if err != nil {
		a.poisoned[id] = Poisoned{ID: id, Revision: revision, Err: err}
	}
	if revision > 0 && a.sealedBefore(encoded) {
		a.oldKey[id] = true
	}
}

func (a *auditing) sealedBefore(encoded string) bool {
	keys, ok := a.store.opts.Sealer.(Rotator)
	var in storedWebhook
	if !ok || json.Unmarshal([]byte(encoded), &in) != nil {
		return false
	}
	return slices.ContainsFunc(in.credentials(), func(value string) bool { return value != "" && keys.Stale(value) })
}

func (a *auditing) forget(id string) {
	delete(a.revisions, id)
	delete(a.wrong, id)
	delete(a.changed, id)
	delete(a.oldKey, id)
	delete(a.poisoned, id)
}

func (a *auditing) readActiveSet(ctx context.Context) error {
	iter := a.store.client.SScan(ctx, a.store.keys.active(), 0, "", pageSize).Iterator()
	for iter.Next(ctx) {
		a.members[iter.Val()] = true
	}
	return iter.Err()
}

// confirm looks once more at what seems to be in one place only: the places were read one after the other.
func (a *auditing) confirm(ctx context.Context) error {
	var doubtful []string
	for id := range a.members {
		if _, known := a.revisions[id]; !known {
			doubtful = append(doubtful, id)
		}
	}
	for id := range a.counted {
		if _, known := a.revisions[id]; !known && !a.members[id] {
			doubtful = append(doubtful, id)
		}
	}
	slices.Sort(doubtful)
	for ids := range slices.Chunk(doubtful, pageSize) {
		values, err := reply(inspectScript.Run(ctx, a.store.client, a.store.keys.forInspect(), asAny(ids)...), 3*len(ids))
		if err != nil {
			return err
		}
		for i, id := range ids {
			if values[3*i] != int64(0) {
				continue
			}
			if values[3*i+1] == int64(1) {
				a.wrong[id] = true
			}
			if values[3*i+2] == int64(1) {
				a.orphans = append(a.orphans, id)
			}
		}
	}
	return nil
}

func (a *auditing) result() Audit {
	out := Audit{
		Position: a.at, Webhooks: len(a.revisions), Active: len(a.members), Revisions: a.revisions,
		ActiveSetWrong: slices.Sorted(maps.Keys(a.wrong)), Changed: slices.Sorted(maps.Keys(a.changed)), Orphans: a.orphans,
		OldKey: slices.Sorted(maps.Keys(a.oldKey)), DigestOK: a.at.Count == int64(len(a.counted)) && sameDigest(a.at, a.counted),
	}
	for _, id := range slices.Sorted(maps.Keys(a.poisoned)) {
		out.Poisoned = append(out.Poisoned, a.poisoned[id])
	}
	return out
}

func sameDigest(at Position, revisions map[string]int64) bool {
	if at.Digest == "" {
		return len(revisions) == 0
	}
	return at.Digest == DigestText(digestOfAll(revisions))
}

func digestOfAll(revisions map[string]int64) (digest uint64) {
	for id, revision := range revisions {
		digest ^= DigestOf(id, revision)
	}
	return digest
}

// contentHash is the hash that the script that writes a webhook stores of its JSON.
func contentHash(encoded string) string {
	sum := sha1.Sum([]byte(encoded)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:8])
}

// readRevisions reads the revision of every entry that has one.
func (s *Store) readRevisions(ctx context.Context) (map[string]int64, error) {
	revisions := map[string]int64{}
	iter := s.client.HScan(ctx, s.keys.revisions(), 0, "", pageSize).Iterator()
	for iter.Next(ctx) {
		id := iter.Val()
		if iter.Next(ctx) {
			revisions[id] = parseInt(iter.Val())
		}
	}
	return revisions, iter.Err()
}

// RepairActiveSet makes the active set agree with the stored webhooks for the ids, in atomic steps: what is stored at
// that moment decides, and an id that is not stored is not active. It returns how many were wrong. An entry that cannot be
// read stays as it is. CodeUnavailable.
func (s *Store) RepairActiveSet(ctx context.Context, ids []string) (fixed int, err error) {
	for page := range slices.Chunk(ids, pageSize) {
		n, err := repairActiveScript.Run(ctx, s.client, s.keys.forRepair(), asAny(page)...).Int()
		if err != nil {
			return fixed, unavailable("repairing the active set", err)
		}
		fixed += n
	}
	return fixed, nil
}

// RebuildDigest computes the digest anew from the revisions, without keeping Redis busy. CodeAborted when the registry
// changes faster than it can be read; CodeUnavailable.
func (s *Store) RebuildDigest(ctx context.Context) error {
	for range loadTries {
		done, err := s.rebuildDigest(ctx)
		if err != nil {
			return unavailable("rebuilding the digest", err)
		}
		if done {
			return nil
		}
	}
	return errTooFast()
}

func (s *Store) rebuildDigest(ctx context.Context) (done bool, err error) {
	at, err := s.rawPosition(ctx)
	if err != nil {
		return false, err
	}
	revisions, err := s.readRevisions(ctx)
	if err != nil {
		return false, err
	}
	sum := digestOfAll(revisions)
	for range storeTries {
		entries := map[string]entry{}
		var ok bool
		if at, ok, err = s.catchUp(ctx, at, entries); err != nil || !ok {
			return false, err
		}
		for id, e := range entries {
			if old, counted := revisions[id]; counted {
				sum ^= DigestOf(id, old)
				delete(revisions, id)
			}
			if e.revision > 0 {
				sum ^= DigestOf(id, e.revision)
				revisions[id] = e.revision
			}
		}
		revision := ""
		if at.Revision > 0 {
			revision = strconv.FormatInt(at.Revision, 10)
		}
		digest := strconv.Itoa(len(revisions)) + ":" + DigestText(sum)
		stored, err := setDigestScript.Run(ctx, s.client, s.keys.forDigest(), digest, revision).Int()
		if err != nil || stored == 1 {
			return stored == 1, err
		}
	}
	return false, nil
}

// storeTries is how often a digest that was overtaken by a change is brought up to date and stored again.
const storeTries = 200

func asAny(ids []string) []any {
	out := make([]any, len(ids))
	for i, id := range ids {
		out[i] = id
	}
	return out
}
