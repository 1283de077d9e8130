package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

var webhookCommands = []clientCommand{
	{name: "webhook list", does: "list the webhooks, the newest first", define: listWebhooks},
	{name: "webhook get", takes: "ID", does: "show a webhook", define: getWebhook},
	{name: "webhook register", does: "register a webhook and prove it", waits: true, define: registerWebhook},
	{name: "webhook update", takes: "ID", does: "change the fields whose flags are given", waits: true, define: updateWebhook},
	{name: "webhook delete", takes: "ID", does: "delete a webhook; its open deliveries are cancelled", waits: true, define: deleteWebhook},
	{name: "webhook disconnect", takes: "ID", does: "stop deliveries; events are held", waits: true, define: disconnectWebhook},
	{name: "webhook reconnect", takes: "ID", does: "end a disconnection and release what is held", waits: true, define: reconnectWebhook},
	{name: "webhook rotate-secret", takes: "ID", does: "replace the signing secret", waits: true, define: rotateSecret},
	{name: "webhook test", takes: "ID", does: "send a test event of each type now and show what came of it", lasts: server.MaxTestTimeout, define: testWebhook},
	{name: "webhook status", takes: "ID", does: "show a registration's audit trail and the webhook's counters", define: webhookStatus},
	{name: "webhook stats", takes: "ID", does: "show a webhook's counters, by hour or day with --by", define: webhookStats},
}

func listWebhooks(fs *pflag.FlagSet) operation {
	state := fs.String("state", "", "only those in the `STATE`: active, disconnected or paused")
	eventType := fs.String("event-type", "", "only those that want the event `TYPE`")
	return func(ctx context.Context, c *client, _ string) error {
		req := &holdfastv1.ListWebhooksRequest{EventType: *eventType, PageSize: 500}
		if *state != "" {
			number, known := holdfastv1.WebhookState_value[webhookStatePrefix+strings.ToUpper(*state)]
			if !known || number == 0 {
				return usageError{"--state must be active, disconnected or paused"}
			}
			req.State = holdfastv1.WebhookState(number)
		}
		all := &holdfastv1.ListWebhooksResponse{}
		for {
			page, err := c.webhooks.ListWebhooks(ctx, req)
			if err != nil {
				return err
			}
			all.Webhooks = append(all.GetWebhooks(), page.GetWebhooks()...)
			all.TotalSize = page.GetTotalSize()
			if req.PageToken = page.GetNextPageToken(); req.GetPageToken() == "" {
				break
			}
		}
		return c.show(all, func(t *table) {
			t.row("ID", "STATE", "REVISION", "FAILURES", "EVENTS", "URL")
			for _, w := range all.GetWebhooks() {
				t.row(w.GetId(), word(w.GetState(), webhookStatePrefix), w.GetRevision(), w.GetConsecutiveFailures(),
					strings.Join(w.GetEventTypes(), ","), w.GetUrl())
			}
		})
	}
}

func getWebhook(*pflag.FlagSet) operation {
	return func(ctx context.Context, c *client, id string) error {
		got, err := c.webhooks.GetWebhook(ctx, &holdfastv1.GetWebhookRequest{Id: id})
		if err != nil {
			return err
		}
		return c.show(got, func(t *table) { webhookFacts(t, got.GetWebhook()) })
	}
}

func registerWebhook(fs *pflag.FlagSet) operation {
	settings := settingFlags(fs)
	key := fs.String("idempotency-key", "", "the same `KEY` names the same webhook, so that this can be repeated")
	return func(ctx context.Context, c *client, _ string) error {
		input, _, err := settings()
		if err != nil {
			return err
		}
		got, err := c.webhooks.RegisterWebhook(ctx, &holdfastv1.RegisterWebhookRequest{
			Webhook: input, IdempotencyKey: *key, Wait: durationpb.New(c.wait),
		})
		if err != nil {
			return err
		}
		return c.outcome(got, got.GetWebhook(), got.GetRegistration(), got.GetSecret())
	}
}

