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

	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// moment is when a node is killed: at its first call to Redis that holds a text, or to EMPROPS with a method.
type moment struct {
	name     string
	redis    func(webhookID string) string
	skip     string // a call that also holds this is another one
	after    string // only calls after one that holds this count
	platform string
	before   bool // the call does not get through; else its answer does not
}

// victim is a node in a process of its own that is killed, as kill -9 does, when its trap springs.
type victim struct {
	*trap
	webhooks holdfastv1connect.WebhookServiceClient
	events   holdfastv1connect.EventServiceClient
}

// newVictim starts a node and waits until it is ready. The moment counts, for the webhook, once the trap is armed.
func newVictim(t *testing.T, c *cluster, bin string, m moment, webhookID string) *victim {
	t.Helper()
	v := &victim{trap: &trap{moment: m, id: webhookID, sprung: make(chan struct{}), dead: make(chan struct{})}}
	redisURL, err := url.Parse(c.redis.URL())
	require.NoError(t, err)
	address := freeAddress(t)
	process := testkit.Command{Path: bin, Args: []string{
		"serve", "--listen", address, "--redis-url", "redis://" + v.redis(t, redisURL.Host), "--node-id", "victim",
		"--temporal-address", c.temporal.HostPort(), "--temporal-namespace", c.temporal.Namespace,
		"--emprops-url", v.platform(t, c.emprops.URL()), "--emprops-mode", "required", "--secret-keys", c.key, "--allow-loopback",
		"--node-heartbeat-interval", "250ms", "--node-ttl", "2s",
	}}.Start(t)
	go func() {
		select {
		case <-v.sprung:
			_ = syscall.Kill(process.Pid(), syscall.SIGKILL)
			process.Wait()
		case <-t.Context().Done():
		}
		close(v.dead)
	}()
	base := "http://" + address
	awaitTrue(t, "the victim to be ready", func() bool { return ready(t.Context(), base) })
	v.webhooks = holdfastv1connect.NewWebhookServiceClient(http.DefaultClient, base)
	v.events = holdfastv1connect.NewEventServiceClient(http.DefaultClient, base)
	return v
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
	sprung chan struct{} // closed at the moment
	dead   chan struct{} // closed when the node is dead

	mu    sync.Mutex
	armed bool
	begun bool // the call that after names has been seen
	done  bool
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

// now kills the node if it still lives: for moments that show elsewhere.
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
			if err != nil {
				_ = in.Close()
				return
			}
			go p.pass(in, out)
		}
	}()
	return l.Addr().String()
}

func (p *trap) pass(in, out net.Conn) {
	defer func() { _, _ = in.Close(), out.Close() }()
	answers := make(chan struct{})
	var killing sync.Mutex // held from the call until the node is dead: its answer does not get through
	go func() {
		defer close(answers)
		buffer := make([]byte, 64<<10)
		for {
			n, err := out.Read(buffer)
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
		if n > 0 && p.spring(p.sees(buffer[:n])) {
			if p.before {
				p.kill()
				return
			}
			killing.Lock()
			_, _ = out.Write(buffer[:n])
			p.kill()
			killing.Unlock()
			return
		}
		if n > 0 {
			_, _ = out.Write(buffer[:n])
		}
		if err != nil {
			break
		}
	}
	_ = out.Close()
	<-answers
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
