package server_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func confirmed(id string) holdfast.Registration {
	return holdfast.Registration{
		WebhookID: id, Status: holdfast.RegistrationConfirmed, State: holdfast.WebhookActive, Revision: 7,
		CachesConfirmed: 2, CachesTotal: 3, SilentNodes: []string{"n3"},
		Operation: "register",
		Steps: []holdfast.Step{
			{Actor: "ada", Operation: "register", Name: holdfast.StepCheck, Status: holdfast.StepDone, StartedAt: 1500, EndedAt: 2500, Attempts: 1},
			{Operation: "register", Name: holdfast.StepConfirm, Status: holdfast.StepSkipped, Detail: "EMPROPS is off"},
		},
	}
}

func TestRegisterWebhook_carriesEveryField(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		var got server.RegisterRequest
		b.register = func(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
			got = r
			w := r.Webhook
			w.ID, w.CreatedAt, w.UpdatedAt, w.Revision, w.Secret = "wh_1", 1234, 1234, 7, "generated"
			registration := confirmed("wh_1")
			registration.NextProbeAt = 3500
			return server.RegisterResult{Webhook: w, Secret: "generated", Registration: registration}, nil
		}
		res, err := c.webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
			Webhook: &holdfastv1.WebhookInput{
				Url: "https://example.com/hook?a=1", EventTypes: []string{"complete_job", "job_failed"},
				Filters: &holdfastv1.Filters{
					JobTypes: []string{"comfyui"}, Priorities: []float64{1.5}, MachineIds: []string{"m"}, WorkerIds: []string{"w"},
				},
				Headers: map[string]string{"X-Token": "t0ken", "A": "b"},
				RetryPolicy: &holdfastv1.RetryPolicy{
					MaxAttempts: proto.Int32(5), InitialDelay: durationpb.New(250 * time.Millisecond),
					BackoffMultiplier: proto.Float64(1.5), MaxDelay: durationpb.New(time.Minute),
					Jitter: proto.Float64(0.25), NoRetryStatuses: []int32{404, 410},
				},
				Format: holdfastv1.PayloadFormat_PAYLOAD_FORMAT_CLOUDEVENTS, Handshake: proto.Bool(true),
				FilterExpression: proto.String("data.x > 1"), RateLimit: proto.Float64(2.5), OrderingKey: proto.String("job_id"),
				Authorization: &holdfastv1.Authorization{Credential: &holdfastv1.Authorization_Basic{
					Basic: &holdfastv1.BasicCredentials{User: "u", Password: "p"},
				}},
				SigningKey: &holdfastv1.SigningKey{Key: &holdfastv1.SigningKey_PrivateKey{PrivateKey: "whsk_" + zeros(32)}},
				Active:     proto.Bool(false), Static: proto.Bool(true), Description: proto.String("d"),
			},
			IdempotencyKey: "key", Wait: durationpb.New(2 * time.Second),
		})
		require.NoError(t, err)
		require.Equal(t, server.RegisterRequest{
			Webhook: holdfast.Webhook{
				URL: "https://example.com/hook?a=1", Events: []string{"complete_job", "job_failed"},
				Filters: holdfast.Filters{
					JobTypes: []string{"comfyui"}, Priorities: []float64{1.5}, MachineIDs: []string{"m"}, WorkerIDs: []string{"w"},
				},
				Headers:     map[string]string{"X-Token": "t0ken", "A": "b"},
				RetryConfig: holdfast.RetryPolicy{MaxAttempts: 5, InitialDelayMS: 250, BackoffMultiplier: 1.5, MaxDelayMS: 60000, Jitter: 0.25, NoRetryStatuses: []int{404, 410}},
				Static:      true, Description: "d",
				Format: holdfast.FormatCloudEvents, Handshake: true, Filter: "data.x > 1", RateLimit: 2.5, OrderingKey: "job_id",
				Authorization: "Basic dTpw", SigningKey: "whsk_" + zeros(32),
			},
			IdempotencyKey: "key", Actor: "api", Wait: 2 * time.Second,
		}, got)
		require.Equal(t, "generated", res.GetSecret())
		require.Equal(t, []string{"A", "X-Token"}, res.GetWebhook().GetHeaderNames())
		require.True(t, res.GetWebhook().GetHasSecret())
		require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_ACTIVE, res.GetWebhook().GetState(), "the registration knows best")
		require.Equal(t, int64(1234), res.GetWebhook().GetCreateTime().AsTime().UnixMilli())
		require.Nil(t, res.GetWebhook().GetLastSuccessTime())
		require.Equal(t, 250*time.Millisecond, res.GetWebhook().GetRetryPolicy().GetInitialDelay().AsDuration())

		w := res.GetWebhook()
		require.Equal(t, []any{holdfastv1.PayloadFormat_PAYLOAD_FORMAT_CLOUDEVENTS, true, "data.x > 1", 2.5, "job_id", true, int32(0)},
			[]any{w.GetFormat(), w.GetHandshake(), w.GetFilterExpression(), w.GetRateLimit(), w.GetOrderingKey(), w.GetHasAuthorization(), w.GetSecretsRetiring()})
		// The public key of RFC 8032's kind for a seed of zeros, as other implementations derive it.
		require.Equal(t, "whpk_O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=", w.GetPublicKey())
		require.Equal(t, []any{0.25, []int32{404, 410}}, []any{w.GetRetryPolicy().GetJitter(), w.GetRetryPolicy().GetNoRetryStatuses()})
		require.Equal(t, int64(3500), w.GetNextProbeTime().AsTime().UnixMilli())

		r := res.GetRegistration()
		require.Equal(t, []any{"register", holdfastv1.WebhookState_WEBHOOK_STATE_ACTIVE, int64(3500), "ada"},
			[]any{r.GetOperation(), r.GetState(), r.GetNextProbeTime().AsTime().UnixMilli(), r.GetSteps()[0].GetActor()})
		require.Equal(t, holdfastv1.RegistrationStatus_REGISTRATION_STATUS_CONFIRMED, r.GetStatus())
		require.Equal(t, []any{int64(7), int32(2), int32(3), []string{"n3"}},
			[]any{r.GetRevision(), r.GetCachesConfirmed(), r.GetCachesTotal(), r.GetSilentNodes()})
		require.Len(t, r.GetSteps(), 2)
		require.Equal(t, holdfastv1.StepStatus_STEP_STATUS_DONE, r.GetSteps()[0].GetStatus())
		require.Equal(t, int64(2500), r.GetSteps()[0].GetEndTime().AsTime().UnixMilli())
		require.Nil(t, r.GetSteps()[1].GetTime())
	})
}

