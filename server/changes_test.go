package server_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

const planted = "pl4nted"

// full is a webhook with a value in every field.
func full() *holdfast.Webhook {
	return &holdfast.Webhook{
		ID: "wh_1", CreatedAt: 1000, UpdatedAt: 2000, Revision: 7, URL: "https://example.com/a", Events: []string{"job_failed"},
		Active: true, Static: true, Secret: planted + "secret", Headers: map[string]string{"X-Token": planted + "header"},
		Filters:     holdfast.Filters{JobTypes: []string{"a"}, MachineIDs: []string{"m"}},
		RetryConfig: holdfast.RetryPolicy{MaxAttempts: 9, InitialDelayMS: 10, BackoffMultiplier: 3, MaxDelayMS: 5000, Jitter: 0.5, NoRetryStatuses: []int{404}},
		Description: "d", Format: holdfast.FormatStandard, Handshake: true, Filter: "true", RateLimit: 5, OrderingKey: "job_id",
		Authorization: "Bearer " + planted + "token", SigningKey: "whsk_" + strings.Repeat("A", 43) + "=",
	}
}

func TestD48_UpdateWebhook_changesWhatIsNamedAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body   string // of webhook
		mask   string // "" leaves it out
		change func(w *holdfast.Webhook)
	}{
		"one field":            {`{"url":"https://example.com/b"}`, "url", func(w *holdfast.Webhook) { w.URL = "https://example.com/b" }},
		"others are not read":  {`{"url":"https://example.com/b","description":"x","static":false}`, "url", func(w *holdfast.Webhook) { w.URL = "https://example.com/b" }},
		"without a mask":       {`{"url":"https://example.com/b","static":false}`, "", func(w *holdfast.Webhook) { w.URL, w.Static = "https://example.com/b", false }},
		"active by mask":       {`{"active":false}`, "active", func(w *holdfast.Webhook) { w.Active = false }},
		"active left out":      {`{}`, "active", func(*holdfast.Webhook) {}},
		"description cleared":  {`{"description":""}`, "", func(w *holdfast.Webhook) { w.Description = "" }},
		"static by its mask":   {`{}`, "static", func(w *holdfast.Webhook) { w.Static = false }},
		"secret stays":         {`{"secret":"","url":"https://example.com/b"}`, "", func(w *holdfast.Webhook) { w.URL = "https://example.com/b" }},
		"secret cleared":       {`{}`, "secret", func(w *holdfast.Webhook) { w.Secret = "" }},
		"secret replaced":      {`{"secret":"new"}`, "", func(w *holdfast.Webhook) { w.Secret = "new" }},
		"headers cleared":      {`{}`, "headers", func(w *holdfast.Webhook) { w.Headers = nil }},
		"headers replaced":     {`{"headers":{"A":"b"}}`, "", func(w *holdfast.Webhook) { w.Headers = map[string]string{"A": "b"} }},
		"one filter":           {`{"filters":{"jobTypes":["b"]}}`, "filters.jobTypes", func(w *holdfast.Webhook) { w.Filters.JobTypes = []string{"b"} }},
		"one filter, no mask":  {`{"filters":{"jobTypes":["b"]}}`, "", func(w *holdfast.Webhook) { w.Filters.JobTypes = []string{"b"} }},
		"one filter cleared":   {`{}`, "filters.jobTypes", func(w *holdfast.Webhook) { w.Filters.JobTypes = nil }},
		"all filters":          {`{"filters":{"jobTypes":["b"]}}`, "filters", func(w *holdfast.Webhook) { w.Filters = holdfast.Filters{JobTypes: []string{"b"}} }},
		"filters cleared":      {`{"filters":{}}`, "", func(w *holdfast.Webhook) { w.Filters = holdfast.Filters{} }},
		"snake case":           {`{"retry_policy":{"max_attempts":4}}`, "retry_policy.max_attempts", func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts = 4 }},
		"camel case":           {`{"retryPolicy":{"maxAttempts":4,"jitter":1}}`, "retryPolicy.maxAttempts", func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts = 4 }},
		"policy without mask":  {`{"retryPolicy":{"maxAttempts":4}}`, "", func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts = 4 }},
		"policy parts, spaced": {`{"retryPolicy":{"initialDelay":"0.001s","maxDelay":"0.005s"}}`, "retry_policy.initial_delay, retry_policy.max_delay", func(w *holdfast.Webhook) { w.RetryConfig.InitialDelayMS, w.RetryConfig.MaxDelayMS = 1, 5 }},
		"short bound":          {`{"retryPolicy":{"maxDelay":"0.010s"}}`, "", func(w *holdfast.Webhook) { w.RetryConfig.MaxDelayMS = 10 }},
		"statuses cleared":     {`{}`, "retryPolicy.noRetryStatuses", func(w *holdfast.Webhook) { w.RetryConfig.NoRetryStatuses = nil }},
		"policy whole": {`{"retryPolicy":{"maxAttempts":4}}`, "retryPolicy", func(w *holdfast.Webhook) {
			w.RetryConfig = holdfast.DefaultRetryPolicy()
			w.RetryConfig.MaxAttempts = 4
		}},
		"preset":                {`{"retryPolicy":{"preset":"days"}}`, "", func(w *holdfast.Webhook) { w.RetryConfig = holdfast.RetryPresets()["days"] }},
		"preset, others masked": {`{"retryPolicy":{"preset":"days","maxAttempts":3}}`, "retryPolicy.preset", func(w *holdfast.Webhook) { w.RetryConfig = holdfast.RetryPresets()["days"] }},
		"preset with more": {`{"retryPolicy":{"preset":"days","maxAttempts":3}}`, "", func(w *holdfast.Webhook) {
			w.RetryConfig = holdfast.RetryPresets()["days"]
			w.RetryConfig.MaxAttempts = 3
		}},
		"format back":           {`{"format":"PAYLOAD_FORMAT_ENVELOPE"}`, "", func(w *holdfast.Webhook) { w.Format = "" }},
		"format":                {`{"format":"PAYLOAD_FORMAT_CLOUDEVENTS"}`, "", func(w *holdfast.Webhook) { w.Format = holdfast.FormatCloudEvents }},
		"handshake off":         {`{"handshake":false}`, "", func(w *holdfast.Webhook) { w.Handshake = false }},
		"expression cleared":    {`{"filterExpression":""}`, "", func(w *holdfast.Webhook) { w.Filter = "" }},
		"limit off":             {`{"rateLimit":0}`, "", func(w *holdfast.Webhook) { w.RateLimit = 0 }},
		"order":                 {`{"orderingKey":"worker_id"}`, "ordering_key", func(w *holdfast.Webhook) { w.OrderingKey = "worker_id" }},
		"basic":                 {`{"authorization":{"basic":{"user":"u","password":"p:q"}}}`, "", func(w *holdfast.Webhook) { w.Authorization = "Basic dTpwOnE=" }},
		"bearer":                {`{"authorization":{"bearerToken":"t"}}`, "", func(w *holdfast.Webhook) { w.Authorization = "Bearer t" }},
		"authorization cleared": {`{}`, "authorization", func(w *holdfast.Webhook) { w.Authorization = "" }},
		"signing key cleared":   {`{}`, "signing_key", func(w *holdfast.Webhook) { w.SigningKey = "" }},
		"everything": {`{"url":"https://example.com/b","eventTypes":["job_failed"]}`, "*", func(w *holdfast.Webhook) {
			*w = holdfast.Webhook{
				ID: w.ID, CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt, URL: "https://example.com/b", Events: w.Events, Active: true,
				RetryConfig: holdfast.DefaultRetryPolicy(),
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.remember(full())
			mask := ""
			if tc.mask != "" {
				mask = fmt.Sprintf(`,"updateMask":%q`, tc.mask)
			}
			status, _, answer := b.post(t, "WebhookService/UpdateWebhook", `{"id":"wh_1","webhook":`+tc.body+mask+`}`)
			require.Equal(t, 200, status, "%v", answer)
			want := full()
			tc.change(want)
			want.Revision = 8
			require.Equal(t, want, b.webhooks[0])
			require.NotContains(t, fmt.Sprint(answer), planted)
		})
	}
}

