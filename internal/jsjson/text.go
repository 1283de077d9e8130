package jsjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads a string and returns its output form with the quotes. The bytes are valid until the next read.
func (r *rewriter) text() ([]byte, error) {
	start, out, flushed := r.pos, r.at(), len(r.dst)
	r.pos++
	for {
		r.pos += plainPrefix(r.src[r.pos:])
		switch r.peek() {
		case '"':
			r.pos++
			if len(r.dst) == flushed {
				return r.src[start:r.pos], nil
			}
			r.flush()
			return r.dst[out:], nil
		case '\\':
			if err := r.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, r.fail("control character in a string")
		}
	}
}

// escape reads one escape sequence, or two that form a surrogate pair, and replaces what JSON.stringify writes otherwise.
func (r *rewriter) escape() error {
	start := r.pos
	r.pos++
	c := r.peek()
	var unit rune
	switch c {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		r.pos++
		return nil
	case '/':
		r.pos++
		unit = '/'
	case 'u':
		r.pos++
		var err error
		if unit, err = r.hex4(); err != nil {
			return err
		}
	default:
		return r.fail("unknown escape sequence")
	}
	var buf [utf8.UTFMax + 2]byte
	form := buf[:0]
	switch {
	case utf16.IsSurrogate(unit):
		if low, ok := r.lowSurrogate(); ok && unit < 0xdc00 {
			r.pos += len(`\u0000`)
			form = utf8.AppendRune(form, utf16.DecodeRune(unit, low))
		} else {
			form = appendUnit(form, unit)
		}
	case unit < utf8.RuneSelf:
		form = appendASCII(form, byte(unit))
	default:
		form = utf8.AppendRune(form, unit)
	}
	if !bytes.Equal(form, r.src[start:r.pos]) {
		r.flushTo(start)
		r.dst = append(r.dst, form...)
	}
	return nil
}

// lowSurrogate looks ahead for the escape of a low surrogate.
func (r *rewriter) lowSurrogate() (rune, bool) {
	rest := r.src[r.pos:]
	if len(rest) < len(`\u0000`) || rest[0] != '\\' || rest[1] != 'u' {
		return 0, false
	}
	ahead := rewriter{src: r.src, pos: r.pos + 2}
	unit, err := ahead.hex4()
	return unit, err == nil && unit >= 0xdc00 && unit <= 0xdfff
}

func (r *rewriter) hex4() (rune, error) {
	var unit rune
	for range 4 {
		c := r.peek()
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, r.fail("expected four hexadecimal digits")
		}
		unit = unit<<4 | rune(c)
		r.pos++
	}
	return unit, nil
}

// AppendString appends s as JSON.stringify writes a string, with the quotes. Invalid UTF-8 in s counts as U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	if !utf8.ValidString(s) {
		s = string(wellFormed([]byte(s)))
	}
	from := 0
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[from:i]...)
			dst = appendASCII(dst, c)
			from = i + 1
		}
	}
	return append(append(dst, s[from:]...), '"')
}

// appendASCII writes one character below U+0080 inside a string (QuoteJSONString, ECMA-262 section 25.5.2.3).
func appendASCII(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	if c < ' ' {
		return appendUnit(dst, rune(c))
	}
	return append(dst, c)
}

// appendUnit writes a UTF-16 code unit as a lower-case \u escape.
func appendUnit(dst []byte, unit rune) []byte {
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[unit>>12&15], hex[unit>>8&15], hex[unit>>4&15], hex[unit&15])
}

// plainPrefix is the number of leading bytes that a string holds as they are: no quote, backslash or control character.
// Eight bytes are looked at together; the lowest marked one is exact, marks above it may be borrow.
func plainPrefix(s []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		x := binary.LittleEndian.Uint64(s[n:])
		control := (x - ' '*ones) &^ x
		quote := x ^ '"'*ones
		slash := x ^ '\\'*ones
		mark := (control | (quote-ones)&^quote | (slash-ones)&^slash) & highs
		if mark != 0 {
			return n + bits.TrailingZeros64(mark)/8
		}
	}
	for n < len(s) && s[n] >= ' ' && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}
