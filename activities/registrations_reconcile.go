package activities

import (
	"context"
	"strings"

	"github.com/emprops/holdfast"
)

// ReconcilePlan is what a registration knows when Redis is compared with it.
type ReconcilePlan struct {
	WebhookID string `json:"webhook_id"`
	// Webhook is the configuration as registered; nil when there is no registration.
	Webhook *SealedWebhook `json:"webhook,omitempty"`
	// Adopt takes on what only Redis has.
	Adopt bool `json:"adopt,omitempty"`
	// EndedAt is when (ms) the webhook was deleted or its registration failed; what is older than that is a leftover.
	EndedAt int64 `json:"ended_at,omitempty"`
	Now     int64 `json:"now"` // ms
}

// ReconcileOutcome is what was found and done. Webhook is set when the registration has to go on with it.
type ReconcileOutcome struct {
	Probing
	Action   string         `json:"action"`
	Detail   string         `json:"detail,omitempty"`
	Revision int64          `json:"revision,omitempty"`
	Webhook  *SealedWebhook `json:"webhook,omitempty"`
	RetireAt int64          `json:"retire_at,omitempty"` // ms, with Webhook; see Prepared
}

// ReconcileWebhook makes Redis and the registration agree (DESIGN 5). CodeUnavailable; CodePrecondition when what only
// Redis has cannot be read and therefore not be taken on.
func (a *Registrations) ReconcileWebhook(ctx context.Context, in ReconcilePlan) (ReconcileOutcome, error) {
	got, active, err := a.Store.ReadWebhook(ctx, in.WebhookID)
	code := holdfast.ErrorCode(err)
	if err != nil && code != holdfast.CodeNotFound && code != holdfast.CodeInternal {
		return ReconcileOutcome{}, failure(err)
	}
	var out ReconcileOutcome
	switch {
	case in.Webhook == nil && in.EndedAt > 0 && code != holdfast.CodeNotFound && (got == nil || got.CreatedAt <= in.EndedAt):
		out, err = a.removeLeftover(ctx, in.WebhookID)
	case in.Webhook == nil:
		out, err = a.adopt(in, got, err)
	default:
		out, err = a.agree(ctx, in, got, active, code)
	}
	return out, failure(err)
}

func (a *Registrations) removeLeftover(ctx context.Context, id string) (ReconcileOutcome, error) {
	revision, _, err := a.Store.RemoveWebhook(ctx, id)
	return ReconcileOutcome{Action: ReconcileRemoved, Revision: revision, Detail: "it was left in Redis"}, err
}

// adopt takes on a webhook as Redis holds it. Nothing is written: the original must be able to go on with it.
func (a *Registrations) adopt(in ReconcilePlan, got *holdfast.Webhook, readErr error) (ReconcileOutcome, error) {
	switch {
	case holdfast.ErrorCode(readErr) == holdfast.CodeNotFound || readErr == nil && !in.Adopt:
		return ReconcileOutcome{Action: ReconcileGone}, nil
	case readErr != nil:
		return ReconcileOutcome{}, holdfast.Wrap(holdfast.CodePrecondition, readErr, "the stored webhook cannot be read")
	}
	return a.take(got, in.Now, ReconcileOutcome{Action: ReconcileAdopted, Detail: "found in Redis only"})
}

// take fills in what a registration needs to go on with a webhook of Redis.
func (a *Registrations) take(got *holdfast.Webhook, now int64, out ReconcileOutcome) (ReconcileOutcome, error) {
	if got.Disconnected && got.Disconnection == nil { // the original says neither why nor when
		since := got.LastFailureAt
		if since == 0 {
			since = now
		}
		got.Disconnection = &holdfast.Disconnection{
			Cause: holdfast.DisconnectedByFailures, Reason: "found disconnected in Redis", Since: since,
		}
	}
	out.Revision, out.RetireAt, out.Probing = got.Revision, retireAt(got), a.probing()
	sealed, err := a.seal(*got)
	out.Webhook = &sealed
	return out, err
}

// agree compares Redis with the registration. The later change wins, as long as it can be used.
func (a *Registrations) agree(
	ctx context.Context, in ReconcilePlan, got *holdfast.Webhook, active bool, code holdfast.Code,
) (ReconcileOutcome, error) {
	want, err := a.open(*in.Webhook)
	if err != nil {
		return ReconcileOutcome{}, err
	}
	switch code {
	case holdfast.CodeNotFound:
		return a.rewrite(ctx, want, ReconcileOutcome{Action: ReconcileRestored, Detail: "Redis did not hold it"})
	case holdfast.CodeInternal:
		return a.rewrite(ctx, want, ReconcileOutcome{Action: ReconcileRewritten, Detail: "its entry could not be read"})
	default: // it was read
	}
	tolerant := *got
	if tolerant.Disconnected && tolerant.Disconnection == nil {
		tolerant.Disconnection = want.Disconnection
	}
	diff := differences(want, &tolerant)
	detail := "differed in " + strings.Join(diff, ", ")
	switch {
	case len(diff) > 0 && got.UpdatedAt > want.UpdatedAt && len(got.Violations()) == 0:
		return a.take(got, in.Now, ReconcileOutcome{Action: ReconcileTakenOver, Detail: detail})
	case len(diff) > 0:
		return a.rewrite(ctx, want, ReconcileOutcome{Action: ReconcileRewritten, Detail: detail})
	case active != want.Active:
		return a.rewrite(ctx, want, ReconcileOutcome{Action: ReconcileRewritten, Detail: "differed in active set"})
	case a.stale(in.Webhook.Credentials):
		out := ReconcileOutcome{Action: ReconcileRewritten, Detail: "sealed with the current key", RetireAt: retireAt(want)}
		sealed, err := a.seal(*want)
		if err != nil {
			return out, err
		}
		if out, err = a.rewrite(ctx, want, out); err != nil {
			return out, err
		}
		out.Webhook = &sealed
		return out, nil
	}
	return ReconcileOutcome{Action: ReconcileUnchanged, Revision: got.Revision}, nil
}

func (a *Registrations) rewrite(ctx context.Context, want *holdfast.Webhook, out ReconcileOutcome) (ReconcileOutcome, error) {
	revision, err := a.Store.WriteWebhook(ctx, want)
	if err != nil {
		return out, err
	}
	out.Revision = revision
	return out, a.readBack(ctx, want)
}

func (a *Registrations) stale(sealed string) bool {
	keys, ok := a.Sealed.(interface{ Stale(sealed string) bool })
	return ok && sealed != "" && keys.Stale(sealed)
}
