package holdfast

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of what callers may send. They keep one record, header block or queue entry from growing without limit.
const (
	MaxURLLength         = 2048
	MaxSecretLength      = 512
	MaxDescriptionLength = 1024
	MaxHeaders           = 50
	MaxHeaderBytes       = 8 << 10
	MaxFilterValues      = 1000
	MaxEventIDLength     = 128
	MaxEventBytes        = 1 << 20 // of an event's data; Temporal refuses payloads over 2 MiB
	MaxIdempotencyKey    = 255
	MaxFilterExpression  = 4096
	MaxOrderingKey       = 64
	MinRateLimit         = 0.01 // attempts per second
	MaxRateLimit         = 10000
)

// reservedHeaders, in lower case, are set by the sender or by the connection; custom headers must not touch them (D58).
var reservedHeaders = map[string]bool{
	"content-type": true, "content-length": true, "content-encoding": true, "content-range": true, "user-agent": true,
	"host": true, "connection": true, "transfer-encoding": true, "te": true, "trailer": true, "upgrade": true,
	"http2-settings": true, "keep-alive": true, "expect": true, "proxy-connection": true, "proxy-authorization": true,
	"proxy-authenticate": true, "accept-encoding": true,
	"x-webhook-event": true, "x-webhook-id": true, "x-event-id": true, "x-webhook-signature": true,
	"webhook-id": true, "webhook-timestamp": true, "webhook-signature": true,
	"webhook-request-origin": true, "webhook-request-rate": true, "webhook-request-callback": true,
}

// ReservedHeader tells whether a custom header of the name, in any case, is refused because Holdfast, the connection or
// the binary mode of CloudEvents (every ce- header) gives it its value.
func ReservedHeader(name string) bool {
	lower := strings.ToLower(name)
	return reservedHeaders[lower] || strings.HasPrefix(lower, "ce-")
}

// Violations lists everything wrong with a webhook's configuration, with field paths in the API's spelling. Whether the
// target address is allowed is the address policy's business, not checked here.
func (w *Webhook) Violations() []Violation {
	v := urlViolations("url", w.URL)
	add := func(field, format string, args ...any) {
		v = append(v, Violation{field, fmt.Sprintf(format, args...)})
	}
	if len(w.Events) == 0 {
		add("eventTypes", "must name at least one event type")
	}
	seen := map[string]bool{}
	for i, e := range w.Events {
		switch {
		case !IsEventType(e):
			add(fmt.Sprintf("eventTypes[%d]", i), "%q is not an event type; known are %s", clip(e), strings.Join(EventTypes, ", "))
		case seen[e]:
			add(fmt.Sprintf("eventTypes[%d]", i), "%q is named twice", e)
		}
		seen[e] = true
	}
	if len(w.Secret) > MaxSecretLength {
		add("secret", "must not be longer than %d bytes", MaxSecretLength)
	}
	if !utf8.ValidString(w.Secret) {
		add("secret", "must be valid UTF-8")
	}
	if len(w.Description) > MaxDescriptionLength {
		add("description", "must not be longer than %d bytes", MaxDescriptionLength)
	}
	v = append(v, headerViolations(w.Headers)...)
	for _, filter := range []struct {
		field  string
		values int
	}{
		{"filters.jobTypes", len(w.Filters.JobTypes)},
		{"filters.priorities", len(w.Filters.Priorities)},
		{"filters.machineIds", len(w.Filters.MachineIDs)},
		{"filters.workerIds", len(w.Filters.WorkerIDs)},
	} {
		if filter.values > MaxFilterValues {
			add(filter.field, "must not have more than %d values", MaxFilterValues)
		}
	}
	for i, p := range w.Filters.Priorities {
		if math.IsNaN(p) || math.IsInf(p, 0) {
			add(fmt.Sprintf("filters.priorities[%d]", i), "must be a number")
		}
	}
	v = append(v, w.extraViolations()...)
	return append(v, w.RetryConfig.Violations("retryPolicy.")...)
}

