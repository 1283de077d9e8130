package httpsend

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// where is the part of a timeout's text that says where the time went; it depends on the machine.
const where = `( \([a-zA-Z0-9 ,.]+\))?$`

func requireTimeout(t *testing.T, a holdfast.Attempt, class holdfast.ErrorClass, status int, text string) {
	t.Helper()
	require.Equal(t, class, a.ErrorClass, a.ErrorMessage)
	require.Equal(t, status, a.ResponseStatus)
	require.Regexp(t, "^"+text+where, a.ErrorMessage)
	require.GreaterOrEqual(t, a.DurationMS, float64(short.Milliseconds()))
}

func TestD32_OneDeadlineCoversTheBody(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{Timeout: short})
	stall := answerRaw(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	a := send(t, s, newWebhook(stall))
	requireTimeout(t, a, holdfast.ClassBodyStall, 200, "no complete answer within 150 ms: the response body did not end")
	require.Equal(t, "half", a.ResponseBody)

	// A status outside 2xx has decided the attempt already.
	stall = answerRaw(t, "HTTP/1.1 500 x\r\nContent-Length: 10\r\n\r\nhalf")
	requireFailure(t, send(t, s, newWebhook(stall)), holdfast.ClassStatus, 500, "HTTP 500 Internal Server Error")
}

// drip writes one byte after the other and never comes to an end.
func drip(t *testing.T, start, part string) string {
	return serveRaw(t, func(conn net.Conn) {
		_, _, _ = readRequest(bufio.NewReader(conn))
		_, err := io.WriteString(conn, start)
		for tick := time.NewTicker(5 * time.Millisecond); err == nil; <-tick.C {
			_, err = io.WriteString(conn, part)
		}
	})
}

// A receiver that always has a little more to say does not move the deadline.
func TestD32_DrippingDoesNotExtendTheDeadline(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{Timeout: short})
	for name, c := range map[string]struct {
		url    string
		class  holdfast.ErrorClass
		status int
		text   string
	}{
		"status line": {drip(t, "HTTP/1.1 200 ", "x"), holdfast.ClassTimeout, 0, "no answer within 150 ms: no response headers came"},
		"headers":     {drip(t, "HTTP/1.1 200 OK\r\n", "X: y\r\n"), holdfast.ClassTimeout, 0, "no answer within 150 ms: no response headers came"},
		"body":        {drip(t, "HTTP/1.1 200 OK\r\n\r\n", "x"), holdfast.ClassBodyStall, 200, "no complete answer within 150 ms: the response body did not end"},
		"chunks": {drip(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"), holdfast.ClassBodyStall, 200,
			"no complete answer within 150 ms: the response body did not end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := send(t, s, newWebhook(c.url))
			requireTimeout(t, a, c.class, c.status, c.text)
			require.Less(t, a.DurationMS, 5000.0)
		})
	}
}

func TestD45_TimeoutsNameThePhase(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{Timeout: short})
	silent := answerRaw(t, "")
	requireTimeout(t, send(t, s, newWebhook(silent)), holdfast.ClassTimeout, 0, "no answer within 150 ms: no response headers came")
	a := send(t, s, newWebhook(strings.Replace(silent, "http", "https", 1)))
	requireTimeout(t, a, holdfast.ClassTimeout, 0, "no answer within 150 ms: the TLS handshake did not end")

	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	s = newSender(t, Config{Timeout: short, resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		<-ended // a name server that cannot be reached
		return nil, net.ErrClosed
	}}})
	requireTimeout(t, send(t, s, newWebhook("http://slow-dns.test/")), holdfast.ClassTimeout, 0,
		"no answer within 150 ms: looking up the host name did not end")

	// A listener whose queue is full leaves connection requests unanswered; here the hook does.
	s = newSender(t, Config{Timeout: short})
	s.dialer.connecting = func(string) error {
		<-ended
		return net.ErrClosed
	}
	requireTimeout(t, send(t, s, newWebhook(silent)), holdfast.ClassTimeout, 0, "no answer within 150 ms: connecting did not end")

	// More than the buffers between the two hold.
	deaf := serveRaw(t, func(net.Conn) {})
	s = newSender(t, Config{Timeout: time.Second})
	e := newEvent()
	e.Data = json.RawMessage(`"` + strings.Repeat("x", 8<<20) + `"`)
	w := newWebhook(deaf)
	w.Secret = "" // signing as much as this takes its time
	a, err := s.Send(t.Context(), w, e, 1)
	require.NoError(t, err)
	requireTimeout(t, a, holdfast.ClassTimeout, 0, "no answer within 1 s: the endpoint did not take in the request")
}

