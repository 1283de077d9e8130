package activities

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
)

// registry is the storage, the platform, the target policy and the key ring of a registration.
type registry struct {
	stored   *holdfast.Webhook
	active   bool
	readErr  error
	enabled  bool
	required bool
	platform error
	asked    []*holdfast.Webhook
	blocked  error
	key      string
}

func (r *registry) WriteWebhook(_ context.Context, w *holdfast.Webhook) (int64, error) {
	r.stored, r.active = w, w.Active
	return 7, nil
}

func (r *registry) RemoveWebhook(context.Context, string) (int64, bool, error) {
	existed := r.stored != nil
	r.stored, r.active = nil, false
	return 8, existed, nil
}

func (r *registry) ReadWebhook(context.Context, string) (*holdfast.Webhook, bool, error) {
	switch {
	case r.readErr != nil:
		return nil, false, r.readErr
	case r.stored == nil:
		return nil, r.active, holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")
	}
	c := *r.stored
	return &c, r.active, nil
}

func (r *registry) ResetFailures(context.Context, string) error {
	if r.readErr != nil {
		return r.readErr
	}
	if r.stored == nil {
		return holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")
	}
	r.stored.ConsecutiveFailures = 0
	return nil
}

func (r *registry) Enabled() bool  { return r.enabled }
func (r *registry) Required() bool { return r.required }

func (r *registry) Confirm(_ context.Context, w *holdfast.Webhook) error {
	r.asked = append(r.asked, w)
	return r.platform
}

func (r *registry) Remove(context.Context, string) error { return r.platform }

func (r *registry) Check(string) error { return r.blocked }

// SealCredentials seals as "sealed:<key>:<reversed JSON>": nothing of it can be read, all of it comes back.
func (r *registry) SealCredentials(c holdfast.Credentials) (string, error) {
	if c.None() {
		return "", nil
	}
	text, err := json.Marshal(c)
	slices.Reverse(text)
	return "sealed:" + r.key + ":" + string(text), err
}

func (r *registry) Open(sealed string) (holdfast.Credentials, error) {
	var c holdfast.Credentials
	if sealed == "" {
		return c, nil
	}
	_, rest, ok := strings.Cut(sealed, ":")
	_, text, found := strings.Cut(rest, ":")
	if !ok || !found {
		return c, holdfast.Errorf(holdfast.CodeInternal, "the key is gone")
	}
	plain := []byte(text)
	slices.Reverse(plain)
	return c, json.Unmarshal(plain, &c)
}

func (r *registry) Stale(sealed string) bool { return !strings.HasPrefix(sealed, "sealed:"+r.key+":") }

func newRegistrations() (*Registrations, *registry) {
	r := &registry{key: "k1"}
	return &Registrations{Store: r, Platform: r, Targets: r, Sealed: r}, r
}

func sealedWebhook() SealedWebhook {
	credentials, _ := (&registry{key: "k1"}).SealCredentials(holdfast.Credentials{
		Secret: "s3cret", Headers: map[string]string{"X-A": "1"}, Authorization: "Bearer t0ken",
	})
	return SealedWebhook{
		Webhook: holdfast.Webhook{
			ID: "wh_1", URL: "https://a.example", Events: []string{"job_failed"}, Active: true, RetryConfig: holdfast.DefaultRetryPolicy(),
		},
		Credentials: credentials,
	}
}

func codeOf(t *testing.T, err error) (holdfast.Code, bool) {
	t.Helper()
	var app *temporal.ApplicationError
	require.ErrorAs(t, err, &app)
	return holdfast.Code(app.Type()), app.NonRetryable()
}

func TestCheckWebhook(t *testing.T) {
	t.Parallel()
	a, r := newRegistrations()
	_, err := a.CheckWebhook(t.Context(), sealedWebhook())
	require.NoError(t, err)
	in := sealedWebhook()
	in.Webhook.URL = "ftp://x"
	_, err = a.CheckWebhook(t.Context(), in)
	code, final := codeOf(t, err)
	require.Equal(t, []any{holdfast.CodeInvalid, true}, []any{code, final})
	r.blocked = holdfast.Invalid([]holdfast.Violation{{Field: "url", Description: "is not an allowed target"}})
	_, err = a.CheckWebhook(t.Context(), sealedWebhook())
	code, final = codeOf(t, err)
	require.Equal(t, []any{holdfast.CodeInvalid, true}, []any{code, final})
	require.Nil(t, r.stored)
}

