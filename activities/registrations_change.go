package activities

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/emprops/holdfast"
)

// ChangePlan is the input of PrepareChange: some fields of one configuration go into another.
type ChangePlan struct {
	Current SealedWebhook `json:"current"`
	Change  SealedWebhook `json:"change"`
	Fields  []string      `json:"fields"` // paths in the API's spelling
	Now     int64         `json:"now"`    // ms
}

// RotationPlan is the input of PrepareRotation.
type RotationPlan struct {
	Current     SealedWebhook `json:"current"`
	Credentials string        `json:"credentials"` // sealed; their Secret is the new one
	OverlapMS   int64         `json:"overlap_ms"`  // how long the old secret goes on signing
	Now         int64         `json:"now"`         // ms
}

// RetirePlan is the input of PrepareRetirement.
type RetirePlan struct {
	Current SealedWebhook `json:"current"`
	Now     int64         `json:"now"` // ms
}

// Prepared is a configuration that has been checked and sealed but not written.
type Prepared struct {
	Attempted
	Webhook  SealedWebhook `json:"webhook"`
	RetireAt int64         `json:"retire_at,omitempty"` // ms; when the first retiring secret's time is over, 0 without one
}

// MaxOverlap bounds how long a secret that was rotated out may go on signing.
const MaxOverlap = 365 * 24 * time.Hour

// PrepareChange puts the named fields of the change into the current configuration and checks the result. What is not
// named stays (D48). CodeInvalid names the fields that are unknown or wrong.
func (a *Registrations) PrepareChange(ctx context.Context, in ChangePlan) (Prepared, error) {
	p, err := a.prepare(in.Current, in.Now, func(w *holdfast.Webhook) error {
		change, err := a.open(in.Change)
		if err == nil {
			err = ApplyChange(w, change, in.Fields)
		}
		if err == nil && asksAgain(in.Fields) && a.check(w) == nil {
			err = a.consent(ctx, w)
		}
		return err
	})
	p.Attempted = attempted(ctx)
	return p, stepFailure(ctx, err)
}

// PrepareRotation replaces the secret; the old one goes on signing for the overlap. CodeInvalid.
func (a *Registrations) PrepareRotation(ctx context.Context, in RotationPlan) (Prepared, error) {
	p, err := a.prepare(in.Current, in.Now, func(w *holdfast.Webhook) error {
		next, err := a.Sealed.Open(in.Credentials)
		if err != nil {
			return err
		}
		return rotate(w, next.Secret, time.Duration(min(in.OverlapMS, int64(1)<<40))*time.Millisecond, in.Now)
	})
	p.Attempted = attempted(ctx)
	return p, stepFailure(ctx, err)
}

// PrepareRetirement takes out the secrets whose time is over, so that they do not outlive it at rest.
func (a *Registrations) PrepareRetirement(ctx context.Context, in RetirePlan) (Prepared, error) {
	w, err := a.open(in.Current)
	if err != nil {
		return Prepared{}, stepFailure(ctx, err)
	}
	w.RetiringSecrets = unexpired(w.RetiringSecrets, in.Now)
	p, err := a.prepared(w)
	p.Attempted = attempted(ctx)
	return p, stepFailure(ctx, err)
}

func (a *Registrations) prepare(current SealedWebhook, now int64, change func(*holdfast.Webhook) error) (Prepared, error) {
	w, err := a.open(current)
	if err != nil {
		return Prepared{}, err
	}
	if err := change(w); err != nil {
		return Prepared{}, err
	}
	w.RetiringSecrets = unexpired(w.RetiringSecrets, now)
	if err := a.check(w); err != nil {
		return Prepared{}, err
	}
	w.UpdatedAt = max(now, w.UpdatedAt+1) // it moves, whatever the clock of whoever wrote before
	return a.prepared(w)
}

func (a *Registrations) prepared(w *holdfast.Webhook) (Prepared, error) {
	at := retireAt(w)
	sealed, err := a.seal(*w)
	return Prepared{Webhook: sealed, RetireAt: at}, err
}

