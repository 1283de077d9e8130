package app_test

import (
	"flag"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

var cutFor = flag.Duration("cut-for", 30*time.Second, "how long Redis is cut off in the middle of registrations")

// 200 registrations run while Redis is cut off for half a minute. Answers meanwhile are PENDING or UNAVAILABLE and never a
// success that is not true; afterwards each has ended, and Redis, EMPROPS and the answers agree about every one.
func TestD12_RedisCutOffAmidRegistrationsLeavesNoneHalfRegistered(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	target, err := url.Parse(c.redis.URL())
	require.NoError(t, err)
	way := newRelay(t, target.Host)
	way.Open()
	n := c.node(func(cfg *config.Config) { cfg.Redis.URL = "redis://" + way.addr })
	store := c.store() // past the relay
	receiver := testkit.NewReceiver(t)

	const registrations, strands, cutAfter = 200, 20, 40
	type answer struct {
		id     string
		status holdfastv1.RegistrationStatus
		code   connect.Code
	}
	keys, answers := make(chan int), make(chan answer, registrations)
	var running sync.WaitGroup
	for range strands {
		running.Go(func() {
			for i := range keys {
				key := fmt.Sprintf("cut-off-%d", i)
				got, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
					Webhook:        &holdfastv1.WebhookInput{Url: receiver.URL(), EventTypes: []string{"complete_job"}},
					IdempotencyKey: key, Wait: durationpb.New(3 * time.Second),
				})
				a := answer{id: holdfast.IdempotentWebhookID(key), status: got.GetRegistration().GetStatus()}
				if err != nil {
					a.code = connect.CodeOf(err)
				}
				if a.status == confirmed { // true at this very moment, also while the node cannot see Redis
					_, active, err := store.ReadWebhook(t.Context(), a.id)
					if err != nil || !active {
						t.Errorf("%s was confirmed, but Redis says %v, active %t", a.id, err, active)
					}
				}
				answers <- a
			}
		})
	}
	var restored <-chan time.Time
	counts := map[string]int{}
	known := map[string]bool{}
	for sent, heard := 0, 0; heard < registrations; {
		give := keys
		if sent == registrations {
			give = nil
		}
		select {
		case give <- sent:
			sent++
		case a := <-answers:
			heard++
			if a.code != 0 {
				require.Equal(t, connect.CodeUnavailable, a.code)
			} else {
				require.Contains(t, []holdfastv1.RegistrationStatus{confirmed, pending}, a.status)
				known[a.id] = true
			}
			counts[fmt.Sprintf("%v%v", a.status, a.code)]++
			if heard == cutAfter {
				way.Cut()
				restored = time.After(*cutFor)
			}
		case <-restored:
			way.Open()
			restored = nil
		}
	}
	close(keys)
	running.Wait()
	if restored != nil {
		<-restored
		way.Open()
	}
	t.Logf("answers: %v", counts)
	require.GreaterOrEqual(t, counts[fmt.Sprintf("%v%v", pending, connect.Code(0))], strands, "the cut was felt")

	done := map[string]holdfastv1.RegistrationStatus{}
	for id := range known {
		awaitTrue(t, id+" to end", func() bool {
			got, err := n.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: id})
			done[id] = got.GetRegistration().GetStatus()
			return err == nil && (done[id] == confirmed || done[id] == failed && got.GetRegistration().GetReason() != "")
		})
	}
	active, err := store.ActiveIDs(t.Context())
	require.NoError(t, err)
	confirmedIDs := 0
	for id, status := range done {
		_, listed, err := store.ReadWebhook(t.Context(), id)
		_, atPlatform := c.emprops.Webhook(id)
		require.Equal(t, status == confirmed, err == nil && listed, "%s is %v, Redis says %v", id, status, err)
		require.Equal(t, status == confirmed, atPlatform, "%s is %v", id, status)
		if status == confirmed {
			confirmedIDs++
		}
	}
	require.Len(t, active, confirmedIDs)
	require.Len(t, n.publish(t, "complete_job", `{"job_id":"j"}`).GetDeliveries(), confirmedIDs)
	t.Logf("%d of %d confirmed, %d failed with a reason", confirmedIDs, registrations, len(done)-confirmedIDs)
}
