//go:build !lean

package devserver

import (
	"log/slog"
	"strings"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

var discardSlog = slog.New(slog.DiscardHandler)

// serverLog is where the embedded server logs. The server is written to own its process; serverLog keeps it from ending
// ours: a fatal entry is written as an error and ends the goroutine that wrote it, as its writer counts on not going on.
type serverLog struct {
	zap   *zap.Logger
	level zapcore.LevelEnabler
	muted atomic.Bool
	fatal atomic.Pointer[string]
}

func newServerLog(logger *zap.Logger, level zapcore.LevelEnabler) *serverLog {
	l := &serverLog{level: level}
	l.zap = logger.Named("temporal").WithOptions(
		zap.WrapCore(func(core zapcore.Core) zapcore.Core { return &serverCore{Core: core, log: l} }),
		zap.WithFatalHook(zapcore.WriteThenGoexit),
		zap.WithPanicHook(zapcore.WriteThenGoexit),
	)
	return l
}

// quiet drops everything from now on unless debug entries are wanted: services that stop complain about each other.
func (l *serverLog) quiet() { l.muted.Store(!l.level.Enabled(zapcore.DebugLevel)) }

// lastFatal returns the text of the last fatal entry, or "".
func (l *serverLog) lastFatal() string {
	if text := l.fatal.Load(); text != nil {
		return *text
	}
	return ""
}

// noHTTPPort is a warning at every start about an API that is left out on purpose.
const noHTTPPort = "HTTP API port has not been set."

// serverCore is the part of serverLog that zap calls.
type serverCore struct {
	zapcore.Core
	log *serverLog
}

// Enabled implements zapcore.LevelEnabler. Fatal entries always pass: they must reach their hook.
func (c *serverCore) Enabled(level zapcore.Level) bool {
	if level > zapcore.ErrorLevel {
		return true
	}
	return !c.log.muted.Load() && c.log.level.Enabled(level) && c.Core.Enabled(level)
}

// With implements zapcore.Core.
func (c *serverCore) With(fields []zapcore.Field) zapcore.Core {
	return &serverCore{Core: c.Core.With(fields), log: c.log}
}

// Check implements zapcore.Core.
func (c *serverCore) Check(ent zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(ent.Level) {
		return ce.AddCore(ent, c)
	}
	return ce
}

// Write implements zapcore.Core.
func (c *serverCore) Write(ent zapcore.Entry, fields []zapcore.Field) error {
	if ent.Level > zapcore.ErrorLevel {
		text := ent.Message
		enc := zapcore.NewMapObjectEncoder()
		for _, f := range fields {
			f.AddTo(enc)
		}
		if cause, ok := enc.Fields["error"].(string); ok {
			text += ": " + cause
		}
		c.log.fatal.Store(&text)
		ent.Level = zapcore.ErrorLevel
	}
	if c.log.muted.Load() || !c.Core.Enabled(ent.Level) || strings.HasPrefix(ent.Message, noHTTPPort) {
		return nil
	}
	return c.Core.Write(ent, fields)
}
