package telemetry

import (
	"context"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
)

// quiet is an exporter whose failures are logged at a level that a collector's outage does not fill the log with.
type quiet struct {
	sdktrace.SpanExporter
	logger *zap.Logger
}

// ExportSpans implements sdktrace.SpanExporter.
func (q quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := q.SpanExporter.ExportSpans(ctx, spans); err != nil {
		q.logger.Debug("traces were not taken by the collector", zap.Int(KeyCount, len(spans)), zap.Error(err))
	}
	return nil
}