// changeFlags are those of every change of a webhook.
type changeFlags struct {
	revision  *int64
	requestID *string
}

func newChangeFlags(fs *pflag.FlagSet) changeFlags {
	return changeFlags{
		fs.Int64("expected-revision", 0, "refuse when the webhook's revision is not `N`; 0 does not ask"),
		fs.String("request-id", "", "the same `ID` is carried out once, so that this can be repeated"),
	}
}

func updateWebhook(fs *pflag.FlagSet) operation {
	settings, change := settingFlags(fs), newChangeFlags(fs)
	emptied := fs.StringArray("clear", nil,
		"`FIELD` to set to what it is at a registration without it, such as secret, headers or filters.jobTypes; repeat for more")
	return func(ctx context.Context, c *client, id string) error {
		input, paths, err := settings()
		if err != nil {
			return err
		}
		for _, path := range *emptied {
			if slices.Contains(paths, path) {
				return usageError{"--clear " + path + " contradicts a flag that sets it"}
			}
		}
		if paths = append(paths, *emptied...); len(paths) == 0 {
			return usageError{"nothing to change; give the flag of a field, or --clear"}
		}
		got, err := c.webhooks.UpdateWebhook(ctx, &holdfastv1.UpdateWebhookRequest{
			Id: id, Webhook: input, UpdateMask: &fieldmaskpb.FieldMask{Paths: paths},
			ExpectedRevision: *change.revision, RequestId: *change.requestID, Wait: durationpb.New(c.wait),
		})
		if err != nil {
			return err
		}
		return c.outcome(got, got.GetWebhook(), got.GetRegistration(), got.GetSecret())
	}
}

func deleteWebhook(fs *pflag.FlagSet) operation {
	change := newChangeFlags(fs)
	return func(ctx context.Context, c *client, id string) error {
		got, err := c.webhooks.DeleteWebhook(ctx, &holdfastv1.DeleteWebhookRequest{
			Id: id, ExpectedRevision: *change.revision, RequestId: *change.requestID, Wait: durationpb.New(c.wait),
		})
		if err != nil {
			return err
		}
		return c.outcome(got, nil, got.GetRegistration(), "")
	}
}

func disconnectWebhook(fs *pflag.FlagSet) operation {
	change, reason := newChangeFlags(fs), fs.String("reason", "", "`TEXT` for people")
	return func(ctx context.Context, c *client, id string) error {
		got, err := c.webhooks.DisconnectWebhook(ctx, &holdfastv1.DisconnectWebhookRequest{
			Id: id, Reason: *reason,
			ExpectedRevision: *change.revision, RequestId: *change.requestID, Wait: durationpb.New(c.wait),
		})
		if err != nil {
			return err
		}
		return c.outcome(got, got.GetWebhook(), got.GetRegistration(), "")
	}
}

func reconnectWebhook(fs *pflag.FlagSet) operation {
	change, reason := newChangeFlags(fs), fs.String("reason", "", "`TEXT` for people")
	return func(ctx context.Context, c *client, id string) error {
		got, err := c.webhooks.ReconnectWebhook(ctx, &holdfastv1.ReconnectWebhookRequest{
			Id: id, Reason: *reason,
			ExpectedRevision: *change.revision, RequestId: *change.requestID, Wait: durationpb.New(c.wait),
		})
		if err != nil {
			return err
		}
		return c.outcome(got, got.GetWebhook(), got.GetRegistration(), "")
	}
}

