package holdfast_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

func TestIDsHaveTheOriginalsForm(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_757_000_000_123)
	require.Regexp(t, `^wh_1757000000123_[0-9a-z]{9}$`, holdfast.NewWebhookID(now))
	require.Regexp(t, `^evt_1757000000123_[0-9a-z]{9}$`, holdfast.NewEventID(now))
	require.Regexp(t, `^[A-Za-z0-9]{16}$`, holdfast.NewReceiverID())
	require.Regexp(t, `^wh_k_[0-9a-z]{20}$`, holdfast.IdempotentWebhookID("key"))
	require.Regexp(t, `^evt_5_[0-9a-z]{12}$`, holdfast.DerivedEventID(5, "channel", "message"))
}

func TestRandomIDsOfOneMomentDiffer(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(0)
	seen := map[string]bool{}
	for range 1000 {
		for _, id := range []string{holdfast.NewWebhookID(now), holdfast.NewEventID(now), holdfast.NewReceiverID()} {
			require.False(t, seen[id], id)
			seen[id] = true
		}
	}
}

func TestG6_DerivedIDsAreTheSameEverywhereAndTellInputsApart(t *testing.T) {
	t.Parallel()
	// Fixed texts: another process, version or machine must come to the same ids.
	require.Equal(t, "wh_k_bplqjyq2m3uupuliglfn", holdfast.IdempotentWebhookID("key"))
	require.Equal(t, "evt_5_jfdte5t73v4u", holdfast.DerivedEventID(5, "channel", "message"))

	require.NotEqual(t, holdfast.IdempotentWebhookID("key"), holdfast.IdempotentWebhookID("key "))
	ids := map[string]bool{}
	for _, id := range []string{
		holdfast.DerivedEventID(5, "channel", "message"), holdfast.DerivedEventID(6, "channel", "message"),
		holdfast.DerivedEventID(5, "channe", "lmessage"), holdfast.DerivedEventID(5, "", "channelmessage"),
	} {
		ids[id] = true
	}
	require.Len(t, ids, 4)
}

func TestMadeIDsAreValidEventIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{holdfast.NewEventID(time.Now()), holdfast.DerivedEventID(time.Now().UnixMilli(), "a", "b")} {
		e := holdfast.Event{ID: id, Type: "job_failed"}
		require.Empty(t, e.Violations())
	}
}
