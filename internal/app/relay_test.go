package app_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// relay is a TCP address that leads to another one as long as it is open, so that a test can take a service away from one
// node alone.
type relay struct {
	tb     testing.TB
	addr   string
	target string

	mu       sync.Mutex
	listener net.Listener // nil while cut
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

// newRelay makes a relay on a free address that is cut until Open.
func newRelay(tb testing.TB, target string) *relay {
	tb.Helper()
	r := &relay{tb: tb, addr: freeAddress(tb), target: target, conns: map[net.Conn]bool{}}
	tb.Cleanup(func() {
		r.Cut()
		r.running.Wait()
	})
	return r
}

// Open lets connections through.
func (r *relay) Open() {
	r.tb.Helper()
	l, err := net.Listen("tcp", r.addr)
	require.NoError(r.tb, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener = l
	r.running.Go(func() { r.serve(l) })
}

// Cut ends every connection and refuses new ones. It may be called twice.
func (r *relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener == nil {
		return
	}
	_ = r.listener.Close()
	r.listener = nil
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
}

func (r *relay) serve(l net.Listener) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		var dialer net.Dialer
		out, err := dialer.DialContext(context.WithoutCancel(r.tb.Context()), "tcp", r.target)
		if err != nil || !r.keep(l, in, out) {
			_ = in.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			r.running.Go(func() {
				_, _ = io.Copy(way[0], way[1])
				_ = way[0].Close()
			})
		}
	}
}

// keep notes the connections, or closes them when the relay was cut meanwhile.
func (r *relay) keep(l net.Listener, conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.listener != l {
			_ = c.Close()
			continue
		}
		r.conns[c] = true
	}
	return r.listener == l
}