func TestRegisterWebhook_defaults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var got server.RegisterRequest
	b.register = func(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
		got = r
		return server.RegisterResult{Webhook: r.Webhook, Registration: holdfast.Registration{
			Status: holdfast.RegistrationPending, State: holdfast.WebhookPending,
		}}, nil
	}
	status, _, answer := b.post(t, "WebhookService/RegisterWebhook",
		`{"webhook":{"url":"https://example.com/","eventTypes":["job_failed"],"secret":"mine","retryPolicy":{"initialDelay":"90s"}}}`)
	require.Equal(t, 200, status)
	require.True(t, got.Webhook.Active)
	require.Equal(t, server.DefaultWait, got.Wait)
	require.Equal(t, holdfast.Filters{}, got.Webhook.Filters, "no filter, rather than one that nothing passes")
	require.Equal(t, holdfast.RetryPolicy{MaxAttempts: 3, InitialDelayMS: 90000, BackoffMultiplier: 2, MaxDelayMS: 90000},
		got.Webhook.RetryConfig)
	require.NotContains(t, answer, "secret", "a secret that was given is not returned")
	require.Equal(t, "WEBHOOK_STATE_PENDING", answer["webhook"].(map[string]any)["state"])
	require.Equal(t, "REGISTRATION_STATUS_PENDING", answer["registration"].(map[string]any)["status"])
}

