//go:build !lean

package devserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
)

const queue = "queue"

func greet(workflow.Context, string) (string, error) { return "hello", nil }

// wait ends with the signal "go".
func wait(ctx workflow.Context) (string, error) {
	workflow.GetSignalChannel(ctx, "go").Receive(ctx, nil)
	return "went", nil
}

func startTestTemporal(t *testing.T, opts TemporalOptions) *Temporal {
	t.Helper()
	start := time.Now()
	s, err := StartTemporal(t.Context(), opts)
	require.NoError(t, err)
	t.Logf("Temporal answered %v after its start was asked for", time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		start := time.Now()
		s.Stop()
		t.Logf("Temporal stopped in %v", time.Since(start).Round(time.Millisecond))
	})
	return s
}

func dial(t *testing.T, s *Temporal, namespace string, opts ...grpc.DialOption) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: s.HostPort(), Namespace: namespace, Logger: sdklog.NewStructuredLogger(discardSlog),
		ConnectionOptions: client.ConnectionOptions{DialOptions: opts},
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func startWorker(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(greet)
	w.RegisterWorkflow(wait)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

func TestTemporalStartUseStop(t *testing.T) {
	t.Parallel()
	began := time.Now()
	s := startTestTemporal(t, TemporalOptions{UIPort: -1})
	c := dial(t, s, s.Namespace())
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(greet)
	require.NoError(t, w.Start())
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, greet, "you")
	require.NoError(t, err)
	var got string
	require.NoError(t, run.Get(t.Context(), &got))
	require.Equal(t, "hello", got)

	require.Contains(t, httpGet(t, s.UIURL()+"/"), "<html")
	require.Contains(t, httpGet(t, s.UIURL()+"/api/v1/namespaces"), `"default"`)

	w.Stop()
	c.Close()
	s.Stop()
	s.Stop()
	require.Less(t, time.Since(began), 20*time.Second)
	_, err = net.Dial("tcp", s.HostPort())
	require.Error(t, err, "the frontend is gone")
	_, err = net.Dial("tcp", strings.TrimPrefix(s.UIURL(), "http://"))
	require.Error(t, err, "the UI is gone")
}

func httpGet(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}

func TestTemporalStartsWorkflowsEagerly(t *testing.T) {
	t.Parallel()
	s := startTestTemporal(t, TemporalOptions{})
	var eager atomic.Int32
	spy := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		err := invoke(ctx, method, req, reply, cc, opts...)
		if resp, ok := reply.(*workflowservice.StartWorkflowExecutionResponse); ok && resp.GetEagerWorkflowTask() != nil {
			eager.Add(1)
		}
		return err
	}
	c := dial(t, s, s.Namespace(), grpc.WithChainUnaryInterceptor(spy))
	startWorker(t, c)
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue, EnableEagerStart: true}, greet, "you")
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
	require.EqualValues(t, 1, eager.Load(), "the answer to the start carries the first workflow task")
}

func TestTemporalNamespaceIsUsableAtOnce(t *testing.T) {
	t.Parallel()
	s := startTestTemporal(t, TemporalOptions{})
	for _, namespace := range []string{"first", "second"} {
		require.NoError(t, s.CreateNamespace(namespace))
		require.NoError(t, s.CreateNamespace(namespace), "again is no error")
		c := dial(t, s, namespace)
		_, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
			ID: "id", TaskQueue: queue,
			TypedSearchAttributes: sdktemporal.NewSearchAttributes(
				sdktemporal.NewSearchAttributeKeyKeyword("WebhookId").ValueSet("wh"),
				sdktemporal.NewSearchAttributeKeyKeyword("EventType").ValueSet("type"),
				sdktemporal.NewSearchAttributeKeyKeyword("EventId").ValueSet("evt"),
				sdktemporal.NewSearchAttributeKeyKeyword("DeliveryState").ValueSet("retrying"),
				sdktemporal.NewSearchAttributeKeyInt64("HttpStatus").ValueSet(503),
				sdktemporal.NewSearchAttributeKeyInt64("Attempts").ValueSet(2),
			),
		}, wait)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			resp, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
				Query: `WebhookId = "wh" AND EventType = "type" AND EventId = "evt" AND DeliveryState = "retrying" AND HttpStatus = 503 AND Attempts > 1`,
			})
			return err == nil && len(resp.GetExecutions()) == 1
		}, 10*time.Second, 10*time.Millisecond)
	}
}

