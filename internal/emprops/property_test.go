package emprops_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
	"github.com/emprops/holdfast/internal/emprops/standin"
)

// Whatever fails in whatever order, a confirmation is given only for what a read of the platform would show, a failure
// has one of the two codes, and once nothing fails any more the webhook is confirmed.
func TestD11_ConfirmedOnlyIfAReadWouldShowIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		mode := rapid.SampledFrom([]emprops.Mode{emprops.ModeBestEffort, emprops.ModeRequired}).Draw(r, "mode")
		s, patient := platform(t, mode, time.Minute)
		w := webhook()
		shown := func() bool {
			got, ok := s.Webhook(w.ID)
			return ok && got.URL == w.URL && got.Active == w.Active && len(got.Events) == len(w.Events)
		}
		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			w.URL = rapid.SampledFrom([]string{"https://a.example", "https://b.example"}).Draw(r, "url")
			w.Active = rapid.Bool().Draw(r, "active")
			w.Events = holdfast.EventTypes[:rapid.IntRange(1, 2).Draw(r, "events")]
			f := standin.Faults{
				Down: rapid.IntRange(0, 7).Draw(r, "down") == 0, Hang: rapid.IntRange(0, 7).Draw(r, "hang") == 0,
				Forget: rapid.IntRange(0, 3).Draw(r, "forget") == 0, StaleReads: rapid.IntRange(0, 2).Draw(r, "stale"),
				FailNext: rapid.IntRange(0, 2).Draw(r, "fail"),
			}
			if f.Forget { // a platform that forgets a write and shows an older state which equals it cannot be found out
				f.StaleReads = 0
			}
			if rapid.IntRange(0, 7).Draw(r, "reject") == 0 {
				f.Reject = "no"
			}
			if rapid.IntRange(0, 5).Draw(r, "slow") == 0 {
				f.DelayMS = 1000
			}
			require.NoError(r, s.SetFaults(f))
			c, settle := patient, func() {}
			if f.Hang || f.DelayMS > 0 {
				c, settle = impatientClient(t, s, mode)
			}
			if rapid.IntRange(0, 4).Draw(r, "remove") == 0 {
				err := c.Remove(t.Context(), w.ID)
				settle()
				if err == nil {
					_, known := s.Webhook(w.ID)
					require.False(r, known, "removed, yet known")
				}
				continue
			}
			err := c.Confirm(t.Context(), w)
			settle()
			if err == nil {
				require.True(r, shown(), "confirmed, yet not shown")
			} else {
				require.Contains(r, []holdfast.Code{holdfast.CodeUnavailable, holdfast.CodeRejected}, holdfast.ErrorCode(err))
			}
		}
		require.NoError(r, s.SetFaults(standin.Faults{}))
		require.NoError(r, patient.Confirm(t.Context(), w))
		require.True(r, shown())
	})
}

// impatientClient returns a client that soon gives up, and what ends its way to the platform: a request that was given up
// must not be carried out in the midst of a later step.
func impatientClient(t *testing.T, s *standin.Server, mode emprops.Mode) (c *emprops.Client, settle func()) {
	t.Helper()
	c, srv := serve(t, s, mode, 20*time.Millisecond)
	return c, srv.Close
}
