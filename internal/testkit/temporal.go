//go:build !lean

package testkit

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/emprops/holdfast/internal/devserver"
)

// TemporalEnv is a Temporal namespace for one test.
type TemporalEnv struct {
	Client    client.Client // of the namespace; closed with the test
	Namespace string

	hostPort string
}

// HostPort returns where to dial the server.
func (e *TemporalEnv) HostPort() string { return e.hostPort }

// Dial returns another client of the namespace, closed with the test: another node, for example.
func (e *TemporalEnv) Dial(tb testing.TB) client.Client {
	tb.Helper()
	return dialTemporal(tb, e.hostPort, e.Namespace)
}

// sharedTemporal starts the one server of this process. It runs, in memory, until the process ends: its start would cost
// every test more than its namespace does.
var sharedTemporal = sync.OnceValues(func() (*devserver.Temporal, error) {
	return devserver.StartTemporal(context.Background(), devserver.TemporalOptions{})
})

var namespaces atomic.Int64

// Temporal returns a new namespace, with Holdfast's search attributes, of a server that all tests of the process share.
func Temporal(tb testing.TB) *TemporalEnv {
	tb.Helper()
	server, err := sharedTemporal()
	if err != nil {
		tb.Fatalf("start the shared Temporal server: %v", err)
	}
	namespace := fmt.Sprintf("test-%d", namespaces.Add(1))
	if err := server.CreateNamespace(namespace); err != nil {
		tb.Fatalf("create a Temporal namespace: %v", err)
	}
	return &TemporalEnv{Client: TemporalClient(tb, server, namespace), Namespace: namespace, hostPort: server.HostPort()}
}

// TemporalServer starts a Temporal server for this test alone and stops it with the test.
func TemporalServer(tb testing.TB, opts devserver.TemporalOptions) *devserver.Temporal {
	tb.Helper()
	server, err := devserver.StartTemporal(tb.Context(), opts)
	if err != nil {
		tb.Fatalf("start Temporal: %v", err)
	}
	tb.Cleanup(server.Stop)
	return server
}

// TemporalClient returns a new client of a namespace of the server, closed with the test. It logs nothing.
func TemporalClient(tb testing.TB, server *devserver.Temporal, namespace string) client.Client {
	tb.Helper()
	return dialTemporal(tb, server.HostPort(), namespace)
}

func dialTemporal(tb testing.TB, hostPort, namespace string) client.Client {
	tb.Helper()
	c, err := client.DialContext(tb.Context(), client.Options{
		HostPort: hostPort, Namespace: namespace, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		tb.Fatalf("dial Temporal: %v", err)
	}
	tb.Cleanup(c.Close)
	return c
}
