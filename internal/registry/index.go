package registry

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
	"strings"

	"github.com/tidwall/btree"

	"github.com/emprops/holdfast"
)

// The index answers which webhooks want an event without looking at those that do not. A webhook stands, for each event
// type it wants, in buckets named after
//
//   - its shape: which of the four fields it filters on,
//   - which of those an event carries, since a filter passes where its field is absent (CONTRACT 3.3),
//   - and a value for each of them.
//
// An event then belongs to one bucket for each shape, and whatever is in that bucket matches. A webhook with n, m, …
// values in its filters is in (1+n)(1+m)… buckets of each type. Where that would be more than maxBuckets, the filters
// with the most values are left out of the shape and checked afterwards.

// The fields that filters look at, as bits of a shape.
const (
	byJobType = 1 << iota
	byPriority
	byMachine
	byWorker
	shapes = 1 << iota
)

// maxBuckets bounds the buckets of one webhook and event type if it has more than one filter.
const maxBuckets = 4096

// degree of the trees: nodes small enough for a change to copy little.
const degree = 32

// posting puts a webhook into a bucket. A bucket goes by the hash of its name: that saves most of the memory and of the
// time to compare, and webhooks of two buckets with the same hash are told apart by asking them.
type posting struct {
	bucket uint64
	entry  *entry
}

// seed keeps those who choose filter values from choosing hashes.
var seed = maphash.MakeSeed()

func comparePostings(a, b posting) int {
	if a.bucket != b.bucket {
		return cmp.Compare(a.bucket, b.bucket)
	}
	return strings.Compare(a.entry.id, b.entry.id)
}

func lessPosting(a, b posting) bool {
	return a.bucket < b.bucket || a.bucket == b.bucket && a.entry.id < b.entry.id
}

// index is a persistent structure: a copy shares everything with its original until either is changed.
type index struct {
	postings *btree.BTreeG[posting]
	shapes   map[string]*[shapes]int // webhooks by event type and shape; replaced when changed
}

func newIndex() index {
	return index{
		postings: btree.NewBTreeGOptions(lessPosting, btree.Options{NoLocks: true, Degree: degree}),
		shapes:   map[string]*[shapes]int{},
	}
}

// copy returns an index to change. Nobody may change the original any more.
func (x index) copy() index {
	next := index{postings: x.postings.Copy(), shapes: make(map[string]*[shapes]int, len(x.shapes))}
	for eventType, counts := range x.shapes {
		own := *counts
		next.shapes[eventType] = &own
	}
	return next
}

func (x index) add(e *entry) {
	for _, eventType := range eventTypes(e) {
		x.count(eventType, shapeOf(&e.webhook.Filters, eventType), 1)
		eachBucket(&e.webhook.Filters, eventType, func(bucket uint64) { x.postings.Set(posting{bucket, e}) })
	}
}

func (x index) remove(e *entry) {
	for _, eventType := range eventTypes(e) {
		x.count(eventType, shapeOf(&e.webhook.Filters, eventType), -1)
		eachBucket(&e.webhook.Filters, eventType, func(bucket uint64) { x.postings.Delete(posting{bucket, e}) })
	}
}

// replace puts an entry in place of one with the same id.
func (x index) replace(old, e *entry) {
	if !slices.Equal(old.webhook.Events, e.webhook.Events) || !sameFilters(&old.webhook.Filters, &e.webhook.Filters) {
		x.remove(old)
		x.add(e)
		return
	}
	for _, eventType := range eventTypes(e) {
		eachBucket(&e.webhook.Filters, eventType, func(bucket uint64) { x.postings.Set(posting{bucket, e}) })
	}
}

func sameFilters(a, b *holdfast.Filters) bool {
	return same(a.JobTypes, b.JobTypes) && same(a.Priorities, b.Priorities) &&
		same(a.MachineIDs, b.MachineIDs) && same(a.WorkerIDs, b.WorkerIDs)
}

// same tells an empty filter from none, as matching does.
func same[T comparable](a, b []T) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// fill puts many entries into an empty index.
func (x index) fill(entries []*entry) {
	postings := make([]posting, 0, 4*len(entries))
	for _, e := range entries {
		for _, eventType := range eventTypes(e) {
			x.count(eventType, shapeOf(&e.webhook.Filters, eventType), 1)
			eachBucket(&e.webhook.Filters, eventType, func(bucket uint64) { postings = append(postings, posting{bucket, e}) })
		}
	}
	slices.SortFunc(postings, comparePostings)
	for _, p := range slices.Compact(postings) { // a filter may name a value twice
		x.postings.Load(p) // in order, which costs no search
	}
}

