package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/genproto/googleapis/rpc/errdetails"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

const inside = "dial tcp 10.1.2.3:6379: connection refused"

func TestErrors_nothingInternalReachesACaller(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		cause := errors.New(inside)
		var failure error
		b.registration = func(context.Context, string) (holdfast.Registration, error) {
			return holdfast.Registration{}, failure
		}
		ask := func(err error) error {
			failure = err
			_, err = c.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: "wh_1"})
			require.Error(t, err)
			require.NotContains(t, err.Error(), "10.1.2.3")
			return err
		}
		for _, code := range holdfast.Codes() {
			err := ask(holdfast.Wrap(code, cause, "fit to show"))
			if code != holdfast.CodeInternal {
				require.ErrorContains(t, err, "fit to show", "%s", code)
			}
		}
		for _, err := range []error{
			cause, fmt.Errorf("registration: %w", cause), holdfast.Errorf(holdfast.CodeInternal, "%s", inside),
			holdfast.Errorf("nonsense", "%s", inside), connect.NewError(connect.CodeUnavailable, cause),
			connect.NewWireError(connect.CodeInvalidArgument, cause),
		} {
			err = ask(err)
			require.Equal(t, connect.CodeInternal, connect.CodeOf(err))
			require.Regexp(t, `internal error \(id [A-Z2-7]{12}\)`, err.Error())
		}
		require.Equal(t, connect.CodeDeadlineExceeded, connect.CodeOf(ask(fmt.Errorf(inside+": %w", context.DeadlineExceeded))))
		require.Equal(t, connect.CodeCanceled, connect.CodeOf(ask(fmt.Errorf(inside+": %w", context.Canceled))))
		require.Equal(t, connect.CodeUnavailable, connect.CodeOf(ask(holdfast.Wrap(holdfast.CodeUnavailable, context.DeadlineExceeded, "read timed out"))),
			"a timeout inside is not the caller's")
	})
}

func TestErrors_anInternalOneIsLoggedUnderItsID(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish = func(context.Context, *holdfast.Event) (server.PublishResult, error) {
		return server.PublishResult{}, errors.New(inside)
	}
	status, _, answer := b.post(t, "EventService/PublishEvent", `{"event":{"type":"job_failed","data":{}}}`)
	require.Equal(t, 500, status)
	logged := b.logs.FilterMessage("internal error").All()
	require.Len(t, logged, 1)
	require.Equal(t, inside, logged[0].ContextMap()["error"])
	require.Equal(t, "/holdfast.v1.EventService/PublishEvent", logged[0].ContextMap()["procedure"])
	require.Equal(t, fmt.Sprintf("internal error (id %s)", logged[0].ContextMap()["error_id"]), answer["message"])
}

func TestErrors_aPanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.publish = func(context.Context, *holdfast.Event) (server.PublishResult, error) { panic(inside) }
		_, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{
			Event: &holdfastv1.Event{Type: "job_failed", DataJson: []byte("{}")},
		})
		require.Equal(t, connect.CodeInternal, connect.CodeOf(err))
		require.NotContains(t, err.Error(), "10.1.2.3")
		require.Equal(t, 1, b.logs.FilterMessage("panic in handler").Len())
	})
}

func TestErrors_sayWhenToRetry(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.publish = func(context.Context, *holdfast.Event) (server.PublishResult, error) {
			return server.PublishResult{}, fmt.Errorf("queue: %w", &holdfast.Error{
				Code: holdfast.CodeExhausted, Message: "the queue is full", RetryAfter: 1500 * time.Millisecond,
			})
		}
		_, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{
			Event: &holdfastv1.Event{Type: "job_failed", DataJson: []byte("{}")},
		})
		require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
		var connectErr *connect.Error
		require.ErrorAs(t, err, &connectErr)
		require.Equal(t, "2", connectErr.Meta().Get("Retry-After"))
		require.Len(t, connectErr.Details(), 1)
		m, err := connectErr.Details()[0].Value()
		require.NoError(t, err)
		require.Equal(t, 1500*time.Millisecond, m.(*errdetails.RetryInfo).GetRetryDelay().AsDuration())
	})
}

func TestErrors_theCallersDeadlineIsTheCallers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish = func(ctx context.Context, _ *holdfast.Event) (server.PublishResult, error) {
		<-ctx.Done()
		return server.PublishResult{}, holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), inside)
	}
	status, _, answer := b.do(t, "POST", "/holdfast.v1.EventService/PublishEvent", bodyOf(`{"event":{"type":"job_failed","data":{}}}`),
		map[string][]string{"Content-Type": {"application/json"}, "Connect-Timeout-Ms": {"20"}})
	require.Equal(t, 504, status)
	require.Equal(t, "deadline_exceeded", answer["code"])
	require.NotContains(t, answer["message"], "10.1.2.3")
}

func TestRequestsAreLoggedAtDebugOnly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept()
	b.post(t, "EventService/PublishEvent", `{"event":{"type":"job_failed","data":{"password":"hunter2"}}}`)
	require.Equal(t, 1, b.logs.FilterMessage("request").Len())
	for _, entry := range b.logs.All() {
		require.Equal(t, zap.DebugLevel, entry.Level)
		require.NotContains(t, fmt.Sprint(entry.ContextMap()), "hunter2")
	}
}

func TestInterceptorsOfTheCallerRunInsideErrorMapping(t *testing.T) {
	t.Parallel()
	guard := connect.UnaryInterceptorFunc(func(connect.UnaryFunc) connect.UnaryFunc {
		return func(context.Context, connect.AnyRequest) (connect.AnyResponse, error) {
			return nil, holdfast.Wrap(holdfast.CodeUnauthorized, errors.New(inside), "an API key is required")
		}
	})
	b := setup(t, func(o *server.Options) { o.Interceptors = []connect.Interceptor{guard} })
	status, _, answer := b.post(t, "WebhookService/ListWebhooks", `{}`)
	require.Equal(t, 401, status)
	require.Equal(t, "an API key is required", answer["message"])
}