func TestUpdateWebhook_refusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", holdfast.MaxIdempotencyKey+1)
	for body, want := range map[string][]string{ // the fields, then a word of the text
		`{}`:                                    {"id", "webhook", "required"},
		`{"id":"wh_1","webhook":{}}`:            {"updateMask", "nothing"},
		`{"id":"wh_1","webhook":{"secret":""}}`: {"updateMask", "nothing"},
		`{"id":"wh_1","webhook":{"url":"http://h/"},"updateMask":"uri"}`:                 {"updateMask", `"uri" is not a field`},
		`{"id":"wh_1","webhook":{"url":"http://h/"},"updateMask":"url,id"}`:              {"updateMask", `"id" is not a field`},
		`{"id":"wh_1","webhook":{},"updateMask":"consecutive_failures"}`:                 {"updateMask", `"consecutive_failures"`},
		`{"id":"wh_1","webhook":{},"updateMask":"filters.unknown,retry_policy.x"}`:       {"updateMask", "updateMask", "not a field"},
		`{"id":"wh_1","webhook":{},"updateMask":"headers.X-Token"}`:                      {"updateMask", `name "headers"`},
		`{"id":"wh_1","webhook":{},"updateMask":"authorization.basic.user"}`:             {"updateMask", `name "authorization"`},
		`{"id":"wh_1","webhook":{},"updateMask":"url,,static"}`:                          {"updateMask", `"" is not`},
		`{"id":"wh_1","webhook":{},"updateMask":"url"}`:                                  {"webhook.url", "required"},
		`{"id":"wh_1","webhook":{},"updateMask":"eventTypes"}`:                           {"webhook.eventTypes", "at least one"},
		`{"id":"wh_1","webhook":{"eventTypes":["nope"]}}`:                                {"webhook.eventTypes[0]", "not an event type"},
		`{"id":"wh_1","webhook":{"headers":{"Host":"h"}}}`:                               {"webhook.headers.Host", "set by Holdfast"},
		`{"id":"wh_1","webhook":{"retryPolicy":{"maxAttempts":0}}}`:                      {"webhook.retryPolicy.maxAttempts", "between"},
		`{"id":"wh_1","webhook":{"retryPolicy":{"preset":"weeks"}}}`:                     {"webhook.retryPolicy.preset", "known are days, default"},
		`{"id":"wh_1","webhook":{"retryPolicy":{"jitter":1.5}}}`:                         {"webhook.retryPolicy.jitter", "between 0 and 1"},
		`{"id":"wh_1","webhook":{"retryPolicy":{"noRetryStatuses":[200]}}}`:              {"webhook.retryPolicy.noRetryStatuses", "300 to 599"},
		`{"id":"wh_1","webhook":{"retryPolicy":{"initialDelay":"10s"}}}`:                 {"webhook.retryPolicy.maxDelay", "between initialDelay"},
		`{"id":"wh_1","webhook":{"format":17}}`:                                          {"webhook.format", "not a format"},
		`{"id":"wh_1","webhook":{"rateLimit":-1}}`:                                       {"webhook.rateLimit", "between"},
		`{"id":"wh_1","webhook":{"orderingKey":"a b"}}`:                                  {"webhook.orderingKey", "field name"},
		`{"id":"wh_1","webhook":{"authorization":{"basic":{"user":"a:b"}}}}`:             {"webhook.authorization.basic.user", "colon"},
		`{"id":"wh_1","webhook":{"authorization":{"basic":{"password":"\n"}}}}`:          {"webhook.authorization.basic.password", "control"},
		`{"id":"wh_1","webhook":{"authorization":{"basic":{}}}}`:                         {"webhook.authorization.basic", "user or a password"},
		`{"id":"wh_1","webhook":{"authorization":{"bearerToken":""}}}`:                   {"webhook.authorization.bearerToken", "empty"},
		`{"id":"wh_1","webhook":{"authorization":{"bearerToken":"a b"}}}`:                {"webhook.authorization", "visible"},
		`{"id":"wh_1","webhook":{"signingKey":{"privateKey":"AAAA"}}}`:                   {"webhook.signingKey.privateKey", "whsk_"},
		`{"id":"wh_1","webhook":{"signingKey":{"privateKey":"whsk_` + zeros(64) + `"}}}`: {"webhook.signingKey.privateKey", "not its own"},
		`{"id":"wh_1","webhook":{"static":true},"expectedRevision":-1,"requestId":"` + long + `","wait":"61s"}`: {
			"expectedRevision", "requestId", "wait", "longer",
		},
	} {
		t.Run(body[:min(len(body), 90)], func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.remember(full())
			status, _, answer := b.post(t, "WebhookService/UpdateWebhook", body)
			require.Equal(t, 400, status, "%v", answer)
			fields, word := want[:len(want)-1], want[len(want)-1]
			require.Equal(t, fields, violatedFields(t, answer))
			require.Contains(t, strings.ReplaceAll(fmt.Sprint(answer), `\"`, `"`), word)
			require.Equal(t, full(), b.webhooks[0], "a refused change changes nothing")
		})
	}
}

