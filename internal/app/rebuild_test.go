package app_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

var flushed = flag.Int("flushed", 40, "webhooks registered before Redis is wiped")

// checking is a node that checks consistency often.
func checking(cfg *config.Config) { cfg.Registry.CheckInterval = 2 * time.Second }

// flushShard is how many webhooks at most want one event while Redis is filled again, or the deliveries and not the
// registrations would be what is measured.
const flushShard = 10

// Redis is wiped under a running node. Every registration is back within one interval of the check, without a restart, and
// no event published meanwhile misses a webhook: not while Redis is empty, not while it is being filled.
func TestG5_G2_AWipedRedisIsFilledAgainAndNoEventMissesAWebhook(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	n, other := c.node(checking), c.node(checking)
	receiver := testkit.NewReceiver(t)
	shards := (*flushed + flushShard - 1) / flushShard
	jobType := func(i int) string { return fmt.Sprintf("type-%d", i%shards) }
	var registering sync.WaitGroup
	ids := make([]string, *flushed)
	registration := time.Now()
	for strand := range 4 {
		registering.Go(func() {
			for i := strand; i < len(ids); i += 4 {
				got, err := n.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
					Webhook: &holdfastv1.WebhookInput{
						Url: receiver.URL(), EventTypes: []string{"job_failed"}, Secret: "s3cr3t", Filters: &holdfastv1.Filters{JobTypes: []string{jobType(i)}},
					},
				})
				if err != nil {
					t.Errorf("registering: %v", err)
					return
				}
				ids[i] = got.GetWebhook().GetId()
			}
		})
	}
	registering.Wait()
	registered := time.Since(registration)
	store := c.store()
	redis := testkit.RedisClient(t, c.redis)
	require.NoError(t, redis.FlushAll(t.Context()).Err())
	began := time.Now()
	// Somebody registers at once: that one write must not make the nodes believe that it is all there is.
	late := n.register(t, receiver.URL(), "job_failed").GetWebhook().GetId()
	published := 0
	publish := func(node *testNode) {
		got := node.publish(t, "job_failed", fmt.Sprintf(`{"job_id":"j%d","job_type":%q}`, published, jobType(published)))
		wanted := 1 // the late one takes all
		for i := published % shards; i < len(ids); i += shards {
			wanted++
		}
		require.Len(t, got.GetDeliveries(), wanted, "publish %d, %v after the wipe", published, time.Since(began))
		published++
	}
	back := 0
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := began.Add(patience + time.Duration(len(ids))*100*time.Millisecond); back < len(ids)+1; <-tick.C {
		require.False(t, time.Now().After(deadline), "%d of %d webhooks are back", back, len(ids)+1)
		publish(n)
		publish(other)
		active, err := store.ActiveIDs(t.Context())
		require.NoError(t, err)
		back = len(active)
	}
	took := time.Since(began)
	t.Logf("%d webhooks were registered in %v, %v each; all were back %v after the wipe, %v each; %d events meanwhile missed none",
		len(ids), registered.Round(time.Millisecond), (registered / time.Duration(len(ids))).Round(time.Microsecond),
		took.Round(time.Millisecond), (took / time.Duration(len(ids))).Round(time.Microsecond), published)
	for _, id := range slices.Concat(ids, []string{late}) {
		w, active, err := store.ReadWebhook(t.Context(), id)
		require.NoError(t, err)
		require.True(t, active)
		require.NotEmpty(t, w.Secret)
	}
	awaitTrue(t, "a clean report", func() bool {
		got, err := n.operations.GetConsistencyReport(t.Context(), &holdfastv1.GetConsistencyReportRequest{})
		r := got.GetReport()
		return err == nil && r.GetConsistent() && int(r.GetWebhooks()) == len(ids)+1 && int(r.GetRegistrations()) == len(ids)+1
	})
	t.Logf("a check found everything in order %v after the wipe", time.Since(began).Round(time.Millisecond))
	// A node that starts now, with no memory of its own, sees everything as well.
	publish(c.node(checking))
}

