package redisstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	holdfast "github.com/emprops/holdfast"
)

// pageSize bounds how long one call keeps Redis busy: about 2 ms.
const pageSize = 1000

// Feed is what changed in the registry. Applying it to a copy at the revision it was asked for gives exactly Position:
// with Full the copy becomes Webhooks and Poisoned, else each of them is put in place of the entry with its id and the
// ids in Removed are taken out.
type Feed struct {
	Position Position
	Full     bool
	// Foreign tells that the revision asked for belongs to another history: Redis was restored from a backup that is older
	// than it. Nothing but Position is set then.
	Foreign  bool
	Webhooks []*holdfast.Webhook // by id
	// Removed names what is not in the registry and says at which revision it was removed. In a full feed these are the
	// removals since a registry that is not complete began: a copy that keeps what such a registry lacks must not keep them.
	Removed  map[string]int64
	Poisoned []Poisoned
}

// Poisoned is an entry that cannot be used: it cannot be decoded, its configuration is invalid, or it has a revision but
// is no longer in the registry because somebody else removed it. It is isolated and reported; the others are not
// affected (D31). With a Revision it counts in the digest.
type Poisoned struct {
	ID       string
	Revision int64 // 0 when the original wrote it
	Err      error
}

// Position says how far the registry is. CodeUnavailable.
func (s *Store) Position(ctx context.Context) (Position, error) {
	at, err := s.rawPosition(ctx)
	return at, unavailable("reading the registry's position", err)
}

func (s *Store) rawPosition(ctx context.Context) (Position, error) {
	values, err := s.client.MGet(ctx, s.keys.forPosition()...).Result()
	if err != nil {
		return Position{}, err
	}
	return position(text(values[0]), text(values[1]), text(values[2])), nil
}

// Changes reads what changed after revision since. It reads everything (Full) when since is 0 or the change stream does
// not tell because it was trimmed past since, and nothing (Foreign) when since belongs to another history. CodeAborted
// when the registry changes faster than it can be read; CodeUnavailable.
func (s *Store) Changes(ctx context.Context, since int64) (Feed, error) {
	if since > 0 {
		entries := map[string]entry{}
		at, reach, err := s.follow(ctx, since, entries)
		switch {
		case err != nil:
			return Feed{}, unavailable("reading changes", err)
		case reach == reached:
			return s.feed(at, false, entries), nil
		case reach == foreign:
			return Feed{Position: at, Foreign: true}, nil
		}
	}
	return s.Everything(ctx, since)
}

// Everything reads the whole registry without keeping Redis busy, for a copy at revision since: nothing (Foreign) when
// since is not 0 and belongs to another history. Errors are those of Changes.
func (s *Store) Everything(ctx context.Context, since int64) (Feed, error) {
	for range loadTries {
		at, entries, ok, err := s.everything(ctx)
		if err != nil {
			return Feed{}, unavailable("reading the registry", err)
		}
		if !ok {
			continue
		}
		if since > 0 { // asked last, so that a restore during the load is noticed
			values, err := s.changes(ctx, since, 1)
			if err != nil {
				return Feed{}, unavailable("reading changes", err)
			}
			if text(values[3]) == foreignMark {
				return Feed{Position: at, Foreign: true}, nil
			}
		}
		return s.feed(at, true, entries), nil
	}
	return Feed{}, errTooFast()
}

// loadTries is how often a read of everything begins again because the change stream was trimmed, or Redis wiped or
// restored, while it was under way.
const loadTries = 5

func errTooFast() error {
	return holdfast.Errorf(holdfast.CodeAborted, "the registry changes faster than it can be read")
}

// entry is an entry as read, before it is decoded. Without JSON it is not in the registry.
type entry struct {
	revision int64
	removed  int64 // the revision of its removal
	json     string
	present  bool
}

// put collects the entries from a script's reply: id, revision, JSON, id, ….
func put(entries map[string]entry, flat []any) {
	for i := 0; i+2 < len(flat); i += 3 {
		e := entry{revision: parseInt(text(flat[i+1]))}
		e.json, e.present = flat[i+2].(string)
		entries[text(flat[i])] = e
	}
}

// reach is how far the change stream leads.
type reach int

const (
	reached reach = iota // to the position
	lost                 // it does not tell
	foreign              // it is the stream of another history
)

// foreignMark is how the script says so.
const foreignMark = "foreign"

func (s *Store) changes(ctx context.Context, since int64, limit int) ([]any, error) {
	return reply(changesScript.Run(ctx, s.client, s.keys.forChanges(), since, limit), 4)
}

// follow collects the changes after a revision, page by page. Only the last page is read at the position returned; what
// changed meanwhile in the earlier ones is in the later ones.
func (s *Store) follow(ctx context.Context, since int64, entries map[string]entry) (Position, reach, error) {
	for {
		values, err := s.changes(ctx, since, pageSize)
		if err != nil {
			return Position{}, lost, err
		}
		at, upTo := position(text(values[0]), text(values[1]), text(values[2])), text(values[3])
		switch upTo {
		case "":
			return at, lost, nil
		case foreignMark:
			return at, foreign, nil
		}
		put(entries, values[4:])
		if since = parseInt(upTo); since >= at.Revision {
			return at, reached, nil
		}
	}
}