// zeros is base64 of so many zero bytes.
func zeros(n int) string {
	text := strings.Repeat("A", (n*8+5)/6)
	return text + strings.Repeat("=", (4-len(text)%4)%4)
}

func TestUpdateWebhook_aMaskThatCannotBeReadIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.remember(full())
	for _, body := range []string{
		`{"id":"wh_1","webhook":{"static":true},"updateMask":["static"]}`,
		`{"id":"wh_1","webhook":{"static":true},"updateMask":"retry_policy","update_mask":"url"}`,
		`{"id":"wh_1","webhook":{"statik":true},"updateMask":"retry_policy"}`,
		`{"id":"wh_1","webhook":{"static":true,"static":false},"updateMask":"retry_policy"}`,
	} {
		status, _, answer := b.post(t, "WebhookService/UpdateWebhook", body)
		require.Equal(t, 400, status, "%s: %v", body, answer)
	}
	require.Equal(t, full(), b.webhooks[0])
}

func TestUpdateWebhook_everyProtocol(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		m := b.remember(full())
		ctx, call := connect.NewClientContext(t.Context())
		call.RequestHeader().Set(server.ActorHeader, "ada")
		res, err := c.webhooks.UpdateWebhook(ctx, &holdfastv1.UpdateWebhookRequest{
			Id: "wh_1", Webhook: &holdfastv1.WebhookInput{
				RetryPolicy: &holdfastv1.RetryPolicy{MaxAttempts: proto.Int32(4), InitialDelay: durationpb.New(time.Hour)},
			},
			UpdateMask:       &fieldmaskpb.FieldMask{Paths: []string{"retry_policy.max_attempts", "description"}},
			ExpectedRevision: 7, RequestId: "r1", Wait: durationpb.New(2 * time.Second),
		})
		require.NoError(t, err)
		require.Equal(t, server.Requested{ID: "wh_1", ExpectedRevision: 7, RequestID: "r1", Actor: "ada", Wait: 2 * time.Second}, m.seen[0])
		want := full()
		want.RetryConfig.MaxAttempts, want.Description, want.Revision = 4, "", 8
		require.Equal(t, want, b.webhooks[0])
		require.Equal(t, int64(8), res.GetWebhook().GetRevision())
		require.Nil(t, res.Secret)
		require.Equal(t, "change", res.GetRegistration().GetOperation())
		require.Equal(t, "ada", res.GetRegistration().GetSteps()[0].GetActor())

		again, err := c.webhooks.UpdateWebhook(ctx, &holdfastv1.UpdateWebhookRequest{
			Id: "wh_1", Webhook: &holdfastv1.WebhookInput{Static: new(false)}, RequestId: "r1",
		})
		require.NoError(t, err)
		require.Equal(t, int64(8), again.GetWebhook().GetRevision(), "a repeated request is carried out once")

		_, err = c.webhooks.UpdateWebhook(ctx, &holdfastv1.UpdateWebhookRequest{
			Id: "wh_1", Webhook: &holdfastv1.WebhookInput{Static: new(false)}, ExpectedRevision: 7,
		})
		require.Equal(t, connect.CodeAborted, connect.CodeOf(err))
		require.ErrorContains(t, err, "the revision is 8, not 7")
		require.ErrorContains(t, err, "read again and retry")
		_, err = c.webhooks.UpdateWebhook(ctx, &holdfastv1.UpdateWebhookRequest{
			Id: "wh_2", Webhook: &holdfastv1.WebhookInput{Static: new(false)},
		})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	})
}

