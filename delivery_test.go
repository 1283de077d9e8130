package holdfast_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
)

func TestDeliveryIDRoundTrip(t *testing.T) {
	t.Parallel()
	d := holdfast.Delivery{WebhookID: "wh_1_a", EventID: "evt_1:b.c"}
	require.Equal(t, "wh_1_a/evt_1:b.c", d.ID())
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[A-Za-z0-9_.:-]{1,128}`)
		w, e := part.Draw(t, "webhook"), part.Draw(t, "event")
		gotW, gotE, ok := holdfast.ParseDeliveryID(holdfast.DeliveryID(w, e))
		if !ok || gotW != w || gotE != e {
			t.Fatalf("%q, %q became %q, %q, %t", w, e, gotW, gotE, ok)
		}
	})
}

func TestMalformedDeliveryIDsAreRefused(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "/", "a", "a/", "/b", "a/b/c", "a//b"} {
		_, _, ok := holdfast.ParseDeliveryID(id)
		require.False(t, ok, id)
	}
}

func TestFinalStates(t *testing.T) {
	t.Parallel()
	var final []holdfast.DeliveryState
	for _, s := range holdfast.DeliveryStates() {
		if s.Final() {
			final = append(final, s)
		}
	}
	require.Equal(t, []holdfast.DeliveryState{
		holdfast.DeliveryDelivered, holdfast.DeliveryExhausted, holdfast.DeliveryCancelled,
	}, final)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(holdfast.DeliveryStates()))), 6)
	require.False(t, holdfast.DeliveryState("").Final())
}

func TestAttemptStartIsItsTimestamp(t *testing.T) {
	t.Parallel()
	a := holdfast.Attempt{Timestamp: 1_757_000_000_123}
	require.Equal(t, time.Date(2025, 9, 4, 15, 33, 20, 123_000_000, time.UTC), a.At().UTC())
}
