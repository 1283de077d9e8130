package activities

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
)

// full is a webhook in which every field that can be changed holds something.
func full() holdfast.Webhook {
	return holdfast.Webhook{
		ID: "wh_1", URL: "https://b.example", Events: []string{"job_failed", "complete_job"}, Active: true, Static: true, Description: "d",
		Secret: "s2", Headers: map[string]string{"X-B": "2"}, SigningKey: "whsk_" + strings.Repeat("A", 43) + "=", Authorization: "Basic x",
		Filters:     holdfast.Filters{JobTypes: []string{"a"}, Priorities: []float64{1}, MachineIDs: []string{"m"}, WorkerIDs: []string{"w"}},
		RetryConfig: holdfast.RetryPolicy{MaxAttempts: 9, InitialDelayMS: 20, BackoffMultiplier: 3, MaxDelayMS: 40000, Jitter: 0.5, NoRetryStatuses: []int{404}},
		Format:      holdfast.FormatStandard, Handshake: true, Filter: "true", RateLimit: 3, OrderingKey: "k",
	}
}

// D48 for every field and any set of them: what is named is as asked for, what is not is as before.
func TestD48_AnyMask(t *testing.T) {
	t.Parallel()
	paths := make([]string, 0, len(fields))
	for path := range fields {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	rapid.Check(t, func(rt *rapid.T) {
		a, _ := newRegistrations()
		mask := rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 1, 5, rapid.ID).Draw(rt, "mask")
		current, err := a.open(sealedWebhook())
		require.NoError(rt, err)
		current.UpdatedAt = rapid.Int64Range(0, 200).Draw(rt, "updated")
		change := full()
		from, err := a.seal(*current)
		require.NoError(rt, err)
		with, err := a.seal(change)
		require.NoError(rt, err)
		p, err := a.PrepareChange(t.Context(), ChangePlan{Current: from, Change: with, Fields: mask, Now: 100})
		require.NoError(rt, err)
		got, err := a.open(p.Webhook)
		require.NoError(rt, err)
		require.Greater(rt, got.UpdatedAt, current.UpdatedAt)
		want := *current
		for _, path := range mask {
			fields[path](&want, &change)
		}
		require.Empty(rt, differences(&want, got))
		for _, path := range paths { // each path by itself: untouched means equal to before
			untouched := !slices.ContainsFunc(mask, func(m string) bool {
				return m == path || strings.HasPrefix(m, path+".") || strings.HasPrefix(path, m+".")
			})
			before, after := holdfast.Webhook{}, holdfast.Webhook{}
			fields[path](&before, current)
			fields[path](&after, got)
			require.True(rt, !untouched || len(differences(&before, &after)) == 0, path)
		}
	})
}

func TestPrepareChange_ChecksWhatComesOfIt(t *testing.T) {
	t.Parallel()
	a, r := newRegistrations()
	a.Filters = filterChecker{}
	plan := func(set func(*holdfast.Webhook), paths ...string) error {
		w := full()
		set(&w)
		sealed, err := a.seal(w)
		require.NoError(t, err)
		return second(a.PrepareChange(t.Context(), ChangePlan{Current: sealedWebhook(), Change: sealed, Fields: paths}))
	}
	for field, err := range map[string]error{
		"nope":             plan(func(*holdfast.Webhook) {}, "nope"),
		"updateMask":       plan(func(*holdfast.Webhook) {}),
		"eventTypes":       plan(func(w *holdfast.Webhook) { w.Events = nil }, "eventTypes"),
		"filterExpression": plan(func(w *holdfast.Webhook) { w.Filter = "bad" }, "filterExpression"),
	} {
		code, final := codeOf(t, err)
		require.Equal(t, []any{holdfast.CodeInvalid, true}, []any{code, final}, field)
		require.ErrorContains(t, err, field+": ")
	}
	require.ErrorContains(t, plan(func(w *holdfast.Webhook) { w.Filter = "bad" }, "filterExpression"), "does not compile")
	r.blocked = holdfast.Invalid([]holdfast.Violation{{Field: "url", Description: "is not an allowed target"}})
	require.ErrorContains(t, plan(func(*holdfast.Webhook) {}, "url"), "not an allowed target")
}

type filterChecker struct{}

func (filterChecker) Check(expression string) error {
	if expression == "bad" {
		return holdfast.Errorf(holdfast.CodeInvalid, "does not compile")
	}
	return nil
}

type consenter struct{ asked int }