// A node that starts on a wiped Redis, when no other node is left to remember, is not ready before everything is back.
func TestG5_D05_ANodeThatStartsOnAWipedRedisWaitsForTheRegistrations(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first := c.node(checking)
	receiver := testkit.NewReceiver(t)
	for range 5 {
		first.register(t, receiver.URL(), "workflow_failed")
	}
	require.NoError(t, first.Stop(context.WithoutCancel(t.Context())))
	require.NoError(t, testkit.RedisClient(t, c.redis).FlushAll(t.Context()).Err())
	second := c.node(checking)
	require.Len(t, second.publish(t, "workflow_failed", `{"workflow_id":"w"}`).GetDeliveries(), 5)
}

// The original service's Redis is taken over as it is: its webhooks are adopted, deliver and can be changed; and what is
// written stays readable for the original.
func TestG5_WebhooksOfTheOriginalAreTakenOver(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	redis := testkit.RedisClient(t, c.redis)
	receiver := testkit.NewReceiver(t)
	write := func(id string, change func(map[string]any)) {
		w := map[string]any{
			"id": id, "created_at": 1700000000000, "updated_at": 1700000000000, "consecutive_failures": 0, "disconnected": false,
			"retry_config": map[string]any{"max_attempts": 3, "initial_delay_ms": 1000, "backoff_multiplier": 2, "max_delay_ms": 30000},
			"url":          receiver.URL(), "events": []string{"job_failed"}, "active": true, "secret": "old-secret",
		}
		change(w)
		text, err := json.Marshal(w)
		require.NoError(t, err)
		require.NoError(t, redis.HSet(t.Context(), "webhooks:registry", id, text).Err())
		if w["active"] == true {
			require.NoError(t, redis.SAdd(t.Context(), "webhooks:active", id).Err())
		}
	}
	write("wh_1700000000000_aaa", func(map[string]any) {})
	write("wh_1700000000000_bbb", func(w map[string]any) { w["active"] = false })
	write("wh_1700000000000_bad", func(w map[string]any) { w["events"] = nil }) // D31
	n := c.node(checking)
	got := n.publish(t, "job_failed", `{"job_id":"j"}`)
	arrived(t, receiver, 1)
	require.Contains(t, webhookIDs(got), "wh_1700000000000_aaa")
	r := n.awaitRegistration(t, "wh_1700000000000_aaa", confirmed)
	require.Equal(t, "reconcile", r.GetOperation(), "%v", r)
	n.awaitRegistration(t, "wh_1700000000000_bbb", confirmed)
	report, err := n.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{})
	require.NoError(t, err)
	var poisoned *holdfastv1.Drift
	for _, d := range report.GetReport().GetDrifts() {
		if d.GetKind() == "unreadable" {
			poisoned = d
		}
	}
	require.Equal(t, []string{"wh_1700000000000_bad"}, poisoned.GetIds(), "%v", report)
	alerts, err := n.operations.ListAlerts(t.Context(), &holdfastv1.ListAlertsRequest{})
	require.NoError(t, err)
	var kinds []string
	for _, a := range alerts.GetAlerts() {
		kinds = append(kinds, a.GetKind()+":"+a.GetSubject())
	}
	require.Contains(t, kinds, "webhook_unreadable:wh_1700000000000_bad")

	// Back at the original for a while: it registers one more and edits another, by its own plain commands.
	write("wh_1700000000000_ccc", func(map[string]any) {})
	write("wh_1700000000000_aaa", func(w map[string]any) {
		w["updated_at"], w["url"] = time.Now().UnixMilli()+1000, receiver.URL()+"?edited"
	})
	n.awaitRegistration(t, "wh_1700000000000_ccc", confirmed)
	awaitTrue(t, "the edit to be taken over", func() bool {
		now, err := n.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{Id: "wh_1700000000000_aaa"})
		return err == nil && now.GetWebhook().GetUrl() == receiver.URL()+"?edited"
	})
	stored, err := redis.HGet(t.Context(), "webhooks:registry", "wh_1700000000000_aaa").Result()
	require.NoError(t, err)
	var plain map[string]any
	require.NoError(t, json.Unmarshal([]byte(stored), &plain))
	require.Equal(t, []any{"wh_1700000000000_aaa", true, receiver.URL() + "?edited"}, []any{plain["id"], plain["active"], plain["url"]})
}

