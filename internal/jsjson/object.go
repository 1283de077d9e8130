package jsjson

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"slices"
)

// member is one member of an open object; positions are those in the output.
type member struct {
	key, keyEnd     int // with the quotes
	value, valueEnd int
	hash            uint64 // of the key; unused for an index
	index           int64  // the key as array index, notIndex when it is none
	dropped         bool   // a duplicate whose value moved to the first place
}

const (
	notIndex = -1
	// maxIndex is the largest array index of ECMA-262 section 6.1.7: 2^32 - 2.
	maxIndex = 1<<32 - 2
	// scanLimit is the number of members up to which comparing all pairs beats a hash table.
	scanLimit = 12
)

func (r *rewriter) object(depth int) error {
	if depth > MaxDepth {
		return r.fail(tooDeep)
	}
	start, base := r.at(), len(r.members)
	last, names, ordered := int64(notIndex), 0, true
	r.pos++
	r.space()
	if r.peek() == '}' {
		r.pos++
		return nil
	}
	for {
		if r.peek() != '"' {
			return r.fail("expected a string as key")
		}
		m := member{key: r.at()}
		key, err := r.text()
		if err != nil {
			return err
		}
		m.keyEnd = m.key + len(key)
		if m.index = arrayIndex(key[1 : len(key)-1]); m.index == notIndex {
			m.hash = maphash.Bytes(seed, key)
			names++
		} else {
			// Engines list array indexes first, ascending (ECMA-262 section 10.1.11).
			ordered = ordered && names == 0 && m.index > last
			last = m.index
		}
		r.space()
		if r.peek() != ':' {
			return r.fail("expected :")
		}
		r.pos++
		r.space()
		m.value = r.at()
		if err := r.value(depth); err != nil {
			return err
		}
		m.valueEnd = r.at()
		r.members = append(r.members, m)
		r.space()
		c := r.peek()
		if c == ',' {
			r.pos++
			r.space()
			continue
		}
		if c != '}' {
			return r.fail("expected , or }")
		}
		members := r.members[base:]
		if duplicates := r.mergeDuplicates(members, names); duplicates || !ordered {
			r.rearrange(members, start)
		}
		r.members = r.members[:base]
		r.pos++
		return nil
	}
}

// mergeDuplicates gives the first of several members with one name the value of the last and drops the others, and
// tells whether there were any. Index keys are left to rearrange.
func (r *rewriter) mergeDuplicates(members []member, names int) bool {
	if names < 2 {
		return false
	}
	if len(members) > scanLimit {
		return r.mergeByTable(members)
	}
	found := false
	for i := 1; i < len(members); i++ {
		for j := range i {
			if members[i].hash == members[j].hash && r.merge(members, j, i) {
				found = true
				break
			}
		}
	}
	return found
}

func (r *rewriter) mergeByTable(members []member) bool {
	size := 1
	for size < 2*len(members) {
		size *= 2
	}
	r.table = slices.Grow(r.table[:0], size)[:size]
	clear(r.table)
	found := false
	for i := range members {
		if members[i].index != notIndex {
			continue
		}
		slot := members[i].hash & uint64(size-1)
		for ; r.table[slot] != 0; slot = (slot + 1) & uint64(size-1) {
			j := int(r.table[slot] - 1)
			if members[i].hash == members[j].hash && r.merge(members, j, i) {
				found = true
				break
			}
		}
		if !members[i].dropped {
			r.table[slot] = int32(i + 1)
		}
	}
	return found
}

// merge moves the value of member later to member first if both have the same name.
func (r *rewriter) merge(members []member, first, later int) bool {
	a, b := &members[first], &members[later]
	if a.index != notIndex || b.index != notIndex || a.dropped {
		return false
	}
	r.flush()
	if !bytes.Equal(r.dst[a.key:a.keyEnd], r.dst[b.key:b.keyEnd]) {
		return false
	}
	a.value, a.valueEnd = b.value, b.valueEnd
	b.dropped = true
	return true
}

// rearrange rewrites the object that begins at start in the output, the closing brace still to come: index keys ascending,
// the last of equal ones, then the other members in their order.
func (r *rewriter) rearrange(members []member, start int) {
	r.flush()
	r.order = r.order[:0]
	for i := range members {
		if members[i].index != notIndex {
			r.order = append(r.order, int32(i))
		}
	}
	slices.SortFunc(r.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(members[a].index, members[b].index), cmp.Compare(a, b))
	})
	out := append(r.scratch[:0], '{')
	for i, at := range r.order {
		if i+1 < len(r.order) && members[r.order[i+1]].index == members[at].index {
			continue
		}
		out = r.appendMember(out, &members[at])
	}
	for i := range members {
		if members[i].index == notIndex && !members[i].dropped {
			out = r.appendMember(out, &members[i])
		}
	}
	r.scratch = out
	r.dst = append(r.dst[:start], out...)
}

func (r *rewriter) appendMember(out []byte, m *member) []byte {
	if len(out) > 1 {
		out = append(out, ',')
	}
	out = append(out, r.dst[m.key:m.keyEnd]...)
	out = append(out, ':')
	return append(out, r.dst[m.value:m.valueEnd]...)
}

// arrayIndex reads a canonical array index: decimal, without leading zeros, at most maxIndex.
func arrayIndex(key []byte) int64 {
	if len(key) == 0 || len(key) > 10 || key[0] == '0' && len(key) > 1 {
		return notIndex
	}
	n := int64(0)
	for _, c := range key {
		if c < '0' || c > '9' {
			return notIndex
		}
		n = n*10 + int64(c-'0')
	}
	if n > maxIndex {
		return notIndex
	}
	return n
}
