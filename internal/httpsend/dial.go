package httpsend

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// phase is what an attempt is waiting for, in words that complete "timed out after …".
type phase int32

const (
	phaseResponse phase = iota // also on a connection that is there already
	phaseResolve
	phaseConnect
	phaseTLS
)

func (p phase) String() string {
	switch p {
	case phaseResolve:
		return "resolving the host name"
	case phaseConnect:
		return "connecting"
	case phaseTLS:
		return "in the TLS handshake"
	case phaseResponse:
	}
	return "waiting for response headers"
}

// attemptContext is the context of one attempt; it carries the attempt's phase to the dialer.
type attemptContext struct {
	context.Context
	phase atomic.Int32
}

type attemptKey struct{}

// Value implements context.Context.
func (c *attemptContext) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return c
	}
	return c.Context.Value(key)
}

func enter(ctx context.Context, p phase) {
	if c, ok := ctx.Value(attemptKey{}).(*attemptContext); ok {
		c.phase.Store(int32(p))
	}
}

// dialer makes connections under the address policy. It does TLS itself, so that a failure is known to be one of TLS.
type dialer struct {
	policy   AddressPolicy
	timeout  time.Duration
	resolver *net.Resolver
	tls      *tls.Config
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := d.connect(ctx, network, address)
	if err == nil {
		enter(ctx, phaseResponse)
	}
	return conn, err
}

func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	enter(ctx, phaseResolve)
	own := d.policy.owns(address)
	nd := net.Dialer{
		Timeout:  d.timeout,
		Resolver: d.resolver,
		ControlContext: func(ctx context.Context, network, resolved string, c syscall.RawConn) error {
			enter(ctx, phaseConnect)
			if own {
				return nil
			}
			return d.policy.Control(network, resolved, c)
		},
	}
	return nd.DialContext(ctx, network, address)
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	// http.Transport dials in a context without the attempt's deadline, as another request may use the connection.
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &tlsError{err}
	}
	enter(ctx, phaseTLS)
	config := d.tls.Clone()
	config.ServerName = host
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &tlsError{err}
	}
	enter(ctx, phaseResponse)
	return secure, nil
}

// tlsError marks a failed handshake.
type tlsError struct{ cause error }

func (e *tlsError) Error() string { return "TLS handshake: " + e.cause.Error() }

func (e *tlsError) Unwrap() error { return e.cause }
