package app_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

var edits = flag.Int("edits", 80, "edits and deletions made while deliveries finish; the acceptance tests name 1000, which want the machine one test at a time")

// hammer publishes 5 events a second, each to many webhooks, until the test stops it, so that deliveries finish all the
// time; it returns the stop.
// Faster would only pile up deliveries: half of them fail.
func hammer(t *testing.T, n *testNode) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if _, err := n.tryPublish(ctx, "", "complete_job", fmt.Sprintf(`{"job_id":"%d"}`, i)); err != nil && ctx.Err() == nil {
				t.Errorf("publishing: %v", err)
			}
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// Edits of several fields are made while deliveries to the same webhooks finish, some well and some badly. Each edit must
// still be there after the last delivery has been recorded.
func TestD06_DeliveriesRevertNoEdit(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusOK, http.StatusInternalServerError)
	const strands = 8
	ids := make([]string, strands)
	for i := range ids {
		ids[i] = n.registerInput(t, &holdfastv1.WebhookInput{
			Url: receiver.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(1, time.Millisecond), Static: new(true),
		}).GetWebhook().GetId()
	}
	stop := hammer(t, n)
	var running sync.WaitGroup
	reverted := make(chan string, *edits)
	for _, id := range ids {
		running.Go(func() {
			for i := range *edits / strands {
				text, active := fmt.Sprintf("edit %d", i), i%4 != 3
				url := fmt.Sprintf("%s?edit=%d", receiver.URL(), i)
				got, err := n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
					Id: id, Webhook: &holdfastv1.WebhookInput{Description: &text, Active: &active, Url: url},
					UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"description", "active", "url"}}, Wait: durationpb.New(patience),
				})
				if err != nil || got.GetRegistration().GetStatus() != confirmed {
					t.Errorf("edit: %v %v", got.GetRegistration(), err)
					return
				}
				for range 2 { // now, and after other deliveries have had a moment to finish
					now, err := n.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{Id: id})
					w := now.GetWebhook()
					if err != nil || w.GetDescription() != text || w.GetActive() != active || w.GetUrl() != url {
						reverted <- fmt.Sprintf("%s: %q: %v %v", id, text, w, err)
					}
				}
			}
		})
	}
	running.Wait()
	stop()
	close(reverted)
	require.Empty(t, reverted, "of %d edits", *edits)
	for _, id := range ids {
		got, err := n.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{Id: id})
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("edit %d", *edits/strands-1), got.GetWebhook().GetDescription())
	}
	t.Logf("0 of %d edits reverted; the receiver heard %d requests meanwhile", *edits, len(receiver.Requests()))
}

// Webhooks are deleted while deliveries to them finish. None may come back, and nothing may be left under their ids (D10).
func TestD07_D10_DeliveriesBringNoDeletedWebhookBack(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	receiver.Status(http.StatusOK, http.StatusInternalServerError)
	stop := hammer(t, n)
	const strands = 8
	var running sync.WaitGroup
	var mu sync.Mutex
	var deleted []string
	for range strands {
		running.Go(func() {
			for range *edits / strands {
				got, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
					Webhook: &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"complete_job"}, RetryPolicy: retries(1, time.Millisecond)},
					Wait:    durationpb.New(patience),
				})
				if connect.CodeOf(err) == connect.CodeUnavailable {
					continue // Temporal is busy: nothing was taken on
				}
				if err != nil || got.GetRegistration().GetStatus() != confirmed {
					t.Errorf("registering: %v %v", got.GetRegistration(), err)
					return
				}
				id := got.GetWebhook().GetId()
				gone, err := n.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Id: id, Wait: durationpb.New(patience)})
				if err != nil || gone.GetRegistration().GetStatus() != confirmed {
					t.Errorf("deleting: %v %v", gone.GetRegistration(), err)
					return
				}
				mu.Lock()
				deleted = append(deleted, id)
				mu.Unlock()
			}
		})
	}
	running.Wait()
	stop()
	requireNoneOpen(t, c)
	listed, err := n.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
	require.NoError(t, err)
	require.Empty(t, listed.GetWebhooks())
	redis := testkit.RedisClient(t, c.redis)
	keys, err := redis.Keys(t.Context(), "*wh_*").Result()
	require.NoError(t, err)
	require.Empty(t, keys, "nothing is left under a deleted id")
	require.NotEmpty(t, receiver.Requests())
	require.Greater(t, len(deleted), *edits/2)
	t.Logf("0 of %d deleted webhooks came back; the receiver heard %d requests", len(deleted), len(receiver.Requests()))
}
