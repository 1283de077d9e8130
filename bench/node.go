//go:build !lean

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/emprops/holdfast/internal/app"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/devserver"
	"github.com/emprops/holdfast/internal/telemetry"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// Node is the process under test: a node with the embedded Temporal, and a Redis beside it.
type Node struct{ dev *app.Dev }

// NodeStart says how the node is set up.
type NodeStart struct {
	DataDir string
	Flags   []string // of holdfast dev, which win over the bench's own
}

// NodeAddresses are where the node and its Redis are.
type NodeAddresses struct{ API, Redis string }

const (
	startTimeout = 2 * time.Minute
	nodeStop     = 15 * time.Second
)

// Start starts the node and answers when it is ready.
func (n *Node) Start(in NodeStart, out *NodeAddresses) error {
	port, err := devserver.FreePort("127.0.0.1")
	if err != nil {
		return err
	}
	args := append([]string{
		"--listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "--data-dir", in.DataDir, "--temporal-port", "0",
		"--temporal-ui-port", "0", "--redis-port", "0", "--emprops-mode", config.EMPROPSOff, "--log-level", "error",
		"--log-format", "console",
	}, in.Flags...)
	cfg, err := config.Load(args, nil, config.CommandDev)
	if err != nil {
		return err
	}
	logger, err := telemetry.NewLogger(cfg.Log.Level, cfg.Log.Format, os.Stderr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if n.dev, err = app.StartDev(ctx, cfg, "bench", logger, func(string, ...any) {}); err != nil {
		return err
	}
	if n.dev.Redis != nil && n.dev.Redis.Notice() != "" {
		return errors.New("a real Redis is needed: " + n.dev.Redis.Notice())
	}
	*out = NodeAddresses{"http://" + n.dev.Addr(), n.dev.Config.Redis.URL}
	return nil
}

func (n *Node) stop() error {
	if n.dev == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), nodeStop)
	defer cancel()
	return n.dev.Stop(ctx)
}

// client publishes to a node as any program would: Connect with binary messages over kept HTTP/1.1 connections.
type client struct {
	events holdfastv1connect.EventServiceClient
	redis  *redis.Client
	hooks  []hook
}

// hook is a webhook of a row: event n is for hook n modulo their number, and no other wants it.
type hook struct {
	url     string
	jobType string // the only one it wants; "": any
	static  bool
	data    []byte // of its events
}

const eventType = "complete_job"

// newClient connects to a node and registers the webhooks.
func newClient(ctx context.Context, at NodeAddresses, connections int, hooks []hook) (*client, error) {
	transport := &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections}
	h := &http.Client{Transport: transport}
	webhooks := holdfastv1connect.NewWebhookServiceClient(h, at.API)
	for _, hook := range hooks {
		if err := hook.register(ctx, webhooks); err != nil {
			return nil, err
		}
	}
	options, err := redis.ParseURL(at.Redis)
	if err != nil {
		return nil, fmt.Errorf("the node's Redis: %w", err)
	}
	return &client{holdfastv1connect.NewEventServiceClient(h, at.API), redis.NewClient(options), hooks}, nil
}

func (h *hook) register(ctx context.Context, webhooks holdfastv1connect.WebhookServiceClient) error {
	in := &holdfastv1.WebhookInput{Url: h.url, EventTypes: []string{eventType}, Static: &h.static}
	if h.jobType != "" {
		in.Filters = &holdfastv1.Filters{JobTypes: []string{h.jobType}}
	}
	got, err := webhooks.RegisterWebhook(ctx, &holdfastv1.RegisterWebhookRequest{Webhook: in})
	if err != nil {
		return fmt.Errorf("registering the webhook: %w", err)
	}
	if status := got.GetRegistration().GetStatus(); status != holdfastv1.RegistrationStatus_REGISTRATION_STATUS_CONFIRMED {
		return fmt.Errorf("registering the webhook: %s", status)
	}
	return nil
}

// publish publishes event n, which only one webhook wants.
func (c *client) publish(ctx context.Context, n int, id string) error {
	got, err := c.events.PublishEvent(ctx, &holdfastv1.PublishEventRequest{
		Event: &holdfastv1.Event{Id: id, Type: eventType, DataJson: c.hooks[n%len(c.hooks)].data},
	})
	if err == nil && (got.GetDuplicate() || len(got.GetDeliveries()) != 1) {
		return fmt.Errorf("answered with %d deliveries, duplicate %t", len(got.GetDeliveries()), got.GetDuplicate())
	}
	return err
}

// redisCPU is the CPU time that the node's Redis has used, with that of its own children (rewriting the log).
func (c *client) redisCPU(ctx context.Context) (time.Duration, error) {
	info, err := c.redis.Info(ctx, "cpu").Result()
	if err != nil {
		return 0, fmt.Errorf("reading the CPU time of Redis: %w", err)
	}
	var total float64
	for line := range strings.Lines(info) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "used_cpu_sys", "used_cpu_user", "used_cpu_sys_children", "used_cpu_user_children":
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("reading the CPU time of Redis: %w", err)
			}
			total += seconds
		}
	}
	return time.Duration(total * float64(time.Second)), nil
}

func (c *client) close() { _ = c.redis.Close() }
