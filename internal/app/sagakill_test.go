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
	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// A node is killed, as kill -9 does, between each pair of steps of a registration. What tells the moment is what the node
// says to Redis or EMPROPS, seen on the way there: no code for tests is in the binary. The registration then completes on
// a node that starts afterwards, and EMPROPS has seen one effective write.
func TestG1_RegistrationSurvivesTheDeathOfItsNodeBetweenAnySteps(t *testing.T) {
	t.Parallel()
	bin := testkit.Build(t, "./cmd/holdfast", "lean")
	for _, at := range []moment{
		{name: "check|write", redis: func(id string) string { return `{"id":"` + id }, before: true},
		{name: "write|confirm", redis: func(id string) string { return `{"id":"` + id }},
		{name: "POST|GET of confirm", platform: http.MethodPost},
		{name: "confirm|verify", platform: http.MethodGet},
		{name: "verify|refresh", redis: func(id string) string { return "webhooks:stats:" + id + "\r\n$" }, skip: `{"id":"`},
		{name: "refresh|activate", redis: func(string) string { return "webhooks:nodes\r\n" }, skip: `"heartbeat`, after: "webhooks:stats:"},
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			at.run(t, bin)
		})
	}
}

// moment is when a node is killed: at its first call to Redis that holds a text, or to EMPROPS with a method.
type moment struct {
	name     string
	redis    func(webhookID string) string
	skip     string // a call that also holds this is another one
	after    string // only calls after one that holds this count
	platform string
	before   bool // the call does not get through; else its answer does not
}

func (m moment) run(t *testing.T, bin string) {
	c := newCluster(t)
	key := "killed at " + m.name
	id := holdfast.IdempotentWebhookID(key)
	trap := &trap{moment: m, id: id, sprung: make(chan struct{}), dead: make(chan struct{})}
	redisURL, err := url.Parse(c.redis.URL())
	require.NoError(t, err)
	redisAddress := trap.redis(t, redisURL.Host)
	platform := trap.platform(t, c.emprops.URL())
	address := freeAddress(t)
	victim := testkit.Command{Path: bin, Args: []string{
		"serve", "--listen", address, "--redis-url", "redis://" + redisAddress, "--node-id", "victim",
		"--temporal-address", c.temporal.HostPort(), "--temporal-namespace", c.temporal.Namespace,
		"--emprops-url", platform, "--emprops-mode", "required", "--secret-keys", c.key, "--allow-loopback",
		"--node-heartbeat-interval", "250ms", "--node-ttl", "2s",
	}}.Start(t)
	var killed sync.WaitGroup
	killed.Go(func() {
		select {
		case <-trap.sprung:
			_ = syscall.Kill(victim.Pid(), syscall.SIGKILL)
			victim.Wait()
		case <-t.Context().Done():
		}
		close(trap.dead)
	})
	base := "http://" + address
	awaitTrue(t, "the victim to be ready", func() bool { return ready(t.Context(), base) })
	trap.arm()
	input := &holdfastv1.RegisterWebhookRequest{
		Webhook:        &holdfastv1.WebhookInput{Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"complete_job"}},
		IdempotencyKey: key, Wait: durationpb.New(patience),
	}
	_, err = holdfastv1connect.NewWebhookServiceClient(http.DefaultClient, base).RegisterWebhook(t.Context(), input)
	require.Error(t, err, "the node died before it could answer")
	killed.Wait()

	survivor := c.node()
	got := survivor.awaitRegistration(t, id, confirmed)
	require.Equal(t, int64(1), int64(c.emprops.Writes(id)), "effective writes at EMPROPS")
	require.Equal(t, int32(1), got.GetCachesConfirmed())
	w, active, err := c.store().ReadWebhook(t.Context(), id)
	require.NoError(t, err)
	require.True(t, active)
	require.Equal(t, got.GetRevision(), w.Revision)
	require.Equal(t, []string{id}, webhookIDs(survivor.publish(t, "complete_job", `{"job_id":"j"}`)))

	again, err := survivor.webhooks.RegisterWebhook(t.Context(), input)
	require.NoError(t, err, "the caller repeats what got no answer")
	require.Equal(t, id, again.GetWebhook().GetId())
	require.Equal(t, 1, c.emprops.Writes(id))
}

func webhookIDs(p *holdfastv1.PublishEventResponse) []string {
	var ids []string
	for _, d := range p.GetDeliveries() {
		ids = append(ids, d.GetWebhookId())
	}
	return ids
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
