package redisstore

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	holdfast "github.com/emprops/holdfast"
)

// silent keeps the client's complaints about servers that tests stop out of their output.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	// The pool of a client that found its server down looks for it once a second and notices only then that it was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// server is a Redis of a test's own.
type server struct {
	addr   string
	client *redis.Client
	stop   func()
}

// startRedis starts a redis-server on a free port and stops it at the end of the test.
func startRedis(tb testing.TB, args ...string) *server {
	tb.Helper()
	for range 5 {
		if s := tryRedis(tb, args); s != nil {
			return s
		}
	}
	tb.Fatal("redis-server did not start")
	return nil
}

func tryRedis(tb testing.TB, args []string) *server {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(tb, l.Close())
	cmd := exec.Command("/usr/bin/redis-server", append([]string{
		"--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", tb.TempDir(),
	}, args...)...)
	require.NoError(tb, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	stopped := false
	s := &server{addr: fmt.Sprintf("127.0.0.1:%d", port)}
	s.stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			<-ended
		}
	}
	tb.Cleanup(s.stop)
	s.client = s.connect(tb, "", "")
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		select {
		case <-ended: // somebody took the port
			return nil
		case <-time.After(5 * time.Millisecond):
		}
		if s.client.Ping(tb.Context()).Err() == nil {
			return s
		}
	}
	return nil
}

func (s *server) connect(tb testing.TB, user, password string) *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr: s.addr, Username: user, Password: password, ContextTimeoutEnabled: true, MaxRetries: -1,
		DialerRetries: 1,
	})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// deny gives a client that may do everything except the rules, such as "-sadd".
func (s *server) deny(tb testing.TB, rules ...string) *redis.Client {
	tb.Helper()
	args := []any{"ACL", "SETUSER", "limited", "reset", "on", ">pw", "~*", "&*", "+@all"}
	for _, r := range rules {
		args = append(args, r)
	}
	require.NoError(tb, s.client.Do(tb.Context(), args...).Err())
	return s.connect(tb, "limited", "pw")
}

// setup is a Redis of the test's own and a store on it.
func setup(tb testing.TB, opts Options) (*Store, *server) {
	tb.Helper()
	s := startRedis(tb)
	return New(s.client, opts), s
}

func testWebhook(id string) *holdfast.Webhook {
	return &holdfast.Webhook{
		ID: id, CreatedAt: 1700000000000, UpdatedAt: 1700000000001, RetryConfig: holdfast.DefaultRetryPolicy(),
		URL: "https://example.com/hook?a=1&b=<2>", Events: []string{"job_submitted", "complete_job"}, Active: true,
	}
}

func write(tb testing.TB, s *Store, w *holdfast.Webhook) int64 {
	tb.Helper()
	revision, err := s.WriteWebhook(tb.Context(), w)
	require.NoError(tb, err)
	return revision
}

func read(tb testing.TB, s *Store, id string) *holdfast.Webhook {
	tb.Helper()
	w, _, err := s.ReadWebhook(tb.Context(), id)
	require.NoError(tb, err)
	return w
}

// dump is everything in Redis, for comparing before and after.
func dump(tb testing.TB, c *redis.Client) map[string]string {
	tb.Helper()
	ctx := tb.Context()
	all := map[string]string{}
	keys, err := c.Keys(ctx, "*").Result()
	require.NoError(tb, err)
	for _, key := range keys {
		all[key], err = c.Dump(ctx, key).Result()
		require.NoError(tb, err)
	}
	return all
}

func requireCode(tb testing.TB, code holdfast.Code, err error, what ...any) {
	tb.Helper()
	require.Error(tb, err, what...)
	require.Equal(tb, code, holdfast.ErrorCode(err), append([]any{err.Error()}, what...)...)
}
