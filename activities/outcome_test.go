package activities

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	policy := holdfast.RetryPolicy{MaxAttempts: 3, InitialDelayMS: 1000, BackoffMultiplier: 2, MaxDelayMS: 30_000}
	attempt := func(number, status int, retryAfter time.Duration) holdfast.Attempt {
		a := answer("wh_1", number, status)
		a.RetryAfter = retryAfter.Milliseconds()
		return a
	}
	for name, c := range map[string]struct {
		policy  holdfast.RetryPolicy
		attempt holdfast.Attempt
		want    Outcome
	}{
		"delivered":      {policy, attempt(1, 204, 0), Outcome{State: holdfast.DeliveryDelivered, Attempts: 1, Status: 204}},
		"delivered last": {policy, attempt(3, 200, 0), Outcome{State: holdfast.DeliveryDelivered, Attempts: 3, Status: 200}},
		"first failure":  {policy, attempt(1, 500, 0), Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 500, DelayMS: 1000}},
		"second failure": {policy, attempt(2, 500, 0), Outcome{State: holdfast.DeliveryRetrying, Attempts: 2, Status: 500, DelayMS: 2000}},
		"a 4xx is retried like any other (CONTRACT 3.4)": {policy, attempt(1, 404, 0), Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 404, DelayMS: 1000}},
		"last failure": {policy, attempt(3, 503, time.Hour), Outcome{
			State: holdfast.DeliveryExhausted, Attempts: 3, Status: 503, Reason: "all 3 attempts failed, the last with: HTTP 503",
		}},
		"policy shortened meanwhile": {policy, attempt(7, 500, 0), Outcome{
			State: holdfast.DeliveryExhausted, Attempts: 7, Status: 500, Reason: "all 7 attempts failed, the last with: HTTP 500",
		}},
		"no policy at all": {holdfast.RetryPolicy{}, attempt(1, 500, 0), Outcome{
			State: holdfast.DeliveryExhausted, Attempts: 1, Status: 500, Reason: "all 1 attempts failed, the last with: HTTP 500",
		}},
		"Retry-After longer":   {policy, attempt(1, 429, 90*time.Second), Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 429, DelayMS: 90_000}},
		"Retry-After shorter":  {policy, attempt(2, 429, time.Millisecond), Outcome{State: holdfast.DeliveryRetrying, Attempts: 2, Status: 429, DelayMS: 2000}},
		"Retry-After capped":   {policy, attempt(1, 429, 9000*time.Hour), Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 429, DelayMS: 3_600_000}},
		"Retry-After negative": {policy, attempt(1, 429, -time.Hour), Outcome{State: holdfast.DeliveryRetrying, Attempts: 1, Status: 429, DelayMS: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, ruling{retryAfterMax: time.Hour, spread: 0.7}.decide(c.policy, &c.attempt))
		})
	}
}

func TestFailure_EveryCodeHasARow(t *testing.T) {
	t.Parallel()
	require.Len(t, retryable, len(holdfast.Codes()))
	for _, code := range holdfast.Codes() {
		require.Contains(t, retryable, code)
		err := failure(holdfast.Errorf(code, "no"))
		app, ok := err.(*temporal.ApplicationError) //nolint:errorlint // it must be the outermost: Temporal looks at no other
		require.True(t, ok)
		require.Equal(t, string(code), app.Type())
		require.Equal(t, !retryable[code], app.NonRetryable())
		require.False(t, ours(holdfast.Errorf(code, "no")).(*temporal.ApplicationError).NonRetryable()) //nolint:errorlint,forcetypeassert // as above
	}
	require.NoError(t, failure(nil))
	require.NoError(t, ours(nil))
}

// However deep the code is, Temporal sees it: the application error is outermost.
func TestFailure_IsOutermost(t *testing.T) {
	t.Parallel()
	app, ok := failure(fmt.Errorf("b: %w", fmt.Errorf("a: %w", holdfast.Errorf(holdfast.CodeRejected, "refused")))).(*temporal.ApplicationError) //nolint:errorlint // as above
	require.True(t, ok)
	require.True(t, app.NonRetryable())
	require.Equal(t, "rejected", app.Type())
}

// Its text ends up in audit trails and answers: no host, no key, and nothing of an error that is not meant for callers.
func TestG8_FailureTextIsFitToShow(t *testing.T) {
	t.Parallel()
	var app *temporal.ApplicationError
	require.ErrorAs(t, failure(errUnavailable), &app)
	require.Equal(t, "storage is unavailable", app.Message())
	require.ErrorContains(t, app.Unwrap(), "10.1.2.3", "operators find the cause in the history")

	require.ErrorAs(t, failure(errors.New("panic at 10.1.2.3")), &app)
	require.Equal(t, holdfast.CodeInternal.Text(), app.Message())
	require.Equal(t, "internal", app.Type())

	require.ErrorAs(t, failure(holdfast.Invalid([]holdfast.Violation{{Field: "url", Description: "is required"}})), &app)
	require.Equal(t, "invalid request: url: is required", app.Message())
	var violations []holdfast.Violation
	require.NoError(t, app.Details(&violations))
	require.Equal(t, []holdfast.Violation{{Field: "url", Description: "is required"}}, violations)
}

func TestFailure_RetryAfterIsCapped(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{0: 0, time.Second: time.Second, time.Hour: time.Minute} {
		var app *temporal.ApplicationError
		require.ErrorAs(t, failure(&holdfast.Error{Code: holdfast.CodeExhausted, RetryAfter: asked}), &app)
		require.Equal(t, want, app.NextRetryDelay())
	}
}