// extraViolations checks what the original does not have. Whether a filter expression compiles is the compiler's business.
func (w *Webhook) extraViolations() []Violation {
	var v []Violation
	add := func(bad bool, field, text string) {
		if bad {
			v = append(v, Violation{field, text})
		}
	}
	add(w.Format != "" && !slices.Contains(PayloadFormats(), w.Format), "format", "must be envelope, standard or cloudevents")
	add(len(w.Filter) > MaxFilterExpression, "filterExpression", "must not be longer than 4096 bytes")
	add(!(w.RateLimit == 0 || w.RateLimit >= MinRateLimit && w.RateLimit <= MaxRateLimit), "rateLimit", "must be 0 or between 0.01 and 10000 attempts per second")
	add(len(w.OrderingKey) > MaxOrderingKey || strings.ContainsFunc(w.OrderingKey, func(r rune) bool { return r <= ' ' || r == utf8.RuneError }),
		"orderingKey", "must be a field name of at most 64 bytes")
	scheme, rest, _ := strings.Cut(w.Authorization, " ")
	add(w.Authorization != "" && (rest == "" || scheme != "Basic" && scheme != "Bearer" || !isVisible(rest)),
		"authorization", "must be a user with a password, or a bearer token, of visible characters")
	add(len(w.Authorization) > MaxHeaderBytes, "authorization", "is too long")
	for name := range w.Headers {
		add(w.Authorization != "" && strings.EqualFold(name, "Authorization"), "authorization", "is given a second time in headers")
	}
	if w.SigningKey != "" {
		add(!isSigningKey(w.SigningKey), "signingKey", "must be whsk_ and an Ed25519 private key in base64")
	}
	return v
}

// isSigningKey: a key of 64 bytes ends with its public half, and one that does not match signs what nobody can verify.
func isSigningKey(s string) bool {
	encoded, ok := strings.CutPrefix(s, "whsk_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) != ed25519.SeedSize && len(key) != ed25519.PrivateKeySize {
		return false
	}
	return len(key) == ed25519.SeedSize || bytes.Equal(ed25519.NewKeyFromSeed(key[:ed25519.SeedSize]), key)
}

func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func urlViolations(field, raw string) []Violation {
	one := func(text string) []Violation { return []Violation{{field, text}} }
	switch {
	case raw == "":
		return one("is required")
	case len(raw) > MaxURLLength:
		return one(fmt.Sprintf("must not be longer than %d bytes", MaxURLLength))
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == utf8.RuneError }):
		return one("must not contain spaces or control characters")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return one("is not a valid URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return one("must begin with http:// or https://")
	case u.Hostname() == "":
		return one("must name a host")
	case u.User != nil:
		// The original fails every delivery to such a URL (CONTRACT 4.2); and a password would show wherever the URL does.
		return one("must not contain a user name or password; use headers instead")
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return one("must not contain a fragment")
	}
	return nil
}

func headerViolations(headers map[string]string) []Violation {
	var v []Violation
	if len(headers) > MaxHeaders {
		v = append(v, Violation{"headers", fmt.Sprintf("must not have more than %d entries", MaxHeaders)})
	}
	size, folded := 0, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		size += len(name) + len(value)
		field, lower := "headers."+clip(name), strings.ToLower(name)
		switch {
		case !isToken(name):
			v = append(v, Violation{field, "is not a valid header name"})
		case ReservedHeader(lower):
			v = append(v, Violation{field, "is set by Holdfast and cannot be replaced"})
		case folded[lower] != "":
			v = append(v, Violation{field, "differs from another header in case only"})
		case strings.ContainsFunc(value, func(r rune) bool { return (r < ' ' && r != '\t') || r == 0x7f }):
			v = append(v, Violation{field, "has a value with control characters"})
		}
		folded[lower] = name
	}
	if size > MaxHeaderBytes {
		v = append(v, Violation{"headers", fmt.Sprintf("must not be larger than %d bytes together", MaxHeaderBytes)})
	}
	return v
}

// isToken tells whether s is a token of RFC 9110 section 5.6.2, the form of a header name.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// Violations lists what is wrong with an event. Data is checked for size only: its form is the parser's business.
func (e *Event) Violations() []Violation {
	var v []Violation
	if !IsEventType(e.Type) {
		v = append(v, Violation{"event.type", fmt.Sprintf("%q is not an event type; known are %s", clip(e.Type), strings.Join(EventTypes, ", "))})
	}
	if e.ID != "" {
		v = append(v, eventIDViolations(e.ID)...)
	}
	if len(e.Data) > MaxEventBytes {
		v = append(v, Violation{"event.data", fmt.Sprintf("must not be larger than %d bytes", MaxEventBytes)})
	}
	if e.Timestamp < 0 {
		v = append(v, Violation{"event.timestamp", "must not be before 1970"})
	}
	return v
}

// eventIDViolations: ids become parts of Redis keys, workflow ids and header values.
func eventIDViolations(id string) []Violation {
	if len(id) > MaxEventIDLength {
		return []Violation{{"event.id", fmt.Sprintf("must not be longer than %d characters", MaxEventIDLength)}}
	}
	if strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:", r))
	}) {
		return []Violation{{"event.id", "may contain letters, digits and _ - . : only"}}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
