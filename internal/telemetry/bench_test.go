package telemetry_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/telemetry"
)

// What the hot path pays for one event that is published and delivered.
func BenchmarkMetricsOfADelivery(b *testing.B) {
	m := telemetry.NewMetrics("test", func(context.Context) telemetry.State { return telemetry.State{} })
	a := &holdfast.Attempt{Success: true, ResponseStatus: 200, DurationMS: 3}
	b.ReportAllocs()
	for b.Loop() {
		m.Published("api", "accepted", 4*time.Millisecond)
		m.Started("group", 17)
		m.Attempt(a)
		m.DeliveryEnded(holdfast.DeliveryDelivered)
	}
}

// The same for traces, with a collector that is away: what does not fit the queue is dropped.
func BenchmarkTraceOfADelivery(b *testing.B) {
	traces, err := telemetry.NewTraces(telemetry.TracesConfig{Endpoint: "127.0.0.1:1"}, zap.NewNop())
	require.NoError(b, err)
	b.Cleanup(func() { traces.Stop(context.WithoutCancel(b.Context())) })
	a := &holdfast.Attempt{Success: true, ResponseStatus: 200, WebhookID: "wh_1"}
	for name, words := range map[string]int{"small": 1, "256KiB": 16 << 10} {
		prompt := strings.Repeat(`lorem ipsum \"x\" `, words)
		e := &holdfast.Event{Type: "job_submitted", Data: []byte(`{"job_id":"j","workflow_id":"w","payload":{"prompt":"` + prompt + `"}}`)}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				traces.Attempt(e, a)
			}
		})
	}
}
