package activities

import (
	"context"
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

func (r *registry) Enabled() bool  { return r.enabled }
func (r *registry) Required() bool { return r.required }

func (r *registry) Confirm(_ context.Context, w *holdfast.Webhook) error {
	r.asked = append(r.asked, w)
	return r.platform
}

func (r *registry) Remove(context.Context, string) error { return r.platform }

func (r *registry) Check(string) error { return r.blocked }

func (r *registry) Open(sealed string) (holdfast.Credentials, error) {
	if sealed == "unreadable" {
		return holdfast.Credentials{}, holdfast.Errorf(holdfast.CodeInternal, "the key is gone")
	}
	return holdfast.Credentials{Secret: "s3cret-" + sealed, Headers: map[string]string{"X-A": "1"}}, nil
}

func newRegistrations() (*Registrations, *registry) {
	r := &registry{}
	return &Registrations{Store: r, Platform: r, Targets: r, Sealed: r}, r
}

func sealedWebhook() SealedWebhook {
	return SealedWebhook{
		Webhook: holdfast.Webhook{
			ID: "wh_1", URL: "https://a.example", Events: []string{"job_failed"}, Active: true, RetryConfig: holdfast.DefaultRetryPolicy(),
		},
		Credentials: "sealed",
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
	require.NoError(t, a.CheckWebhook(t.Context(), sealedWebhook()))
	in := sealedWebhook()
	in.Webhook.URL = "ftp://x"
	code, final := codeOf(t, a.CheckWebhook(t.Context(), in))
	require.Equal(t, []any{holdfast.CodeInvalid, true}, []any{code, final})
	r.blocked = holdfast.Invalid([]holdfast.Violation{{Field: "url", Description: "is not an allowed target"}})
	code, final = codeOf(t, a.CheckWebhook(t.Context(), sealedWebhook()))
	require.Equal(t, []any{holdfast.CodeInvalid, true}, []any{code, final})
	require.Nil(t, r.stored)
}

func TestG1_WhatWasWrittenIsReadBackFieldByField(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(*registry){
		"":             func(*registry) {},
		"url":          func(r *registry) { r.stored.URL += "/" },
		"events":       func(r *registry) { r.stored.Events = nil },
		"secret":       func(r *registry) { r.stored.Secret = "" },
		"headers":      func(r *registry) { r.stored.Headers = nil },
		"filters":      func(r *registry) { r.stored.Filters.JobTypes = []string{} },
		"retry_config": func(r *registry) { r.stored.RetryConfig.MaxAttempts++ },
		"static":       func(r *registry) { r.stored.Static = true },
		"description":  func(r *registry) { r.stored.Description = "x" },
		"disconnected": func(r *registry) { r.stored.Disconnected = true },
		"active set":   func(r *registry) { r.active = false },
		"does not":     func(r *registry) { r.stored = nil },
		"unavailable":  func(r *registry) { r.readErr = errUnavailable },
	} {
		a, r := newRegistrations()
		written, err := a.WriteWebhook(t.Context(), sealedWebhook())
		require.NoError(t, err)
		require.Equal(t, int64(7), written.Revision)
		require.Equal(t, "s3cret-sealed", r.stored.Secret, "storage gets the credentials, histories do not")
		change(r)
		err = a.VerifyWebhook(t.Context(), sealedWebhook())
		if field == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, field)
		code, final := codeOf(t, err)
		require.Equal(t, []any{holdfast.CodeUnavailable, false}, []any{code, final}, "it is looked at again: %s", field)
	}
}

func TestVerifyRemoved(t *testing.T) {
	t.Parallel()
	a, r := newRegistrations()
	_, err := a.WriteWebhook(t.Context(), sealedWebhook())
	require.NoError(t, err)
	_, final := codeOf(t, a.VerifyRemoved(t.Context(), WebhookID{"wh_1"}))
	require.False(t, final)
	written, err := a.RemoveWebhook(t.Context(), WebhookID{"wh_1"})
	require.NoError(t, err)
	require.Equal(t, Written{Revision: 8, Existed: true}, written)
	require.NoError(t, a.VerifyRemoved(t.Context(), WebhookID{"wh_1"}))
	r.active = true // an entry of the active set without a webhook
	_, final = codeOf(t, a.VerifyRemoved(t.Context(), WebhookID{"wh_1"}))
	require.False(t, final)
	r.readErr = errUnavailable
	_, final = codeOf(t, a.VerifyRemoved(t.Context(), WebhookID{"wh_1"}))
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
