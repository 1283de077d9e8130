//go:build !lean

package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/internal/testkit"
	"github.com/emprops/holdfast/workflows"
)

// receivers answer the activities on a real server: a webhook whose id begins with "held" is disconnected, with "gone" has
// answered 410.
type receivers struct {
	mu    sync.Mutex
	order map[string][]string // webhook → events, in the order of their first attempts
}

func (r *receivers) first(_ context.Context, in activities.FirstAttempts) (activities.FirstResult, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var result activities.FirstResult
	for i, target := range in.Targets {
		r.order[target.WebhookID] = append(r.order[target.WebhookID], in.Events[target.Event].ID)
		switch target.WebhookID[:4] {
		case "held":
			result.Open = append(result.Open, activities.OpenOutcome{Index: i, Outcome: held(0)})
		case "gone":
			o := exhausted(1, &activities.Disconnect{Cause: holdfast.DisconnectedByReceiver, Reason: "gone"})
			result.Open = append(result.Open, activities.OpenOutcome{Index: i, Outcome: o})
		default:
			result.Delivered++
		}
	}
	return result, nil
}

func (r *receivers) attempt(_ context.Context, in activities.AttemptRequest) (activities.Outcome, error) {
	return delivered(in.Number), nil
}

func (r *receivers) of(webhook string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order[webhook])
}

// What only a real server plays through: signals between workflows as they end, updates of a waiting one, and queues that
// many fill at the same time.
func TestOrderedAndToldOnARealServer(t *testing.T) {
	t.Parallel()
	env := testkit.Temporal(t)
	r := &receivers{order: map[string][]string{}}
	heard := make(chan workflows.AutoDisconnect, 10)
	main := sdkworker.New(env.Client, workflows.QueueMain, sdkworker.Options{})
	slow := sdkworker.New(env.Client, workflows.QueueSlow, sdkworker.Options{})
	main.RegisterWorkflowWithOptions(workflows.Delivery, workflow.RegisterOptions{Name: workflows.TypeDelivery})
	main.RegisterWorkflowWithOptions(workflows.OrderedDeliveries, workflow.RegisterOptions{Name: workflows.TypeOrderedDeliveries})
	main.RegisterWorkflowWithOptions(func(ctx workflow.Context) error {
		var why workflows.AutoDisconnect
		workflow.GetSignalChannel(ctx, workflows.SignalAutoDisconnect).Receive(ctx, &why)
		return workflow.ExecuteLocalActivity(workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
			StartToCloseTimeout: time.Minute,
		}), func(context.Context) error { heard <- why; return nil }).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: workflows.TypeRegistration})
	main.RegisterActivityWithOptions(r.first, activity.RegisterOptions{Name: "AttemptFirst"})
	slow.RegisterActivityWithOptions(r.attempt, activity.RegisterOptions{Name: "Attempt"})
	for _, w := range []sdkworker.Worker{main, slow} {
		require.NoError(t, w.Start())
		t.Cleanup(w.Stop)
	}
	starter := &temporalclient.Starter{Client: env.Client, Node: "n1"}
	ctx := t.Context()
	input := func(webhook string, i int) workflows.DeliveryInput {
		in := numbered(i)
		in.WebhookID = webhook
		return in
	}
	end := func(id string) workflows.DeliveryStatus {
		var s workflows.DeliveryStatus
		require.NoError(t, env.Client.GetWorkflow(ctx, id, "").Get(ctx, &s))
		return s
	}

	t.Run("order", func(t *testing.T) {
		const keys, each = 2, 4
		var wait sync.WaitGroup
		for k := range keys {
			wait.Go(func() {
				for i := range each {
					in := input(fmt.Sprintf("live_%d", k), i)
					if _, _, err := starter.Enqueue(ctx, "key", in); err != nil {
						t.Errorf("enqueue: %v", err)
					}
				}
			})
		}
		wait.Wait()
		for k := range keys {
			webhook := fmt.Sprintf("live_%d", k)
			testkit.Await(t, "all of "+webhook, func() bool { return len(r.of(webhook)) == each })
			require.IsIncreasing(t, r.of(webhook))
			require.NoError(t, env.Client.GetWorkflow(ctx, workflows.OrderedID(webhook, "key"), "").Get(ctx, nil), "it ends when nothing is left")
		}
	})
	t.Run("a stuck one keeps its key, a probe frees it", func(t *testing.T) {
		for i := range 2 {
			_, _, err := starter.Enqueue(ctx, "key", input("held_1", i))
			require.NoError(t, err)
		}
		for i := range 2 {
			id := workflows.DeliveryWorkflowID("held_1", numbered(i).Event.ID)
			testkit.Await(t, "it to be held", func() bool { return len(r.of("held_1")) == i+1 })
			answer := testkit.AwaitValue(t, "a probe", func() (workflows.ProbeAnswer, bool) {
				handle, err := env.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
					WorkflowID: id, UpdateName: workflows.UpdateProbe, WaitForStage: client.WorkflowUpdateStageCompleted,
				})
				require.NoError(t, err)
				var a workflows.ProbeAnswer
				require.NoError(t, handle.Get(ctx, &a))
				return a, a.Probed
			})
			require.Equal(t, workflows.ProbeAnswer{Probed: true, Delivered: true, State: holdfast.DeliveryDelivered, Status: 200}, answer)
			require.Equal(t, holdfast.DeliveryDelivered, end(id).State)
		}
	})
	t.Run("the registration hears of the end", func(t *testing.T) {
		_, err := env.Client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: workflows.RegistrationID("gone_1"), TaskQueue: workflows.QueueMain,
		}, workflows.TypeRegistration)
		require.NoError(t, err)
		for _, webhook := range []string{"gone_1", "gone_unregistered"} {
			id, _, err := starter.StartDelivery(ctx, input(webhook, 0))
			require.NoError(t, err)
			require.Equal(t, holdfast.DeliveryExhausted, end(id).State)
		}
		require.Equal(t, workflows.AutoDisconnect{Cause: holdfast.DisconnectedByReceiver, Reason: "gone"}, <-heard)
	})
}
