package httpsend

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// phase is what an attempt is at.
type phase int32

const (
	phaseWait phase = iota // for a connection, of which none is begun
	phaseResolve
	phaseConnect
	phaseTLS
	phaseSend
	phaseHeaders
	phaseBody
	phases
)

// phaseWords are for people: how a phase is called that the deadline cut, and one that ended.
var phaseWords = [phases]struct{ unfinished, took string }{
	phaseWait:    {"there was no connection", ""},
	phaseResolve: {"looking up the host name did not end", "looking up the host name took"},
	phaseConnect: {"connecting did not end", "connecting took"},
	phaseTLS:     {"the TLS handshake did not end", "the TLS handshake took"},
	phaseSend:    {"the endpoint did not take in the request", "sending the request took"},
	phaseHeaders: {"no response headers came", "the response headers took"},
	phaseBody:    {"the response body did not end", ""},
}

// attemptContext is the context of one attempt. The dialer and the transport tell it which phase the attempt is in, so
// that a deadline that passes can be explained.
type attemptContext struct {
	context.Context
	start  time.Time
	trace  httptrace.ClientTrace
	phase  atomic.Int32
	reused atomic.Bool
	began  [phases]atomic.Int64 // nanoseconds after start; 0 is never
}

type attemptKey struct{}

// Value implements context.Context.
func (c *attemptContext) Value(key any) any {
	if _, ok := key.(attemptKey); ok {
		return c
	}
	return c.Context.Value(key)
}

// begin starts an attempt: its one deadline, and the context to make its request with.
func (s *Sender) begin(parent context.Context) (c *attemptContext, ctx context.Context, cancel context.CancelFunc) {
	c = &attemptContext{start: time.Now()}
	c.Context, cancel = context.WithTimeout(parent, s.timeout)
	c.trace = httptrace.ClientTrace{
		// Called again when the transport found a kept connection dead and takes another.
		GetConn: func(string) { c.phase.Store(int32(phaseWait)) },
		GotConn: func(info httptrace.GotConnInfo) {
			c.reused.Store(info.Reused)
			c.enter(phaseSend)
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil && c.at() == phaseSend {
				c.enter(phaseHeaders)
			}
		},
	}
	return c, httptrace.WithClientTrace(c, &c.trace), cancel
}

func (c *attemptContext) at() phase { return phase(c.phase.Load()) }

func (c *attemptContext) enter(p phase) {
	if c.at() != p { // several addresses of one host are connected to in one phase
		c.began[p].Store(max(int64(time.Since(c.start)), 1))
		c.phase.Store(int32(p))
	}
}

// dialing is for the dialer. The transport may give an attempt another connection that became free, and end the dial in
// the background for whoever comes next; then it is no phase of this attempt any more.
func dialing(ctx context.Context, p phase) {
	if c, ok := ctx.Value(attemptKey{}).(*attemptContext); ok && c.at() < phaseSend {
		c.enter(p)
	}
}

// timedOut explains the deadline: what was waited for, and where the time went before.
func (c *attemptContext) timedOut(timeout time.Duration) string {
	at := c.at()
	var before []string
	if c.reused.Load() && at >= phaseSend {
		before = append(before, "on a connection kept from before")
	}
	for p := phaseResolve; p < at; p++ {
		began := c.began[p].Load()
		ended := int64(0)
		for next := p + 1; next <= at && ended == 0; next++ {
			ended = c.began[next].Load()
		}
		if took := time.Duration(ended - began); began > 0 && took >= time.Millisecond {
			before = append(before, phaseWords[p].took+" "+shown(took))
		}
	}
	answer := "no answer"
	if at == phaseBody {
		answer = "no complete answer"
	}
	text := fmt.Sprintf("%s within %s: %s", answer, shown(timeout), phaseWords[at].unfinished)
	if len(before) > 0 {
		text += " (" + strings.Join(before, ", ") + ")"
	}
	return text
}

// since is how long the phase has lasted.
func (c *attemptContext) since(p phase) time.Duration {
	return time.Since(c.start) - time.Duration(c.began[p].Load())
}

// shown is a duration for people, in milliseconds or tenths of seconds.
func shown(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}
