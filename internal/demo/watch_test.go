package demo

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

const temporalUI = "http://127.0.0.1:8233"

var published = time.UnixMilli(1757066400000)

// scene is one completed workflow on its way to both endpoints.
type scene struct {
	*watch
	jobs, flaky *target
	message     *message
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{message: &message{Channel: "workflow_completed", published: published, Message: json.RawMessage(
		fmt.Sprintf(`{"workflow_id":"wf-1","timestamp":%d}`, published.UnixMilli()))}}
	var targets []*target
	for i, e := range endpoints {
		targets = append(targets, &target{endpoint: e, webhook: &holdfastv1.Webhook{
			Id: fmt.Sprintf("wh_%d", i), RetryPolicy: &holdfastv1.RetryPolicy{InitialDelay: durationpb.New(time.Second)},
		}})
	}
	s.jobs, s.flaky = targets[0], targets[1]
	s.watch = newWatch(targets, []*message{s.message}, temporalUI)
	_, err := s.expect(s.message)
	require.NoError(t, err)
	return s
}

func (s *scene) passage(t *testing.T, to *target) *passage {
	t.Helper()
	for _, p := range s.passages {
		if p.target == to {
			return p
		}
	}
	require.Fail(t, "no passage")
	return nil
}

// request is one that is as it should be, after a while.
func request(to *target, eventID string, after time.Duration) *holdfastv1.ReceivedRequest {
	return &holdfastv1.ReceivedRequest{
		Time:    timestamppb.New(published.Add(after)),
		Headers: map[string]string{"x-event-id": eventID, "webhook-id": eventID},
		Body: fmt.Appendf(nil,
			`{"event_type":"workflow_completed","event_id":%q,"timestamp":%d,"webhook_id":%q,"data":{"workflow_id":"wf-1"}}`,
			eventID, published.UnixMilli(), to.webhook.GetId()),
		Signature: &holdfastv1.SignatureCheck{Legacy: "valid", Standard: "valid"},
	}
}

func attempt(number, status int32, after time.Duration) *holdfastv1.Attempt {
	return &holdfastv1.Attempt{
		Number: number, ResponseStatus: status, Time: timestamppb.New(published.Add(after)),
		Duration: durationpb.New(4 * time.Millisecond),
	}
}

func delivery(state holdfastv1.DeliveryState, attempts ...*holdfastv1.Attempt) *holdfastv1.Delivery {
	return &holdfastv1.Delivery{State: state, Attempts: attempts, Reason: "why", TemporalUrl: temporalUI + "/namespaces/default/workflows/w/r"}
}

const (
	retrying  = holdfastv1.DeliveryState_DELIVERY_STATE_RETRYING
	delivered = holdfastv1.DeliveryState_DELIVERY_STATE_DELIVERED
	exhausted = holdfastv1.DeliveryState_DELIVERY_STATE_EXHAUSTED
)

func TestADeliveryAtTheFirstAttemptIsPrintedOnceWithItsLink(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := s.passage(t, s.jobs)
	require.NoError(t, s.arrived(s.jobs, []*holdfastv1.ReceivedRequest{request(s.jobs, "evt_1", 6*time.Millisecond)}))
	require.Equal(t, "wh_0/evt_1", p.id())
	lines, err := p.advance(delivery(delivered, attempt(1, 200, 5*time.Millisecond)), temporalUI)
	require.NoError(t, err)
	require.Equal(t, []line{
		{"delivered", "workflow_completed   attempt 1  200      6 ms  signatures: legacy valid, standard valid  to demo-jobs"},
		{"", "http://127.0.0.1:8233/namespaces/default/workflows/w/r"},
	}, lines)
	require.False(t, s.waits(s.jobs))
	require.Len(t, s.open(), 1)
}

func TestADeliveryThatIsRetriedShowsEachAttemptAsItIsMade(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := s.passage(t, s.flaky)
	first, second := request(s.flaky, "evt_1", 7*time.Millisecond), request(s.flaky, "evt_1", 1015*time.Millisecond)

	lines, err := p.advance(delivery(retrying, attempt(1, 503, 6*time.Millisecond)), temporalUI)
	require.NoError(t, err)
	require.Empty(t, lines, "the request has not been looked at")

	require.NoError(t, s.arrived(s.flaky, []*holdfastv1.ReceivedRequest{first}))
	lines, err = p.advance(delivery(retrying, attempt(1, 503, 6*time.Millisecond)), temporalUI)
	require.NoError(t, err)
	require.Equal(t, []line{{"attempt 1",
		"503  workflow_completed       7 ms  signatures: legacy valid, standard valid  retry in 1s by a durable timer"}}, lines)
	require.True(t, s.waits(s.flaky))

	require.NoError(t, s.arrived(s.flaky, []*holdfastv1.ReceivedRequest{second, first}))
	lines, err = p.advance(delivery(delivered, attempt(1, 503, 6*time.Millisecond), attempt(2, 200, 1014*time.Millisecond)), temporalUI)
	require.NoError(t, err)
	require.Equal(t, []line{
		{"attempt 2", "200  workflow_completed    1015 ms  signatures: legacy valid, standard valid  1004 ms after attempt 1"},
		{"delivered", "workflow_completed   attempt 2  200   1015 ms  signatures: legacy valid, standard valid  to demo-flaky"},
		{"", "http://127.0.0.1:8233/namespaces/default/workflows/w/r"},
	}, lines)
	require.False(t, s.waits(s.flaky))
}