func TestD45_TimeoutsSayWhereTheTimeWent(t *testing.T) {
	t.Parallel()
	c := &attemptContext{}
	at := func(p phase, ms int64) {
		c.phase.Store(int32(p))
		c.began[p].Store(ms*1_000_000 + 1)
	}
	require.Equal(t, "no answer within 30 s: there was no connection", c.timedOut(30*time.Second))
	at(phaseResolve, 0)
	require.Equal(t, "no answer within 30 s: looking up the host name did not end", c.timedOut(30*time.Second))
	at(phaseConnect, 12)
	require.Equal(t, "no answer within 1.5 s: connecting did not end (looking up the host name took 12 ms)", c.timedOut(1500*time.Millisecond))
	at(phaseTLS, 1252)
	at(phaseSend, 1252) // in no time
	at(phaseHeaders, 1260)
	require.Equal(t, "no answer within 30 s: no response headers came (looking up the host name took 12 ms, connecting took 1.2 s, sending the request took 8 ms)",
		c.timedOut(30*time.Second))
	at(phaseBody, 3260)
	require.Equal(t, "no complete answer within 30 s: the response body did not end (looking up the host name took 12 ms, connecting took 1.2 s, "+
		"sending the request took 8 ms, the response headers took 2 s)", c.timedOut(30*time.Second))

	c = &attemptContext{}
	c.reused.Store(true)
	at(phaseSend, 0)
	at(phaseHeaders, 0)
	require.Equal(t, "no answer within 30 s: no response headers came (on a connection kept from before)", c.timedOut(30*time.Second))
}

// A dial that goes on in the background for another attempt is no phase of this one.
func TestPhaseOfADialInTheBackgroundDoesNotCount(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	c, ctx, cancel := s.begin(t.Context())
	defer cancel()
	dialing(ctx, phaseConnect)
	require.Equal(t, phaseConnect, c.at())
	c.enter(phaseSend)
	dialing(ctx, phaseTLS)
	require.Equal(t, phaseSend, c.at())
	dialing(t.Context(), phaseTLS) // not in an attempt
}

// What this node lacks is not the receiver's failure: no attempt is recorded and none is used up.
func TestD25_OurOwnExhaustionIsNoAttempt(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)},
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.ENFILE)},
		&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENOBUFS)},
		&net.DNSError{Err: "dial udp: socket: too many open files", Name: "a.test"},
	} {
		s := newSender(t, Config{})
		s.transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, fault }
		a, err := s.Send(t.Context(), newWebhook("http://a.test/"), newEvent(), 1)
		require.Zero(t, a)
		require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
		require.Equal(t, "this node cannot open another connection", holdfast.ErrorMessage(err))
		w := newWebhook("http://a.test/")
		w.Handshake = true
		require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(s.Handshake(t.Context(), w)))
	}
}

func TestD45_ConnectFailuresKeepTheirCause(t *testing.T) {
	t.Parallel()
	for errno, message := range map[syscall.Errno]string{
		syscall.ECONNREFUSED:  "connection refused",
		syscall.EHOSTUNREACH:  "host unreachable",
		syscall.ENETUNREACH:   "network unreachable",
		syscall.ECONNRESET:    "connection reset while connecting",
		syscall.EADDRNOTAVAIL: "this node has no address from which to reach the host",
		syscall.EACCES:        "this node's network does not permit the connection",
		syscall.EPERM:         "this node's network does not permit the connection",
		syscall.EPROTO:        "connecting failed",
	} {
		s := newSender(t, Config{})
		s.dialer.connecting = func(string) error { return errno }
		requireFailure(t, send(t, s, newWebhook("http://127.0.0.1:1/")), holdfast.ClassConnect, 0, message)
	}
	s := newSender(t, Config{})
	s.dialer.connecting = func(string) error { return syscall.ETIMEDOUT }
	a := send(t, s, newWebhook("http://127.0.0.1:1/"))
	require.Equal(t, holdfast.ClassConnect, a.ErrorClass)
	require.Regexp(t, `^the host did not answer connection requests for \d+ ms$`, a.ErrorMessage)
	require.NotContains(t, a.ErrorMessage, "127.0.0.1")
}
