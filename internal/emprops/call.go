package emprops

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/emprops/holdfast"
)

const (
	maxAnswerBytes = 1 << 20
	maxReasonRunes = 200
	maxRetryAfter  = time.Hour // a longer wish of the platform would hide an outage from its operators
)

// ErrNoWebhookAPI is in the chain of the error that Confirm returns when EMPROPS has no route for webhooks at all, which
// today's platform has not (CONTRACT 7.5).
var ErrNoWebhookAPI = errors.New("no webhook API")

// errTooLarge is in the chain of the error for an answer that was not read to its end.
var errTooLarge = errors.New("answer too large")

// answer is what EMPROPS said to one call, its body decoded as far as it follows the {data,error} envelope.
type answer struct {
	operation string // method and route, for error texts
	status    int
	header    http.Header
	data      json.RawMessage // nil when absent or null
	reason    string          // the envelope's error, fit to show
}

func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

// call makes one request within the client's timeout. The error, always CodeUnavailable, means that no whole answer came.
func (c *Client) call(ctx context.Context, method, path, idempotencyKey string, body any) (*answer, error) {
	a := &answer{operation: method + " " + path}
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInternal, err, "encode the body of EMPROPS %s", a.operation)
		}
		payload = bytes.NewReader(b)
	}
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, payload)
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeInternal, bare(err), "build the request of EMPROPS %s", a.operation)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	if c.apiKey != "" {
		req.Header.Set("Authorization", "Bearer "+c.apiKey)
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.noAnswer(parent, a.operation, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, c.noAnswer(parent, a.operation, err)
	}
	if len(raw) > maxAnswerBytes {
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, errTooLarge, "EMPROPS %s: the answer is larger than %d bytes", a.operation, maxAnswerBytes)
	}
	a.status, a.header = resp.StatusCode, resp.Header
	var envelope struct{ Data, Error json.RawMessage }
	if json.Unmarshal(raw, &envelope) == nil {
		if string(envelope.Data) != "null" {
			a.data = envelope.Data
		}
		a.reason = c.readable(envelope.Error)
	}
	return a, nil
}

func (c *Client) noAnswer(parent context.Context, operation string, err error) error {
	switch {
	case parent.Err() != nil:
		return holdfast.Wrap(holdfast.CodeUnavailable, bare(err), "EMPROPS %s was given up before its answer came", operation)
	case errors.Is(err, context.DeadlineExceeded):
		return holdfast.Wrap(holdfast.CodeUnavailable, bare(err), "EMPROPS %s: no answer within %s", operation, c.timeout)
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, bare(err), "EMPROPS %s: unreachable", operation)
}

// bare drops the URL that net/http puts around its errors.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

// readable makes the envelope's error fit for messages: one line, bounded, and without our key should it be echoed.
func (c *Client) readable(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	if c.apiKey != "" {
		text = strings.ReplaceAll(text, c.apiKey, "[redacted]")
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if runes := []rune(text); len(runes) > maxReasonRunes {
		text = string(runes[:maxReasonRunes]) + "…"
	}
	return text
}

// failure translates an answer outside 2xx. CodeRejected is kept for refusals that a repetition would not change.
func (a *answer) failure() error { return a.err() }

// unavailable is failure for reads, where a refusal says nothing about a registration.
func (a *answer) unavailable() error {
	e := a.err()
	e.Code = holdfast.CodeUnavailable
	return e
}

func (a *answer) err() *holdfast.Error {
	text := "EMPROPS " + a.operation + ": "
	code := holdfast.CodeUnavailable
	switch status := a.status; {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		text += "the API key was not accepted, check EMPROPS_API_KEY"
	case status == http.StatusTooManyRequests:
		text += "too many requests"
	case status >= 300 && status < 400:
		text += "answered with a redirect, check EMPROPS_API_URL"
	case status == http.StatusNotFound || status == http.StatusRequestTimeout || status == http.StatusConflict || status == http.StatusTooEarly:
		text += "not possible now"
	case status >= 400 && status < 500:
		code = holdfast.CodeRejected
		text += "refused"
	default:
		text += "failed"
	}
	text += " (HTTP " + strconv.Itoa(a.status) + ")"
	if a.reason != "" {
		text += ": " + a.reason
	}
	e := &holdfast.Error{Code: code, Message: text}
	if code == holdfast.CodeUnavailable {
		e.RetryAfter = retryAfter(a.header, time.Now())
	}
	return e
}

// retryAfter reads Retry-After in both forms of RFC 9110 section 10.2.3; 0 when there is none or it makes no sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