func TestUpdateWebhook_acceptsJSONNamesAndTheStarInBinaryMasks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.clients(protocol{http2: true, options: []connect.ClientOption{connect.WithGRPC()}})
	b.remember(full())
	_, err := c.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
		Id: "wh_1", Webhook: &holdfastv1.WebhookInput{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"filterExpression"}},
	})
	require.NoError(t, err)
	require.Empty(t, b.webhooks[0].Filter)
	require.NotEmpty(t, b.webhooks[0].Secret)
	_, err = c.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
		Id: "wh_1", Webhook: &holdfastv1.WebhookInput{Url: "http://h/", EventTypes: []string{"job_failed"}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"*"}},
	})
	require.NoError(t, err)
	require.Equal(t, &holdfast.Webhook{
		ID: "wh_1", CreatedAt: 1000, UpdatedAt: 2000, Revision: 9, URL: "http://h/", Events: []string{"job_failed"}, Active: true,
		RetryConfig: holdfast.DefaultRetryPolicy(),
	}, b.webhooks[0])
}

func TestActor_isBoundedAndFitToShow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	m := b.remember(full())
	for sent, want := range map[string]string{
		"": "api", "  ": "api", " ada@example.com ": "ada@example.com", "a\tb": "ab", "ß\xff\xfe": "ß",
		strings.Repeat("é", 100): strings.Repeat("é", 64), strings.Repeat("x", 64) + "y": strings.Repeat("x", 64),
	} {
		header := http.Header{"Content-Type": {"application/json"}}
		if sent != "" {
			header.Set(server.ActorHeader, sent)
		}
		status, _, answer := b.do(t, http.MethodPost, "/holdfast.v1.WebhookService/ReconnectWebhook", strings.NewReader(`{"id":"wh_1"}`), header)
		require.Equal(t, 200, status, "%q: %v", sent, answer)
		require.Equal(t, want, m.seen[len(m.seen)-1].Actor, "%q", sent)
	}
}

