// Package httpsend makes the HTTP request of an attempt: it builds and signs the body, keeps to the address policy and to
// every bound, and tells failures apart (CONTRACT 4.2 to 4.7).
package httpsend

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/emprops/holdfast"
)

// Defaults of Config.
const (
	DefaultTimeout          = 30 * time.Second
	DefaultMaxResponseBytes = 16 << 10
	DefaultDrainBytes       = 64 << 10
	DefaultUserAgent        = "EMP-Job-Queue-Webhook/1.0"
	DefaultMaxIdlePerHost   = 64
	DefaultSource           = "holdfast"
)

const (
	maxHeaderBytes = 64 << 10
	// maxIdle bounds the idle connections to all receivers together.
	maxIdle = 1024
	// idleTimeout is shorter than the 5 s after which common servers close an idle connection, lest a request meet a
	// connection just being closed. It is the original's value too (undici, keepAliveTimeout).
	idleTimeout = 4 * time.Second
	// dialGrace is how much longer than its attempt a dial may take: the attempt's deadline is to come first, since that
	// is what gets recorded. The dial's own only keeps it from outliving the attempt for ever.
	dialGrace = 5 * time.Second
)

// Config sets up a Sender. The zero value of a field means its default.
type Config struct {
	// Timeout is the one deadline of an attempt; it covers connecting, response headers and response body (D32).
	Timeout time.Duration
	// MaxResponseBytes is how much of a response body is kept; a cut one ends with holdfast.TruncationMark besides (D33).
	MaxResponseBytes int
	// DrainBytes is how much more of it is read, so that the connection can be used again.
	DrainBytes int
	// UserAgent is the User-Agent header.
	UserAgent string
	// Policy is checked on every address that is connected to (D50).
	Policy AddressPolicy
	// MaxIdlePerHost is how many idle connections to one receiver are kept.
	MaxIdlePerHost int
	// Source is the source attribute of CloudEvents, a URI reference.
	Source string
	// Origin is the DNS name by which this service asks endpoints for their consent (CloudEvents Web Hooks 1.0, section
	// 4.1.2); the default is the host of Policy.OwnBaseURL, or else DefaultSource.
	Origin string
	// Node is the name of this node in attempts.
	Node string
	// Now is the clock.
	Now func() time.Time
	// RootCAs are trusted instead of the system's.
	RootCAs *x509.CertPool

	resolver *net.Resolver // the system's when nil
}

// Sender sends webhooks. It is safe for concurrent use.
type Sender struct {
	timeout            time.Duration
	maxResponse, drain int
	userAgent, node    string
	source, origin     string
	now                func() time.Time
	dialer             *dialer
	transport          *http.Transport
	buffers            sync.Pool // of *[]byte, for response bodies
}

