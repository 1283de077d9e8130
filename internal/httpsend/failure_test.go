package httpsend

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

func requireFailure(t *testing.T, a holdfast.Attempt, class holdfast.ErrorClass, status int, message string) {
	t.Helper()
	require.Equal(t, class, a.ErrorClass, a.ErrorMessage)
	require.Equal(t, message, a.ErrorMessage)
	require.Equal(t, status, a.ResponseStatus)
	require.False(t, a.Success)
	require.Positive(t, a.DurationMS)
}

func TestD45_StatusKeepsBodyApartFromMessage(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, "try later")
	})
	a := send(t, newSender(t, Config{}), newWebhook(server.URL))
	requireFailure(t, a, holdfast.ClassStatus, 503, "HTTP 503 Service Unavailable")
	require.Equal(t, "try later", a.ResponseBody)
	require.EqualValues(t, 7000, a.RetryAfter)
}

func TestD39_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/to", func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		mux.HandleFunc("/from/"+strconv.Itoa(code), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://user:topsecret@"+r.Host+"/to?token=topsecret#topsecret")
			w.WriteHeader(code)
		})
	}
	mux.HandleFunc("/nowhere", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) })
	server := serve(t, mux.ServeHTTP)
	s := newSender(t, Config{})
	for _, code := range []int{301, 302, 303, 307, 308} {
		a := send(t, s, newWebhook(fmt.Sprintf("%s/from/%d", server.URL, code)))
		requireFailure(t, a, holdfast.ClassRedirect, code,
			fmt.Sprintf("HTTP %d %s redirects to %s/to; redirects are not followed", code, http.StatusText(code), server.URL))
	}
	requireFailure(t, send(t, s, newWebhook(server.URL+"/nowhere")), holdfast.ClassRedirect, 304, "HTTP 304 Not Modified")
	require.Zero(t, followed.Load())
}

