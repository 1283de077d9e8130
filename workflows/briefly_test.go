package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// brief is an outcome whose next attempt the process can wait for.
func brief(number int) activities.Outcome {
	o := retrying(number, time.Second)
	o.Here, o.Brief = true, true
	return o
}

// A delivery needs no timer until it has to wait for longer.
func TestG7_DeliveryWaitsBrieflyWithoutATimer(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = open(brief(1))
	f.briefly = func(in activities.BriefRetry) (activities.Outcome, error) {
		require.Equal(t, activities.BriefRetry{
			Request: activities.AttemptRequest{WebhookID: "wh_1", EventID: "evt_1", Number: 2, CreatedAt: deliveryInput().CreatedAt},
			Event:   deliveryInput().Event, Outcome: brief(1),
		}, in)
		return retrying(2, time.Hour), nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
	require.Equal(t, 3, result(t, env).Attempts)
	require.Equal(t, []string{"AttemptFirst", "RetryBriefly", "Attempt"}, f.names())
	require.Equal(t, []time.Duration{time.Hour}, f.waits())
}

// What somebody has asked for comes first, and a wait that fails is a timer.
func TestD34_DeliveryThatIsSignalledDoesNotWaitBriefly(t *testing.T) {
	t.Parallel()
	t.Run("signalled", func(t *testing.T) {
		t.Parallel()
		env, f := newEnv(t)
		f.first = open(brief(1))
		f.onCall = func(c call) {
			if c.name == "AttemptFirst" {
				env.SignalWorkflow(workflows.SignalCancel, "not needed any more")
			}
		}
		env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
		require.Equal(t, "not needed any more", result(t, env).Reason)
		require.Empty(t, f.named("RetryBriefly"))
	})
	t.Run("failing", func(t *testing.T) {
		t.Parallel()
		env, f := newEnv(t)
		f.first = open(brief(1))
		f.briefly = func(activities.BriefRetry) (activities.Outcome, error) {
			return activities.Outcome{}, temporal.NewNonRetryableApplicationError("broken", "internal", errors.New("x"))
		}
		f.here = func(in activities.AttemptRequest, _ holdfast.Event) (activities.Outcome, error) {
			return delivered(in.Number), nil
		}
		env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
		require.Equal(t, 2, result(t, env).Attempts)
		require.Equal(t, []time.Duration{time.Second}, f.waits())
	})
}
