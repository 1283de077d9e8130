// Package alerting carries alerts to a URL where people are told of them.
package alerting

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/emprops/holdfast"
)

// DefaultTimeout bounds one post when Config.Timeout is zero.
const DefaultTimeout = 10 * time.Second

// source tells the receiver of many systems' alerts whose these are.
const source = "holdfast"

// Config says where alerts go.
type Config struct {
	URL     string
	Token   string // sent as a bearer token when set
	Timeout time.Duration
}

// Poster posts alerts. It is safe for concurrent use.
type Poster struct {
	url   string
	token string
	http  *http.Client
}

// New checks the configuration; nothing is called yet. The error is CodeInvalid and repeats no part of the URL, which may
// hold a credential.
func New(cfg Config) (*Poster, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "alerts.url must be an absolute http or https URL")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Poster{url: cfg.URL, token: cfg.Token, http: &http.Client{
		Timeout: cfg.Timeout,
		// A redirect would carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Notice is the body of a post.
type Notice struct {
	Kind       holdfast.AlertKind `json:"kind"`
	Subject    string             `json:"subject"`
	Message    string             `json:"message"`
	RaisedAt   int64              `json:"raised_at"`             // ms
	ResolvedAt int64              `json:"resolved_at,omitempty"` // ms; absent while the alert is open
	Count      int64              `json:"count"`
	Source     string             `json:"source"`
}

// Post sends the alert once. The same beginning or end of an alert carries the same Idempotency-Key however often it is
// posted. Errors are CodeUnavailable, with a text that names neither URL nor token: whatever the answer outside 2xx, the
// other side can put it right.
func (p *Poster) Post(ctx context.Context, a holdfast.Alert) error {
	body, err := json.Marshal(Notice{
		Kind: a.Kind, Subject: a.Subject, Message: a.Message, RaisedAt: a.RaisedAt, ResolvedAt: a.ResolvedAt, Count: a.Count,
		Source: source,
	})
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "encode an alert")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, bare(err), "build the post of an alert")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key(a))
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, bare(err), "posting an alert: no answer")
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return holdfast.Errorf(holdfast.CodeUnavailable, "posting an alert: answered with HTTP %d", resp.StatusCode)
	}
	return nil
}

// key names one beginning or end of an alert, in characters that a header may hold.
func key(a holdfast.Alert) string {
	return url.QueryEscape(a.ID()) + "/" + strconv.FormatInt(a.RaisedAt, 10) + "/" + strconv.FormatInt(a.ResolvedAt, 10)
}

// bare drops the URL that net/http puts around its errors.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
