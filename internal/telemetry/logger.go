package telemetry

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger makes a logger that writes lines of the level (debug, info, warn or error) and above to w, as JSON for
// machines (format json) or text for people (format console). Another level or format is an error. Lines are written
// whole and at once, so a crash loses none; writes from many goroutines do not mix.
func NewLogger(level, format string, w io.Writer) (*zap.Logger, error) {
	threshold, err := zapcore.ParseLevel(level)
	if err != nil || threshold > zapcore.ErrorLevel {
		return nil, fmt.Errorf("log level %q is not debug, info, warn or error", level)
	}
	encoding := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", CallerKey: "caller", MessageKey: "message",
		StacktraceKey:  "stack",
		EncodeTime:     zapcore.RFC3339NanoTimeEncoder,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeCaller:   zapcore.ShortCallerEncoder,
	}
	var encoder zapcore.Encoder
	switch format {
	case "json":
		encoder = zapcore.NewJSONEncoder(encoding)
	case "console":
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoding.EncodeLevel = zapcore.CapitalLevelEncoder
		encoding.CallerKey = zapcore.OmitKey
		encoding.ConsoleSeparator = "  "
		encoder = zapcore.NewConsoleEncoder(encoding)
	default:
		return nil, fmt.Errorf("log format %q is not json or console", format)
	}
	out := zapcore.Lock(zapcore.AddSync(w))
	return zap.New(zapcore.NewCore(encoder, out, threshold), zap.AddCaller(), zap.ErrorOutput(out)), nil
}