func TestRegisterWebhook_presets(t *testing.T) {
	t.Parallel()
	configured := holdfast.RetryPolicy{MaxAttempts: 7, InitialDelayMS: 70, BackoffMultiplier: 7, MaxDelayMS: 7000}
	days := holdfast.RetryPresets()["days"]
	shorter := days
	shorter.MaxAttempts, shorter.Jitter = 5, 0
	for policy, want := range map[string]holdfast.RetryPolicy{
		`{}`: configured, `{"preset":"default"}`: configured, `{"preset":""}`: configured, `{"preset":"days"}`: days,
		`{"preset":"days","maxAttempts":5,"jitter":0}`: shorter,
	} {
		b := setup(t, func(o *server.Options) { o.RetryPolicy = configured })
		b.register = func(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
			require.Equal(t, want, r.Webhook.RetryConfig, policy)
			return server.RegisterResult{Webhook: r.Webhook}, nil
		}
		status, _, answer := b.post(t, "WebhookService/RegisterWebhook",
			`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":`+policy+`}}`)
		require.Equal(t, 200, status, "%v", answer)
		require.NotContains(t, answer["webhook"].(map[string]any)["retryPolicy"], "preset")
	}
}

func TestRegisterWebhook_generatesASigningKeyAndShowsItsPublicHalf(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var keys []string
	b.register = func(_ context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
		require.Empty(t, r.Webhook.Violations())
		keys = append(keys, r.Webhook.SigningKey)
		return server.RegisterResult{Webhook: r.Webhook}, nil
	}
	for range 2 {
		_, _, answer := b.post(t, "WebhookService/RegisterWebhook",
			`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"signingKey":{"generate":true}}}`)
		private, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(keys[len(keys)-1], "whsk_"))
		require.NoError(t, err)
		public, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(answer["webhook"].(map[string]any)["publicKey"].(string), "whpk_"))
		require.NoError(t, err)
		require.True(t, ed25519.Verify(public, []byte("m"), ed25519.Sign(private, []byte("m"))))
		require.NotContains(t, fmt.Sprint(answer), keys[len(keys)-1])
	}
	require.NotEqual(t, keys[0], keys[1])
}

func TestRegisterWebhook_namesTheFieldsThatAreWrong(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", holdfast.MaxIdempotencyKey+1)
	for body, fields := range map[string][]string{
		`{}`:             {"webhook"},
		`{"webhook":{}}`: {"webhook.eventTypes", "webhook.url"},
		`{"webhook":{"url":"ftp://h","eventTypes":["nope"]}}`:                                                                             {"webhook.eventTypes[0]", "webhook.url"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"maxAttempts":0}}}`:                                     {"webhook.retryPolicy.maxAttempts"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"backoffMultiplier":0}}}`:                               {"webhook.retryPolicy.backoffMultiplier"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"initialDelay":"0s"}}}`:                                 {"webhook.retryPolicy.initialDelay"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"initialDelay":"0.0005s"}}}`:                            {"webhook.retryPolicy.initialDelay"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"maxDelay":"-1s"}}}`:                                    {"webhook.retryPolicy.maxDelay"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"initialDelay":"9999999s"}}}`:                           {"webhook.retryPolicy.initialDelay", "webhook.retryPolicy.maxDelay"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"]},"wait":"61s"}`:                                                        {"wait"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"]},"wait":"-1s"}`:                                                        {"wait"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"]},"idempotencyKey":"` + long + `"}`:                                     {"idempotencyKey"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"retryPolicy":{"preset":"weeks"}}}`:                                    {"webhook.retryPolicy.preset"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"headers":{"authorization":"x"},"authorization":{"bearerToken":"t"}}}`: {"webhook.authorization"},
		`{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"headers":{"Host":"x"}}}`:                                              {"webhook.headers.Host"},
	} {
		t.Run(body[:min(len(body), 90)], func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			status, _, answer := b.post(t, "WebhookService/RegisterWebhook", body)
			require.Equal(t, 400, status)
			require.Equal(t, "invalid_argument", answer["code"])
			require.Equal(t, fields, violatedFields(t, answer))
		})
	}
}

func TestRegisterWebhook_violationsFoundLaterPointIntoTheRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.register = func(context.Context, server.RegisterRequest) (server.RegisterResult, error) {
		return server.RegisterResult{}, fmt.Errorf("check: %w", holdfast.Invalid([]holdfast.Violation{
			{Field: "url", Description: "is private"}, {Field: "idempotencyKey", Description: "is used"},
		}))
	}
	_, _, answer := b.post(t, "WebhookService/RegisterWebhook", `{"webhook":{"url":"http://h/","eventTypes":["job_failed"]}}`)
	require.Equal(t, []string{"webhook.url", "idempotencyKey"}, violatedFields(t, answer))
}

