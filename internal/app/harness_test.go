package app_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast/internal/app"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/devserver"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/seal"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// TestMain lets more tests run at once than there are cores: they wait for timers most of their time.
func TestMain(m *testing.M) {
	if testkit.ServeTemporalProcess() {
		return
	}
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", "3")
	}
	m.Run()
}

var soak = flag.Bool("soak", false, "run the tests that load the machine for long: faults, outages, many webhooks (make soak)")

// soaking skips a test that needs the machine for itself, unless it was asked for: under the race detector, beside other
// tests, it would measure the machine.
func soaking(tb testing.TB) {
	tb.Helper()
	if !*soak {
		tb.Skip("needs -soak")
	}
}

// patience bounds every wait; a machine with much else to do is slow.
const patience = 60 * time.Second

// cluster is what the nodes of one test share: a Temporal namespace, a Redis, an EMPROPS stand-in and a sealing key.
type cluster struct {
	tb       testing.TB
	temporal *testkit.TemporalEnv
	redis    *devserver.Redis
	emprops  *standin.Server
	key      string
	logger   *zap.Logger // of the nodes
}

func newCluster(tb testing.TB) *cluster {
	tb.Helper()
	return newClusterOn(tb, testkit.Temporal(tb))
}

func newClusterOn(tb testing.TB, temporal *testkit.TemporalEnv) *cluster {
	tb.Helper()
	key, err := seal.NewKey()
	require.NoError(tb, err)
	platform, err := standin.New(standin.Options{Logger: testkit.Logger(tb)})
	require.NoError(tb, err)
	require.NoError(tb, platform.Start(tb.Context(), "127.0.0.1:0"))
	tb.Cleanup(func() { _ = platform.Stop(context.WithoutCancel(tb.Context())) })
	return &cluster{
		tb: tb, temporal: temporal, redis: testkit.PersistentRedisServer(tb), emprops: platform, key: key.Text(),
		logger: testkit.Logger(tb).WithOptions(zap.IncreaseLevel(zap.InfoLevel)),
	}
}

// store reads and writes what the nodes have in Redis, except credentials: it has no key.
func (c *cluster) store() *redisstore.Store {
	c.tb.Helper()
	return redisstore.New(testkit.RedisClient(c.tb, c.redis), redisstore.Options{})
}

// askedOfEMPROPS lists what EMPROPS was asked about webhooks. The consistency check asks it for its health besides, at
// times that no test knows.
func (c *cluster) askedOfEMPROPS() []standin.Request {
	return slices.DeleteFunc(c.emprops.Log(), func(r standin.Request) bool { return r.Path == "/health" })
}

// await polls for what takes several round trips of several services, patiently and not too often: each look costs them.
func await[T any](tb testing.TB, what string, get func() (T, bool)) T {
	tb.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		value, ok := get()
		if ok {
			return value
		}
		require.False(tb, time.Now().After(deadline), "waited in vain for %s", what)
		<-tick.C
	}
}

// awaitTrue is await for a condition.
func awaitTrue(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	await(tb, what, func() (struct{}, bool) { return struct{}{}, cond() })
}

// arrived waits for n requests.
func arrived(tb testing.TB, r *testkit.Receiver, n int) []testkit.ReceivedRequest {
	tb.Helper()
	return await(tb, fmt.Sprintf("%d requests", n), func() ([]testkit.ReceivedRequest, bool) {
		got := r.Requests()
		return got, len(got) >= n
	})
}

// stats waits until a webhook's statistics count as many attempts and returns them.
func (c *cluster) stats(store *redisstore.Store, webhookID string, attempts int64) redisstore.Stats {
	c.tb.Helper()
	return await(c.tb, "every attempt to be counted", func() (redisstore.Stats, bool) {
		got, err := store.Stats(c.tb.Context(), webhookID)
		return got, err == nil && got.TotalDeliveries >= attempts
	})
}

// testNode is a running node with clients of its API.
type testNode struct {
	*app.App
	cluster    *cluster
	id         string
	base       string
	webhooks   holdfastv1connect.WebhookServiceClient
	events     holdfastv1connect.EventServiceClient
	deliveries holdfastv1connect.DeliveryServiceClient
	operations holdfastv1connect.OperationsServiceClient
	receivers  holdfastv1connect.ReceiverServiceClient
}

// node starts a node and waits until it is ready; change adjusts its configuration.
func (c *cluster) node(change ...func(*config.Config)) *testNode {
	c.tb.Helper()
	n := c.start(change...)
	ctx, cancel := context.WithTimeout(c.tb.Context(), patience)
	defer cancel()
	require.NoError(c.tb, n.WaitReady(ctx))
	return n
}

func (c *cluster) start(change ...func(*config.Config)) *testNode {
	c.tb.Helper()
	return c.startAs(app.Roles{API: true, Worker: true}, change...)
}