// everything collects the whole registry: the position first, then page by page, then what changed since that position.
// ok is false when that must begin again.
func (s *Store) everything(ctx context.Context) (at Position, entries map[string]entry, ok bool, err error) {
	began, err := s.rawPosition(ctx)
	if err != nil {
		return began, nil, false, err
	}
	entries = map[string]entry{}
	if !began.Complete {
		if err = s.addRemoved(ctx, entries); err != nil {
			return began, nil, false, err
		}
	}
	for cursor := "0"; ; {
		values, err := reply(pageScript.Run(ctx, s.client, s.keys.forPage(), cursor, pageSize), 1)
		if err != nil {
			return began, nil, false, err
		}
		put(entries, values[1:])
		if cursor = text(values[0]); cursor == "0" {
			break
		}
	}
	if at, ok, err = s.catchUp(ctx, began, entries); err != nil || !ok {
		return at, nil, false, err
	}
	return at, entries, true, s.addOrphans(ctx, at, entries)
}

// catchUp adds what changed since a read of everything began. ok is false when the stream does not tell or another
// incarnation began.
func (s *Store) catchUp(ctx context.Context, began Position, entries map[string]entry) (at Position, ok bool, err error) {
	if began.Revision == 0 {
		// Nothing to follow from: good as long as no first write came in between.
		at, err = s.rawPosition(ctx)
		return at, at.Revision == 0, err
	}
	at, reach, err := s.follow(ctx, began.Revision, entries)
	return at, reach == reached && at.Incarnation == began.Incarnation && at.Complete == began.Complete, err
}

// addRemoved notes what was removed since a registry that is not complete began, and before as far back as the stream
// goes: nodes that missed a removal must not keep the webhook.
func (s *Store) addRemoved(ctx context.Context, entries map[string]entry) error {
	for from := "-"; ; {
		page, err := s.client.XRangeN(ctx, s.keys.changes(), from, "+", pageSize).Result()
		if err != nil {
			return err
		}
		for _, change := range page {
			id, _ := change.Values["id"].(string)
			if delete(entries, id); change.Values["op"] == "remove" {
				revision, _, _ := strings.Cut(change.ID, "-")
				entries[id] = entry{removed: parseInt(revision)}
			}
		}
		if len(page) < pageSize {
			break
		}
		from = "(" + page[len(page)-1].ID
	}
	iter := s.client.HScan(ctx, s.keys.removed(), 0, "", pageSize).Iterator()
	for iter.Next(ctx) {
		id := iter.Val()
		if iter.Next(ctx) {
			entries[id] = entry{removed: max(entries[id].removed, parseInt(iter.Val()))}
		}
	}
	return iter.Err()
}

// addOrphans finds entries that have a revision and so count in the digest, but are not in the registry: the original
// deletes from the registry only.
func (s *Store) addOrphans(ctx context.Context, at Position, entries map[string]entry) error {
	var covered int64
	for _, e := range entries {
		if e.revision > 0 {
			covered++
		}
	}
	if covered == at.Count {
		return nil
	}
	iter := s.client.HScan(ctx, s.keys.revisions(), 0, "", pageSize).Iterator()
	for iter.Next(ctx) {
		id := iter.Val()
		if !iter.Next(ctx) {
			break
		}
		// A revision after the position came later and is none of its business.
		if revision := parseInt(iter.Val()); revision <= at.Revision && !entries[id].present {
			entries[id] = entry{revision: revision}
		}
	}
	return iter.Err()
}

var errOrphan = errors.New("it has a revision but is not in the registry: it was removed by other means than Holdfast")

func (s *Store) feed(at Position, full bool, entries map[string]entry) Feed {
	f := Feed{Position: at, Full: full, Removed: map[string]int64{}}
	if full {
		f.Webhooks = make([]*holdfast.Webhook, 0, len(entries))
	}
	for id, e := range entries {
		switch {
		case !e.present && e.revision > 0:
			f.Poisoned = append(f.Poisoned, Poisoned{ID: id, Revision: e.revision, Err: errOrphan})
		case !e.present:
			f.Removed[id] = cmp.Or(e.removed, at.Revision)
		default:
			w, err := decodeWebhook(id, e.json, e.revision, s.opts.Sealer)
			if err == nil {
				err = usable(w)
			}
			if err != nil {
				f.Poisoned = append(f.Poisoned, Poisoned{ID: id, Revision: e.revision, Err: err})
				continue
			}
			f.Webhooks = append(f.Webhooks, w)
		}
	}
	slices.SortFunc(f.Webhooks, func(a, b *holdfast.Webhook) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Poisoned, func(a, b Poisoned) int { return strings.Compare(a.ID, b.ID) })
	return f
}