func TestD45_NetworkFailuresAreToldApart(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	reset := func(after string) string {
		return serveRaw(t, func(conn net.Conn) {
			_, _, _ = readRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, after)
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		})
	}
	hangUp := func(after string) string {
		return serveRaw(t, func(conn net.Conn) {
			_, _, _ = readRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, after)
			_ = conn.Close()
		})
	}
	s := newSender(t, Config{resolver: nameServer(t, nil)})
	for name, c := range map[string]struct {
		url     string
		class   holdfast.ErrorClass
		status  int
		message string
	}{
		"refused":          {closed, holdfast.ClassConnect, 0, "connection refused"},
		"no such host":     {"http://nothing.test/", holdfast.ClassDNS, 0, "no such host nothing.test"},
		"hung up":          {hangUp(""), holdfast.ClassReset, 0, "connection closed before a response came"},
		"hung up in head":  {hangUp("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), holdfast.ClassReset, 0, "connection closed before a response came"},
		"hung up in body":  {hangUp("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), holdfast.ClassReset, 200, "connection closed inside the response body"},
		"hung up in chunk": {hangUp("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"), holdfast.ClassReset, 200, "connection closed inside the response body"},
		"reset":            {reset(""), holdfast.ClassReset, 0, "connection reset before a response came"},
		"garbage":          {answerRaw(t, "SSH-2.0-OpenSSH_9.6 topsecret\r\n"), holdfast.ClassProtocol, 0, "the answer is not valid HTTP/1.1"},
		"garbage header":   {answerRaw(t, "HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), holdfast.ClassProtocol, 0, "the answer is not valid HTTP/1.1"},
		"garbage chunk":    {answerRaw(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"), holdfast.ClassProtocol, 200, "the answer is not valid HTTP/1.1"},
		"garbage gzip":     {answerRaw(t, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot gzip yet"), holdfast.ClassProtocol, 200, "the response body is not valid gzip"},
		"huge header":      {answerRaw(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 80<<10)+"\r\n\r\n"), holdfast.ClassProtocol, 0, "the response headers are larger than 65536 bytes"},
		"protocol switch":  {answerRaw(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), holdfast.ClassStatus, 101, "HTTP 101 Switching Protocols"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := send(t, s, newWebhook(c.url))
			requireFailure(t, a, c.class, c.status, c.message)
		})
	}
}

func TestResetInsideTheBody(t *testing.T) {
	t.Parallel()
	headed := make(chan struct{})
	url := serveRaw(t, func(conn net.Conn) {
		_, _, _ = readRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
		<-headed
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	})
	s := newSender(t, Config{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	require.NoError(t, err)
	resp, err := s.transport.RoundTrip(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	first := make([]byte, 4)
	_, err = io.ReadFull(resp.Body, first)
	require.NoError(t, err)
	close(headed)
	_, err = s.readBody(resp.Body)
	require.Equal(t, failure{holdfast.ClassReset, "connection reset inside the response body"}, s.classifyBody(err, &attemptContext{Context: t.Context()}))
}

func TestTLSFailuresSayWhy(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // the failing handshakes are wanted
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	trusting := newSender(t, Config{RootCAs: roots, resolver: nameServer(t, map[string][4]byte{"other.test.": {127, 0, 0, 1}})})

	a := send(t, trusting, newWebhook(server.URL))
	require.True(t, a.Success, a.ErrorMessage)
	require.Equal(t, "HTTP/1.1", a.ResponseBody)

	requireFailure(t, send(t, newSender(t, Config{}), newWebhook(server.URL)), holdfast.ClassTLS, 0, "certificate signed by an unknown authority")
	requireFailure(t, send(t, trusting, newWebhook("https://other.test"+port)), holdfast.ClassTLS, 0, "certificate is not valid for other.test")

	future := func() time.Time { return server.Certificate().NotAfter.Add(time.Hour) }
	expired := newSender(t, Config{RootCAs: roots})
	expired.transport.DialTLSContext = (&dialer{policy: AddressPolicy{AllowLoopback: true}, timeout: time.Minute,
		tls: &tls.Config{RootCAs: roots, Time: future}}).dialTLS
	requireFailure(t, send(t, expired, newWebhook(server.URL)), holdfast.ClassTLS, 0, "certificate has expired or is not valid yet")

	speaking := serveRaw(t, func(conn net.Conn) { _, _ = io.WriteString(conn, "220 smtp.test ESMTP\r\n") })
	requireFailure(t, send(t, trusting, newWebhook(strings.Replace(speaking, "http", "https", 1))), holdfast.ClassTLS, 0, "the server does not speak TLS")
	closing := serveRaw(t, func(conn net.Conn) { _ = conn.Close() })
	a = send(t, trusting, newWebhook(strings.Replace(closing, "http", "https", 1)))
	requireFailure(t, a, holdfast.ClassTLS, 0, "connection closed in the TLS handshake")
}

func TestD33_ResponsesAreBounded(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			zeros := make([]byte, 1<<20)
			for range 200 {
				if _, err := z.Write(zeros); err != nil {
					return
				}
			}
			_ = z.Close()
		case "/fail":
			w.WriteHeader(500)
			_, _ = w.Write(big)
		case "/exact":
			_, _ = w.Write(big[:DefaultMaxResponseBytes])
		default:
			_, _ = w.Write(big)
		}
	})
	s := newSender(t, Config{})
	a := send(t, s, newWebhook(server.URL))
	require.True(t, a.Success)
	require.Equal(t, string(big[:DefaultMaxResponseBytes])+holdfast.TruncationMark, a.ResponseBody)

	a = send(t, s, newWebhook(server.URL+"/fail"))
	requireFailure(t, a, holdfast.ClassStatus, 500, "HTTP 500 Internal Server Error")
	require.Len(t, a.ResponseBody, DefaultMaxResponseBytes+len(holdfast.TruncationMark))

	a = send(t, s, newWebhook(server.URL+"/exact"))
	require.Equal(t, string(big[:DefaultMaxResponseBytes]), a.ResponseBody)

	a = send(t, s, newWebhook(server.URL+"/bomb"))
	require.True(t, a.Success, "%v", a.ErrorMessage)
	require.Equal(t, strings.Repeat("\x00", DefaultMaxResponseBytes)+holdfast.TruncationMark, a.ResponseBody)
}

// Bytes count as they come out of decompression, so this is what keeps a bomb from being unpacked.
func TestD33_ReadingStopsAtTheDrainBound(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{MaxResponseBytes: 1000, DrainBytes: 5000})
	source := &endless{}
	text, err := s.readBody(source)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("é", 500)+holdfast.TruncationMark, text)
	require.LessOrEqual(t, source.read, 1001+5000+1001)
}

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "é"[e.read%2]
		e.read++
	}
	return len(p), nil
}

func TestStoredBodyIsValidUTF8AndBounded(t *testing.T) {
	t.Parallel()
	mark := holdfast.TruncationMark
	for name, c := range map[string]struct{ in, out string }{
		"short":              {"ok", "ok"},
		"exact":              {"12345678", "12345678"},
		"cut":                {"123456789", "12345678" + mark},
		"cut at a character": {"1234567é", "1234567" + mark},
		"cut before emoji":   {"12345😀x", "12345" + mark},
		"invalid":            {"a\xffb", "a\ufffdb"},
		"growing":            {"\xff1\xff2\xff3\xff", "\ufffd1\ufffd" + mark},
		"only continuations": {strings.Repeat("\x80", 12), "\ufffd" + mark},
		"empty":              {"", ""},
	} {
		got := storedBody([]byte(c.in), 8)
		require.True(t, utf8.ValidString(got), name)
		if name == "growing" || name == "only continuations" {
			require.LessOrEqual(t, len(strings.TrimSuffix(got, mark)), 8, name)
			continue
		}
		require.Equal(t, c.out, got, name)
	}
}

func TestD37_RetryAfterForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 6, 10, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]int64{
		"":                               0,
		"0":                              0,
		"120":                            120_000,
		" 5 ":                            5_000,
		"-1":                             0,
		"1.5":                            0,
		"soon":                           0,
		"86400":                          86_400_000,
		"31536000":                       31_536_000_000, // a year
		"99999999999":                    9_223_372_036_854,
		strings.Repeat("9", 40):          9_223_372_036_854,
		"+5":                             0,
		"5s":                             0,
		"0x10":                           0,
		"１":                              0,
		"Mon, 10 Jun 2024 12:01:30 GMT":  90_000,
		"Monday, 10-Jun-24 12:01:30 GMT": 90_000,
		"Mon Jun 10 12:01:30 2024":       90_000,
		"Mon, 10 Jun 2024 11:00:00 GMT":  0,
		"Mon, 10 Jun 2030 12:00:00 GMT":  2191 * 24 * 3_600_000,
	} {
		require.Equal(t, want, retryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
	require.Positive(t, time.Duration(retryAfter(http.Header{"Retry-After": {strings.Repeat("9", 40)}}, now))*time.Millisecond, "fits a time.Duration")
	// It counts on any answer outside 2xx, and on none inside.
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		code, _ := strconv.Atoi(r.URL.Path[1:])
		w.WriteHeader(code)
	})
	s := newSender(t, Config{})
	for code, want := range map[string]int64{"200": 0, "301": 3000, "404": 3000, "429": 3000, "503": 3000} {
		require.Equal(t, want, send(t, s, newWebhook(server.URL+"/"+code)).RetryAfter, code)
	}
}

// "We failed or were cancelled" is not an attempt; but an answer that came is one, whatever happens to us afterwards (D25).
func TestD25_CancellationIsNoAttemptUnlessAnAnswerCame(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	requireNoAttempt := func(ctx context.Context, url string, cause error) {
		t.Helper()
		a, err := s.Send(ctx, newWebhook(url), newEvent(), 1)
		require.ErrorIs(t, err, cause)
		require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
		require.Zero(t, a)
	}
	requestCame := make(chan struct{}, 1)
	silent := serveRaw(t, func(conn net.Conn) {
		_, _, _ = readRequest(bufio.NewReader(conn))
		requestCame <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-requestCame
		cancel()
	}()
	requireNoAttempt(ctx, silent, context.Canceled)
	requireNoAttempt(ctx, silent, context.Canceled) // cancelled from the start
	late, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	requireNoAttempt(late, silent, context.DeadlineExceeded)

	for _, status := range []string{"200 OK", "500 x"} {
		ctx, cancel := context.WithCancel(t.Context())
		stall := answerRaw(t, "HTTP/1.1 "+status+"\r\nContent-Length: 9\r\n\r\nhalf")
		s := newSender(t, Config{})
		dial := s.transport.DialContext
		s.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			return &cancelAtSecondRead{Conn: conn, cancel: cancel}, err
		}
		a, err := s.Send(ctx, newWebhook(stall), newEvent(), 1)
		require.NoError(t, err)
		require.Equal(t, status == "200 OK", a.Success)
		require.Equal(t, status[:3], strconv.Itoa(a.ResponseStatus))
		require.Equal(t, "half", a.ResponseBody)
	}
}

// cancelAtSecondRead cancels when more is read than what the server sent at once: then the headers are in.
type cancelAtSecondRead struct {
	net.Conn
	cancel context.CancelFunc
	reads  atomic.Int32
}

func (c *cancelAtSecondRead) Read(p []byte) (int, error) {
	if c.reads.Add(1) > 1 {
		c.cancel()
	}
	return c.Conn.Read(p)
}
