package testkit

import (
	"bytes"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Logger returns a logger that writes everything to the test's log, which is shown when the test fails. What is logged
// after the end of the test, by goroutines that outlive it, is dropped; the testing package would panic.
func Logger(tb testing.TB) *zap.Logger {
	w := &testWriter{tb: tb}
	tb.Cleanup(w.close)
	encoder := zap.NewDevelopmentEncoderConfig()
	encoder.EncodeTime = zapcore.TimeEncoderOfLayout("05.000")
	return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), w, zapcore.DebugLevel))
}

// testWriter writes to a test's log while the test runs.
type testWriter struct {
	mu sync.Mutex
	tb testing.TB // nil after the test
}

// Write implements io.Writer.
func (w *testWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tb != nil {
		w.tb.Logf("%s", bytes.TrimSuffix(p, []byte("\n")))
	}
	return len(p), nil
}

// Sync implements zapcore.WriteSyncer.
func (w *testWriter) Sync() error { return nil }

func (w *testWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tb = nil
}