// D3: an id that went missing from the active set is found, repaired and reported; nobody has to read the webhook for it.
func TestD03_AnIDMissingFromTheActiveSetIsRepairedAndReported(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	id := n.register(t, receiver.URL(), "job_failed").GetWebhook().GetId()
	redis := testkit.RedisClient(t, c.redis)
	require.NoError(t, redis.SRem(t.Context(), "webhooks:active", id).Err())
	got, err := n.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{})
	require.NoError(t, err)
	require.False(t, got.GetReport().GetConsistent())
	require.True(t, got.GetReport().GetRepaired(), "%v", got)
	require.Equal(t, "active_set", got.GetReport().GetDrifts()[0].GetKind())
	require.Equal(t, []string{id}, got.GetReport().GetDrifts()[0].GetIds())
	listed, err := redis.SIsMember(t.Context(), "webhooks:active", id).Result()
	require.NoError(t, err)
	require.True(t, listed)
	require.Equal(t, []string{id}, webhookIDs(n.publish(t, "job_failed", `{}`)))
	again, err := n.operations.CheckConsistency(t.Context(), &holdfastv1.CheckConsistencyRequest{})
	require.NoError(t, err)
	require.True(t, again.GetReport().GetConsistent(), "%v", again)
}

// A backup of Redis from before a change and a registration is put in place of what is there. The registrations are the
// truth: the change is written again, and the webhook that the backup does not know as well.
func TestG5_D04_ARestoredBackupBringsNoOldConfigurationBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node(checking)
	old, fresh := testkit.NewReceiver(t), testkit.NewReceiver(t)
	id := n.register(t, old.URL(), "job_failed").GetWebhook().GetId()
	redis := testkit.RedisClient(t, c.redis)
	awaitTrue(t, "the registry to be complete", func() bool {
		status, _ := n.readiness(t)
		return status == 200
	})
	keys, err := redis.Keys(t.Context(), "webhooks:*").Result()
	require.NoError(t, err)
	backup := map[string]string{}
	for _, key := range keys {
		if dump, err := redis.Dump(t.Context(), key).Result(); err == nil {
			backup[key] = dump
		}
	}
	_, err = n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
		Id: id, Webhook: &holdfastv1.WebhookInput{Url: fresh.URL()}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"url"}},
	})
	require.NoError(t, err)
	second := n.register(t, fresh.URL(), "job_failed").GetWebhook().GetId()

	require.NoError(t, redis.FlushAll(t.Context()).Err())
	for key, dump := range backup {
		require.NoError(t, redis.Restore(t.Context(), key, 0, dump).Err())
	}
	require.ElementsMatch(t, []string{id, second}, webhookIDs(n.publish(t, "job_failed", `{}`)))
	store := c.store()
	awaitTrue(t, "both to be as they were", func() bool {
		w, active, err := store.ReadWebhook(t.Context(), id)
		_, also, secondErr := store.ReadWebhook(t.Context(), second)
		return err == nil && secondErr == nil && active && also && w.URL == fresh.URL()
	})
	awaitTrue(t, "the node to be whole again", func() bool {
		status, _ := n.readiness(t)
		return status == 200
	})
	arrived(t, fresh, 2)
	n.publish(t, "job_failed", `{}`)
	arrived(t, fresh, 4)
	require.Empty(t, old.Requests(), "nothing went to the old address")
}
