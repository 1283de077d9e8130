package httpsend

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/emprops/holdfast"
)

// Handshake asks the webhook's endpoint for its consent when the webhook wants that (Handshake), with the validation
// request of CloudEvents Web Hooks 1.0, section 4: OPTIONS with WebHook-Request-Origin, answered by
// WebHook-Allowed-Origin with that origin or "*". As the specification has it, consent is the header, whatever the
// status. A WebHook-Allowed-Rate below the webhook's own RateLimit is a refusal of that rate; without a RateLimit of its
// own the webhook is slowed down by the endpoint's 429 answers.
//
// It makes one request under the deadline and the address policy of an attempt. An endpoint that does not answer or does
// not consent is a CodeInvalid error with a violation of the field "url" (or "rateLimit"); CodeUnavailable means that
// nothing is known about the endpoint, since ctx ended or this node cannot open a connection.
func (s *Sender) Handshake(ctx context.Context, w *holdfast.Webhook) error {
	switch {
	case !w.Handshake:
		return nil
	case ctx.Err() != nil:
		return cancelledWhile(ctx, "the endpoint's validation handshake")
	}
	c, attempt, cancel := s.begin(ctx)
	defer cancel()
	req, bad := newRequest(attempt, http.MethodOptions, w.URL, http.NoBody)
	if bad != "" {
		return invalidURL("cannot be asked for consent: " + bad)
	}
	h, bad := s.baseHeaders(w)
	if bad != "" {
		return invalidURL("cannot be asked for consent: " + bad)
	}
	if w.RateLimit > 0 {
		h.set(headerRequestRate, strconv.FormatFloat(perMinute(w.RateLimit), 'f', 0, 64))
	}
	req.Header = h.Header
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		f, err := s.unanswered(ctx, c, err)
		if err != nil {
			return err
		}
		return invalidURL("did not answer the validation handshake: " + f.message)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		// To its end, so that the connection serves the first delivery. The headers have decided.
		_, _ = s.readBody(resp.Body)
	}
	return consent(resp, s.origin, w.RateLimit)
}

// perMinute is a rate per second as the handshake counts it, in whole requests per minute.
func perMinute(perSecond float64) float64 { return math.Ceil(perSecond * 60) }

// consent reads the answer to a validation request.
func consent(resp *http.Response, origin string, rateLimit float64) error {
	origins := resp.Header.Values(headerAllowedOrigin)
	switch {
	case len(origins) == 0:
		return invalidURL(fmt.Sprintf("does not consent to the delivery of events: its answer to OPTIONS (HTTP %d) has no %s header",
			resp.StatusCode, headerAllowedOrigin))
	case !allows(origins, origin):
		return invalidURL(fmt.Sprintf("does not consent to the delivery of events: the %s header of its answer names neither %s nor *",
			headerAllowedOrigin, origin))
	}
	text := strings.TrimSpace(resp.Header.Get(headerAllowedRate))
	if text == "" || text == "*" {
		return nil
	}
	rate, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || rate <= 0:
		return invalidURL(fmt.Sprintf("answers the validation handshake with a %s header that is neither a positive number nor *", headerAllowedRate))
	case rateLimit > 0 && perMinute(rateLimit) > float64(rate):
		return holdfast.Invalid([]holdfast.Violation{{Field: "rateLimit", Description: fmt.Sprintf(
			"is above the %d requests per minute that the endpoint allows", rate)}})
	}
	return nil
}

// allows compares as DNS names are compared. The header is to hold one value; several are taken as a list.
func allows(origins []string, origin string) bool {
	for _, line := range origins {
		for given := range strings.SplitSeq(line, ",") {
			if given = strings.TrimSpace(given); given == "*" || strings.EqualFold(given, origin) {
				return true
			}
		}
	}
	return false
}
