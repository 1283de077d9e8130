package httpsend

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestWait is the longest wait that is told apart, in ms: the longest time.Duration, about 292 years.
const longestWait = math.MaxInt64 / int64(time.Millisecond)

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3): seconds, or a date that is taken relative to now. It
// returns milliseconds; 0 when there is nothing to wait for or the header is none (D37). How long a wait is honoured is
// the retry policy's business, so a long one is kept as it was asked for.
func retryAfter(header http.Header, now time.Time) int64 {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > longestWait/1000 {
			return longestWait // too large a number is a very long wait, not none
		}
		return seconds * 1000
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(at.Sub(now).Milliseconds(), 0)
}
