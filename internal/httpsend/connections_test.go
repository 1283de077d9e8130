package httpsend

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// counted is a server that counts its open connections and answers when it is let.
type counted struct {
	url          string
	open, opened atomic.Int64
	arrived      chan struct{}
	answer       chan struct{}
}

func newCounted(t *testing.T, response string) *counted {
	c := &counted{arrived: make(chan struct{}, 1000), answer: make(chan struct{})}
	c.url = serveRaw(t, func(conn net.Conn) {
		c.open.Add(1)
		c.opened.Add(1)
		defer c.open.Add(-1)
		r := bufio.NewReader(conn)
		for {
			if _, _, err := readRequest(r); err != nil {
				return
			}
			c.arrived <- struct{}{}
			<-c.answer
			_, _ = io.WriteString(conn, response)
		}
	})
	return c
}

func TestIdleConnectionsAreBoundedAndClosed(t *testing.T) {
	t.Parallel()
	const kept, concurrent = 3, 20
	s := newSender(t, Config{MaxIdlePerHost: kept})
	c := newCounted(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	burst := func() {
		var wg sync.WaitGroup
		for range concurrent {
			wg.Go(func() {
				if a, err := s.Send(t.Context(), newWebhook(c.url), newEvent(), 1); err != nil || !a.Success {
					t.Error(err, a.ErrorMessage)
				}
			})
		}
		for range concurrent {
			<-c.arrived // all at once: every attempt has a connection of its own
		}
		for range concurrent {
			c.answer <- struct{}{}
		}
		wg.Wait()
	}
	burst()
	require.EqualValues(t, concurrent, c.opened.Load())
	require.Eventually(t, func() bool { return c.open.Load() == kept }, 5*time.Second, time.Millisecond, "the others are closed")
	burst()
	require.EqualValues(t, 2*concurrent-kept, c.opened.Load(), "the kept ones are used again")
	require.Eventually(t, func() bool { return c.open.Load() == kept }, 5*time.Second, time.Millisecond)
	s.Close()
	require.Eventually(t, func() bool { return c.open.Load() == 0 }, 5*time.Second, time.Millisecond)
}

func TestIdleConnectionsEndByThemselves(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	require.Equal(t, 4*time.Second, s.transport.IdleConnTimeout)
	require.Equal(t, DefaultMaxIdlePerHost, s.transport.MaxIdleConnsPerHost)
	require.Equal(t, 1024, s.transport.MaxIdleConns)
	s.transport.IdleConnTimeout = 20 * time.Millisecond
	c := newCounted(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	close(c.answer)
	require.True(t, send(t, s, newWebhook(c.url)).Success)
	require.Eventually(t, func() bool { return c.open.Load() == 0 }, 5*time.Second, time.Millisecond)
}

// A connection on which a rest of an answer may still come would give it to the next attempt.
func TestD33_ConnectionsInABadStateAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		response string
		class    holdfast.ErrorClass
	}{
		"three megabytes": {fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", 3<<20, strings.Repeat("x", 3<<20)), holdfast.ClassNone},
		"without length":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + strings.Repeat("x", 1<<20), holdfast.ClassNone},
		"stalled":         {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", holdfast.ClassBodyStall},
		"stalled failure": {"HTTP/1.1 503 x\r\nContent-Length: 10\r\n\r\nhalf", holdfast.ClassStatus},
		"switched":        {"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", holdfast.ClassStatus},
		"broken chunks":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", holdfast.ClassProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newCounted(t, c.response)
			close(server.answer)
			s := newSender(t, Config{Timeout: 2 * time.Second})
			if c.class == holdfast.ClassBodyStall || c.class == holdfast.ClassStatus {
				s = newSender(t, Config{Timeout: short})
			}
			const sends = 3
			for range sends {
				a := send(t, s, newWebhook(server.url))
				require.Equal(t, c.class, a.ErrorClass, a.ErrorMessage)
				require.LessOrEqual(t, len(a.ResponseBody), DefaultMaxResponseBytes+len(holdfast.TruncationMark))
			}
			require.EqualValues(t, sends, server.opened.Load())
			require.Eventually(t, func() bool { return server.open.Load() == 0 }, 5*time.Second, time.Millisecond)
		})
	}
}

// What a receiver can make us read before it answers is bounded too.
func TestD33_HeadersAreBounded(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	const tooLarge = "the response headers are larger than 65536 bytes"
	many := strings.Repeat("X: "+strings.Repeat("y", 100)+"\r\n", 1000)
	for name, response := range map[string]string{
		"one":          "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"many":         "HTTP/1.1 200 OK\r\n" + many + "\r\n",
		"status line":  "HTTP/1.1 200 " + strings.Repeat("x", 80<<10) + "\r\n\r\n",
		"without end":  "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20),
		"interim ones": strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 10<<10)+"\r\n\r\n", 20),
	} {
		a := send(t, s, newWebhook(answerRaw(t, response)))
		requireFailure(t, a, holdfast.ClassProtocol, 0, tooLarge)
		require.Empty(t, a.ResponseBody, name)
	}
	// Trailers come after the body; more than a little of them is no answer any more.
	a := send(t, s, newWebhook(answerRaw(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\n"+many+"\r\n")))
	require.Equal(t, holdfast.ClassProtocol, a.ErrorClass, a.ErrorMessage)
	require.Equal(t, "a", a.ResponseBody)
}