// New makes a Sender.
func New(c Config) *Sender {
	s := &Sender{
		timeout:     cmp.Or(c.Timeout, DefaultTimeout),
		maxResponse: cmp.Or(c.MaxResponseBytes, DefaultMaxResponseBytes),
		drain:       cmp.Or(c.DrainBytes, DefaultDrainBytes),
		userAgent:   cmp.Or(c.UserAgent, DefaultUserAgent),
		source:      cmp.Or(c.Source, DefaultSource),
		origin:      cmp.Or(c.Origin, c.Policy.ownHost(), DefaultSource),
		node:        c.Node,
		now:         c.Now,
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.buffers.New = func() any {
		buf := make([]byte, s.maxResponse+1) // one more, to know whether it was all
		return &buf
	}
	s.dialer = &dialer{policy: c.Policy, timeout: s.timeout + dialGrace, resolver: c.resolver, tls: &tls.Config{
		RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(maxIdle),
	}}
	s.transport = &http.Transport{ // without a proxy, whatever the environment says
		DialContext:            s.dialer.dial,
		DialTLSContext:         s.dialer.dialTLS,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    cmp.Or(c.MaxIdlePerHost, DefaultMaxIdlePerHost),
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              new(http.Protocols),
	}
	s.transport.Protocols.SetHTTP1(true)
	return s
}

// Close closes the idle connections. Attempts under way go on.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }

// Send makes attempt number (from 1) of delivering the event to the webhook: one request, of which redirects are not
// followed (D39). Whatever the receiver did or failed to do is in the attempt. An error means that there was no attempt,
// because ctx ended before an answer came (it wraps ctx.Err()) or this node is out of file descriptors or memory for
// connections; it has CodeUnavailable, and nothing is to be recorded.
// Once the response headers are in, the outcome stands even if ctx ends: a receiver that answered 2xx is not sent the
// event again (D25). The webhook's credentials are used as they are, so they must be in clear.
func (s *Sender) Send(ctx context.Context, w *holdfast.Webhook, e *holdfast.Event, number int) (holdfast.Attempt, error) {
	start := s.now()
	a := holdfast.Attempt{
		ID:        w.ID + "/" + e.ID + "#" + strconv.Itoa(number),
		WebhookID: w.ID, EventID: e.ID, EventType: e.Type, Number: number,
		Timestamp: start.UnixMilli(), URL: w.URL, Node: s.node,
	}
	f, err := s.attempt(ctx, w, e, start, &a)
	if err != nil {
		return holdfast.Attempt{}, err
	}
	a.Success, a.ErrorClass, a.ErrorMessage = f.class == holdfast.ClassNone, f.class, f.message
	a.DurationMS = float64(s.now().Sub(start).Microseconds()) / 1000
	return a, nil
}

func (s *Sender) attempt(parent context.Context, w *holdfast.Webhook, e *holdfast.Event, start time.Time, a *holdfast.Attempt) (failure, error) {
	if parent.Err() != nil {
		return failure{}, cancelled(parent)
	}
	c, ctx, cancel := s.begin(parent)
	defer cancel()
	req, bad := s.request(ctx, w, e, start)
	if bad != "" {
		if req == nil {
			a.URL = "" // what is no proper URL may still hold a password
		}
		return failure{holdfast.ClassBadRequest, bad}, nil
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return s.unanswered(parent, c, err)
	}
	defer func() { _ = resp.Body.Close() }()
	c.enter(phaseBody)
	a.ResponseStatus = resp.StatusCode
	if resp.StatusCode != http.StatusSwitchingProtocols { // its body is the connection itself
		a.ResponseBody, err = s.readBody(resp.Body)
	}
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		a.RetryAfter = retryAfter(resp.Header, s.now())
		return classifyStatus(resp), nil
	case err != nil && parent.Err() == nil:
		return s.classifyBody(err, c), nil
	}
	return failure{}, nil
}

// unanswered says why no response header came: the attempt failed, or we did.
func (s *Sender) unanswered(parent context.Context, c *attemptContext, err error) (failure, error) {
	switch {
	case parent.Err() != nil:
		return failure{}, cancelled(parent)
	case exhausted(err):
		return failure{}, holdfast.Wrap(holdfast.CodeUnavailable, err, "this node cannot open another connection")
	}
	return s.classify(err, c), nil
}

func cancelled(ctx context.Context) error { return cancelledWhile(ctx, "sending the webhook") }

func cancelledWhile(ctx context.Context, operation string) error {
	return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "%s was cancelled", operation)
}

// request builds the request; bad says why the webhook's configuration gives none, and req is nil if that is the URL.
func (s *Sender) request(ctx context.Context, w *holdfast.Webhook, e *holdfast.Event, now time.Time) (req *http.Request, bad string) {
	body, contentType, ok := s.payload(w, e)
	// A plain bytes.Reader lets net/http send headers and body in one packet, and again on a new connection when it finds
	// that nothing went out on an old one.
	req, bad = newRequest(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	switch {
	case bad != "":
		return nil, bad
	case !ok:
		return req, unknownFormat(w.Format)
	}
	req.Header, bad = s.header(w, e, body, contentType, now)
	return req, bad
}

// newRequest makes a request to a webhook's URL; bad says what is wrong with the URL.
func newRequest(ctx context.Context, method, url string, body io.Reader) (req *http.Request, bad string) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	switch {
	case err != nil:
		return nil, "the webhook's URL is not valid"
	case req.URL.Scheme != "http" && req.URL.Scheme != "https" || req.URL.Hostname() == "":
		return nil, "the webhook's URL is not an http or https URL with a host"
	case req.URL.User != nil:
		return nil, "the webhook's URL contains a user name or password"
	}
	return req, ""
}
