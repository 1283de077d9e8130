package app_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/app"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/devserver"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/seal"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// cluster is what the nodes of one test share: a Temporal namespace, a Redis, an EMPROPS stand-in and a sealing key.
type cluster struct {
	tb       testing.TB
	temporal *testkit.TemporalEnv
	redis    *devserver.Redis
	emprops  *standin.Server
	key      string
}

func newCluster(tb testing.TB) *cluster {
	tb.Helper()
	key, err := seal.NewKey()
	require.NoError(tb, err)
	platform, err := standin.New(standin.Options{Logger: testkit.Logger(tb)})
	require.NoError(tb, err)
	require.NoError(tb, platform.Start(tb.Context(), "127.0.0.1:0"))
	tb.Cleanup(func() { _ = platform.Stop(context.WithoutCancel(tb.Context())) })
	return &cluster{
		tb: tb, temporal: testkit.Temporal(tb), redis: testkit.PersistentRedisServer(tb), emprops: platform, key: key.Text(),
	}
}

// testNode is a running node with clients of its API.
type testNode struct {
	*app.App
	base       string
	webhooks   holdfastv1connect.WebhookServiceClient
	events     holdfastv1connect.EventServiceClient
	deliveries holdfastv1connect.DeliveryServiceClient
	receivers  holdfastv1connect.ReceiverServiceClient
}

// node starts a node and waits until it is ready; change adjusts its configuration.
func (c *cluster) node(change ...func(*config.Config)) *testNode {
	c.tb.Helper()
	n := c.start(change...)
	ctx, cancel := context.WithTimeout(c.tb.Context(), 30*time.Second)
	defer cancel()
	require.NoError(c.tb, n.WaitReady(ctx))
	return n
}

func (c *cluster) start(change ...func(*config.Config)) *testNode {
	c.tb.Helper()
	cfg, err := config.Load([]string{"--redis-url", c.redis.URL()}, nil, config.CommandServe)
	require.NoError(c.tb, err)
	cfg.HTTP.Listen = freeAddress(c.tb)
	cfg.BaseURL = "http://" + cfg.HTTP.Listen
	cfg.Temporal.Address, cfg.Temporal.Namespace = c.temporal.HostPort(), c.temporal.Namespace
	cfg.EMPROPS.URL, cfg.EMPROPS.Mode = c.emprops.URL(), config.EMPROPSRequired
	cfg.Security.SecretKeys = []string{c.key}
	cfg.Security.AllowLoopback = true
	for _, f := range change {
		f(&cfg)
	}
	a, err := app.New(cfg, app.Roles{API: true, Worker: true}, testkit.Logger(c.tb))
	require.NoError(c.tb, err)
	require.NoError(c.tb, a.Start(c.tb.Context()))
	c.tb.Cleanup(func() { _ = a.Stop(context.WithoutCancel(c.tb.Context())) })
	base := "http://" + a.Addr()
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	return &testNode{
		App: a, base: base,
		webhooks:   holdfastv1connect.NewWebhookServiceClient(h, base),
		events:     holdfastv1connect.NewEventServiceClient(h, base),
		deliveries: holdfastv1connect.NewDeliveryServiceClient(h, base, connect.WithProtoJSON()),
		receivers:  holdfastv1connect.NewReceiverServiceClient(h, base),
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
	got, err := n.webhooks.RegisterWebhook(tb.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{Url: url, EventTypes: events},
	})
	require.NoError(tb, err)
	require.Equal(tb, holdfastv1.RegistrationStatus_REGISTRATION_STATUS_CONFIRMED, got.GetRegistration().GetStatus())
	return got
}

// publish publishes an event and requires it to be accepted.
func (n *testNode) publish(tb testing.TB, eventType, data string) *holdfastv1.PublishEventResponse {
	tb.Helper()
	got, err := n.events.PublishEvent(tb.Context(), &holdfastv1.PublishEventRequest{
		Event: &holdfastv1.Event{Type: eventType, DataJson: []byte(data)},
	})
	require.NoError(tb, err)
	return got
}