func (c *cluster) startAs(roles app.Roles, change ...func(*config.Config)) *testNode {
	c.tb.Helper()
	cfg, err := config.Load([]string{"--redis-url", c.redis.URL()}, nil, config.CommandServe)
	require.NoError(c.tb, err)
	cfg.HTTP.Listen = freeAddress(c.tb)
	cfg.BaseURL = "http://" + cfg.HTTP.Listen
	cfg.Temporal.Address, cfg.Temporal.Namespace = c.temporal.HostPort(), c.temporal.Namespace
	cfg.EMPROPS.URL, cfg.EMPROPS.Mode = c.emprops.URL(), config.EMPROPSRequired
	cfg.Security.SecretKeys = []string{c.key}
	cfg.Security.AllowLoopback = true
	cfg.Node.HeartbeatInterval = 250 * time.Millisecond
	for _, f := range change {
		f(&cfg)
	}
	a, err := app.New(cfg, roles, "test", c.logger)
	require.NoError(c.tb, err)
	require.NoError(c.tb, a.Start(c.tb.Context()))
	c.tb.Cleanup(func() { _ = a.Stop(context.WithoutCancel(c.tb.Context())) })
	base := "http://" + a.Addr()
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return &testNode{
		App: a, cluster: c, id: cfg.Node.ID, base: base,
		webhooks:   holdfastv1connect.NewWebhookServiceClient(h, base),
		events:     holdfastv1connect.NewEventServiceClient(h, base),
		deliveries: holdfastv1connect.NewDeliveryServiceClient(h, base, connect.WithProtoJSON()),
		receivers:  holdfastv1connect.NewReceiverServiceClient(h, base),
		operations: holdfastv1connect.NewOperationsServiceClient(h, base),
	}
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// register registers a webhook and requires it to be confirmed.
func (n *testNode) register(tb testing.TB, url string, events ...string) *holdfastv1.RegisterWebhookResponse {
	tb.Helper()
	return n.registerInput(tb, &holdfastv1.WebhookInput{Url: url, EventTypes: events})
}

// registerInput is register for a webhook with more to it.
func (n *testNode) registerInput(tb testing.TB, in *holdfastv1.WebhookInput) *holdfastv1.RegisterWebhookResponse {
	tb.Helper()
	got, err := n.webhooks.RegisterWebhook(tb.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: in, Wait: durationpb.New(patience),
	})
	require.NoError(tb, err)
	require.Equal(tb, confirmed, got.GetRegistration().GetStatus(), "%v", got.GetRegistration())
	return got
}

// registration reads how far a registration has come.
func (n *testNode) registration(tb testing.TB, webhookID string) *holdfastv1.Registration {
	tb.Helper()
	got, err := n.webhooks.GetRegistration(tb.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: webhookID})
	require.NoError(tb, err)
	return got.GetRegistration()
}

// awaitRegistration polls a registration until it has the status.
func (n *testNode) awaitRegistration(tb testing.TB, webhookID string, status holdfastv1.RegistrationStatus) *holdfastv1.Registration {
	tb.Helper()
	return await(tb, webhookID+" to be "+status.String(), func() (*holdfastv1.Registration, bool) {
		got, err := n.webhooks.GetRegistration(tb.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: webhookID})
		return got.GetRegistration(), err == nil && got.GetRegistration().GetStatus() == status
	})
}

// publish publishes an event and requires it to be accepted.
func (n *testNode) publish(tb testing.TB, eventType, data string) *holdfastv1.PublishEventResponse {
	tb.Helper()
	got, err := n.tryPublish(tb.Context(), "", eventType, data)
	require.NoError(tb, err)
	return got
}

func (n *testNode) tryPublish(ctx context.Context, id, eventType, data string) (*holdfastv1.PublishEventResponse, error) {
	return n.events.PublishEvent(ctx, &holdfastv1.PublishEventRequest{
		Event: &holdfastv1.Event{Id: id, Type: eventType, DataJson: []byte(data)},
	})
}

// awaitDelivery polls a delivery until it has the state.
func (n *testNode) awaitDelivery(tb testing.TB, id string, state holdfastv1.DeliveryState) *holdfastv1.Delivery {
	tb.Helper()
	var last *holdfastv1.Delivery
	defer func() {
		if tb.Failed() {
			tb.Logf("last seen: %v\n%s", last, n.cluster.explain(last.GetWorkflowId()))
		}
	}()
	return await(tb, id+" to be "+state.String(), func() (*holdfastv1.Delivery, bool) {
		got, err := n.deliveries.GetDelivery(tb.Context(), &holdfastv1.GetDeliveryRequest{Id: id})
		last = got.GetDelivery()
		return last, err == nil && last.GetState() == state
	})
}

// explain tells what the workflow of a delivery has done of late.
func (c *cluster) explain(workflowID string) string {
	const most = 40
	var lines []string
	events := c.temporal.Client.GetWorkflowHistory(context.WithoutCancel(c.tb.Context()), workflowID, "", false, 0)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			lines = append(lines, err.Error())
			break
		}
		lines = append(lines, fmt.Sprintf("%s %v %.200v", e.GetEventTime().AsTime().Format("15:04:05.000"), e.GetEventType(), e.GetAttributes()))
	}
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// get asks one of the node's plain HTTP routes.
func (n *testNode) get(tb testing.TB, path string) (status int, body string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, n.base+path, nil)
	require.NoError(tb, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(tb, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(tb, err)
	return res.StatusCode, string(text)
}

// retries is a retry policy.
func retries(attempts int32, delay time.Duration) *holdfastv1.RetryPolicy {
	return &holdfastv1.RetryPolicy{MaxAttempts: &attempts, InitialDelay: durationpb.New(delay), MaxDelay: durationpb.New(delay)}
}

// requireNoneOpen waits until no delivery is under way: every one has ended.
func requireNoneOpen(tb testing.TB, c *cluster) {
	tb.Helper()
	awaitTrue(tb, "every delivery to end", func() bool {
		got, err := c.temporal.Client.CountWorkflow(tb.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: c.temporal.Namespace,
			Query:     `ExecutionStatus = "Running" AND WorkflowType IN ("Delivery", "DeliveryGroup")`,
		})
		return err == nil && got.GetCount() == 0
	})
}
