package workflows_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

func groupInput() workflows.GroupInput {
	return workflows.GroupInput{
		Events: []holdfast.Event{
			{ID: "evt_1", Type: "job_failed", Data: []byte(`{"n":1}`)},
			{ID: "evt_2", Type: "complete_job", Data: []byte(`{"n":2}`)},
		},
		Targets: []activities.Target{
			{Event: 0, WebhookID: "wh_1"}, {Event: 0, WebhookID: "wh_2"}, {Event: 1, WebhookID: "wh_1"}, {Event: 1, WebhookID: "wh_3"},
		},
		CreatedAt: 1_700_000_000_000, AttemptTimeoutMS: 30_000, HoldForMS: holdFor.Milliseconds(),
	}
}

func groupResult(t *testing.T, env *testsuite.TestWorkflowEnvironment) workflows.GroupResult {
	t.Helper()
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var r workflows.GroupResult
	require.NoError(t, env.GetWorkflowResult(&r))
	return r
}

// continued returns the input of the run that the workflow ended with.
func continued[In any](t *testing.T, env *testsuite.TestWorkflowEnvironment) In {
	t.Helper()
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, env.GetWorkflowError(), &next)
	var in In
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	return in
}

func TestDeliveryGroup_AllDeliveredIsOneActivity(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = func(in activities.FirstAttempts) (activities.FirstResult, error) {
		require.Equal(t, groupInput().Targets, in.Targets)
		require.Equal(t, groupInput().CreatedAt, in.CreatedAt)
		return activities.FirstResult{Delivered: 4}, nil
	}
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, groupInput())
	require.Equal(t, workflows.GroupResult{Delivered: 4}, groupResult(t, env))
	require.Equal(t, []string{"AttemptFirst"}, f.names())
}

// What did not succeed at once goes on as a Delivery of its own, which outlives the group.
func TestG4_OpenDeliveriesOfAGroupGoOnByThemselves(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Delivered: 2, Open: []activities.OpenOutcome{
			{Index: 1, Outcome: retrying(1, time.Hour)},
			{Index: 2, Outcome: activities.Outcome{State: holdfast.DeliveryPending, Attempts: 1, InFlight: "n2"}},
		}}, nil
	}
	f.join = func(in activities.AttemptRequest) (activities.Outcome, error) {
		return retrying(in.Number, 2*time.Hour), nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	type child struct {
		in    workflows.DeliveryInput
		attrs temporal.SearchAttributes
	}
	children := map[string]child{}
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, ctx workflow.Context, args converter.EncodedValues) {
		var c child
		require.NoError(t, args.Get(&c.in))
		c.attrs = workflow.GetTypedSearchAttributes(ctx)
		require.Equal(t, workflows.TypeDelivery, info.WorkflowType.Name)
		require.Equal(t, workflows.QueueMain, info.TaskQueueName)
		children[info.WorkflowExecution.ID] = c
	})
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, groupInput())
	require.Equal(t, workflows.GroupResult{Delivered: 2, HandedOver: 2}, groupResult(t, env))
	require.Equal(t, []string{"delivery/wh_1/evt_2", "delivery/wh_2/evt_1"}, slices.Sorted(maps.Keys(children)))

	c := children["delivery/wh_2/evt_1"]
	require.Equal(t, "wh_2", c.in.WebhookID)
	require.Equal(t, groupInput().Events[0], c.in.Event)
	require.Equal(t, groupInput().CreatedAt, c.in.CreatedAt)
	require.Equal(t, groupInput().HoldForMS, c.in.HoldForMS)
	require.Equal(t, groupInput().AttemptTimeoutMS, c.in.AttemptTimeoutMS)
	require.Equal(t, retrying(1, time.Hour), *c.in.Outcome)
	webhook, _ := c.attrs.GetKeyword(workflows.AttrWebhookID)
	event, _ := c.attrs.GetKeyword(workflows.AttrEventID)
	kind, _ := c.attrs.GetKeyword(workflows.AttrEventType)
	state, _ := c.attrs.GetKeyword(workflows.AttrDeliveryState)
	require.Equal(t, []string{"wh_2", "evt_1", "job_failed", "retrying"}, []string{webhook, event, kind, state})

	require.Equal(t, []int{2, 2}, numbers(f.named("Attempt")))
	require.Len(t, f.named("AttemptFirst"), 1)
}

