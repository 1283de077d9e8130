package server

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"
)

// requestLog writes one debug line per request: procedure and latency. Bodies and headers hold credentials and never
// show. It costs one comparison when debug is off.
type requestLog struct{ log *zap.Logger }

// WrapUnary implements connect.Interceptor.
func (l *requestLog) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		defer l.begin(req.Spec().Procedure)()
		return next(ctx, req)
	}
}

// WrapStreamingClient implements connect.Interceptor; the server makes no calls.
func (l *requestLog) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (l *requestLog) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		defer l.begin(conn.Spec().Procedure)()
		return next(ctx, conn)
	}
}

func (l *requestLog) begin(procedure string) (end func()) {
	if !l.log.Core().Enabled(zap.DebugLevel) {
		return func() {}
	}
	start := time.Now()
	return func() {
		l.log.Debug("request", zap.String("procedure", procedure), zap.Duration("latency", time.Since(start)))
	}
}
