package workflows_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// told are the auto-disconnect signals, by workflow id.
type told struct {
	mu   sync.Mutex
	sent map[string][]workflows.AutoDisconnect
}

func listen(env *testsuite.TestWorkflowEnvironment, answer error) *told {
	l := &told{sent: map[string][]workflows.AutoDisconnect{}}
	env.OnSignalExternalWorkflow(mock.Anything, mock.Anything, "", workflows.SignalAutoDisconnect, mock.Anything).Return(
		func(_, workflowID, _, _ string, arg any) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.sent[workflowID] = append(l.sent[workflowID], arg.(workflows.AutoDisconnect))
			return answer
		})
	return l
}

var tooMany = activities.Disconnect{Cause: holdfast.DisconnectedByFailures, Failures: 10, Reason: "10 deliveries in a row failed"}

func exhausted(attempts int, why *activities.Disconnect) activities.Outcome {
	return activities.Outcome{State: holdfast.DeliveryExhausted, Attempts: attempts, Status: 500, Reason: "all failed", Disconnect: why}
}

// The end that crosses the threshold tells the registration, whoever listens, and ends all the same.
func TestD36_ExhaustedDeliveryTellsItsRegistration(t *testing.T) {
	t.Parallel()
	record := &activities.Record{Delivery: holdfast.Delivery{WebhookID: "wh_1", EventID: "evt_1", State: holdfast.DeliveryExhausted}}
	unrecorded := exhausted(1, nil)
	unrecorded.Unrecorded = record
	both := exhausted(1, &tooMany)
	both.Unrecorded = record
	for name, c := range map[string]struct {
		first  activities.Outcome
		later  activities.Outcome
		answer error
		want   []workflows.AutoDisconnect
	}{
		"first attempt":          {exhausted(1, &tooMany), activities.Outcome{}, nil, []workflows.AutoDisconnect{{"failures", 10, tooMany.Reason}}},
		"later attempt":          {retrying(1, time.Minute), exhausted(2, &tooMany), nil, []workflows.AutoDisconnect{{"failures", 10, tooMany.Reason}}},
		"recorded later":         {unrecorded, activities.Outcome{}, nil, []workflows.AutoDisconnect{{"failures", 11, "late"}}},
		"known at once and late": {both, activities.Outcome{}, nil, []workflows.AutoDisconnect{{"failures", 10, tooMany.Reason}}},
		"nobody there":           {exhausted(1, &tooMany), activities.Outcome{}, errors.New("not found"), []workflows.AutoDisconnect{{"failures", 10, tooMany.Reason}}},
		"below the threshold":    {exhausted(1, nil), activities.Outcome{}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, f := newEnv(t)
			l := listen(env, c.answer)
			f.first = open(c.first)
			f.attempt = func(activities.AttemptRequest) (activities.Outcome, error) { return c.later, nil }
			f.recorded = func(activities.Records) activities.Recorded {
				return activities.Recorded{Disconnects: []activities.WebhookDisconnect{{
					WebhookID: "wh_1", Disconnect: activities.Disconnect{Cause: "failures", Failures: 11, Reason: "late"},
				}}}
			}
			env.ExecuteWorkflow(workflows.TypeDelivery, deliveryInput())
			require.Equal(t, holdfast.DeliveryExhausted, result(t, env).State)
			require.Equal(t, c.want, l.sent["webhook/wh_1"])
		})
	}
}

// However many deliveries of a group end badly, each webhook's registration hears of it once.
func TestD36_GroupTellsEachRegistrationOnce(t *testing.T) {
	t.Parallel()
	env, f := newEnv(t)
	l := listen(env, nil)
	gone := activities.Disconnect{Cause: holdfast.DisconnectedByReceiver, Reason: "the receiver answered 410 Gone"}
	late := exhausted(1, nil)
	late.Unrecorded = &activities.Record{Delivery: holdfast.Delivery{WebhookID: "wh_2", EventID: "evt_1", State: holdfast.DeliveryExhausted}}
	f.first = func(activities.FirstAttempts) (activities.FirstResult, error) {
		return activities.FirstResult{Open: []activities.OpenOutcome{
			{Index: 0, Outcome: exhausted(1, &tooMany)}, {Index: 1, Outcome: late},
			{Index: 2, Outcome: exhausted(1, &tooMany)}, {Index: 3, Outcome: exhausted(1, &gone)},
		}}, nil
	}
	f.recorded = func(in activities.Records) activities.Recorded {
		require.Len(t, in.Records, 1)
		return activities.Recorded{Disconnects: []activities.WebhookDisconnect{{WebhookID: "wh_2", Disconnect: tooMany}}}
	}
	env.ExecuteWorkflow(workflows.TypeDeliveryGroup, groupInput())
	require.Equal(t, workflows.GroupResult{Ended: 4}, groupResult(t, env))
	failures := []workflows.AutoDisconnect{{"failures", 10, tooMany.Reason}}
	require.Equal(t, map[string][]workflows.AutoDisconnect{
		"webhook/wh_1": failures, "webhook/wh_2": failures, "webhook/wh_3": {{"receiver", 0, gone.Reason}},
	}, l.sent)
}
