package worker

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

var update = flag.Bool("update", false, "rewrite testdata/registered.golden")

// names collects what is registered.
type names struct {
	sdkworker.Registry
	list []string
}

func (n *names) RegisterWorkflowWithOptions(_ any, o workflow.RegisterOptions) {
	n.list = append(n.list, "workflow "+o.Name)
}

func (n *names) RegisterActivityWithOptions(_ any, o activity.RegisterOptions) {
	n.list = append(n.list, "activity "+o.Name)
}

// The names on the wire are a protocol: histories contain them, other nodes send them, operators type them. A change of
// this file needs a reason and a path for what is running.
func TestWireNames(t *testing.T) {
	t.Parallel()
	everything := Activities{
		Registrations: &activities.Registrations{}, Nodes: &activities.Nodes{}, NodeCache: &activities.NodeCache{},
		Deliveries: &activities.Deliveries{}, Consistency: &activities.Consistency{},
		NodeInspection: &activities.NodeInspection{}, Alerts: &activities.Alerts{},
	}
	var b strings.Builder
	queue := func(name string, register func(*names)) {
		var n names
		register(&n)
		slices.Sort(n.list)
		fmt.Fprintf(&b, "queue %s\n  %s\n", name, strings.Join(n.list, "\n  "))
	}
	queue(workflows.QueueMain, func(n *names) {
		RegisterWorkflows(n)
		registerMain(n, everything)
	})
	queue(workflows.QueueSlow, func(n *names) {
		registerDelivery(n)
		registerSlow(n, everything)
	})
	queue(workflows.QueueNode("NODE"), func(n *names) { registerNode(n, everything) })
	fmt.Fprintf(&b, "id Registration %s\nid Delivery %s\nid DeliveryGroup %s\n", workflows.RegistrationID("WEBHOOK"),
		workflows.DeliveryWorkflowID("WEBHOOK", "EVENT"), workflows.GroupID("NODE", "ULID"))
	fmt.Fprintf(&b, "id ConsistencyCheck %s\nschedule ConsistencyCheck %s\nid Alert %s\n", workflows.ConsistencyOnDemandID,
		workflows.ScheduleConsistency, workflows.AlertWorkflowID("ALERT"))
	fmt.Fprintf(&b, "id OrderedDeliveries %s\nsignals %s %s %s\n", workflows.OrderedID("WEBHOOK", "KEY"),
		workflows.SignalEnqueue, workflows.SignalTurn, workflows.SignalOver)
	fmt.Fprintf(&b, "signals %s %s %s %s\n", workflows.SignalRetryNow, workflows.SignalHold, workflows.SignalResume, workflows.SignalCancel)
	fmt.Fprintf(&b, "signals of Registration %s %s %s\n", workflows.SignalDisconnect, workflows.SignalReconnect, workflows.SignalAutoDisconnect)
	fmt.Fprintf(&b, "updates %s %s %s %s %s %s %s\n", workflows.UpdateRegister, workflows.UpdateChange, workflows.UpdateRotateSecret,
		workflows.UpdateDisconnect, workflows.UpdateReconnect, workflows.UpdateReconcile, workflows.UpdateDelete)
	fmt.Fprintf(&b, "update of Delivery %s\nid Replay %s\nid Sweep %s\nsignals %s %s\n", workflows.UpdateProbe,
		workflows.ReplayWorkflowID("REPLAY"), workflows.SweepID("WEBHOOK"), workflows.SignalPause, workflows.SignalSweep)
	fmt.Fprintf(&b, "id Enrichment %s\n", workflows.EnrichmentID("EVENT"))
	fmt.Fprintf(&b, "queries %s\n", workflows.QueryStatus)
	for _, a := range []interface{ GetName() string }{
		workflows.AttrWebhookID, workflows.AttrEventType, workflows.AttrEventID, workflows.AttrDeliveryState,
		workflows.AttrHTTPStatus, workflows.AttrAttempts, workflows.AttrWebhookState, workflows.AttrWebhookRevision,
	} {
		fmt.Fprintf(&b, "attribute %s %T\n", a.GetName(), a)
	}
	fmt.Fprintf(&b, "errors %s %s %s %s\n", workflows.ErrorExists, workflows.ErrorNotFound, workflows.ErrorAborted, activities.ErrorNoFlight)

	const file = "testdata/registered.golden"
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}
