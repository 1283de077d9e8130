package server

import (
	"context"
	"errors"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	holdfast "github.com/emprops/holdfast"
)

func TestConnectCodes_coverEveryCode(t *testing.T) {
	t.Parallel()
	require.Len(t, connectCodes, len(holdfast.Codes()))
	for _, code := range holdfast.Codes() {
		mapped, ok := connectCodes[code]
		require.True(t, ok, "no row for %s", code)
		require.Equal(t, code == holdfast.CodeInternal, mapped == connect.CodeInternal, "%s", code)
		require.NotEqual(t, connect.CodeUnknown, mapped)
	}
}

type silentConn struct{ connect.StreamingHandlerConn }

func (silentConn) Spec() connect.Spec { return connect.Spec{Procedure: "/holdfast.v1.Any/Stream"} }

func TestErrorMapping_coversStreams(t *testing.T) {
	t.Parallel()
	var failure error
	handle := (&errorMapping{zap.NewNop()}).WrapStreamingHandler(
		func(context.Context, connect.StreamingHandlerConn) error { return failure })
	require.NoError(t, handle(t.Context(), silentConn{}))
	failure = errors.New("dial tcp 10.1.2.3:6379")
	err := handle(t.Context(), silentConn{})
	require.Equal(t, connect.CodeInternal, connect.CodeOf(err))
	require.NotContains(t, err.Error(), "10.1.2.3")
	failure = connect.NewError(connect.CodeInvalidArgument, errors.New("unmarshal message"))
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(handle(t.Context(), silentConn{})))
}
