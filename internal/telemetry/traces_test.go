package telemetry_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/telemetry"
)

func TestTracesGoToEndpointsOfThreeForms(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"collector:4317", "http://collector:4317", "https://collector:4317"} {
		traces, err := telemetry.NewTraces(telemetry.TracesConfig{Endpoint: endpoint}, zap.NewNop())
		require.NoError(t, err, endpoint)
		traces.Stop(t.Context())
	}
	for _, endpoint := range []string{"ftp://collector", "http://", "://x", "http://a b"} {
		_, err := telemetry.NewTraces(telemetry.TracesConfig{Endpoint: endpoint}, zap.NewNop())
		require.ErrorContains(t, err, "telemetry.otlp_endpoint", endpoint)
	}
}

func TestNoEndpointSendsNothing(t *testing.T) {
	t.Parallel()
	traces, err := telemetry.NewTraces(telemetry.TracesConfig{}, zap.NewNop())
	require.NoError(t, err)
	traces.Attempt(&holdfast.Event{}, &holdfast.Attempt{})
	traces.Operation("wh", "register", "confirmed")
	traces.Alert(holdfast.AlertDrift, "", false)
	traces.Stop(t.Context())
}
