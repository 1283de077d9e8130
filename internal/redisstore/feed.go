package redisstore

import (
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
	Webhooks []*holdfast.Webhook // by id
	Removed  []string
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
	values, err := s.client.MGet(ctx, s.keys.revision(), s.keys.digest()).Result()
	if err != nil {
		return Position{}, unavailable("reading the registry's position", err)
	}
	return position(text(values[0]), text(values[1])), nil
}

// Changes reads what changed after revision since. It reads everything (Full) when since is 0 or the change stream does
// not tell: it was trimmed past since, or since belongs to another history, as after a restore of Redis. CodeAborted
// when the registry changes faster than it can be read; CodeUnavailable.
func (s *Store) Changes(ctx context.Context, since int64) (Feed, error) {
	if since > 0 {
		entries := map[string]entry{}
		at, ok, err := s.follow(ctx, since, entries)
		if err != nil {
			return Feed{}, unavailable("reading changes", err)
		}
		if ok {
			return s.feed(at, false, entries), nil
		}
	}
	for range 5 {
		at, entries, ok, err := s.everything(ctx)
		if err != nil {
			return Feed{}, unavailable("reading the registry", err)
		}
		if ok {
			return s.feed(at, true, entries), nil
		}
	}
	return Feed{}, holdfast.Errorf(holdfast.CodeAborted, "the registry changes faster than it can be read")
}

// entry is an entry as read, before it is decoded. Without JSON it is not in the registry.
type entry struct {
	revision int64
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

// follow collects the changes after a revision, page by page. Only the last page is read at the position returned; what
// changed meanwhile in the earlier ones is in the later ones. ok is false when the stream cannot tell.
func (s *Store) follow(ctx context.Context, since int64, entries map[string]entry) (at Position, ok bool, err error) {
	for {
		values, err := reply(changesScript.Run(ctx, s.client, s.keys.forChanges(), since, pageSize), 3)
		if err != nil {
			return Position{}, false, err
		}
		at, upTo := position(text(values[0]), text(values[1])), parseInt(text(values[2]))
		if upTo == 0 {
			return at, false, nil
		}
		put(entries, values[3:])
		if upTo >= at.Revision {
			return at, true, nil
		}
		since = upTo
	}
}

// everything collects the whole registry without keeping Redis busy: the position first, then page by page, then what
// changed since that position. ok is false when that must begin again.
func (s *Store) everything(ctx context.Context) (at Position, entries map[string]entry, ok bool, err error) {
	if at, err = s.rawPosition(ctx); err != nil {
		return at, nil, false, err
	}
	entries = map[string]entry{}
	for cursor := "0"; ; {
		values, err := reply(pageScript.Run(ctx, s.client, s.keys.forPage(), cursor, pageSize), 1)
		if err != nil {
			return at, nil, false, err
		}
		put(entries, values[1:])
		if cursor = text(values[0]); cursor == "0" {
			break
		}
	}
	if at.Revision == 0 {
		// Nothing to follow from: good as long as no first write came in between.
		now, err := s.rawPosition(ctx)
		return now, entries, now.Revision == 0, err
	}
	if at, ok, err = s.follow(ctx, at.Revision, entries); err != nil || !ok {
		return at, nil, false, err
	}
	return at, entries, true, s.addOrphans(ctx, at, entries)
}

func (s *Store) rawPosition(ctx context.Context) (Position, error) {
	values, err := s.client.MGet(ctx, s.keys.revision(), s.keys.digest()).Result()
	if err != nil {
		return Position{}, err
	}
	return position(text(values[0]), text(values[1])), nil
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
	f := Feed{Position: at, Full: full}
	if full {
		f.Webhooks = make([]*holdfast.Webhook, 0, len(entries))
	}
	for id, e := range entries {
		switch {
		case !e.present && e.revision > 0:
			f.Poisoned = append(f.Poisoned, Poisoned{ID: id, Revision: e.revision, Err: errOrphan})
		case !e.present:
			if !full {
				f.Removed = append(f.Removed, id)
			}
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
	slices.Sort(f.Removed)
	return f
}