func (x index) count(eventType string, shape, n int) {
	counts := x.shapes[eventType]
	if counts == nil {
		counts = new([shapes]int)
		x.shapes[eventType] = counts
	}
	counts[shape] += n
}

// find calls found for the webhooks of the buckets that the event belongs to, which are those that want it and, by chance,
// others. ordered tells that they came by id and each once.
func (x index) find(e *holdfast.Event, facts func() *holdfast.Facts, found func(*entry)) (ordered bool) {
	counts := x.shapes[e.Type]
	if counts == nil {
		return true
	}
	from := 0
	for shape, webhooks := range counts {
		if webhooks == 0 {
			continue
		}
		f := &holdfast.Facts{}
		if shape != 0 {
			f = facts()
		}
		bucket, hit := bucketOf(e.Type, shape, f), false
		x.postings.Ascend(posting{bucket, beforeAll}, func(p posting) bool {
			if p.bucket != bucket {
				return false
			}
			found(p.entry)
			hit = true
			return true
		})
		if hit {
			from++
		}
	}
	return from <= 1
}

// beforeAll is an entry that comes before every other in a bucket.
var beforeAll = &entry{}

// eventTypes lists the types of an entry, each once: the original may have stored one twice.
func eventTypes(e *entry) []string {
	types := e.webhook.Events
	for i, t := range types {
		if slices.Contains(types[:i], t) {
			types = slices.Clone(types)
			slices.Sort(types)
			return slices.Compact(types)
		}
	}
	return types
}

// shapeOf is the shape that a webhook with the filters has for an event type.
func shapeOf(f *holdfast.Filters, eventType string) int {
	if f.None() {
		return 0
	}
	type dimension struct{ bit, values int }
	var filters []dimension
	for _, d := range []struct {
		set bool
		dimension
	}{
		{f.JobTypes != nil, dimension{byJobType, len(f.JobTypes)}},
		{f.Priorities != nil, dimension{byPriority, len(f.Priorities)}},
		{f.MachineIDs != nil, dimension{byMachine, len(f.MachineIDs)}},
		// Worker filters do not apply to workflow_completed (CONTRACT 3.3).
		{f.WorkerIDs != nil && eventType != "workflow_completed", dimension{byWorker, len(f.WorkerIDs)}},
	} {
		if d.set {
			filters = append(filters, d.dimension)
		}
	}
	slices.SortStableFunc(filters, func(a, b dimension) int { return a.values - b.values })
	shape, buckets := 0, 1
	for i, d := range filters {
		if buckets *= 1 + d.values; i > 0 && buckets > maxBuckets {
			break
		}
		shape |= d.bit
	}
	return shape
}

// eachBucket calls yield with every bucket that a webhook with the filters is in for an event type, some more than once.
func eachBucket(f *holdfast.Filters, eventType string, yield func(bucket uint64)) {
	shape := shapeOf(f, eventType)
	var facts holdfast.Facts
	var choose func(bit int)
	choose = func(bit int) {
		switch {
		case bit == shapes:
			yield(bucketOf(eventType, shape, &facts))
			return
		case shape&bit == 0:
			choose(bit << 1)
			return
		}
		choose(bit << 1) // the event does not carry the field
		switch bit {
		case byJobType:
			eachValue(f.JobTypes, &facts.JobType, bit, choose)
		case byPriority:
			eachValue(f.Priorities, &facts.Priority, bit, choose)
		case byMachine:
			eachValue(f.MachineIDs, &facts.MachineID, bit, choose)
		case byWorker:
			eachValue(f.WorkerIDs, &facts.WorkerID, bit, choose)
		}
	}
	choose(1)
}

func eachValue[T any](values []T, fact **T, bit int, choose func(int)) {
	for i := range values {
		*fact = &values[i]
		choose(bit << 1)
	}
	*fact = nil
}

// bucketOf is the bucket of a shape that an event with the facts belongs to.
func bucketOf(eventType string, shape int, facts *holdfast.Facts) uint64 {
	var room [96]byte
	b := append(append(room[:0], eventType...), 0, byte(shape))
	carried := len(b)
	b = append(b, 0)
	text := func(bit int, value *string) {
		if shape&bit != 0 && value != nil {
			b[carried] |= byte(bit)
			b = binary.AppendUvarint(b, uint64(len(*value)))
			b = append(b, *value...)
		}
	}
	text(byJobType, facts.JobType)
	if shape&byPriority != 0 && facts.Priority != nil {
		b[carried] |= byPriority
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(*facts.Priority+0)) // -0 is 0
	}
	text(byMachine, facts.MachineID)
	text(byWorker, facts.WorkerID)
	return maphash.Bytes(seed, b)
}

func byID(a, b *entry) int { return strings.Compare(a.id, b.id) }
