package jsjson

import "unicode/utf8"

// wellFormed returns b with invalid UTF-8 replaced as JavaScript runtimes decode it: one U+FFFD for each maximal part of
// a sequence (Encoding Standard, UTF-8 decoder). Valid input is returned as it is.
func wellFormed(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			n = maximalSubpart(b)
		}
		out = utf8.AppendRune(out, r)
		b = b[n:]
	}
	return out
}

// maximalSubpart is the length of the longest prefix of an invalid sequence that could have begun a valid one, at least 1
// (Unicode Standard, section 3.9, U+FFFD substitution of maximal subparts).
func maximalSubpart(b []byte) int {
	low, high, need := byte(0x80), byte(0xbf), 0
	switch c := b[0]; {
	case c >= 0xc2 && c <= 0xdf:
		need = 1
	case c >= 0xe0 && c <= 0xef:
		need = 2
		switch c {
		case 0xe0:
			low = 0xa0
		case 0xed:
			high = 0x9f
		}
	case c >= 0xf0 && c <= 0xf4:
		need = 3
		switch c {
		case 0xf0:
			low = 0x90
		case 0xf4:
			high = 0x8f
		}
	}
	n := 1
	for n <= need && n < len(b) && b[n] >= low && b[n] <= high {
		low, high = 0x80, 0xbf
		n++
	}
	return n
}
