package demo

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSpreadIsTheMedianAndTheLongest(t *testing.T) {
	t.Parallel()
	given := []time.Duration{9, 1, 5, 7}
	p50, longest := spread(given)
	require.Equal(t, []time.Duration{5, 9}, []time.Duration{p50, longest})
	require.Equal(t, []time.Duration{9, 1, 5, 7}, given)
	p50, longest = spread([]time.Duration{3})
	require.Equal(t, []time.Duration{3, 3}, []time.Duration{p50, longest})
	p50, longest = spread(nil)
	require.Equal(t, []time.Duration{0, 0}, []time.Duration{p50, longest})
}

func TestTheCommandToLookFurtherFitsIntoALine(t *testing.T) {
	t.Parallel()
	lines := lookFurther("http://127.0.0.1:3332", "wh_k_kjtjzh1lkiujxji4estw")
	require.Equal(t, []string{
		`curl -s http://127.0.0.1:3332/holdfast.v1.DeliveryService/ListDeliveries \`,
		`  -H content-type:application/json -d '{"webhookId":"wh_k_kjtjzh1lkiujxji4estw"}'`,
	}, lines)
	for _, l := range lines {
		require.LessOrEqual(t, len(l), 128)
	}
}

func TestLinesAreAlignedBehindTheirLabels(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := printer{&out}
	p.line("found", "%s", count(1, "earlier registration"))
	p.line("registered", "%s", count(2, "delivery"))
	p.line("", "%s ", count(0, "retry"))
	require.Equal(t, "found      1 earlier registration\nregistered 2 deliveries\n           0 retries\n", out.String())
}

func TestRunNamesWhatItCannotReach(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := Run(t.Context(), Options{BaseURL: "http://127.0.0.1:1", RedisURL: "redis://:secret@127.0.0.1:1", Out: &out})
	require.ErrorContains(t, err, "demo: listing the webhooks: unavailable")
	err = Run(t.Context(), Options{BaseURL: "http://127.0.0.1:1", RedisURL: "nonsense://:secret@x", Out: &out})
	require.ErrorContains(t, err, "demo: the Redis URL is not valid")
	require.NotContains(t, err.Error(), "secret")
}
