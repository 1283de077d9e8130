package server

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"net/http"
	"strconv"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
)

// connectCodes is the only translation of error codes to Connect codes.
var connectCodes = map[holdfast.Code]connect.Code{
	holdfast.CodeInvalid:      connect.CodeInvalidArgument,
	holdfast.CodeNotFound:     connect.CodeNotFound,
	holdfast.CodeExists:       connect.CodeAlreadyExists,
	holdfast.CodePrecondition: connect.CodeFailedPrecondition,
	holdfast.CodeAborted:      connect.CodeAborted,
	holdfast.CodeExhausted:    connect.CodeResourceExhausted,
	holdfast.CodeUnavailable:  connect.CodeUnavailable,
	holdfast.CodeRejected:     connect.CodeFailedPrecondition,
	holdfast.CodeUnauthorized: connect.CodeUnauthenticated,
	holdfast.CodeInternal:     connect.CodeInternal,
}

// fitToShow are the codes of errors that Connect and interceptors make about a request itself, such as a stream's message
// that cannot be read. Connect's errors of other codes may come from a client inside and name hosts.
var fitToShow = map[connect.Code]bool{
	connect.CodeInvalidArgument: true, connect.CodeResourceExhausted: true, connect.CodeUnimplemented: true,
	connect.CodeUnauthenticated: true, connect.CodePermissionDenied: true,
}

// errorMapping turns the errors of handlers into what callers may see. It is the outermost interceptor and a security
// control: without it Connect would send any error's text, with hosts and keys in it, to the caller.
type errorMapping struct{ log *zap.Logger }

// WrapUnary implements connect.Interceptor.
func (m *errorMapping) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, m.public(ctx, req.Spec().Procedure, err)
		}
		return res, nil
	}
}

// WrapStreamingClient implements connect.Interceptor; the server makes no calls.
func (m *errorMapping) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (m *errorMapping) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := next(ctx, conn); err != nil {
			return m.public(ctx, conn.Spec().Procedure, err)
		}
		return nil
	}
}

// public returns the error a caller gets for err.
func (m *errorMapping) public(ctx context.Context, procedure string, err error) error {
	var connectErr *connect.Error
	var coded *holdfast.Error
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return contextError(ctx.Err()) // the caller is gone or out of patience, whatever code that got below
	case errors.As(err, &coded):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return contextError(err)
	case errors.As(err, &connectErr) && fitToShow[connectErr.Code()] && !connect.IsWireError(err):
		return connectErr
	}
	code, known := connectCodes[holdfast.ErrorCode(err)]
	if !known || code == connect.CodeInternal {
		return m.internal(procedure, err)
	}
	if code == connect.CodeUnavailable { // the only one with a cause that somebody has to look after
		m.log.Warn("dependency unavailable", zap.String("procedure", procedure), zap.Error(err))
	}
	out := connect.NewError(code, errors.New(messageOf(err)))
	addDetails(out, coded)
	return out
}

// messageOf is the text for the caller. That of a change that came second always says what to do.
func messageOf(err error) string {
	message := holdfast.ErrorMessage(err)
	if advice := holdfast.CodeAborted.Text(); holdfast.ErrorCode(err) == holdfast.CodeAborted && message != advice {
		return message + ". " + advice
	}
	return message
}

// internal hides the error behind an id under which it is logged.
func (m *errorMapping) internal(procedure string, err error) error {
	id := rand.Text()[:12]
	m.log.Error("internal error", zap.String("procedure", procedure), zap.String("error_id", id), zap.Error(err))
	return connect.NewError(connect.CodeInternal, errors.New("internal error (id "+id+")"))
}

func contextError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return connect.NewError(connect.CodeDeadlineExceeded, errors.New("the request's deadline passed"))
	}
	return connect.NewError(connect.CodeCanceled, errors.New("the request was cancelled"))
}

// addDetails adds violations and the time to retry after in the standard messages of google.rpc, the latter also as the
// header of RFC 9110 section 10.2.3.
func addDetails(out *connect.Error, e *holdfast.Error) {
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: v.Field, Description: v.Description})
		}
		addDetail(out, bad)
	}
	if e.RetryAfter > 0 {
		addDetail(out, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
		out.Meta().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
}

// addDetail leaves a detail out that cannot be encoded: the code and the text say the essential.
func addDetail(out *connect.Error, m proto.Message) {
	if detail, err := connect.NewErrorDetail(m); err == nil {
		out.AddDetail(detail)
	}
}

// recovered makes an internal error of a panic in a handler.
func recovered(log *zap.Logger) func(context.Context, connect.Spec, http.Header, any) error {
	return func(_ context.Context, spec connect.Spec, _ http.Header, value any) error {
		log.Error("panic in handler", zap.String("procedure", spec.Procedure), zap.Any("panic", value), zap.Stack("stack"))
		return holdfast.Errorf(holdfast.CodeInternal, "panic: %v", value)
	}
}
