package main_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// outcome runs the binary to its end.
func outcome(t *testing.T, env []string, args ...string) (code int, output string) {
	t.Helper()
	p := testkit.Command{Path: testkit.Build(t, "./cmd/holdfast"), Args: args, Env: env}.Start(t)
	code = p.Wait()
	return code, strings.Join(p.Output(), "\n")
}

// Bad input ends with exit code 2 and a text that names what is wrong; help, version and configuration are there.
func TestBadInputIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "holdfast.yaml")
	require.NoError(t, os.WriteFile(file, []byte("delivery:\n  timeot: 3s\n"), 0o600))
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
		says string
	}{
		"unknown command":  {nil, []string{"server"}, 2, `"server" is not a command`},
		"unknown flag":     {nil, []string{"serve", "--redis-ulr", "x"}, 2, "redis-ulr"},
		"unknown variable": {[]string{"HOLDFAST_REDIS_ULR=x"}, []string{"serve"}, 2, "HOLDFAST_REDIS_ULR"},
		"unknown key":      {nil, []string{"serve", "--config", file}, 2, "timeot"},
		"bad value":        {nil, []string{"serve", "--delivery-timeout", "soon"}, 2, "--delivery-timeout"},
		"no Redis":         {nil, []string{"serve"}, 2, "--redis-url"},
		"help":             {nil, []string{"serve", "--help"}, 0, "--redis-url"},
		"overview":         {nil, nil, 0, "holdfast COMMAND"},
		"version":          {nil, []string{"version"}, 0, "holdfast "},
		"config":           {nil, []string{"config", "serve", "--redis-url", "redis://u:hunter2@h/0"}, 0, "redis://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, output := outcome(t, c.env, c.args...)
			require.Equal(t, c.code, code, output)
			require.Contains(t, output, c.says)
			require.NotContains(t, output, "hunter2")
		})
	}
}

// A busy port ends with exit code 1 and the flag that chooses another.
func TestBusyPortNamesItsFlag(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--listen", "--temporal-port", "--temporal-ui-port", "--redis-port"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			taken, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer func() { _ = taken.Close() }()
			port := taken.Addr().(*net.TCPAddr).Port
			value := strconv.Itoa(port)
			if flag == "--listen" {
				value = taken.Addr().String()
			}
			code, output := outcome(t, nil, newDev(t).args(flag, value)...)
			require.Equal(t, 1, code, output)
			require.Contains(t, output, flag)
			require.Contains(t, output, strconv.Itoa(port))
		})
	}
}

// A serve and a worker share everything with another node, and each other's registrations.
func TestServeAndWorkerJoinANode(t *testing.T) {
	t.Parallel()
	first := newDev(t)
	first.start()
	second := newDev(t) // for its ports and clients
	common := []string{
		"--temporal-address", "127.0.0.1:" + strconv.Itoa(first.ports.temporal),
		"--redis-url", "redis://127.0.0.1:" + strconv.Itoa(first.ports.redis) + "/0",
		"--secret-keys", strings.TrimSpace(readFile(t, filepath.Join(first.dir, "secret.key"))), "--allow-loopback",
	}
	second.process = testkit.Start(t, second.bin,
		append([]string{"serve", "--listen", "127.0.0.1:" + strconv.Itoa(second.ports.api)}, common...)...)
	ready := func(d *devNode) func() bool {
		return func() bool {
			res, err := http.Get(d.base() + "/readyz")
			if err != nil {
				return false
			}
			_ = res.Body.Close()
			return res.StatusCode == http.StatusOK
		}
	}
	testkit.Await(t, "serve to be ready", ready(second))
	receiver := testkit.NewReceiver(t)
	id := first.register(receiver.URL())
	listed, err := second.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
	require.NoError(t, err)
	require.Len(t, listed.GetWebhooks(), 1)
	require.Equal(t, id, listed.GetWebhooks()[0].GetId())
	registration, err := second.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: id})
	require.NoError(t, err)
	require.EqualValues(t, 2, registration.GetRegistration().GetCachesConfirmed())
	require.NoError(t, second.publish("through-the-second"))
	receiver.Wait(1)

	third := newDev(t)
	third.process = testkit.Start(t, third.bin,
		append([]string{"worker", "--listen", "127.0.0.1:" + strconv.Itoa(third.ports.api)}, common...)...)
	testkit.Await(t, "worker to be ready", ready(third))
	require.Equal(t, http.StatusNotFound, third.status("/holdfast.v1.WebhookService/ListWebhooks"))
	for _, d := range []*devNode{third, second, first} {
		d.interrupt()
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// Two dev processes cannot share a data directory.
func TestDataDirInUseNamesItsFlag(t *testing.T) {
	t.Parallel()
	first := newDev(t)
	first.start()
	second := newDev(t)
	second.dir = first.dir
	code, output := outcome(t, nil, second.args()...)
	require.Equal(t, 1, code, output)
	require.Contains(t, output, "--data-dir")
	first.interrupt()
}
