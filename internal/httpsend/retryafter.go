package httpsend

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/emprops/holdfast"
)

// retryAfter reads a Retry-After header (RFC 9110 section 10.2.3): seconds, or a date that is taken relative to now. It
// returns milliseconds, at most holdfast.MaxRetryDelayMS; 0 when there is nothing to wait for (D37).
func retryAfter(header http.Header, now time.Time) int64 {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > holdfast.MaxRetryDelayMS/1000 {
			return holdfast.MaxRetryDelayMS // too large a number is a very long wait, not none
		}
		return seconds * 1000
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now).Milliseconds(), 0), holdfast.MaxRetryDelayMS)
}
