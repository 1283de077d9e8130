package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// Options say what the demo runs against.
type Options struct {
	BaseURL    string    // of the node's API, http://host:port
	RedisURL   string    // of the Redis whose channels the node listens to
	TemporalUI string    // of the Temporal UI that deliveries link to; "" when there is none
	APIKey     string    // for the node's API; "" when it asks for none
	Out        io.Writer // where the lines go
}

// callTimeout bounds one call of the API. A registration waits for its outcome inside it.
const callTimeout = 30 * time.Second

// Run drives the main job once. The error says which expectation was not met, or which call failed; it is ctx's when ctx
// ends first. A run takes about six seconds and leaves its webhooks and receivers behind, for a look at them.
func Run(ctx context.Context, o Options) error {
	broker, err := redisstore.Connect(o.RedisURL)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer broker.Close()
	base := strings.TrimRight(o.BaseURL, "/")
	client := &http.Client{Timeout: callTimeout, Transport: withKey{o.APIKey}}
	r := &run{
		out: printer{o.Out}, base: base, temporalUI: strings.TrimRight(o.TemporalUI, "/"), broker: broker,
		webhooks:   holdfastv1connect.NewWebhookServiceClient(client, base),
		receivers:  holdfastv1connect.NewReceiverServiceClient(client, base),
		deliveries: holdfastv1connect.NewDeliveryServiceClient(client, base),
	}
	err = r.drive(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// withKey sends the API key with every request.
type withKey struct{ key string }

// RoundTrip implements http.RoundTripper.
func (w withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.key != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+w.key)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// run is one run of the demo.
type run struct {
	out        printer
	base       string
	temporalUI string
	broker     redis.UniversalClient
	webhooks   holdfastv1connect.WebhookServiceClient
	receivers  holdfastv1connect.ReceiverServiceClient
	deliveries holdfastv1connect.DeliveryServiceClient
}

func (r *run) drive(ctx context.Context) error {
	r.out.text("")
	r.out.text("Demo: webhooks are registered and a recorded stream of job messages is published, all against this node.")
	r.out.text("")
	if err := r.earlier(ctx); err != nil {
		return err
	}
	targets, err := r.register(ctx)
	if err != nil {
		return err
	}
	messages, err := recorded(newRunID())
	if err != nil {
		return err
	}
	w := newWatch(targets, messages, r.temporalUI)
	r.out.text("")
	r.out.text("Times are from just before the PUBLISH to the arrival at the receiver, by its own record, in ms.")
	if err := r.play(ctx, w); err != nil {
		return err
	}
	r.out.text("")
	return r.summary(ctx, w)
}
