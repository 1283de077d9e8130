package testkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// ReceivedRequest is a request as a Receiver got it.
type ReceivedRequest struct {
	Time   time.Time // when its body was read
	Method string
	Path   string // with the query
	Header http.Header
	Body   []byte
}

// Receiver is a webhook receiver for tests: it records what it gets and answers as it is told, 200 with an empty body
// until then. It can be taken down and up again on the same port.
type Receiver struct {
	tb   testing.TB
	addr string

	mu       sync.Mutex
	requests []ReceivedRequest
	changed  chan struct{} // closed and replaced with every request
	answer   answer
	server   *http.Server // nil while down
	cut      context.CancelFunc
}

// answer writes the answer to the nth request, counted from 1. r's context ends when the sender gives up or the receiver
// goes down.
type answer func(n int, w http.ResponseWriter, r *http.Request)

// NewReceiver starts a receiver on a loopback port and closes it with the test.
func NewReceiver(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{tb: tb, changed: make(chan struct{})}
	r.Status(http.StatusOK)
	r.listen("127.0.0.1:0")
	tb.Cleanup(r.Close)
	return r
}

// URL returns the address of the receiver, with a path.
func (r *Receiver) URL() string { return "http://" + r.addr + "/hook" }

// Respond answers with what f returns for the nth request, counted from 1. f may block; r.Context() ends when the sender
// gives up or the receiver goes down. f is called by several goroutines at the same time.
func (r *Receiver) Respond(f func(n int, r *http.Request) (status int, header http.Header, body string)) {
	r.answerWith(func(n int, w http.ResponseWriter, req *http.Request) {
		status, header, body := f(n, req)
		for name, values := range header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// Status answers with the statuses in turn, and with the last one for ever after.
func (r *Receiver) Status(statuses ...int) {
	from := len(r.Requests())
	r.Respond(func(n int, _ *http.Request) (int, http.Header, string) {
		return statuses[min(n-from, len(statuses))-1], nil, ""
	})
}

// Slow answers 200 after d.
func (r *Receiver) Slow(d time.Duration) {
	r.Respond(func(_ int, req *http.Request) (int, http.Header, string) {
		select {
		case <-time.After(d):
		case <-req.Context().Done():
		}
		return http.StatusOK, nil, ""
	})
}

// Stall takes requests and never answers.
func (r *Receiver) Stall() {
	r.answerWith(func(_ int, _ http.ResponseWriter, req *http.Request) {
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// StallBody answers with the status and the beginning of a body that never ends.
func (r *Receiver) StallBody(status int) {
	r.answerWith(func(_ int, w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(status)
		io.WriteString(w, "the beginning")
		_ = http.NewResponseController(w).Flush()
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	})
}

// Drop takes requests and closes the connection without an answer.
func (r *Receiver) Drop() {
	r.answerWith(func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

func (r *Receiver) answerWith(a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = a
}

// Requests returns what has been received so far, in order.
func (r *Receiver) Requests() []ReceivedRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Wait returns the requests as soon as there are n or more and fails the test when there are not within ten seconds.
func (r *Receiver) Wait(n int) []ReceivedRequest {
	r.tb.Helper()
	timeout := time.After(awaitTimeout)
	for {
		r.mu.Lock()
		got, changed := slices.Clone(r.requests), r.changed
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-changed:
		case <-timeout:
			r.tb.Fatalf("waited %v in vain for %d requests, got %d", awaitTimeout, n, len(got))
		}
	}
}

// Close takes the receiver down: open connections are cut and new ones refused. It may be called twice.
func (r *Receiver) Close() {
	r.mu.Lock()
	server, cut := r.server, r.cut
	r.server = nil
	r.mu.Unlock()
	if server != nil {
		cut()
		server.Close()
	}
}

// Reopen takes the receiver up again, on the same port.
func (r *Receiver) Reopen() {
	r.tb.Helper()
	r.Close()
	r.listen(r.addr)
}

func (r *Receiver) listen(addr string) {
	r.tb.Helper()
	// While the receiver was down its port may have served as the local end of a connection for a moment.
	l, ok := poll(awaitTimeout, func() (net.Listener, bool) {
		l, err := net.Listen("tcp", addr)
		return l, err == nil
	})
	if !ok {
		r.tb.Fatalf("receiver cannot listen on %s", addr)
	}
	ctx, cut := context.WithCancel(r.tb.Context())
	server := &http.Server{
		Handler:     http.HandlerFunc(r.serve),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	r.mu.Lock()
	r.addr, r.server, r.cut = l.Addr().String(), server, cut
	r.mu.Unlock()
	go server.Serve(l)
}

func (r *Receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	r.requests = append(r.requests, ReceivedRequest{
		Time: time.Now(), Method: req.Method, Path: req.URL.RequestURI(), Header: req.Header.Clone(), Body: body,
	})
	n, answer := len(r.requests), r.answer
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	answer(n, w, req)
}

// RetryAfter returns a Retry-After header for Respond, in seconds.
func RetryAfter(seconds int) http.Header {
	return http.Header{"Retry-After": {strconv.Itoa(seconds)}}
}

// String says what the receiver got, for failures.
func (r ReceivedRequest) String() string { return fmt.Sprintf("%s %s %s", r.Method, r.Path, r.Body) }
