package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/emprops/holdfast/internal/telemetry"
)

func TestJSONLineHasLevelMessageTimeAndFields(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger, err := telemetry.NewLogger("info", "json", &out)
	require.NoError(t, err)
	logger.Debug("hidden")
	logger.Named("dispatch").Info("started", zap.String(telemetry.KeyNode, "n1"))

	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line), "exactly one line")
	require.Equal(t, "info", line["level"])
	require.Equal(t, "started", line["message"])
	require.Equal(t, "dispatch", line["logger"])
	require.Equal(t, "n1", line["node"])
	require.Contains(t, line["caller"], "telemetry_test.go:")
	require.NotEmpty(t, line["time"])
}

func TestConsoleLineReadsAsText(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger, err := telemetry.NewLogger("debug", "console", &out)
	require.NoError(t, err)
	logger.Warn("slow", zap.Int(telemetry.KeyStatus, 503))
	require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3}  WARN  slow  \{"status": 503\}\n$`, out.String())
}

func TestUnknownLevelAndFormatAreErrors(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"loud", "fatal", "panic"} {
		_, err := telemetry.NewLogger(level, "json", &bytes.Buffer{})
		require.ErrorContains(t, err, level)
	}
	_, err := telemetry.NewLogger("info", "xml", &bytes.Buffer{})
	require.ErrorContains(t, err, `log format "xml" is not json or console`)
}

func TestTemporalInfoIsDebugAndFieldsAreOurs(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zapcore.DebugLevel)
	logger := telemetry.NewTemporalLogger(zap.New(core, zap.AddCaller()))
	cause := errors.New("boom")

	logger.Debug("d")
	logger.Info("i", "WorkflowID", "delivery/a/b", "Attempt", 2)
	logger.Warn("w", "Error", cause)
	logger.Error("e", 7, "seven", "alone")

	var levels []zapcore.Level
	for _, l := range lines.All() {
		levels = append(levels, l.Level)
		require.Contains(t, l.Caller.File, "telemetry_test.go")
	}
	require.Equal(t, []zapcore.Level{zapcore.DebugLevel, zapcore.DebugLevel, zapcore.WarnLevel, zapcore.ErrorLevel}, levels)
	require.Equal(t, map[string]any{"workflow_id": "delivery/a/b", "attempt": int64(2)}, lines.All()[1].ContextMap())
	require.Equal(t, map[string]any{"error": "boom"}, lines.All()[2].ContextMap())
	require.Equal(t, map[string]any{"7": "seven", "unpaired": "alone"}, lines.All()[3].ContextMap())
}

// through stands for a helper whose own line should not be named as the caller.
func through(l log.Logger) { l.Warn("from a helper") }

func TestTemporalWithAndCallerSkipMakeChildren(t *testing.T) {
	t.Parallel()
	core, lines := observer.New(zapcore.DebugLevel)
	parent := telemetry.NewTemporalLogger(zap.New(core, zap.AddCaller()))

	log.With(parent, "TaskQueue", "holdfast").Info("child")
	parent.Info("parent")
	through(log.Skip(parent, 1))
	through(parent)

	all := lines.All()
	require.Equal(t, map[string]any{"task_queue": "holdfast"}, all[0].ContextMap())
	require.Empty(t, all[1].Context, "the parent is unchanged")
	require.True(t, strings.HasSuffix(all[2].Caller.Function, ".TestTemporalWithAndCallerSkipMakeChildren"), all[2].Caller.Function)
	require.True(t, strings.HasSuffix(all[3].Caller.Function, ".through"), all[3].Caller.Function)
}
