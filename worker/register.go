package worker

import (
	"go.temporal.io/sdk/activity"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// Activities are the activity implementations of a node.
type Activities struct {
	Registrations *activities.Registrations
	Nodes         *activities.Nodes
	NodeCache     *activities.NodeCache
	Deliveries    *activities.Deliveries

	Consistency    *activities.Consistency
	NodeInspection *activities.NodeInspection
	Alerts         *activities.Alerts
	Replays        *activities.Replays
	Sweeps         *activities.Sweeps
	Enrichments    *activities.Enrichments
}

// RegisterWorkflows registers every workflow type; the replayer uses it as well as the worker.
func RegisterWorkflows(r sdkworker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(workflows.Registration, workflow.RegisterOptions{Name: workflows.TypeRegistration})
	registerDelivery(r)
	r.RegisterWorkflowWithOptions(workflows.DeliveryGroup, workflow.RegisterOptions{Name: workflows.TypeDeliveryGroup})
	r.RegisterWorkflowWithOptions(workflows.OrderedDeliveries, workflow.RegisterOptions{Name: workflows.TypeOrderedDeliveries})
	r.RegisterWorkflowWithOptions(workflows.ConsistencyCheck, workflow.RegisterOptions{Name: workflows.TypeConsistencyCheck})
	r.RegisterWorkflowWithOptions(workflows.Alert, workflow.RegisterOptions{Name: workflows.TypeAlert})
	r.RegisterWorkflowWithOptions(workflows.Replay, workflow.RegisterOptions{Name: workflows.TypeReplay})
	r.RegisterWorkflowWithOptions(workflows.Sweep, workflow.RegisterOptions{Name: workflows.TypeSweep})
	r.RegisterWorkflowWithOptions(workflows.Enrichment, workflow.RegisterOptions{Name: workflows.TypeEnrichment})
}

func registerDelivery(r sdkworker.WorkflowRegistry) {
	r.RegisterWorkflowWithOptions(workflows.Delivery, workflow.RegisterOptions{Name: workflows.TypeDelivery})
}

// registerHere registers the local activities of a delivery; they run where its workflow does.
func registerHere(r sdkworker.ActivityRegistry, a Activities) {
	register(r, map[string]any{"AttemptFirst": a.Deliveries.AttemptFirst, "AttemptHere": a.Deliveries.AttemptHere, "RetryBriefly": a.Deliveries.RetryBriefly})
}

// registerMain registers what runs on the main queue.
func registerMain(r sdkworker.ActivityRegistry, a Activities) {
	registerHere(r, a)
	register(r, map[string]any{
		"HandOver":         a.Deliveries.HandOver,
		"RecordOutcomes":   a.Deliveries.RecordOutcomes,
		"RecordState":      a.Deliveries.RecordState,
		"ReplayPage":       a.Replays.ReplayPage,
		"SweepPage":        a.Sweeps.SweepPage,
		"ListLiveNodes":    a.Nodes.ListLiveNodes,
		"CheckWebhook":     a.Registrations.CheckWebhook,
		"CheckExists":      a.Registrations.CheckExists,
		"WriteWebhook":     a.Registrations.WriteWebhook,
		"RemoveWebhook":    a.Registrations.RemoveWebhook,
		"VerifyWebhook":    a.Registrations.VerifyWebhook,
		"VerifyRemoved":    a.Registrations.VerifyRemoved,
		"ConfirmWebhook":   a.Registrations.ConfirmWebhook,
		"UnconfirmWebhook": a.Registrations.UnconfirmWebhook,

		"PrepareChange":     a.Registrations.PrepareChange,
		"PrepareRotation":   a.Registrations.PrepareRotation,
		"PrepareRetirement": a.Registrations.PrepareRetirement,
		"ReconcileWebhook":  a.Registrations.ReconcileWebhook,
		"JudgeFailures":     a.Registrations.JudgeFailures,
		"ResetFailures":     a.Registrations.ResetFailures,
		"SweepDeliveries":   a.Registrations.SweepDeliveries,
		"ProbeWebhook":      a.Registrations.ProbeWebhook,
	})
	register(r, map[string]any{
		"InspectRegistry":   a.Consistency.InspectRegistry,
		"ReconcileWebhooks": a.Consistency.ReconcileWebhooks,
		"RepairActiveSet":   a.Consistency.RepairActiveSet,
		"RebuildDigest":     a.Consistency.RebuildDigest,
		"MarkComplete":      a.Consistency.MarkComplete,
		"InspectPlatform":   a.Consistency.InspectPlatform,
		"SaveReport":        a.Consistency.SaveReport,
		"RaiseAlert":        a.Alerts.RaiseAlert,
		"ResolveAlert":      a.Alerts.ResolveAlert,
		"SettleAlerts":      a.Alerts.SettleAlerts,
		"NotifyAlert":       a.Alerts.NotifyAlert,
		"PublishEnriched":   a.Enrichments.PublishEnriched,
	})
}

// registerSlow registers what runs in the slow lane.
func registerSlow(r sdkworker.ActivityRegistry, a Activities) {
	registerHere(r, a)
	register(r, map[string]any{"Attempt": a.Deliveries.Attempt})
}

// registerNode registers what only this node can do.
func registerNode(r sdkworker.ActivityRegistry, a Activities) {
	register(r, map[string]any{
		"RefreshCache": a.NodeCache.RefreshCache,
		"JoinAttempt":  a.Deliveries.JoinAttempt,
		"InspectNode":  a.NodeInspection.InspectNode,
		"RebuildCache": a.NodeInspection.RebuildCache,
	})
}

func register(r sdkworker.ActivityRegistry, byName map[string]any) {
	for name, f := range byName {
		r.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
}