func TestARequestThatIsNotAsItShouldBeFailsTheDemo(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*holdfastv1.ReceivedRequest){
		"legacy invalid, standard valid": func(r *holdfastv1.ReceivedRequest) { r.Signature.Legacy = "invalid" },
		"legacy valid, standard absent":  func(r *holdfastv1.ReceivedRequest) { r.Signature.Standard = "absent" },
		`they hold "evt_2" and "evt_1"`:  func(r *holdfastv1.ReceivedRequest) { r.Headers["x-event-id"] = "evt_2" },
		`they hold "evt_1" and ""`:       func(r *holdfastv1.ReceivedRequest) { delete(r.Headers, "webhook-id") },
		"not an envelope":                func(r *holdfastv1.ReceivedRequest) { r.Body = []byte("{") },
		`has to be "wf-1", it is "wf-2"`: func(r *holdfastv1.ReceivedRequest) {
			r.Body = fmt.Appendf(nil, `{"event_type":"workflow_completed","event_id":"evt_1","timestamp":%d,"webhook_id":"wh_0","data":{"workflow_id":"wf-2"}}`,
				published.UnixMilli())
		},
		`job_id has to be "", it is "j"`: func(r *holdfastv1.ReceivedRequest) {
			r.Body = fmt.Appendf(nil, `{"event_type":"workflow_completed","event_id":"evt_1","timestamp":%d,"webhook_id":"wh_0","data":{"workflow_id":"wf-1","job_id":"j"}}`,
				published.UnixMilli())
		},
	} {
		s := newScene(t)
		r := request(s.jobs, "evt_1", time.Millisecond)
		spoil(r)
		require.ErrorContains(t, s.arrived(s.jobs, []*holdfastv1.ReceivedRequest{r}), want)
	}
}

func TestG6_OneMessageIsOneEventForEveryWebhook(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	twice := []*holdfastv1.ReceivedRequest{request(s.jobs, "evt_2", 2*time.Millisecond), request(s.jobs, "evt_1", time.Millisecond)}
	require.ErrorContains(t, s.arrived(s.jobs, twice), "arrived as evt_1 and as evt_2")

	s = newScene(t)
	require.NoError(t, s.arrived(s.jobs, []*holdfastv1.ReceivedRequest{request(s.jobs, "evt_1", time.Millisecond)}))
	require.ErrorContains(t, s.arrived(s.flaky, []*holdfastv1.ReceivedRequest{request(s.flaky, "evt_2", time.Millisecond)}),
		"one event id for every webhook")
}

func TestRequestsOfOthersAreNotTheDemos(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	other := request(s.jobs, "evt_9", time.Millisecond)
	other.Body = []byte(`{"event_type":"job_failed","event_id":"evt_9","timestamp":5,"webhook_id":"wh_0","data":{}}`)
	other.Signature = nil
	require.NoError(t, s.arrived(s.jobs, []*holdfastv1.ReceivedRequest{other}))
	require.Empty(t, s.passage(t, s.jobs).requests)
	require.Len(t, s.open(), 2)
}

func TestADeliveryThatIsNotAsItShouldBeFailsTheDemo(t *testing.T) {
	t.Parallel()
	unlinked := delivery(delivered, attempt(1, 200, 0))
	unlinked.TemporalUrl = ""
	elsewhere := delivery(delivered, attempt(1, 200, 0))
	elsewhere.TemporalUrl = "http://elsewhere/w"
	for want, c := range map[string]struct {
		flaky    bool
		requests int
		delivery *holdfastv1.Delivery
	}{
		"attempt 1 has to be answered 200, attempt 1 was answered 503": {false, 1, delivery(retrying, attempt(1, 503, 0))},
		"1 attempt had to suffice, there are 2":                        {false, 2, delivery(delivered, attempt(1, 200, 0), attempt(2, 200, 0))},
		"1 attempt arrived as 2 requests":                              {false, 2, delivery(delivered, attempt(1, 200, 0))},
		"it is exhausted: why":                                         {false, 1, delivery(exhausted, attempt(1, 200, 0))},
		`the link is ""`:                                               {false, 1, unlinked},
		`the link is "http://elsewhere/w"`:                             {false, 1, elsewhere},
		"attempt 1 has to be answered 503, attempt 1 was answered 200": {true, 1, delivery(delivered, attempt(1, 200, 0))},
		"it has to take 2 attempts, it took 1":                         {true, 1, delivery(delivered, attempt(1, 503, 0))},
		"attempt 2 has to wait 1s, it waited 996ms":                    {true, 2, delivery(delivered, attempt(1, 503, 0), attempt(2, 200, time.Second))},
		"attempt 2 has to be answered 200, attempt 3 was answered 200": {true, 2, delivery(delivered, attempt(1, 503, 0), attempt(3, 200, time.Hour))},
	} {
		s := newScene(t)
		to := s.jobs
		if c.flaky {
			to = s.flaky
		}
		var requests []*holdfastv1.ReceivedRequest
		for range c.requests {
			requests = append(requests, request(to, "evt_1", time.Millisecond))
		}
		require.NoError(t, s.arrived(to, requests))
		_, err := s.passage(t, to).advance(c.delivery, temporalUI)
		require.ErrorContains(t, err, want)
		require.True(t, s.waits(to))
	}
}

func TestAMessageThatCannotBeToldFromAnotherIsRefused(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	_, err := s.expect(&message{Channel: "workflow_completed", Message: s.message.Message})
	require.ErrorContains(t, err, "two messages on workflow_completed")
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	p := s.passage(t, s.jobs)
	require.Equal(t, "workflow_completed never arrived at demo-jobs (Redis handed the message to 0 subscribers)", p.missing())
	require.NoError(t, s.arrived(s.jobs, []*holdfastv1.ReceivedRequest{request(s.jobs, "evt_1", time.Millisecond)}))
	require.Equal(t,
		"workflow_completed arrived at demo-jobs by 1 request and is not recorded as delivered (delivery wh_0/evt_1)", p.missing())
}
