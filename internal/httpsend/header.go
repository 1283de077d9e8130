package httpsend

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/emprops/holdfast"
)

// reserved are the headers, in lower case, that custom ones never touch (D58). Registration refuses them; a webhook that
// the original stored may still carry them.
var reserved = map[string]bool{
	"content-type": true, "content-length": true, "user-agent": true, "host": true, "connection": true,
	"transfer-encoding": true, "te": true, "trailer": true, "upgrade": true, "keep-alive": true, "expect": true,
	"proxy-connection": true, "proxy-authorization": true, "accept-encoding": true,
	"x-webhook-event": true, "x-webhook-id": true, "x-event-id": true, "x-webhook-signature": true,
	HeaderStandardID: true, HeaderStandardTimestamp: true, HeaderStandardSignature: true,
}

// header builds the request's headers. Names go into the map as they are to be spelled on the wire (CONTRACT 4.2): the
// setters of http.Header would write X-Webhook-Id. ok is false when a custom header cannot be sent.
func (s *Sender) header(w *holdfast.Webhook, e *holdfast.Event, body []byte, now time.Time) (h http.Header, ok bool) {
	const own = 10
	h = make(http.Header, own+len(w.Headers))
	values := make([]string, 0, own+len(w.Headers)) // one array for all
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	set("Content-Type", "application/json")
	set("User-Agent", s.userAgent)
	set("Accept", "*/*")
	for name, value := range w.Headers {
		lower := strings.ToLower(name)
		switch {
		case reserved[lower]:
			continue
		case !validName(name) || !validValue(value):
			return nil, false
		case lower == "accept":
			delete(h, "Accept")
		case lower == "idempotency-key" || lower == "x-idempotency-key":
			// Under its canonical name http.Transport takes this as leave to send the request again by itself. An
			// attempt is one request.
			name = lower
		}
		set(name, value)
	}
	set("X-Webhook-Event", e.Type)
	set("X-Webhook-ID", w.ID)
	set("X-Event-ID", e.ID)
	timestamp := now.Unix()
	set(HeaderStandardID, e.ID)
	set(HeaderStandardTimestamp, strconv.FormatInt(timestamp, 10))
	if w.Secret != "" {
		set(HeaderSignature, Legacy(w.Secret, body))
		set(HeaderStandardSignature, Standard(w.Secret, e.ID, timestamp, body))
	}
	return h, true
}

// validName tells whether s is a token of RFC 9110 section 5.6.2.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// validValue tells whether s can be a field value (RFC 9110 section 5.5).
func validValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
