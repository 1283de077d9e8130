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
// Temporal reads retryability from the outermost error only, so nothing may wrap the result again.
func failure(err error) error {
	if err == nil {
		return nil
	}
	code := holdfast.ErrorCode(err)
	opts := temporal.ApplicationErrorOptions{NonRetryable: !retryable[code]}
	var coded *holdfast.Error
	text := err.Error()
	if errors.As(err, &coded) {
		opts.NextRetryDelay = min(coded.RetryAfter, time.Minute)
		if len(coded.Violations) > 0 {
			opts.Details = []any{coded.Violations}
		}
	}
	return temporal.NewApplicationErrorWithOptions(text, string(code), opts)
}