func rotate(w *holdfast.Webhook, secret string, overlap time.Duration, now int64) error {
	switch {
	case secret == "":
		return holdfast.Invalid([]holdfast.Violation{{Field: "secret", Description: "is required"}})
	case overlap < 0 || overlap > MaxOverlap:
		return holdfast.Invalid([]holdfast.Violation{{Field: "overlap", Description: "must be between 0 and 365 days"}})
	}
	old := w.Secret
	w.Secret = secret
	// The new secret does not retire any more, should it have been one that was rotated out.
	w.RetiringSecrets = slices.DeleteFunc(slices.Clone(w.RetiringSecrets), func(r holdfast.RetiringSecret) bool {
		return r.Secret == secret || r.Secret == old
	})
	if old != "" && old != secret && overlap > 0 {
		w.RetiringSecrets = append(w.RetiringSecrets, holdfast.RetiringSecret{Secret: old, Until: now + overlap.Milliseconds()})
	}
	if over := len(w.RetiringSecrets) - holdfast.MaxRetiringSecrets; over > 0 {
		w.RetiringSecrets = w.RetiringSecrets[over:]
	}
	return nil
}

func unexpired(secrets []holdfast.RetiringSecret, now int64) []holdfast.RetiringSecret {
	var kept []holdfast.RetiringSecret
	for _, r := range secrets {
		if r.Until > now {
			kept = append(kept, r)
		}
	}
	return kept
}

// retireAt is when the first of the retiring secrets has to go.
func retireAt(w *holdfast.Webhook) int64 {
	var at int64
	for _, r := range w.RetiringSecrets {
		if at == 0 || r.Until < at {
			at = r.Until
		}
	}
	return at
}

// fields has a row for everything of a webhook that can be changed, by its path in the API's spelling.
var fields = map[string]func(to, from *holdfast.Webhook){
	"url":         func(to, from *holdfast.Webhook) { to.URL = from.URL },
	"eventTypes":  func(to, from *holdfast.Webhook) { to.Events = from.Events },
	"active":      func(to, from *holdfast.Webhook) { to.Active = from.Active },
	"static":      func(to, from *holdfast.Webhook) { to.Static = from.Static },
	"description": func(to, from *holdfast.Webhook) { to.Description = from.Description },
	"headers":     func(to, from *holdfast.Webhook) { to.Headers = from.Headers },
	"secret": func(to, from *holdfast.Webhook) {
		if to.Secret = from.Secret; to.Secret == "" {
			to.RetiringSecrets = nil // nothing signs without a secret
		}
	},
	"filters":            func(to, from *holdfast.Webhook) { to.Filters = from.Filters },
	"filters.jobTypes":   func(to, from *holdfast.Webhook) { to.Filters.JobTypes = from.Filters.JobTypes },
	"filters.priorities": func(to, from *holdfast.Webhook) { to.Filters.Priorities = from.Filters.Priorities },
	"filters.machineIds": func(to, from *holdfast.Webhook) { to.Filters.MachineIDs = from.Filters.MachineIDs },
	"filters.workerIds":  func(to, from *holdfast.Webhook) { to.Filters.WorkerIDs = from.Filters.WorkerIDs },
	"retryPolicy": func(to, from *holdfast.Webhook) {
		to.RetryConfig = from.RetryConfig.Merged(holdfast.DefaultRetryPolicy()) // a partial policy keeps its bounds (D29)
	},
	"retryPolicy.maxAttempts":  func(to, from *holdfast.Webhook) { to.RetryConfig.MaxAttempts = from.RetryConfig.MaxAttempts },
	"retryPolicy.initialDelay": func(to, from *holdfast.Webhook) { to.RetryConfig.InitialDelayMS = from.RetryConfig.InitialDelayMS },
	"retryPolicy.backoffMultiplier": func(to, from *holdfast.Webhook) {
		to.RetryConfig.BackoffMultiplier = from.RetryConfig.BackoffMultiplier
	},
	"retryPolicy.maxDelay":        func(to, from *holdfast.Webhook) { to.RetryConfig.MaxDelayMS = from.RetryConfig.MaxDelayMS },
	"retryPolicy.jitter":          func(to, from *holdfast.Webhook) { to.RetryConfig.Jitter = from.RetryConfig.Jitter },
	"retryPolicy.noRetryStatuses": func(to, from *holdfast.Webhook) { to.RetryConfig.NoRetryStatuses = from.RetryConfig.NoRetryStatuses },
	"format":                      func(to, from *holdfast.Webhook) { to.Format = from.Format },
	"filterExpression":            func(to, from *holdfast.Webhook) { to.Filter = from.Filter },
	"rateLimit":                   func(to, from *holdfast.Webhook) { to.RateLimit = from.RateLimit },
	"orderingKey":                 func(to, from *holdfast.Webhook) { to.OrderingKey = from.OrderingKey },
	"authorization":               func(to, from *holdfast.Webhook) { to.Authorization = from.Authorization },
	"signingKey":                  func(to, from *holdfast.Webhook) { to.SigningKey = from.SigningKey },
	"handshake":                   func(to, from *holdfast.Webhook) { to.Handshake = from.Handshake },
}

