package jsjson

import (
	"math"
	"strconv"
)

// exactDigits is the number of significant decimal digits that every double keeps: a number of at most so many digits in
// plain notation is its own shortest form.
const exactDigits = 15

// number reads a number of RFC 8259 section 6 and writes it as Number::toString of ECMA-262 (section 6.1.6.1.20) does.
func (r *rewriter) number() error {
	start := r.pos
	if r.src[r.pos] == '-' {
		r.pos++
	}
	intStart := r.pos
	switch c := r.peek(); {
	case c == '0':
		r.pos++
	case c >= '1' && c <= '9':
		r.digits()
	default:
		return r.fail("expected a digit")
	}
	whole := r.pos - intStart
	zero := r.src[intStart] == '0'
	// plain: the text is canonical as it stands, as far as seen.
	plain := whole <= exactDigits
	if r.peek() == '.' {
		r.pos++
		from := r.pos
		if !r.digits() {
			return r.fail("expected a digit after the point")
		}
		fraction := r.src[from:r.pos]
		plain = whole+len(fraction) <= exactDigits && fraction[len(fraction)-1] != '0' &&
			// From the seventh place on a fraction is written with an exponent.
			(!zero || leadingZeros(fraction) < 6)
	} else if zero && intStart > start {
		plain = false // -0 is written 0
	}
	if c := r.peek(); c == 'e' || c == 'E' {
		r.pos++
		if c := r.peek(); c == '+' || c == '-' {
			r.pos++
		}
		if !r.digits() {
			return r.fail("expected a digit in the exponent")
		}
		plain = false
	}
	if plain {
		return nil
	}
	// The grammar is checked, so the only error left is a value out of range, which comes as ±Inf.
	f, _ := strconv.ParseFloat(string(r.src[start:r.pos]), 64)
	r.flushTo(start)
	r.dst = appendNumber(r.dst, f)
	return nil
}

// digits skips decimal digits and tells whether there was one.
func (r *rewriter) digits() bool {
	start := r.pos
	for r.pos < len(r.src) && r.src[r.pos]-'0' <= 9 {
		r.pos++
	}
	return r.pos > start
}

func leadingZeros(digits []byte) int {
	n := 0
	for n < len(digits) && digits[n] == '0' {
		n++
	}
	return n
}

// appendNumber writes a double as JSON.stringify does; infinities have no JSON form and become null.
func appendNumber(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case math.IsInf(f, 0):
		return append(dst, "null"...)
	case f == 0:
		return append(dst, '0') // also for -0
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes at least two digits of exponent, JavaScript as few as needed: e-07 is e-7.
	if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}
