package activities

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
)

// retryable has a row for every code: whether an activity that failed with it is worth repeating. An uncoded error counts
// as internal and is repeated: it is ours, and giving up on it would lose something.
var retryable = map[holdfast.Code]bool{
	holdfast.CodeInvalid:      false,
	holdfast.CodeNotFound:     false,
	holdfast.CodeExists:       false,
	holdfast.CodePrecondition: false,
	holdfast.CodeAborted:      false,
	holdfast.CodeRejected:     false,
	holdfast.CodeUnauthorized: false,
	holdfast.CodeExhausted:    true,
	holdfast.CodeUnavailable:  true,
	holdfast.CodeInternal:     true,
}

// failure turns any error into the outermost application error: its type is the code, its text is fit to show, and
// Temporal reads retryability from the outermost error only, so nothing may wrap the result again. The error itself, with
// hosts and keys in its text, goes along as the cause, which operators see in the history and callers never.
func failure(err error) error { return applicationError(err, !retryable[holdfast.ErrorCode(err)]) }

// ours is failure for deliveries: whatever code it has, a failure of ours is repeated, since giving up would lose the
// delivery (G4). What a receiver does wrong is an Outcome.
func ours(err error) error { return applicationError(err, false) }

// applicationError gives the error its violations as details, unless it is given other ones.
func applicationError(err error, final bool, details ...any) error {
	if err == nil {
		return nil
	}
	code := holdfast.ErrorCode(err)
	shown := &holdfast.Error{Message: holdfast.ErrorMessage(err)}
	opts := temporal.ApplicationErrorOptions{NonRetryable: final, Cause: errors.New(err.Error()), Details: details}
	if coded, ok := errors.AsType[*holdfast.Error](err); ok {
		shown.Violations = coded.Violations
		opts.NextRetryDelay = min(coded.RetryAfter, time.Minute)
		if len(details) == 0 && len(coded.Violations) > 0 {
			opts.Details = []any{coded.Violations}
		}
	}
	return temporal.NewApplicationErrorWithOptions(shown.Error(), string(code), opts)
}