func TestTemporalRunsSchedules(t *testing.T) {
	t.Parallel()
	s := startTestTemporal(t, TemporalOptions{})
	c := dial(t, s, s.Namespace())
	startWorker(t, c)
	h, err := c.ScheduleClient().Create(t.Context(), client.ScheduleOptions{
		ID:                 "schedule",
		Spec:               client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		Action:             &client.ScheduleWorkflowAction{ID: "scheduled", Workflow: greet, Args: []any{"you"}, TaskQueue: queue},
		TriggerImmediately: true,
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d, err := h.Describe(t.Context())
		return err == nil && len(d.Info.RecentActions) == 1
	}, 10*time.Second, 20*time.Millisecond)
}

func init() { helpers["temporal"] = helperTemporal }

// helperTemporal is a process of its own that starts Temporal, starts a workflow and waits to be killed.
func helperTemporal() {
	ctx := context.TODO()
	s, err := StartTemporal(ctx, TemporalOptions{DataDir: os.Getenv("DEVSERVER_DIR")})
	if err == nil {
		var c client.Client
		if c, err = client.DialContext(ctx, client.Options{HostPort: s.HostPort(), Logger: sdklog.NewStructuredLogger(discardSlog)}); err == nil {
			_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "survivor", TaskQueue: queue}, wait)
		}
	}
	helperSay(err, func() string { return s.HostPort() })
}

func TestTemporalKeepsWorkflowsAcrossKill(t *testing.T) {
	t.Parallel()
	// The name has all that has a meaning in the URI that the database driver is given.
	dir := filepath.Join(t.TempDir(), "a b?c#d%41&e")
	helper, _ := startHelper(t, "temporal", dir)
	require.NoError(t, helper.Signal(9))

	s := startTestTemporal(t, TemporalOptions{DataDir: dir})
	require.FileExists(t, filepath.Join(dir, "temporal.db"))
	require.FileExists(t, filepath.Join(dir, "visibility.db"))
	c := dial(t, s, s.Namespace())
	startWorker(t, c)
	require.NoError(t, c.SignalWorkflow(t.Context(), "survivor", "", "go", nil))
	var got string
	require.NoError(t, c.GetWorkflow(t.Context(), "survivor", "").Get(t.Context(), &got))
	require.Equal(t, "went", got)
}

func TestTemporalDataDirBusyThenFreeAfterStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startTestTemporal(t, TemporalOptions{DataDir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := StartTemporal(ctx, TemporalOptions{DataDir: dir})
	require.ErrorIs(t, err, ErrDataDirBusy)
	s.Stop()
	startTestTemporal(t, TemporalOptions{DataDir: dir})
}

func TestTemporalPortsBusy(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for what, opts := range map[string]TemporalOptions{
		PortTemporal:   {Port: port},
		PortTemporalUI: {UIPort: port},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = StartTemporal(ctx, opts)
		busy, ok := errors.AsType[*PortBusyError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, port, busy.Port)
		require.Equal(t, what, busy.What)
	}
}

// A port taken between the check and the bind makes the library write a fatal entry, which would exit the process.
func TestTemporalFatalEntryIsAnErrorOfTheStart(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ports, err := choosePorts(t.Context(), TemporalOptions{Address: "127.0.0.1"})
	require.NoError(t, err)
	ports.frontend = l.Addr().(*net.TCPAddr).Port
	s := &Temporal{opts: TemporalOptions{Address: "127.0.0.1", Logger: nopLogger}, log: newServerLog(nopLogger, zapcore.WarnLevel)}
	s.stores, err = openStores(t.Context(), "")
	require.NoError(t, err)
	require.ErrorContains(t, s.startServer(ports), "address already in use")
}

func TestServerLogCannotEndTheProcess(t *testing.T) {
	t.Parallel()
	core, entries := observer.New(zapcore.DebugLevel)
	l := newServerLog(zap.New(core), zapcore.WarnLevel)
	l.zap.Info("below the level")
	l.zap.Warn("seen")
	for _, write := range []func(string, ...zap.Field){l.zap.Fatal, l.zap.Panic} {
		done := make(chan bool, 1)
		go func() {
			returned := false
			defer func() { done <- returned }()
			write("end", zap.Error(errors.New("cause")))
			returned = true
		}()
		require.False(t, <-done, "the writer does not go on")
	}
	require.Equal(t, "end: cause", l.lastFatal())
	l.quiet()
	l.zap.Error("noise of the shutdown")
	var got []string
	for _, e := range entries.All() {
		got = append(got, e.Level.String()+" "+e.Message)
	}
	require.Equal(t, []string{"warn seen", "error end", "error end"}, got)
}