func TestRegisterWebhook_answersBeforeTheCallersDeadline(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.register = func(ctx context.Context, r server.RegisterRequest) (server.RegisterResult, error) {
			require.Less(t, r.Wait, 3*time.Second)
			require.Greater(t, r.Wait, time.Second)
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Less(t, r.Wait, time.Until(deadline))
			return server.RegisterResult{}, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := c.webhooks.RegisterWebhook(ctx, &holdfastv1.RegisterWebhookRequest{
			Webhook: &holdfastv1.WebhookInput{Url: "http://h/", EventTypes: []string{"job_failed"}},
		})
		require.NoError(t, err)
	})
}

func TestG8_noAnswerHoldsCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.webhooks = []*holdfast.Webhook{{
		ID: "wh_1", Secret: "s3cr3t", Headers: map[string]string{"Authorization": "Bearer abc"}, Active: true,
	}}
	b.register = func(context.Context, server.RegisterRequest) (server.RegisterResult, error) {
		return server.RegisterResult{Webhook: *b.webhooks[0]}, nil
	}
	for method, body := range map[string]string{
		"GetWebhook": `{"id":"wh_1"}`, "ListWebhooks": `{}`,
		"RegisterWebhook": `{"webhook":{"url":"http://h/","eventTypes":["job_failed"],"secret":"s3cr3t"}}`,
	} {
		status, _, answer := b.post(t, "WebhookService/"+method, body)
		require.Equal(t, 200, status)
		text := fmt.Sprint(answer)
		require.Contains(t, text, "hasSecret:true")
		require.NotContains(t, text, "s3cr3t")
		require.NotContains(t, text, "Bearer")
	}
	for _, entry := range b.logs.All() {
		require.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "s3cr3t")
	}
}

func TestGetWebhook(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.webhooks = []*holdfast.Webhook{{
			ID: "wh_1", Active: true, Disconnected: true, ConsecutiveFailures: 10, LastFailureAt: 99, LastSuccessAt: 98,
		}}
		res, err := c.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{Id: "wh_1"})
		require.NoError(t, err)
		require.Equal(t, holdfastv1.WebhookState_WEBHOOK_STATE_DISCONNECTED, res.GetWebhook().GetState())
		require.Equal(t, int32(10), res.GetWebhook().GetConsecutiveFailures())
		require.Equal(t, int64(99), res.GetWebhook().GetLastFailureTime().AsTime().UnixMilli())
		require.False(t, res.GetWebhook().GetHasSecret())

		_, err = c.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{Id: "wh_2"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		_, err = c.webhooks.GetWebhook(t.Context(), &holdfastv1.GetWebhookRequest{})
		require.Equal(t, []string{"id"}, fieldsOf(t, err))
	})
}

func TestListWebhooks_pagesThroughAllOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		for i := range 7 { // pairs are as old as each other
			b.webhooks = append(b.webhooks, &holdfast.Webhook{
				ID: fmt.Sprintf("wh_%d", i), CreatedAt: int64(100 + i/2), Active: i != 3, Events: []string{"job_failed"},
			})
		}
		var ids []string
		req := &holdfastv1.ListWebhooksRequest{PageSize: 2}
		for {
			res, err := c.webhooks.ListWebhooks(t.Context(), req)
			require.NoError(t, err)
			require.Equal(t, int32(7), res.GetTotalSize())
			for _, w := range res.GetWebhooks() {
				ids = append(ids, w.GetId())
			}
			if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
				break
			}
		}
		require.Equal(t, []string{"wh_6", "wh_5", "wh_4", "wh_3", "wh_2", "wh_1", "wh_0"}, ids)

		res, err := c.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{
			State: holdfastv1.WebhookState_WEBHOOK_STATE_PAUSED, EventType: "job_failed",
		})
		require.NoError(t, err)
		require.Len(t, res.GetWebhooks(), 1)
		require.Equal(t, "wh_3", res.GetWebhooks()[0].GetId())
		res, err = c.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{EventType: "complete_job"})
		require.NoError(t, err)
		require.Empty(t, res.GetWebhooks())
	})
}

