package httpsend

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/emprops/holdfast"
)

// Headers of the validation handshake (CloudEvents Web Hooks 1.0, section 4).
const (
	headerRequestOrigin = "WebHook-Request-Origin"
	headerRequestRate   = "WebHook-Request-Rate"
	headerAllowedOrigin = "WebHook-Allowed-Origin"
	headerAllowedRate   = "WebHook-Allowed-Rate"
)

// headers collects a request's headers. Names go into the map as they are to be spelled on the wire (CONTRACT 4.2): the
// setters of http.Header would write X-Webhook-Id.
type headers struct {
	http.Header
	values []string // one array for all
}

func (h *headers) set(name, value string) {
	h.values = append(h.values, value)
	at := len(h.values)
	h.Header[name] = h.values[at-1 : at : at]
}

// baseHeaders are those of every request to the webhook. bad says which of them cannot be sent.
func (s *Sender) baseHeaders(w *holdfast.Webhook) (h headers, bad string) {
	const own = 12
	h = headers{make(http.Header, own+len(w.Headers)), make([]string, 0, own+len(w.Headers))}
	h.set("User-Agent", s.userAgent)
	h.set("Accept", "*/*")
	for name, value := range w.Headers {
		lower := strings.ToLower(name)
		switch {
		case holdfast.ReservedHeader(name):
			continue // registration refuses it; a webhook that the original stored may still carry it (D58)
		case lower == "authorization" && w.Authorization != "":
			continue
		case !validName(name) || !validValue(value):
			return h, "a custom header has an invalid name or value"
		case lower == "accept":
			delete(h.Header, "Accept")
		case lower == "idempotency-key" || lower == "x-idempotency-key":
			// Under its canonical name http.Transport takes this as leave to send the request again by itself. An
			// attempt is one request.
			name = lower
		}
		h.set(name, value)
	}
	if w.Authorization != "" {
		if !validValue(w.Authorization) {
			return h, "the webhook's authorization cannot be sent in a header"
		}
		h.set("Authorization", w.Authorization)
	}
	if w.Handshake {
		h.set(headerRequestOrigin, s.origin) // on every request after the handshake, too (section 4.1.2)
	}
	return h, ""
}

// header builds the headers of a delivery of the body.
func (s *Sender) header(w *holdfast.Webhook, e *holdfast.Event, body []byte, contentType string, now time.Time) (_ http.Header, bad string) {
	h, bad := s.baseHeaders(w)
	if bad != "" {
		return nil, bad
	}
	h.set("Content-Type", contentType)
	h.set("X-Webhook-Event", e.Type)
	h.set("X-Webhook-ID", w.ID)
	h.set("X-Event-ID", e.ID)
	timestamp := now.Unix()
	h.set(HeaderStandardID, e.ID)
	h.set(HeaderStandardTimestamp, strconv.FormatInt(timestamp, 10))
	if w.Secret != "" {
		h.set(HeaderSignature, Legacy(w.Secret, body))
	}
	signatures, err := signatures(w, e.ID, now, body)
	if err != nil {
		return nil, "the webhook's signing key is not an Ed25519 private key"
	}
	if signatures != "" {
		h.set(HeaderStandardSignature, signatures)
	}
	return h.Header, ""
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
