package httpsend

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emprops/holdfast"
)

// readBody reads a response body to its end, keeping the first maxResponse bytes (D33). Past them it reads at most
// drain bytes more: a connection whose body was read to the end can be used again, a longer body is not worth it.
func (s *Sender) readBody(body io.Reader) (stored string, err error) {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	n, err := fill(body, *buf)
	stored = storedBody((*buf)[:n], s.maxResponse)
	for drained := 0; err == nil && drained < s.drain; drained += n {
		n, err = fill(body, *buf)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return stored, err
}

// fill reads until buf is full or an error comes. Unlike io.ReadFull it leaves the error as it is: an unexpected end
// differs from the end.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// storedBody is what is kept of a body: valid UTF-8 of at most limit bytes, and a mark when that is not all.
func storedBody(body []byte, limit int) string {
	// The bound cuts before the repair too, lest half a character at the cut become a replacement character.
	cut := len(body) > limit
	if cut {
		body = body[:boundary(body, limit)]
	}
	text := strings.ToValidUTF8(string(body), "\ufffd")
	if len(text) > limit {
		cut = true
		text = text[:boundary([]byte(text), limit)]
	}
	if cut {
		text += holdfast.TruncationMark
	}
	return text
}

// boundary is the largest position up to limit that does not split a character.
func boundary(b []byte, limit int) int {
	for at := limit; at > 0 && at > limit-utf8.UTFMax; at-- {
		if utf8.RuneStart(b[at]) {
			return at
		}
	}
	return limit // not UTF-8 at all
}