func TestG1_WhatWasWrittenIsReadBackFieldByField(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*registry){
		"":              func(*registry) {},
		"url":           func(r *registry) { r.stored.URL += "/" },
		"events":        func(r *registry) { r.stored.Events = nil },
		"secret":        func(r *registry) { r.stored.Secret = "" },
		"headers":       func(r *registry) { r.stored.Headers = nil },
		"filters":       func(r *registry) { r.stored.Filters.JobTypes = []string{} },
		"retry_config":  func(r *registry) { r.stored.RetryConfig.MaxAttempts++ },
		"static":        func(r *registry) { r.stored.Static = true },
		"description":   func(r *registry) { r.stored.Description = "x" },
		"disconnected":  func(r *registry) { r.stored.Disconnected = true },
		"retiring":      func(r *registry) { r.stored.RetiringSecrets = []holdfast.RetiringSecret{{Secret: "x", Until: 1}} },
		"authorization": func(r *registry) { r.stored.Authorization = "" },
		"signing key":   func(r *registry) { r.stored.SigningKey = "x" },
		"format":        func(r *registry) { r.stored.Format = holdfast.FormatStandard },
		"handshake":     func(r *registry) { r.stored.Handshake = true },
		"filter":        func(r *registry) { r.stored.Filter = "true" },
		"rate limit":    func(r *registry) { r.stored.RateLimit = 1 },
		"ordering key":  func(r *registry) { r.stored.OrderingKey = "x" },
		"active set":    func(r *registry) { r.active = false },
		"does not":      func(r *registry) { r.stored = nil },
		"unavailable":   func(r *registry) { r.readErr = errUnavailable },
	} {
		a, r := newRegistrations()
		written, err := a.WriteWebhook(t.Context(), sealedWebhook())
		require.NoError(t, err)
		require.Equal(t, int64(7), written.Revision)
		require.Equal(t, "s3cret", r.stored.Secret, "storage gets the credentials, histories do not")
		change(r)
		_, err = a.VerifyWebhook(t.Context(), sealedWebhook())
		if field == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, field)
		code, final := codeOf(t, err)
		require.Equal(t, []any{holdfast.CodeUnavailable, false}, []any{code, final}, "it is looked at again: %s", field)
	}
}

func second[T any](_ T, err error) error { return err }

func TestVerifyRemoved(t *testing.T) {
	t.Parallel()
	a, r := newRegistrations()
	_, err := a.WriteWebhook(t.Context(), sealedWebhook())
	require.NoError(t, err)
	_, final := codeOf(t, second(a.VerifyRemoved(t.Context(), WebhookID{"wh_1"})))
	require.False(t, final)
	written, err := a.RemoveWebhook(t.Context(), WebhookID{"wh_1"})
	require.NoError(t, err)
	require.Equal(t, Written{Revision: 8, Existed: true}, written)
	require.NoError(t, second(a.VerifyRemoved(t.Context(), WebhookID{"wh_1"})))
	r.active = true // an entry of the active set without a webhook
	_, final = codeOf(t, second(a.VerifyRemoved(t.Context(), WebhookID{"wh_1"})))
	require.False(t, final)
	r.readErr = errUnavailable
	_, final = codeOf(t, second(a.VerifyRemoved(t.Context(), WebhookID{"wh_1"})))
	require.False(t, final)
}

func TestConfirmWebhook(t *testing.T) {
	t.Parallel()
	rejected := holdfast.Errorf(holdfast.CodeRejected, "refused")
	for name, c := range map[string]struct {
		enabled, required bool
		answer            error
		want              Confirmation
		code              holdfast.Code
		final             bool
	}{
		"off":                      {want: Confirmation{Skipped: true, Detail: "EMPROPS is off"}},
		"confirmed":                {enabled: true, required: true},
		"required and away":        {enabled: true, required: true, answer: errUnavailable, code: holdfast.CodeUnavailable},
		"required and refused":     {enabled: true, required: true, answer: rejected, code: holdfast.CodeRejected, final: true},
		"best effort, away":        {enabled: true, answer: errUnavailable, want: Confirmation{Skipped: true, Detail: "unconfirmed (best effort): storage is unavailable"}},
		"best effort, but refused": {enabled: true, answer: rejected, code: holdfast.CodeRejected, final: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, r := newRegistrations()
			r.enabled, r.required, r.platform = c.enabled, c.required, c.answer
			confirmed, err := a.ConfirmWebhook(t.Context(), sealedWebhook())
			removed, removeErr := a.UnconfirmWebhook(t.Context(), WebhookID{"wh_1"})
			require.Equal(t, []Confirmation{c.want, c.want}, []Confirmation{confirmed, removed})
			if c.code == "" {
				require.NoError(t, err)
				require.NoError(t, removeErr)
			} else {
				code, final := codeOf(t, err)
				require.Equal(t, []any{c.code, c.final}, []any{code, final})
			}
			for _, w := range r.asked {
				require.Empty(t, w.Secret, "EMPROPS is told no secret (G8)")
			}
		})
	}
}

type snapshot struct {
	revision int64
	err      error
}

func (s snapshot) Refresh(context.Context, int64) (int64, string, int, error) {
	return s.revision, "d1", 3, s.err
}

func TestG1_RefreshCacheConfirmsOnlyWhatItShows(t *testing.T) {
	t.Parallel()
	report, err := (&NodeCache{Node: "n1", Registry: snapshot{revision: 9}}).RefreshCache(t.Context(), RefreshRequest{Revision: 9})
	require.NoError(t, err)
	require.Equal(t, RefreshReport{Node: "n1", Revision: 9, Digest: "d1", Webhooks: 3}, report)
	for _, s := range []snapshot{{revision: 8}, {revision: 9, err: errUnavailable}} {
		_, err = (&NodeCache{Node: "n1", Registry: s}).RefreshCache(t.Context(), RefreshRequest{Revision: 9})
		code, final := codeOf(t, err)
		require.Equal(t, []any{holdfast.CodeUnavailable, false}, []any{code, final})
	}
}