func rotateSecret(fs *pflag.FlagSet) operation {
	change := newChangeFlags(fs)
	given := fs.String("secret", "", "the new `SECRET`"+fromFile+"; without it one is made and printed once")
	overlap := fs.Duration("overlap", server.DefaultOverlap, "`DURATION` the old secret signs beside the new one; 0s ends it at once")
	return func(ctx context.Context, c *client, id string) error {
		value, err := credential(*given)
		if err != nil {
			return usageError{"--secret " + err.Error()}
		}
		if *given != "" && value == "" {
			return usageError{"--secret is empty; leave it out to have one made"}
		}
		got, err := c.webhooks.RotateSecret(ctx, &holdfastv1.RotateSecretRequest{
			Id: id, Secret: value, Overlap: durationpb.New(*overlap),
			ExpectedRevision: *change.revision, RequestId: *change.requestID, Wait: durationpb.New(c.wait),
		})
		if err != nil {
			return err
		}
		return c.outcome(got, got.GetWebhook(), got.GetRegistration(), got.GetSecret())
	}
}

// errNotDone tells that an operation failed or was not done in time; the answer, printed already, says which.
var errNotDone = errors.New("not done")

// outcome shows the answer to a change. It is an error unless the change is confirmed, or nobody wanted to wait for that.
func (c *client) outcome(answer message, w *holdfastv1.Webhook, r *holdfastv1.Registration, made string) error {
	err := c.show(answer, func(t *table) {
		registrationFacts(t, r)
		t.fact("secret", made)
		if w != nil {
			t.gap()
			webhookFacts(t, w)
		}
	})
	switch {
	case err != nil:
		return err
	case r.GetStatus() == holdfastv1.RegistrationStatus_REGISTRATION_STATUS_FAILED:
		return fmt.Errorf("%w: %s", errNotDone, r.GetReason())
	case r.GetStatus() == holdfastv1.RegistrationStatus_REGISTRATION_STATUS_PENDING && c.wait > 0:
		return fmt.Errorf("%w within %s; it goes on by itself: holdfast webhook status %s", errNotDone, c.wait, r.GetWebhookId())
	}
	return nil
}

func webhookStatus(*pflag.FlagSet) operation {
	return func(ctx context.Context, c *client, id string) error {
		got, err := c.webhooks.GetRegistration(ctx, &holdfastv1.GetRegistrationRequest{WebhookId: id})
		if err != nil {
			return err
		}
		// There are no counters before the webhook is stored and after it is deleted.
		stats, err := c.webhooks.GetWebhookStats(ctx, &holdfastv1.GetWebhookStatsRequest{Id: id})
		if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
			return err
		}
		if c.json {
			return c.showJSON(got, stats)
		}
		return c.show(got, func(t *table) {
			registrationFacts(t, got.GetRegistration())
			t.gap()
			t.row("OPERATION", "STEP", "STATUS", "ATTEMPTS", "TIME", "ACTOR", "DETAIL")
			for _, s := range got.GetRegistration().GetSteps() {
				t.row(s.GetOperation(), s.GetName(), word(s.GetStatus(), "STEP_STATUS_"), s.GetAttempts(), stamp(s.GetTime()), s.GetActor(), s.GetDetail())
			}
			if stats.GetStats() != nil {
				t.gap()
				statsFacts(t, stats.GetStats())
			}
		})
	}
}

const webhookStatePrefix = "WEBHOOK_STATE_"

