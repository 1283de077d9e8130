package activities

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/emprops/holdfast"
)

// WebhookStore is the part of the storage that registrations need. Every method returns CodeUnavailable when the storage
// cannot be reached.
type WebhookStore interface {
	// WriteWebhook stores the webhook in one atomic step and returns the new registry revision.
	WriteWebhook(ctx context.Context, w *holdfast.Webhook) (revision int64, err error)
	// RemoveWebhook removes the webhook in one atomic step; existed is false when there was none.
	RemoveWebhook(ctx context.Context, id string) (revision int64, existed bool, err error)
	// ReadWebhook returns the webhook and whether it is in the active set; CodeNotFound when it does not exist.
	ReadWebhook(ctx context.Context, id string) (w *holdfast.Webhook, active bool, err error)
}

// Platform is the EMPROPS API as far as registrations need it (CONTRACT 7.5).
type Platform interface {
	// Enabled is false when EMPROPS is off; Required tells whether a registration must be known there.
	Enabled() bool
	Required() bool
	// Confirm makes the platform know the webhook and reads it back. CodeRejected: refused; CodeUnavailable: retry.
	Confirm(ctx context.Context, w *holdfast.Webhook) error
	// Remove makes the platform forget the webhook; removing what it does not know succeeds.
	Remove(ctx context.Context, id string) error
}

// TargetPolicy says which addresses may be delivered to (DESIGN 9).
type TargetPolicy interface {
	// Check returns CodeInvalid with a violation on "url" when the target is not allowed.
	Check(rawURL string) error
}

// Opener reads sealed credentials.
type Opener interface {
	Open(sealed string) (holdfast.Credentials, error)
}

// Registrations holds the activities that carry out the steps of a registration (DESIGN 4).
type Registrations struct {
	Store    WebhookStore
	Platform Platform
	Targets  TargetPolicy
	Sealed   Opener
}

// SealedWebhook is a webhook on its way through workflow histories: its credentials are taken out and sealed.
type SealedWebhook struct {
	Webhook     holdfast.Webhook `json:"webhook"`
	Credentials string           `json:"credentials,omitempty"`
}

// WebhookID is the input of activities that need to know only which webhook is meant.
type WebhookID struct {
	ID string `json:"id"`
}

// Written is the result of a change to the registry.
type Written struct {
	Revision int64 `json:"revision"`
	Existed  bool  `json:"existed,omitempty"`
}

// Confirmation is what the platform step came to.
type Confirmation struct {
	Skipped bool   `json:"skipped,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// CheckWebhook refuses a webhook whose configuration breaks a rule or whose target is not allowed.
func (a *Registrations) CheckWebhook(_ context.Context, in SealedWebhook) error {
	w, err := a.open(in)
	if err != nil {
		return failure(err)
	}
	if err := holdfast.Invalid(w.Violations()); err != nil {
		return failure(err)
	}
	return failure(a.Targets.Check(w.URL))
}

// CheckExists fails with CodeNotFound when the registry does not hold the webhook.
func (a *Registrations) CheckExists(ctx context.Context, in WebhookID) error {
	_, _, err := a.Store.ReadWebhook(ctx, in.ID)
	return failure(err)
}

// WriteWebhook puts the webhook into the registry. Repeating it is harmless: the same content gets a newer revision.
func (a *Registrations) WriteWebhook(ctx context.Context, in SealedWebhook) (Written, error) {
	w, err := a.open(in)
	if err != nil {
		return Written{}, failure(err)
	}
	revision, err := a.Store.WriteWebhook(ctx, w)
	return Written{Revision: revision}, failure(err)
}

// RemoveWebhook takes the webhook and everything kept under its id out of Redis.
func (a *Registrations) RemoveWebhook(ctx context.Context, in WebhookID) (Written, error) {
	revision, existed, err := a.Store.RemoveWebhook(ctx, in.ID)
	return Written{Revision: revision, Existed: existed}, failure(err)
}

// VerifyWebhook reads the webhook back and fails, retryably, when it is not what was written (G1).
func (a *Registrations) VerifyWebhook(ctx context.Context, in SealedWebhook) error {
	want, err := a.open(in)
	if err != nil {
		return failure(err)
	}
	got, active, err := a.Store.ReadWebhook(ctx, want.ID)
	if err != nil {
		if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
			err = holdfast.Errorf(holdfast.CodeUnavailable, "the registry does not hold the webhook that was just written")
		}
		return failure(err)
	}
	if diff := differences(want, got, active); len(diff) > 0 {
		return failure(holdfast.Errorf(holdfast.CodeUnavailable, "read back differs in %s", strings.Join(diff, ", ")))
	}
	return nil
}

// VerifyRemoved fails, retryably, while the registry still holds the webhook.
func (a *Registrations) VerifyRemoved(ctx context.Context, in WebhookID) error {
	_, active, err := a.Store.ReadWebhook(ctx, in.ID)
	switch {
	case err == nil:
		return failure(holdfast.Errorf(holdfast.CodeUnavailable, "the registry still holds the webhook"))
	case holdfast.ErrorCode(err) != holdfast.CodeNotFound:
		return failure(err)
	case active:
		return failure(holdfast.Errorf(holdfast.CodeUnavailable, "the active set still holds the webhook"))
	}
	return nil
}

// ConfirmWebhook makes EMPROPS know the webhook and reads it back. Where EMPROPS is best effort, a failure is a detail of
// the step, not an error.
func (a *Registrations) ConfirmWebhook(ctx context.Context, in SealedWebhook) (Confirmation, error) {
	return a.platform(func() error { return a.Platform.Confirm(ctx, &in.Webhook) })
}

// UnconfirmWebhook makes EMPROPS forget the webhook.
func (a *Registrations) UnconfirmWebhook(ctx context.Context, in WebhookID) (Confirmation, error) {
	return a.platform(func() error { return a.Platform.Remove(ctx, in.ID) })
}

func (a *Registrations) platform(call func() error) (Confirmation, error) {
	if !a.Platform.Enabled() {
		return Confirmation{Skipped: true, Detail: "EMPROPS is off"}, nil
	}
	err := call()
	if err != nil && !a.Platform.Required() && holdfast.ErrorCode(err) != holdfast.CodeRejected {
		return Confirmation{Skipped: true, Detail: "unconfirmed (best effort): " + holdfast.ErrorMessage(err)}, nil
	}
	return Confirmation{}, failure(err)
}

func (a *Registrations) open(in SealedWebhook) (*holdfast.Webhook, error) {
	w := in.Webhook
	credentials, err := a.Sealed.Open(in.Credentials)
	if err != nil {
		return nil, err
	}
	w.PutCredentials(credentials)
	return &w, nil
}

// differences names the configuration fields in which a read-back differs from what was written.
func differences(want, got *holdfast.Webhook, active bool) []string {
	diff := map[string]bool{
		"url":          want.URL != got.URL,
		"events":       !slices.Equal(want.Events, got.Events),
		"active":       want.Active != got.Active,
		"secret":       want.Secret != got.Secret,
		"headers":      !maps.Equal(want.Headers, got.Headers),
		"filters":      !reflect.DeepEqual(want.Filters, got.Filters),
		"retry_config": !reflect.DeepEqual(want.RetryConfig, got.RetryConfig),
		"static":       want.Static != got.Static,
		"description":  want.Description != got.Description,
		"disconnected": want.Disconnected != got.Disconnected,
		fmt.Sprintf("active set (listed: %t)", active): active != want.Active,
	}
	maps.DeleteFunc(diff, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(diff))
}
