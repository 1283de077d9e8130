package telemetry

import (
	"fmt"

	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
)

// TemporalLogger lets the Temporal SDK log through zap. The SDK's Info becomes debug: it writes a line for each worker,
// workflow and retry, and nothing per item belongs at info. Its field names become the ones of this package.
type TemporalLogger struct{ zap *zap.Logger }

var (
	_ log.Logger          = (*TemporalLogger)(nil)
	_ log.WithLogger      = (*TemporalLogger)(nil)
	_ log.WithSkipCallers = (*TemporalLogger)(nil)
)

// NewTemporalLogger adapts a logger for client.Options.Logger.
func NewTemporalLogger(logger *zap.Logger) *TemporalLogger {
	return &TemporalLogger{zap: logger.WithOptions(zap.AddCallerSkip(1))}
}

// Debug implements log.Logger.
func (l *TemporalLogger) Debug(msg string, keyvals ...any) { l.zap.Debug(msg, fields(keyvals)...) }

// Info implements log.Logger; the line is written at debug.
func (l *TemporalLogger) Info(msg string, keyvals ...any) { l.zap.Debug(msg, fields(keyvals)...) }

// Warn implements log.Logger.
func (l *TemporalLogger) Warn(msg string, keyvals ...any) { l.zap.Warn(msg, fields(keyvals)...) }

// Error implements log.Logger.
func (l *TemporalLogger) Error(msg string, keyvals ...any) { l.zap.Error(msg, fields(keyvals)...) }

// With implements log.WithLogger: a logger that adds the pairs to every line.
func (l *TemporalLogger) With(keyvals ...any) log.Logger {
	return &TemporalLogger{zap: l.zap.With(fields(keyvals)...)}
}

// WithCallerSkip implements log.WithSkipCallers: a logger that names a caller that many frames further up.
func (l *TemporalLogger) WithCallerSkip(skip int) log.Logger {
	return &TemporalLogger{zap: l.zap.WithOptions(zap.AddCallerSkip(skip))}
}

// sdkKeys translates the SDK's tags (its internal/log package and activity and workflow loggers).
var sdkKeys = map[string]string{
	"ActivityID":   KeyActivityID,
	"ActivityType": KeyActivity,
	"Attempt":      KeyAttempt,
	"Error":        "error",
	"Namespace":    KeyNamespace,
	"RunID":        KeyRunID,
	"TaskQueue":    KeyTaskQueue,
	"WorkerID":     KeyWorkerID,
	"WorkerType":   KeyWorkerType,
	"WorkflowID":   KeyWorkflowID,
	"WorkflowType": KeyWorkflow,
}

// fields makes zap fields of alternating keys and values. zap's own sugared logger is not used: it answers an odd count
// or a key that is no string with a panic in development.
func fields(keyvals []any) []zap.Field {
	out := make([]zap.Field, 0, (len(keyvals)+1)/2)
	for i := 0; i < len(keyvals); i += 2 {
		key := fmt.Sprint(keyvals[i])
		if i+1 == len(keyvals) {
			return append(out, zap.String("unpaired", key))
		}
		if ours, ok := sdkKeys[key]; ok {
			key = ours
		}
		out = append(out, zap.Any(key, keyvals[i+1]))
	}
	return out
}