// asksAgain tells whether a change of the fields needs the endpoint's consent; everything else must be possible while the
// endpoint is away.
func asksAgain(paths []string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return p == "url" || p == "handshake" || p == "rateLimit" })
}

// ApplyChange copies the fields that paths name and nothing else (D48). What to consists of then has to be checked as a
// whole. CodeInvalid for no path and for one that names no field.
func ApplyChange(to, from *holdfast.Webhook, paths []string) error {
	var v []holdfast.Violation
	if len(paths) == 0 {
		v = append(v, holdfast.Violation{Field: "updateMask", Description: "must name at least one field"})
	}
	for _, path := range paths {
		if set := fields[path]; set != nil {
			set(to, from)
		} else {
			v = append(v, holdfast.Violation{Field: path, Description: "is not a field that can be changed"})
		}
	}
	return holdfast.Invalid(v)
}

// differences names the configuration fields in which two webhooks differ. Times and counters are no configuration: they
// move with every delivery.
func differences(want, got *holdfast.Webhook) []string {
	wantRetry, gotRetry := want.RetryConfig, got.RetryConfig
	sameStatuses := slices.Equal(wantRetry.NoRetryStatuses, gotRetry.NoRetryStatuses) // stored, none and an empty list are the same
	wantRetry.NoRetryStatuses, gotRetry.NoRetryStatuses = nil, nil
	diff := map[string]bool{
		"url":              want.URL != got.URL,
		"events":           !slices.Equal(want.Events, got.Events),
		"active":           want.Active != got.Active,
		"secret":           want.Secret != got.Secret,
		"retiring secrets": !slices.Equal(want.RetiringSecrets, got.RetiringSecrets),
		"headers":          !maps.Equal(want.Headers, got.Headers),
		"authorization":    want.Authorization != got.Authorization,
		"signing key":      want.SigningKey != got.SigningKey,
		"filters":          !reflect.DeepEqual(want.Filters, got.Filters),
		"retry_config":     !sameStatuses || !reflect.DeepEqual(wantRetry, gotRetry),
		"static":           want.Static != got.Static,
		"description":      want.Description != got.Description,
		"disconnected":     want.Disconnected != got.Disconnected || !reflect.DeepEqual(want.Disconnection, got.Disconnection),
		"format":           want.Format != got.Format,
		"handshake":        want.Handshake != got.Handshake,
		"filter":           want.Filter != got.Filter,
		"rate limit":       want.RateLimit != got.RateLimit,
		"ordering key":     want.OrderingKey != got.OrderingKey,
	}
	maps.DeleteFunc(diff, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(diff))
}

// SameConfiguration tells whether two webhooks are configured alike, their credentials left out.
func SameConfiguration(a, b holdfast.Webhook) bool {
	a.PutCredentials(holdfast.Credentials{})
	b.PutCredentials(holdfast.Credentials{})
	return len(differences(&a, &b)) == 0
}