func TestDisconnectAndReconnect(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		m := b.remember(full())
		res, err := c.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{
			Id: "wh_1", Reason: "maintenance", RequestId: "r", ExpectedRevision: 7, Wait: durationpb.New(time.Second),
		})
		require.NoError(t, err)
		require.Equal(t, server.Requested{ID: "wh_1", ExpectedRevision: 7, RequestID: "r", Actor: "api", Wait: time.Second}, m.seen[0])
		require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_DISCONNECTED, res.GetWebhook().GetState())
		require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_DISCONNECTED, res.GetRegistration().GetState())
		d := res.GetWebhook().GetDisconnection()
		require.Equal(t, holdfastv1.DisconnectCause_DISCONNECT_CAUSE_OPERATOR, d.GetCause())
		require.Equal(t, []any{"maintenance", "api", int64(5000)}, []any{d.GetReason(), d.GetActor(), d.GetSince().AsTime().UnixMilli()})

		_, err = c.webhooks.ReconnectWebhook(t.Context(), &holdfastv1.ReconnectWebhookRequest{Id: "wh_1", ExpectedRevision: 7})
		require.Equal(t, connect.CodeAborted, connect.CodeOf(err))
		back, err := c.webhooks.ReconnectWebhook(t.Context(), &holdfastv1.ReconnectWebhookRequest{Id: "wh_1", Reason: "done"})
		require.NoError(t, err)
		require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_ACTIVE, back.GetWebhook().GetState())
		require.Nil(t, back.GetWebhook().GetDisconnection())
		require.Equal(t, []string{"maintenance", "done"}, m.reasons)

		_, err = c.webhooks.DisconnectWebhook(t.Context(), &holdfastv1.DisconnectWebhookRequest{
			Reason: strings.Repeat("x", 1025), ExpectedRevision: -1, Wait: durationpb.New(-1),
		})
		require.Equal(t, []string{"id", "expectedRevision", "wait", "reason"}, fieldsOf(t, err))
		_, err = c.webhooks.ReconnectWebhook(t.Context(), &holdfastv1.ReconnectWebhookRequest{Id: "wh_9"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
	})
}

func TestRotateSecret(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.remember(full())
		var asked server.RotateRequest
		inner := b.rotate
		b.rotate = func(ctx context.Context, r server.RotateRequest) (server.RegisterResult, error) {
			asked = r
			return inner(ctx, r)
		}
		res, err := c.webhooks.RotateSecret(t.Context(), &holdfastv1.RotateSecretRequest{Id: "wh_1"})
		require.NoError(t, err)
		require.Equal(t, "whsec_generated", res.GetSecret())
		require.Equal(t, 24*time.Hour, asked.Overlap)
		require.Equal(t, int32(1), res.GetWebhook().GetSecretsRetiring())

		res, err = c.webhooks.RotateSecret(t.Context(), &holdfastv1.RotateSecretRequest{
			Id: "wh_1", Secret: "mine", Overlap: durationpb.New(0), ExpectedRevision: 8, RequestId: "r",
		})
		require.NoError(t, err)
		require.Equal(t, []any{"mine", time.Duration(0), int64(8), "r"}, []any{asked.Secret, asked.Overlap, asked.ExpectedRevision, asked.RequestID})
		require.Nil(t, res.Secret, "a secret that was given is not returned")

		_, err = c.webhooks.RotateSecret(t.Context(), &holdfastv1.RotateSecretRequest{
			Id: "wh_1", Secret: strings.Repeat("x", 513), Overlap: durationpb.New(31 * 24 * time.Hour),
		})
		require.Equal(t, []string{"overlap", "secret"}, fieldsOf(t, err))
		_, err = c.webhooks.RotateSecret(t.Context(), &holdfastv1.RotateSecretRequest{Id: "wh_1", ExpectedRevision: 1})
		require.Equal(t, connect.CodeAborted, connect.CodeOf(err))
	})
}

