package temporalclient

import (
	"context"
	"errors"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
)

// coded gives an error of the Temporal service a code. Whatever could pass by itself is CodeUnavailable.
func coded(err error, operation string) error {
	var notFound *serviceerror.NotFound
	var namespace *serviceerror.NamespaceNotFound
	var invalid *serviceerror.InvalidArgument
	var exhausted *serviceerror.ResourceExhausted
	var timeout *client.WorkflowUpdateServiceTimeoutOrCanceledError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &namespace):
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "%s: the Temporal namespace does not exist", operation)
	case errors.As(err, &notFound):
		return holdfast.Wrap(holdfast.CodeNotFound, err, "%s: not found", operation)
	case errors.As(err, &invalid):
		return holdfast.Wrap(holdfast.CodeInternal, err, "%s: refused by Temporal", operation)
	case errors.As(err, &exhausted):
		return holdfast.Wrap(holdfast.CodeExhausted, err, "%s: Temporal is busy", operation)
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "%s: timed out", operation)
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, err, "%s: Temporal is unavailable", operation)
}
