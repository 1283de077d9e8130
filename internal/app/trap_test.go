package app_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// moment is when something is killed: at a node's first call to Redis that holds a text, or to EMPROPS with a method.
type moment struct {
	name     string
	redis    func(webhookID string) string
	skip     string // a call that also holds this is another one
	after    string // only calls after one that holds this count
	platform string
	before   bool // the call does not get through; else its answer does not
}

// victim is what is killed, as kill -9 does, when its trap springs, and the node whose talk springs it.
type victim struct {
	*trap
	webhooks holdfastv1connect.WebhookServiceClient
	events   holdfastv1connect.EventServiceClient
	revive   func() *testNode // after its death; returns a node for what is left to do
}

// newVictim starts a node in a process of its own, which is the victim, and waits until it is ready. The moment counts,
// for the webhook, once the trap is armed.
func newVictim(t *testing.T, c *cluster, bin string, m moment, webhookID string) *victim {
	t.Helper()
	var process *testkit.Process
	v := &victim{revive: func() *testNode { return c.node() }, trap: newTrap(t, m, webhookID, func() {
		_ = syscall.Kill(process.Pid(), syscall.SIGKILL)
		process.Wait()
	})}
	var base string
	process, base = c.process(t, bin, "--redis-url", "redis://"+v.redis(t, c.redisAddress()), "--emprops-url", v.platform(t, c.emprops.URL()))
	v.webhooks = holdfastv1connect.NewWebhookServiceClient(http.DefaultClient, base)
	v.events = holdfastv1connect.NewEventServiceClient(http.DefaultClient, base)
	return v
}

// process starts a node in a process of its own and waits until it is ready. What args say counts more than what is usual.
func (c *cluster) process(t *testing.T, bin string, args ...string) (p *testkit.Process, base string) {
	t.Helper()
	return c.processIn(t, nil, bin, args...)
}

// processIn is process with more in its environment.
func (c *cluster) processIn(t *testing.T, env []string, bin string, args ...string) (p *testkit.Process, base string) {
	t.Helper()
	address := freeAddress(t)
	base = "http://" + address
	p = testkit.Command{Path: bin, Env: env, Args: append([]string{
		"serve", "--listen", address, "--redis-url", c.redis.URL(), "--node-id", "victim",
		"--temporal-address", c.temporal.HostPort(), "--temporal-namespace", c.temporal.Namespace,
		"--emprops-url", c.emprops.URL(), "--emprops-mode", "required", "--secret-keys", c.key, "--allow-loopback",
		"--node-heartbeat-interval", "250ms", "--node-ttl", "2s",
	}, args...)}.Start(t)
	awaitTrue(t, "the node in a process of its own to be ready", func() bool { return ready(t.Context(), base) })
	return p, base
}

// newBystander starts a node that lives while something else, which it needs, is the victim.
func newBystander(t *testing.T, c *cluster, m moment, webhookID string, kill, revive func()) *victim {
	t.Helper()
	v := &victim{trap: newTrap(t, m, webhookID, kill)}
	n := c.node(func(cfg *config.Config) { cfg.Redis.URL = "redis://" + v.redis(t, c.redisAddress()) })
	v.webhooks, v.events = n.webhooks, n.events
	v.revive = func() *testNode {
		revive()
		return n
	}
	return v
}

func (c *cluster) redisAddress() string {
	c.tb.Helper()
	address, err := url.Parse(c.redis.URL())
	require.NoError(c.tb, err)
	return address.Host
}

func ready(ctx context.Context, base string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// trap waits on the ways to Redis and EMPROPS for the moment to kill.
type trap struct {
	moment
	id     string
	goesOn bool          // what the node says is passed on after the death
	sprung chan struct{} // closed at the moment
	dead   chan struct{} // closed when the victim is dead

	mu    sync.Mutex
	armed bool
	begun bool // the call that after names has been seen
	done  bool
}

func newTrap(t *testing.T, m moment, webhookID string, kill func()) *trap {
	t.Helper()
	p := &trap{moment: m, id: webhookID, sprung: make(chan struct{}), dead: make(chan struct{})}
	go func() {
		defer close(p.dead)
		select {
		case <-p.sprung:
			kill()
		case <-t.Context().Done():
		}
	}()
	return p
}

func (p *trap) arm() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.begun = true, p.after == ""
}

// spring tells whether this is the moment; it is once.
func (p *trap) spring(is bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.armed || p.done || !is {
		return false
	}
	p.done = true
	return true
}

func (p *trap) kill() {
	close(p.sprung)
	<-p.dead
}

// now kills if that has not happened yet: for moments that show elsewhere.
func (p *trap) now() {
	if p.spring(true) {
		p.kill()
	}
}

// sees tells whether a call to Redis is the one.
func (p *trap) sees(call []byte) bool {
	if p.moment.redis == nil {
		return false
	}
	p.mu.Lock()
	counts := p.begun
	if p.after != "" && p.armed && bytes.Contains(call, []byte(p.after+p.id)) {
		p.begun = true
	}
	p.mu.Unlock()
	return counts && bytes.Contains(call, []byte(p.moment.redis(p.id))) && (p.skip == "" || !bytes.Contains(call, []byte(p.skip)))
}

// redis is a way to Redis. Every write of the node to a connection is a call or a pipeline of them.
func (p *trap) redis(t *testing.T, target string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(context.WithoutCancel(t.Context()), "tcp", target)
			if err != nil { // Redis is dead
				_ = in.Close()
				continue
			}
			go p.pass(in, out)
		}
	}()
	return l.Addr().String()
}

func (p *trap) pass(in, out net.Conn) {
	defer func() { _, _ = in.Close(), out.Close() }()
	over := make(chan struct{})
	answered := make(chan struct{}, 1)
	var killing sync.Mutex // held from the call until the victim is dead: its answer waits
	go func() {
		defer close(over)
		defer func() { _ = in.Close() }()
		buffer := make([]byte, 64<<10)
		for {
			n, err := out.Read(buffer)
			select {
			case answered <- struct{}{}:
			default:
			}
			killing.Lock()
			killing.Unlock() //nolint:staticcheck // waits for the end of a kill
			if n > 0 {
				_, _ = in.Write(buffer[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 256<<10)
	for {
		n, err := in.Read(buffer)
		switch {
		case n == 0:
		case !p.spring(p.sees(buffer[:n])):
			_, _ = out.Write(buffer[:n])
		case p.before:
			p.kill()
			if !p.goesOn {
				return
			}
			_, _ = out.Write(buffer[:n])
		default:
			killing.Lock()
			select { // of an earlier call
			case <-answered:
			default:
			}
			_, _ = out.Write(buffer[:n])
			<-answered
			p.kill()
			if !p.goesOn {
				_ = in.Close() // before the answer can get through
			}
			killing.Unlock()
			if !p.goesOn {
				return
			}
		}
		if err != nil {
			break
		}
	}
	_ = out.Close()
	<-over
}

// platform is a way to EMPROPS.
func (p *trap) platform(t *testing.T, target string) string {
	u, err := url.Parse(target)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ModifyResponse = func(res *http.Response) error {
		about := res.Request.Method == http.MethodPost || strings.HasSuffix(res.Request.URL.Path, p.id)
		if p.spring(res.Request.Method == p.moment.platform && about) {
			p.kill()
			return errors.New("the node is dead")
		}
		return nil
	}
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{Handler: proxy, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + l.Addr().String()
}
