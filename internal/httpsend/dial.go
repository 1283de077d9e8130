package httpsend

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// dialer makes connections under the address policy. It does TLS itself, so that a failure is known to be one of TLS.
type dialer struct {
	policy   AddressPolicy
	timeout  time.Duration
	resolver *net.Resolver
	tls      *tls.Config
	// connecting, when set, sees every resolved address that the policy lets through, and can keep it from being used.
	connecting func(resolved string) error
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialing(ctx, phaseResolve)
	own := d.policy.owns(address)
	nd := net.Dialer{
		Timeout:  d.timeout,
		Resolver: d.resolver,
		ControlContext: func(ctx context.Context, network, resolved string, c syscall.RawConn) error {
			dialing(ctx, phaseConnect)
			if !own {
				if err := d.policy.Control(network, resolved, c); err != nil {
					return err
				}
			}
			if d.connecting != nil {
				return d.connecting(resolved)
			}
			return nil
		},
	}
	return nd.DialContext(ctx, network, address)
}

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	// http.Transport dials in a context without the attempt's deadline, as another request may use the connection.
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &tlsError{err}
	}
	dialing(ctx, phaseTLS)
	config := d.tls.Clone()
	config.ServerName = host
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &tlsError{err}
	}
	return secure, nil
}

// tlsError marks a failed handshake.
type tlsError struct{ cause error }

func (e *tlsError) Error() string { return "TLS handshake: " + e.cause.Error() }

func (e *tlsError) Unwrap() error { return e.cause }