// The group starts what goes on by itself without being its parent: a child workflow would cost several times as much.
func TestG7_OpenDeliveriesOfAGroupCostItNoEvents(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	open := []activities.OpenOutcome{
		{Index: 1, Outcome: retrying(1, time.Hour)},
		{Index: 2, Outcome: activities.Outcome{State: holdfast.DeliveryPending, DelayMS: 5, Waits: 1, Here: true}},
	}
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Delivered: 2, Open: open}, nil
	}
	var started []activities.Successor
	failures := 2
	f.handOver = func(in []activities.Successor) error {
		if failures--; failures >= 0 {
			return coded(holdfast.CodeUnavailable, true)
		}
		started = append(started, in...)
		return nil
	}
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		t.Errorf("%s is a child", info.WorkflowExecution.ID)
	})
	in := groupInput()
	in.Successors = true
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
	require.Equal(t, workflows.GroupResult{Delivered: 2, HandedOver: 2}, groupResult(t, env))
	successor := func(webhook string, event int, o activities.Outcome) activities.Successor {
		return activities.Successor{
			WebhookID: webhook, Event: in.Events[event], CreatedAt: in.CreatedAt, AttemptTimeoutMS: in.AttemptTimeoutMS,
			HoldForMS: in.HoldForMS, Outcome: o,
		}
	}
	require.Equal(t, []activities.Successor{successor("wh_2", 0, open[0].Outcome), successor("wh_1", 1, open[1].Outcome)}, started)
	require.Len(t, f.named("AttemptFirst"), 1)
}

// Should the node be unable to start them, Temporal does it: nothing is left behind.
func TestG4_WhatAGroupCannotStartBecomesItsChild(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Delivered: 3, Open: []activities.OpenOutcome{{Index: 3, Outcome: retrying(1, time.Hour)}}}, nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	in := groupInput()
	in.Successors = true
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
	require.Equal(t, workflows.GroupResult{Delivered: 3, HandedOver: 1}, groupResult(t, env))
	require.Len(t, f.named("HandOver"), 1)
	require.Equal(t, []int{2}, numbers(f.named("Attempt")))
}

// Unrecorded ends are recorded together by the group; those of open deliveries are their children's.
func TestD25_UnrecordedEndsOfAGroupAreRecordedInOneGo(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	record := func(webhook string, state holdfast.DeliveryState) *activities.Record {
		return &activities.Record{Delivery: holdfast.Delivery{WebhookID: webhook, EventID: "e", State: state}}
	}
	open := retrying(1, time.Minute)
	open.Unrecorded = record("wh_2", holdfast.DeliveryRetrying)
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Open: []activities.OpenOutcome{
			{Index: 0, Outcome: activities.Outcome{State: holdfast.DeliveryDelivered, Unrecorded: record("wh_1", holdfast.DeliveryDelivered)}},
			{Index: 1, Outcome: open},
			{Index: 2, Outcome: activities.Outcome{State: holdfast.DeliveryExhausted, Unrecorded: record("wh_1", holdfast.DeliveryExhausted)}},
			{Index: 3, Outcome: activities.Outcome{State: holdfast.DeliveryCancelled, Reason: "the webhook is deleted"}},
		}}, nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	failures := 3
	f.recordAll = func(activities.Records) error {
		if failures--; failures > 0 {
			return coded(holdfast.CodeUnavailable, true)
		}
		return nil
	}
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, groupInput())
	require.Equal(t, workflows.GroupResult{Delivered: 1, HandedOver: 1, Ended: 2}, groupResult(t, env))
	var groups, own int
	for _, c := range f.named("RecordOutcomes") {
		switch records := c.in.(activities.Records).Records; len(records) {
		case 2:
			groups++
			require.Equal(t, holdfast.DeliveryDelivered, records[0].Delivery.State)
			require.Equal(t, holdfast.DeliveryExhausted, records[1].Delivery.State)
		case 1:
			own++
			require.Equal(t, holdfast.DeliveryRetrying, records[0].Delivery.State)
		}
	}
	require.Positive(t, groups)
	require.Positive(t, own)
	require.Len(t, f.named("AttemptFirst"), 1, "nothing is sent again")
}

// A delivery that is open already under its id is the same delivery: the group leaves it alone and ends well.
func TestG6_GroupAcceptsThatADeliveryIsOpenAlready(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	in := groupInput()
	in.Targets = []activities.Target{{Event: 0, WebhookID: "wh_1"}, {Event: 0, WebhookID: "wh_1"}}
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Open: []activities.OpenOutcome{
			{Index: 0, Outcome: retrying(1, time.Hour)}, {Index: 1, Outcome: retrying(1, time.Hour)},
		}}, nil
	}
	f.attempt = func(in activities.AttemptRequest) (activities.Outcome, error) { return delivered(in.Number), nil }
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, in)
	require.Equal(t, workflows.GroupResult{HandedOver: 2}, groupResult(t, env))
	require.Equal(t, []int{2}, numbers(f.named("Attempt")))
}
