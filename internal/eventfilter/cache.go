package eventfilter

import (
	"container/list"
	"sync"
)

// Cache compiles expressions and keeps the most recently used ones, so that webhooks with the same expression share a
// program and a node that loads its registry anew compiles nothing twice. It is safe for concurrent use; make it with
// NewCache. Expressions that do not compile are not kept.
type Cache struct {
	most int

	mu     sync.Mutex
	byText map[string]*list.Element
	recent list.List // of entry, the last used first
}

type entry struct {
	expression string
	filter     *Filter
}

// NewCache returns a cache of at most the given number of expressions. A compiled one takes some kilobytes.
func NewCache(most int) *Cache {
	return &Cache{most: max(most, 1), byText: map[string]*list.Element{}}
}

// Compile is the function Compile, with memory.
func (c *Cache) Compile(expression string) (*Filter, error) {
	if f := c.known(expression); f != nil {
		return f, nil
	}
	// Not under the lock: two that miss at once compile twice, and others do not wait for them.
	f, err := Compile(expression)
	if err != nil || f == nil {
		return nil, err
	}
	return c.keep(expression, f), nil
}

func (c *Cache) known(expression string) *Filter {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.byText[expression]
	if at == nil {
		return nil
	}
	c.recent.MoveToFront(at)
	return at.Value.(entry).filter
}

func (c *Cache) keep(expression string, f *Filter) *Filter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.byText[expression]; at != nil {
		return at.Value.(entry).filter
	}
	c.byText[expression] = c.recent.PushFront(entry{expression, f})
	if c.recent.Len() > c.most {
		delete(c.byText, c.recent.Remove(c.recent.Back()).(entry).expression)
	}
	return f
}

// Len returns how many expressions are kept.
func (c *Cache) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.recent.Len()
}
