package proof_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// line is a node's way to Redis: a TCP address that leads there unless it is cut. A cut line ends every connection, also
// new ones, so that a node finds out by an error and not by waiting.
type line struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	cut     bool
	cuts    int // how often it was cut or restored: the same number before and after means the same state in between
	conns   map[net.Conn]bool
	running sync.WaitGroup
}

func newLine(tb testing.TB, target string) *line {
	tb.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	l := &line{listener: listener, target: target, conns: map[net.Conn]bool{}}
	ctx := context.WithoutCancel(tb.Context())
	l.running.Go(func() { l.serve(ctx) })
	tb.Cleanup(func() {
		_ = listener.Close()
		l.set(true)
		l.running.Wait()
	})
	return l
}

// set cuts or restores the line.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut == cut {
		return
	}
	l.cut = cut
	l.cuts++
	for c := range l.conns {
		_ = c.Close()
	}
	clear(l.conns)
}

func (l *line) state() (cut bool, cuts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut, l.cuts
}

func (l *line) serve(ctx context.Context) {
	var dialer net.Dialer
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		if cut, _ := l.state(); cut {
			_ = in.Close()
			continue
		}
		out, err := dialer.DialContext(ctx, "tcp", l.target)
		if err != nil || !l.keep(in, out) {
			_ = in.Close()
			continue
		}
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			l.running.Go(func() {
				// Plainly: between two TCP connections io.Copy splices, which costs more than it saves for small messages.
				_, _ = io.Copy(struct{ io.Writer }{way[0]}, struct{ io.Reader }{way[1]})
				l.drop(way[0], way[1])
			})
		}
	}
}

// keep notes the connections, or closes them when the line was cut meanwhile.
func (l *line) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		if l.cut {
			_ = c.Close()
			continue
		}
		l.conns[c] = true
	}
	return !l.cut
}

func (l *line) drop(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(l.conns, c)
	}
}
