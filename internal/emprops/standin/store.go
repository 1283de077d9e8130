package standin

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/emprops/holdfast"
)

// Webhook is a registration as the platform keeps and shows it.
type Webhook struct {
	ID           string   `json:"id"`
	URL          string   `json:"url"`
	Events       []string `json:"events"`
	Active       bool     `json:"active"`
	Status       string   `json:"status"`
	Source       string   `json:"source,omitempty"`
	RegisteredAt string   `json:"registered_at"`
}

func (w Webhook) equal(o Webhook) bool {
	return w.ID == o.ID && w.URL == o.URL && w.Active == o.Active && w.Status == o.Status && w.Source == o.Source &&
		w.RegisteredAt == o.RegisteredAt && slices.Equal(w.Events, o.Events)
}

// receipt is what a registration answers; repeated under its idempotency key.
type receipt struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	RegisteredAt string `json:"registered_at"`
}

// content is everything that survives a restart. A stored value is never changed in place, so copies may share it.
type content struct {
	Webhooks map[string]Webhook         `json:"webhooks"`
	Receipts map[string]receipt         `json:"receipts"` // by idempotency key
	Writes   map[string]int             `json:"writes"`   // by webhook id
	Jobs     map[string]json.RawMessage `json:"jobs"`
}

// store keeps the content and the state before the last write, which stale reads show.
type store struct {
	path string

	mu     sync.Mutex
	now    content
	before map[string]*Webhook // of the ids the last write touched; nil for absent
}

func openStore(path string) (*store, error) {
	s := &store{path: path}
	if path != "" {
		b, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, holdfast.Wrap(holdfast.CodeUnavailable, err, "read the data of the EMPROPS stand-in")
		default:
			if err := json.Unmarshal(b, &s.now); err != nil {
				return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "the data file of the EMPROPS stand-in is not its own")
			}
		}
	}
	if s.now.Webhooks == nil {
		s.now.Webhooks = map[string]Webhook{}
	}
	if s.now.Receipts == nil {
		s.now.Receipts = map[string]receipt{}
	}
	if s.now.Writes == nil {
		s.now.Writes = map[string]int{}
	}
	if s.now.Jobs == nil {
		s.now.Jobs = map[string]json.RawMessage{}
	}
	return s, nil
}

// update applies change to a copy, makes it durable and only then shows it. change returns the webhook id that it wrote,
// "" when it wrote none, and whether anything is to be kept at all.
func (s *store) update(change func(*content) (id string, keep bool)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := content{maps.Clone(s.now.Webhooks), maps.Clone(s.now.Receipts), maps.Clone(s.now.Writes), maps.Clone(s.now.Jobs)}
	id, keep := change(&next)
	if !keep {
		return nil
	}
	old, had := s.now.Webhooks[id]
	if id != "" {
		if got, has := next.Webhooks[id]; has != had || !got.equal(old) {
			next.Writes[id]++
		}
	}
	if err := s.save(next); err != nil {
		return err
	}
	if id != "" {
		s.before = map[string]*Webhook{id: nil}
		if had {
			s.before[id] = &old
		}
	}
	s.now = next
	return nil
}

// save replaces the file in one step, so that a crash leaves the old content or the new.
func (s *store) save(c content) error {
	if s.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), filepath.Base(s.path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// webhook reads one webhook; stale shows it as it was before the last write.
func (s *store) webhook(id string, stale bool) (Webhook, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, touched := s.before[id]; stale && touched {
		if old == nil {
			return Webhook{}, false
		}
		return *old, true
	}
	w, ok := s.now.Webhooks[id]
	return w, ok
}

// webhooks lists by id.
func (s *store) webhooks(stale bool) []Webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	view := s.now.Webhooks
	if stale {
		view = maps.Clone(view)
		for id, old := range s.before {
			delete(view, id)
			if old != nil {
				view[id] = *old
			}
		}
	}
	list := slices.Collect(maps.Values(view))
	slices.SortFunc(list, func(a, b Webhook) int { return strings.Compare(a.ID, b.ID) })
	if list == nil {
		list = []Webhook{}
	}
	return list
}

func (s *store) job(id string) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.now.Jobs[id]
	return j, ok
}

func (s *store) writes() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.now.Writes)
}

// Webhook reads what is really stored, past all faults; ok is false when the id is not registered.
func (s *Server) Webhook(id string) (w Webhook, ok bool) { return s.store.webhook(id, false) }

// Writes tells how many writes of the webhook id changed something.
func (s *Server) Writes(id string) int { return s.store.writes()[id] }