func (c *consenter) Handshake(context.Context, *holdfast.Webhook) error {
	c.asked++
	return holdfast.Invalid([]holdfast.Violation{{Field: "url", Description: "does not consent"}})
}

// An endpoint that is away must not keep its webhook from being paused.
func TestConsentIsAskedForOnlyWhenItMatters(t *testing.T) {
	t.Parallel()
	a, _ := newRegistrations()
	c := &consenter{}
	a.Consent = c
	w := full()
	sealed, err := a.seal(w)
	require.NoError(t, err)
	_, err = a.PrepareChange(t.Context(), ChangePlan{Current: sealed, Change: sealed, Fields: []string{"active", "secret"}})
	require.NoError(t, err)
	require.Zero(t, c.asked)
	_, err = a.PrepareChange(t.Context(), ChangePlan{Current: sealed, Change: sealed, Fields: []string{"url"}})
	require.ErrorContains(t, err, "does not consent")
	_, err = a.CheckWebhook(t.Context(), sealed)
	require.ErrorContains(t, err, "does not consent")
	require.Equal(t, 2, c.asked)
	_, err = a.CheckWebhook(t.Context(), sealedWebhook())
	require.NoError(t, err, "this one does not want a handshake")
}

func TestPrepareRotation(t *testing.T) {
	t.Parallel()
	a, _ := newRegistrations()
	day := (24 * time.Hour).Milliseconds()
	current := sealedWebhook()
	rotateTo := func(secret string, overlap, now int64) (*holdfast.Webhook, error) {
		sealed, err := a.Sealed.SealCredentials(holdfast.Credentials{Secret: secret})
		require.NoError(t, err)
		p, err := a.PrepareRotation(t.Context(), RotationPlan{Current: current, Credentials: sealed, OverlapMS: overlap, Now: now})
		if err != nil {
			return nil, err
		}
		current = p.Webhook
		w, err := a.open(current)
		require.NoError(t, err)
		require.Equal(t, retireAt(w), p.RetireAt)
		return w, nil
	}
	for i, secret := range []string{"s1", "s2", "s3", "s4"} {
		_, err := rotateTo(secret, day, int64(i))
		require.NoError(t, err)
	}
	w, err := rotateTo("s5", day, 5)
	require.NoError(t, err)
	require.Equal(t, []string{"s5", "s2", "s3", "s4"}, w.SigningSecrets(6), "the oldest goes first")
	w, err = rotateTo("s2", 0, 6)
	require.NoError(t, err)
	require.Equal(t, []string{"s2", "s3", "s4"}, w.SigningSecrets(6), "no overlap ends the old one at once; a secret that is back does not retire")
	w, err = rotateTo("s6", day, 2*day)
	require.NoError(t, err)
	require.Equal(t, []holdfast.RetiringSecret{{Secret: "s2", Until: 3 * day}}, w.RetiringSecrets, "those whose time is over are gone")
	for _, bad := range []struct {
		secret  string
		overlap int64
	}{{"", day}, {"x", -1}, {"x", 1 << 62}, {strings.Repeat("x", holdfast.MaxSecretLength+1), 0}} {
		_, err := rotateTo(bad.secret, bad.overlap, 7)
		code, _ := codeOf(t, err)
		require.Equal(t, holdfast.CodeInvalid, code)
	}
	p, err := a.PrepareRetirement(t.Context(), RetirePlan{Current: current, Now: 3 * day})
	require.NoError(t, err)
	w, err = a.open(p.Webhook)
	require.NoError(t, err)
	require.Empty(t, w.RetiringSecrets)
	require.Zero(t, p.RetireAt)
}

func TestJudgeFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failures int
		static   bool
		set      func(*Registrations, *registry)
		want     Judgement
	}{
		"below":      {failures: 9, want: Judgement{Failures: 9}},
		"at":         {failures: 10, want: Judgement{Disconnect: true, Failures: 10}},
		"static":     {failures: 10, static: true, want: Judgement{Failures: 10}},
		"configured": {failures: 3, set: func(a *Registrations, _ *registry) { a.DisconnectThreshold = 3 }, want: Judgement{Disconnect: true, Failures: 3}},
		"wiped":      {failures: 99, set: func(_ *Registrations, r *registry) { r.stored = nil }},
		"with defaults": {failures: 10, set: func(a *Registrations, _ *registry) { a.AutoReconnect = true },
			want: Judgement{Disconnect: true, Failures: 10, Probing: Probing{300_000, 3_600_000}}},
		"with delays": {failures: 10, set: func(a *Registrations, _ *registry) {
			a.AutoReconnect, a.ReconnectDelay, a.ReconnectMaxDelay = true, time.Hour, time.Minute
		}, want: Judgement{Disconnect: true, Failures: 10, Probing: Probing{3_600_000, 3_600_000}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, r := newRegistrations()
			r.stored = &holdfast.Webhook{ConsecutiveFailures: c.failures, Static: c.static}
			if c.set != nil {
				c.set(a, r)
			}
			got, err := a.JudgeFailures(t.Context(), WebhookID{"wh_1"})
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	a, r := newRegistrations()
	require.NoError(t, second(a.ResetFailures(t.Context(), WebhookID{"wh_1"})), "a wiped Redis has nothing to reset")
	r.readErr = errUnavailable
	for _, err := range []error{second(a.JudgeFailures(t.Context(), WebhookID{"wh_1"})), second(a.ResetFailures(t.Context(), WebhookID{"wh_1"}))} {
		_, final := codeOf(t, err)
		require.False(t, final)
	}
}

func TestReconcileWebhook_UnreadableEntries(t *testing.T) {
	t.Parallel()
	a, r := newRegistrations()
	r.readErr = holdfast.Errorf(holdfast.CodeInternal, "not JSON")
	_, err := a.ReconcileWebhook(t.Context(), ReconcilePlan{WebhookID: "wh_1", Adopt: true})
	code, _ := codeOf(t, err)
	require.Equal(t, holdfast.CodePrecondition, code, "what cannot be read cannot be adopted")
	out, err := a.ReconcileWebhook(t.Context(), ReconcilePlan{WebhookID: "wh_1", Adopt: true, EndedAt: 1})
	require.NoError(t, err)
	require.Equal(t, ReconcileRemoved, out.Action)
	in := sealedWebhook()
	_, err = a.ReconcileWebhook(t.Context(), ReconcilePlan{WebhookID: "wh_1", Webhook: &in})
	require.Error(t, err, "the read-back fails as well here")
	require.NotNil(t, r.stored, "but it was rewritten")
	r.readErr = errUnavailable
	_, err = a.ReconcileWebhook(t.Context(), ReconcilePlan{WebhookID: "wh_1", Webhook: &in})
	code, final := codeOf(t, err)
	require.Equal(t, []any{holdfast.CodeUnavailable, false}, []any{code, final})
}

type sweeper struct{ err error }

func (s sweeper) Sweep(context.Context, SweepRequest) error { return s.err }

type prober struct{ ProbeResult }

func (p prober) Probe(context.Context, ProbeRequest) (ProbeResult, error) { return p.ProbeResult, nil }

func TestSweepsAndProbesAreHandedOn(t *testing.T) {
	t.Parallel()
	a, _ := newRegistrations()
	require.NoError(t, a.SweepDeliveries(t.Context(), SweepRequest{}), "nobody there to sweep")
	got, err := a.ProbeWebhook(t.Context(), ProbeRequest{})
	require.NoError(t, err)
	require.False(t, got.Probed)
	a.Sweeper, a.Prober = sweeper{errors.New("away")}, prober{ProbeResult{Probed: true, Delivered: true}}
	_, final := codeOf(t, a.SweepDeliveries(t.Context(), SweepRequest{}))
	require.False(t, final)
	got, err = a.ProbeWebhook(t.Context(), ProbeRequest{})
	require.NoError(t, err)
	require.Equal(t, ProbeResult{Probed: true, Delivered: true}, got)
}

// The number of the attempt that failed for good is told beside the violations.
func TestStepFailure_TellsAttemptsAndViolations(t *testing.T) {
	t.Parallel()
	a, _ := newRegistrations()
	env := environment()
	env.RegisterActivity(a.CheckWebhook)
	in := sealedWebhook()
	value, err := env.ExecuteActivity(a.CheckWebhook, in)
	require.NoError(t, err)
	var at Attempted
	require.NoError(t, value.Get(&at))
	require.Equal(t, 1, at.Attempts)
	in.Webhook.URL = "ftp://x"
	_, err = env.ExecuteActivity(a.CheckWebhook, in)
	var app interface{ Details(d ...any) error }
	require.ErrorAs(t, err, &app)
	var details FailureDetails
	require.NoError(t, app.Details(&details))
	require.Equal(t, 1, details.Attempts)
	require.Equal(t, "url", details.Violations[0].Field)
}