func TestGetWebhookStats(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.stats = map[string]server.WebhookStats{"wh_1": {
			Attempts: 9, SuccessfulAttempts: 6, FailedAttempts: 3, Delivered: 5, Exhausted: 1, Cancelled: 2, Held: 4,
			ConsecutiveFailures: 7, LastAttemptAt: 1000, LastSuccessAt: 2000, AverageResponseMS: 1.5, P50MS: 1, P95MS: 2.25, P99MS: 3,
		}}
		res, err := c.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{Id: "wh_1"})
		require.NoError(t, err)
		s := res.GetStats()
		require.Equal(t, []int64{9, 6, 3, 5, 1, 2, 4, 7}, []int64{
			s.GetAttempts(), s.GetSuccessfulAttempts(), s.GetFailedAttempts(), s.GetDelivered(), s.GetExhausted(), s.GetCancelled(),
			s.GetHeld(), s.GetConsecutiveFailures(),
		})
		require.Equal(t, int64(2000), s.GetLastSuccessTime().AsTime().UnixMilli())
		require.Nil(t, s.GetLastFailureTime())
		require.Equal(t, []time.Duration{1500 * time.Microsecond, time.Millisecond, 2250 * time.Microsecond, 3 * time.Millisecond}, []time.Duration{
			s.GetAverageResponse().AsDuration(), s.GetP50Response().AsDuration(), s.GetP95Response().AsDuration(), s.GetP99Response().AsDuration(),
		})
		_, err = c.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{Id: "wh_2"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		_, err = c.webhooks.GetWebhookStats(t.Context(), &holdfastv1.GetWebhookStatsRequest{})
		require.Equal(t, []string{"id"}, fieldsOf(t, err))
	})
}

// G8: whatever is asked of a webhook that is full of credentials, none is in the answer.
func TestG8_noChangeShowsCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := full()
	w.RetiringSecrets = []holdfast.RetiringSecret{{Secret: planted + "old", Until: time.Now().Add(time.Hour).UnixMilli()}}
	w.Disconnected, w.Disconnection = true, &holdfast.Disconnection{Cause: holdfast.DisconnectedByFailures, Since: 1}
	key := w.SigningKey
	b.remember(w)
	for _, call := range []struct{ method, body string }{
		{"GetWebhook", `{"id":"wh_1"}`}, {"ListWebhooks", `{}`},
		{"UpdateWebhook", `{"id":"wh_1","webhook":{"static":true}}`}, {"DisconnectWebhook", `{"id":"wh_1"}`},
		{"RotateSecret", `{"id":"wh_1","secret":"` + planted + `new"}`}, {"ReconnectWebhook", `{"id":"wh_1"}`},
		{"UpdateWebhook", `{"id":"wh_1","webhook":{"authorization":{"basic":{"user":"u","password":"` + planted + `"}},"headers":{"A":"` + planted + `"}}}`},
		{"UpdateWebhook", `{"id":"wh_1","webhook":{"url":"` + "ftp://h" + `","secret":"` + planted + `"}}`},
	} {
		_, _, answer := b.post(t, "WebhookService/"+call.method, call.body)
		text := fmt.Sprint(answer)
		require.NotContains(t, text, planted, call.method)
		require.NotContains(t, text, key, call.method)
		require.NotContains(t, text, "Bearer", call.method)
		require.NotContains(t, text, "Basic", call.method)
		if answer["code"] == nil {
			require.Contains(t, text, "hasAuthorization:true", call.method)
			require.Contains(t, text, "publicKey:whpk_", call.method)
			require.Regexp(t, "secretsRetiring:[12]", text, call.method)
		}
	}
	for _, entry := range b.logs.All() {
		require.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), planted)
	}
}
