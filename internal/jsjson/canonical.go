// Package jsjson rewrites JSON into the bytes that JavaScript's JSON.stringify(JSON.parse(text)) gives. Receivers of the
// replaced service verify signatures over re-serialised JSON, so a body must survive that round trip unchanged
// (CONTRACT 4.3).
package jsjson

import (
	"fmt"
	"hash/maphash"
	"sync"
)

// MaxDepth is how deep arrays and objects may nest. It bounds the stack here and in every receiver.
const MaxDepth = 512

// SyntaxError says where a text stops being acceptable JSON (RFC 8259).
type SyntaxError struct {
	// Offset is the 0-based byte position in the text, counted after invalid UTF-8 was replaced.
	Offset int
	// Msg names the broken rule. It never quotes the text.
	Msg string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Msg)
}

// Canonical appends to dst the bytes JSON.stringify(JSON.parse(src)) would give and returns the extended slice. src holds
// exactly one JSON value with optional white space around it; invalid UTF-8 in it counts as U+FFFD, as in a JavaScript
// string decoded from those bytes. A number beyond the range of a double becomes null. dst and src must not overlap.
// The error is a *SyntaxError, and dst is then returned as it was.
func Canonical(dst, src []byte) ([]byte, error) { return rewrite(dst, src, false) }

// CanonicalObject is Canonical for texts whose value must be an object.
func CanonicalObject(dst, src []byte) ([]byte, error) { return rewrite(dst, src, true) }

func rewrite(dst, src []byte, objectOnly bool) ([]byte, error) {
	r := rewriters.Get().(*rewriter)
	r.src, r.dst, r.pos, r.kept = wellFormed(src), dst, 0, 0
	err := r.document(objectOnly)
	out := r.dst
	r.src, r.dst = nil, nil
	r.members = r.members[:0]
	if cap(r.scratch) <= maxPooledScratch && cap(r.members) <= maxPooledMembers {
		rewriters.Put(r)
	}
	if err != nil {
		return dst, err
	}
	return out, nil
}

// One huge event must not pin its scratch memory for ever.
const (
	maxPooledScratch = 256 << 10
	maxPooledMembers = 4096
)

var rewriters = sync.Pool{New: func() any { return new(rewriter) }}

// seed makes key hashes unpredictable, so that no input can be built to collide.
var seed = maphash.MakeSeed()

// rewriter walks src once. As long as the bytes read are the bytes to write, nothing is copied: src[kept:pos] is output
// not yet appended to dst. So a text that is canonical already costs one scan and one copy.
type rewriter struct {
	src, dst  []byte
	pos, kept int

	members []member // of all open objects, innermost last
	table   []int32  // hash table of duplicates
	order   []int32  // permutation of members
	scratch []byte   // an object under rearrangement
}

// at is the position the next byte will have in the output.
func (r *rewriter) at() int { return len(r.dst) + r.pos - r.kept }

// flush brings dst up to the read position.
func (r *rewriter) flush() { r.flushTo(r.pos) }

func (r *rewriter) flushTo(pos int) {
	r.dst = append(r.dst, r.src[r.kept:pos]...)
	r.kept = r.pos
}

func (r *rewriter) fail(msg string) error {
	if r.pos >= len(r.src) {
		msg = "unexpected end"
	}
	return &SyntaxError{Offset: r.pos, Msg: msg}
}

func (r *rewriter) document(objectOnly bool) error {
	r.space()
	if objectOnly && r.peek() != '{' {
		return r.fail("must be an object")
	}
	if err := r.value(0); err != nil {
		return err
	}
	r.space()
	if r.pos < len(r.src) {
		return r.fail("unexpected data after the value")
	}
	r.flush()
	return nil
}

// peek is the byte at the read position, 0 at the end. A NUL byte is an error wherever peek is used, as the end is.
func (r *rewriter) peek() byte {
	if r.pos < len(r.src) {
		return r.src[r.pos]
	}
	return 0
}

// space skips white space and leaves it out of the output.
func (r *rewriter) space() {
	start := r.pos
	for r.pos < len(r.src) {
		if c := r.src[r.pos]; c > ' ' || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			break
		}
		r.pos++
	}
	if r.pos > start {
		r.flushTo(start)
	}
}

func (r *rewriter) value(depth int) error {
	switch c := r.peek(); {
	case c == '"':
		_, err := r.text()
		return err
	case c == '{':
		return r.object(depth + 1)
	case c == '[':
		return r.array(depth + 1)
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case c == 't':
		return r.literal("true")
	case c == 'f':
		return r.literal("false")
	case c == 'n':
		return r.literal("null")
	}
	return r.fail("expected a value")
}

func (r *rewriter) literal(word string) error {
	for i := range len(word) {
		if r.peek() != word[i] {
			return r.fail("expected " + word)
		}
		r.pos++
	}
	return nil
}

func (r *rewriter) array(depth int) error {
	if depth > MaxDepth {
		return r.fail(tooDeep)
	}
	r.pos++
	r.space()
	if r.peek() == ']' {
		r.pos++
		return nil
	}
	for {
		if err := r.value(depth); err != nil {
			return err
		}
		r.space()
		switch r.peek() {
		case ',':
			r.pos++
			r.space()
		case ']':
			r.pos++
			return nil
		default:
			return r.fail("expected , or ]")
		}
	}
}

var tooDeep = fmt.Sprintf("nested more than %d levels deep", MaxDepth)
