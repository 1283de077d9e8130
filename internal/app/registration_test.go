package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"

	"github.com/emprops/holdfast/internal/testkit"
)

func TestG1_RegisterProvesAndDelivers(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	receiver := testkit.NewReceiver(t)
	got := n.register(t, receiver.URL(), "job_submitted")
	require.Len(t, got.GetRegistration().GetSteps(), 6)
	for _, s := range got.GetRegistration().GetSteps() {
		require.Equal(t, holdfastv1.StepStatus_STEP_STATUS_DONE, s.GetStatus(), "%s: %s", s.GetName(), s.GetDetail())
	}
	published := n.publish(t, "job_submitted", `{"job_id":"j1"}`)
	require.Len(t, published.GetDeliveries(), 1)
	requests := receiver.Wait(1)
	require.Equal(t, published.GetEventId(), requests[0].Header.Get("X-Event-Id"))
}
