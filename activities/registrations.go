package activities

import (
	"context"
	"errors"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"

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
	// ResetFailures zeroes the counter of failures in a row; CodeNotFound when the webhook does not exist.
	ResetFailures(ctx context.Context, id string) error
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

// Checker judges one text of a webhook.
type Checker interface {
	// Check returns an error fit to show when the text cannot be used.
	Check(text string) error
}

// Sealer keeps credentials out of reach of histories. One that has a method Stale(sealed string) bool besides also says
// which credentials are sealed with a key that is being rotated out; reconciling then seals them again.
type Sealer interface {
	SealCredentials(c holdfast.Credentials) (sealed string, err error)
	Open(sealed string) (holdfast.Credentials, error)
}

// Consenter asks an endpoint whether it wants to be called.
type Consenter interface {
	// Handshake returns CodeInvalid with a violation when the endpoint does not consent, CodeUnavailable when it could not
	// be asked. A webhook that does not want a handshake passes.
	Handshake(ctx context.Context, w *holdfast.Webhook) error
}

// Registrations holds the activities that carry out the steps of a registration (DESIGN 4).
type Registrations struct {
	Store    WebhookStore
	Platform Platform
	Targets  Checker // which addresses may be delivered to (DESIGN 9): CodeInvalid with a violation on "url"
	Sealed   Sealer
	// The rest may be nil: then filter expressions are not compiled, nobody is asked for consent, open deliveries find out
	// by themselves what became of their webhook, and no webhook is probed.
	Filters Checker // whether an expression compiles and is a condition
	Consent Consenter
	Sweeper Sweeper
	Prober  Prober

	// DisconnectThreshold is after how many failed deliveries in a row a webhook is disconnected; 0 is the original's 10
	// (CONTRACT 3.6).
	DisconnectThreshold int
	// AutoReconnect has a webhook that failures disconnected probed: first after ReconnectDelay (0 is the original's five
	// minutes), then after twice as long each time, at most after ReconnectMaxDelay (0 is an hour).
	AutoReconnect     bool
	ReconnectDelay    time.Duration
	ReconnectMaxDelay time.Duration
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

// Attempted says at which attempt an activity succeeded; 0 from one that ran before that was told.
type Attempted struct {
	Attempts int `json:"attempts,omitempty"`
}

func attempted(ctx context.Context) Attempted {
	if !activity.IsActivity(ctx) {
		return Attempted{}
	}
	return Attempted{Attempts: int(activity.GetInfo(ctx).Attempt)}
}

// Written is the result of a change to the registry.
type Written struct {
	Attempted
	Revision int64 `json:"revision"`
	Existed  bool  `json:"existed,omitempty"`
}

// Confirmation is what the platform step came to.
type Confirmation struct {
	Attempted
	Skipped bool   `json:"skipped,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// CheckWebhook refuses a webhook whose configuration breaks a rule or whose target is not allowed.
func (a *Registrations) CheckWebhook(ctx context.Context, in SealedWebhook) (Attempted, error) {
	w, err := a.open(in)
	if err == nil {
		err = a.check(w)
	}
	if err == nil {
		err = a.consent(ctx, w)
	}
	return attempted(ctx), stepFailure(ctx, err)
}

// check holds a webhook against every rule there is for it.
func (a *Registrations) check(w *holdfast.Webhook) error {
	v := w.Violations()
	if w.Filter != "" && a.Filters != nil {
		if err := a.Filters.Check(w.Filter); err != nil {
			v = append(v, filterViolations(err)...)
		}
	}
	if err := holdfast.Invalid(v); err != nil {
		return err
	}
	return a.Targets.Check(w.URL)
}

// filterViolations are those that a refused expression comes with, and its text when there are none.
func filterViolations(err error) []holdfast.Violation {
	if refused, ok := errors.AsType[*holdfast.Error](err); ok && len(refused.Violations) > 0 {
		return refused.Violations
	}
	return []holdfast.Violation{{Field: "filterExpression", Description: holdfast.ErrorMessage(err)}}
}

func (a *Registrations) consent(ctx context.Context, w *holdfast.Webhook) error {
	if a.Consent == nil || !w.Handshake {
		return nil
	}
	return a.Consent.Handshake(ctx, w)
}

// CheckExists fails with CodeNotFound when the registry does not hold the webhook.
func (a *Registrations) CheckExists(ctx context.Context, in WebhookID) (Attempted, error) {
	_, _, err := a.Store.ReadWebhook(ctx, in.ID)
	return attempted(ctx), stepFailure(ctx, err)
}

// WriteWebhook puts the webhook into the registry. Repeating it is harmless: the same content gets a newer revision.
func (a *Registrations) WriteWebhook(ctx context.Context, in SealedWebhook) (Written, error) {
	w, err := a.open(in)
	if err != nil {
		return Written{}, stepFailure(ctx, err)
	}
	revision, err := a.Store.WriteWebhook(ctx, w)
	return Written{Attempted: attempted(ctx), Revision: revision}, stepFailure(ctx, err)
}

// RemoveWebhook takes the webhook and everything kept under its id out of Redis.
func (a *Registrations) RemoveWebhook(ctx context.Context, in WebhookID) (Written, error) {
	revision, existed, err := a.Store.RemoveWebhook(ctx, in.ID)
	return Written{Attempted: attempted(ctx), Revision: revision, Existed: existed}, stepFailure(ctx, err)
}

// VerifyWebhook reads the webhook back and fails, retryably, when it is not what was written (G1).
func (a *Registrations) VerifyWebhook(ctx context.Context, in SealedWebhook) (Attempted, error) {
	want, err := a.open(in)
	if err == nil {
		err = a.readBack(ctx, want)
	}
	return attempted(ctx), stepFailure(ctx, err)
}

func (a *Registrations) readBack(ctx context.Context, want *holdfast.Webhook) error {
	got, active, err := a.Store.ReadWebhook(ctx, want.ID)
	switch {
	case holdfast.ErrorCode(err) == holdfast.CodeNotFound:
		return holdfast.Errorf(holdfast.CodeUnavailable, "the registry does not hold the webhook that was just written")
	case err != nil:
		return err
	}
	diff := differences(want, got)
	if active != want.Active {
		diff = append(diff, "active set")
	}
	if len(diff) > 0 {
		return holdfast.Errorf(holdfast.CodeUnavailable, "read back differs in %s", strings.Join(diff, ", "))
	}
	return nil
}

// VerifyRemoved fails, retryably, while the registry still holds the webhook.
func (a *Registrations) VerifyRemoved(ctx context.Context, in WebhookID) (Attempted, error) {
	_, active, err := a.Store.ReadWebhook(ctx, in.ID)
	switch {
	case err == nil:
		err = holdfast.Errorf(holdfast.CodeUnavailable, "the registry still holds the webhook")
	case holdfast.ErrorCode(err) != holdfast.CodeNotFound:
	case active:
		err = holdfast.Errorf(holdfast.CodeUnavailable, "the active set still holds the webhook")
	default:
		err = nil
	}
	return attempted(ctx), stepFailure(ctx, err)
}

// ConfirmWebhook makes EMPROPS know the webhook and reads it back. Where EMPROPS is best effort, a failure is a detail of
// the step, not an error.
func (a *Registrations) ConfirmWebhook(ctx context.Context, in SealedWebhook) (Confirmation, error) {
	return a.platform(ctx, func() error { return a.Platform.Confirm(ctx, &in.Webhook) })
}

// UnconfirmWebhook makes EMPROPS forget the webhook.
func (a *Registrations) UnconfirmWebhook(ctx context.Context, in WebhookID) (Confirmation, error) {
	return a.platform(ctx, func() error { return a.Platform.Remove(ctx, in.ID) })
}

func (a *Registrations) platform(ctx context.Context, call func() error) (Confirmation, error) {
	at := attempted(ctx)
	if !a.Platform.Enabled() {
		return Confirmation{Attempted: at, Skipped: true, Detail: "EMPROPS is off"}, nil
	}
	err := call()
	if err != nil && !a.Platform.Required() && holdfast.ErrorCode(err) != holdfast.CodeRejected {
		return Confirmation{Attempted: at, Skipped: true, Detail: "unconfirmed (best effort): " + holdfast.ErrorMessage(err)}, nil
	}
	return Confirmation{Attempted: at}, stepFailure(ctx, err)
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

// seal takes a copy of the webhook apart for the way through histories.
func (a *Registrations) seal(w holdfast.Webhook) (SealedWebhook, error) {
	sealed, err := a.Sealed.SealCredentials(w.TakeCredentials())
	return SealedWebhook{Webhook: w, Credentials: sealed}, err
}

// stepFailure is failure with the number of the attempt that failed for good, which no result tells.
func stepFailure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var violations []holdfast.Violation
	if coded, ok := errors.AsType[*holdfast.Error](err); ok {
		violations = coded.Violations
	}
	return applicationError(err, !retryable[holdfast.ErrorCode(err)], FailureDetails{violations, attempted(ctx).Attempts})
}

// FailureDetails are the details of the error of a registration's step.
type FailureDetails struct {
	Violations []holdfast.Violation `json:"violations,omitempty"`
	Attempts   int                  `json:"attempts,omitempty"`
}