func TestListWebhooks_goesOnAfterADeletedWebhook(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 4 {
		b.webhooks = append(b.webhooks, &holdfast.Webhook{ID: fmt.Sprintf("wh_%d", i), CreatedAt: int64(i)})
	}
	_, _, first := b.post(t, "WebhookService/ListWebhooks", `{"pageSize":2}`)
	b.webhooks = append(b.webhooks[:2:2], b.webhooks[3]) // wh_2, the last of the page, goes away
	_, _, second := b.post(t, "WebhookService/ListWebhooks", fmt.Sprintf(`{"pageSize":2,"pageToken":%q}`, first["nextPageToken"]))
	require.Equal(t, "wh_1", second["webhooks"].([]any)[0].(map[string]any)["id"])
	require.Len(t, second["webhooks"], 2)
	require.Empty(t, second["nextPageToken"])
}

func TestListWebhooks_refusesWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for body, field := range map[string]string{
		`{"pageSize":-1}`: "pageSize", `{"pageToken":"x!"}`: "pageToken", `{"pageToken":"YWJj"}`: "pageToken",
		`{"eventType":"job.failed"}`: "eventType", `{"state":99}`: "state",
	} {
		status, _, answer := b.post(t, "WebhookService/ListWebhooks", body)
		require.Equal(t, 400, status, body)
		require.Equal(t, []string{field}, violatedFields(t, answer), body)
	}
}

func TestD9_aStorageFailureIsNotAnEmptyList(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.webhooksErr = holdfast.Wrap(holdfast.CodeUnavailable, context.DeadlineExceeded, "the registry is unavailable")
		_, err := c.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
		require.Equal(t, connect.CodeUnavailable, connect.CodeOf(err))
	})
}

func TestDeleteWebhook(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.remove = func(_ context.Context, r server.Requested) (holdfast.Registration, error) {
			require.Equal(t, server.Requested{ID: "wh_1", ExpectedRevision: 7, RequestID: "r", Actor: "api"}, r)
			return confirmed(r.ID), nil
		}
		res, err := c.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{
			Id: "wh_1", Wait: durationpb.New(0), ExpectedRevision: 7, RequestId: "r",
		})
		require.NoError(t, err)
		require.Equal(t, "wh_1", res.GetRegistration().GetWebhookId())
		_, err = c.webhooks.DeleteWebhook(t.Context(), &holdfastv1.DeleteWebhookRequest{Wait: durationpb.New(time.Hour)})
		require.Equal(t, []string{"id", "wait"}, fieldsOf(t, err))
	})
}

func TestGetRegistration(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.registration = func(_ context.Context, id string) (holdfast.Registration, error) {
			if id != "wh_1" {
				return holdfast.Registration{}, holdfast.Errorf(holdfast.CodeNotFound, "no such registration")
			}
			return holdfast.Registration{WebhookID: id, Status: holdfast.RegistrationFailed, Reason: "emprops_rejected"}, nil
		}
		res, err := c.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: "wh_1"})
		require.NoError(t, err)
		require.Equal(t, holdfastv1.RegistrationStatus_REGISTRATION_STATUS_FAILED, res.GetRegistration().GetStatus())
		require.Equal(t, "emprops_rejected", res.GetRegistration().GetReason())
		_, err = c.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: "wh_2"})
		require.Equal(t, connect.CodeNotFound, connect.CodeOf(err))
		_, err = c.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{})
		require.Equal(t, []string{"webhookId"}, fieldsOf(t, err))
	})
}

// fieldsOf returns the fields that an error's violations name.
func fieldsOf(t *testing.T, err error) []string {
	t.Helper()
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err), "%v", err)
	var connectErr *connect.Error
	require.ErrorAs(t, err, &connectErr)
	var fields []string
	for _, d := range connectErr.Details() {
		m, err := d.Value()
		require.NoError(t, err)
		if bad, ok := m.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				require.NotEmpty(t, v.GetDescription())
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

// violatedFields is fieldsOf for an error in plain JSON.
func violatedFields(t *testing.T, answer map[string]any) []string {
	t.Helper()
	var bad errdetails.BadRequest
	details, ok := answer["details"].([]any)
	require.True(t, ok, "%v", answer)
	for _, d := range details {
		if d := d.(map[string]any); d["type"] == "google.rpc.BadRequest" {
			debug, err := jsonOf(d["debug"])
			require.NoError(t, err)
			require.NoError(t, protojson.Unmarshal(debug, &bad))
		}
	}
	var fields []string
	for _, v := range bad.GetFieldViolations() {
		fields = append(fields, v.GetField())
	}
	return fields
}