func webhookFacts(t *table, w *holdfastv1.Webhook) {
	t.fact("id", w.GetId())
	t.fact("url", w.GetUrl())
	t.fact("state", word(w.GetState(), webhookStatePrefix))
	if d := w.GetDisconnection(); d != nil {
		t.fact("disconnected by", strings.TrimSpace(word(d.GetCause(), "DISCONNECT_CAUSE_")+" "+d.GetActor()))
		t.fact("disconnected since", stamp(d.GetSince()))
		t.fact("reason", d.GetReason())
	}
	t.fact("next probe", stamp(w.GetNextProbeTime()))
	t.fact("revision", w.GetRevision())
	t.fact("event types", strings.Join(w.GetEventTypes(), ", "))
	f := w.GetFilters()
	t.fact("job types", strings.Join(f.GetJobTypes(), ", "))
	t.fact("priorities", joined(f.GetPriorities()))
	t.fact("machine ids", strings.Join(f.GetMachineIds(), ", "))
	t.fact("worker ids", strings.Join(f.GetWorkerIds(), ", "))
	t.fact("filter expression", w.GetFilterExpression())
	t.fact("description", w.GetDescription())
	t.fact("active", yes(w.GetActive()))
	t.fact("static", yes(w.GetStatic()))
	t.fact("format", word(w.GetFormat(), "PAYLOAD_FORMAT_"))
	t.fact("signed", signed(w))
	t.fact("public key", w.GetPublicKey())
	t.fact("authorization", yes(w.GetHasAuthorization()))
	t.fact("headers", strings.Join(w.GetHeaderNames(), ", "))
	if w.GetRateLimit() > 0 {
		t.fact("rate limit", fmt.Sprintf("%g/s", w.GetRateLimit()))
	}
	t.fact("ordering key", w.GetOrderingKey())
	t.fact("handshake", yes(w.GetHandshake()))
	p := w.GetRetryPolicy()
	t.fact("retries", fmt.Sprintf("%d attempts, %s × %g up to %s, jitter %g", p.GetMaxAttempts(), length(p.GetInitialDelay()),
		p.GetBackoffMultiplier(), length(p.GetMaxDelay()), p.GetJitter()))
	t.fact("no retry after", joined(p.GetNoRetryStatuses()))
	t.fact("failures in a row", w.GetConsecutiveFailures())
	t.fact("created", stamp(w.GetCreateTime()))
	t.fact("updated", stamp(w.GetUpdateTime()))
	t.fact("last success", stamp(w.GetLastSuccessTime()))
	t.fact("last failure", stamp(w.GetLastFailureTime()))
}

func signed(w *holdfastv1.Webhook) string {
	if n := w.GetSecretsRetiring(); n > 0 {
		return fmt.Sprintf("yes, and with %d secret(s) that were rotated out", n)
	}
	return yes(w.GetHasSecret())
}

func registrationFacts(t *table, r *holdfastv1.Registration) {
	t.fact("webhook", r.GetWebhookId())
	t.fact("operation", r.GetOperation())
	t.fact("status", word(r.GetStatus(), "REGISTRATION_STATUS_"))
	t.fact("reason", r.GetReason())
	t.fact("state", word(r.GetState(), webhookStatePrefix))
	t.fact("revision", r.GetRevision())
	t.fact("caches", fmt.Sprintf("%d of %d confirmed", r.GetCachesConfirmed(), r.GetCachesTotal()))
	t.fact("silent nodes", strings.Join(r.GetSilentNodes(), ", "))
	t.fact("next probe", stamp(r.GetNextProbeTime()))
}

func statsFacts(t *table, s *holdfastv1.WebhookStats) {
	t.fact("attempts", fmt.Sprintf("%d, %d succeeded, %d failed", s.GetAttempts(), s.GetSuccessfulAttempts(), s.GetFailedAttempts()))
	t.fact("deliveries", fmt.Sprintf("%d delivered, %d exhausted, %d cancelled, %d held", s.GetDelivered(), s.GetExhausted(), s.GetCancelled(), s.GetHeld()))
	t.fact("failures in a row", s.GetConsecutiveFailures())
	rounded := func(d *durationpb.Duration) time.Duration { return d.AsDuration().Round(time.Microsecond) }
	t.fact("response times", fmt.Sprintf("mean %s, p50 %s, p95 %s, p99 %s",
		rounded(s.GetAverageResponse()), rounded(s.GetP50Response()), rounded(s.GetP95Response()), rounded(s.GetP99Response())))
	t.fact("last attempt", stamp(s.GetLastAttemptTime()))
	t.fact("last success", stamp(s.GetLastSuccessTime()))
	t.fact("last failure", stamp(s.GetLastFailureTime()))
}

func joined[T any](values []T) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}
