package activities

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/testkit"
)

// node is a Deliveries with everything around it faked.
type node struct {
	*Deliveries
	hooks  *fakeWebhooks
	sender *fakeSender
	store  *fakeStore
}

const (
	testCutoff = 100 * time.Millisecond
	createdAt  = int64(1_700_000_000_000)
)

func newNode(t *testing.T, options ...func(*DeliveryDeps)) *node {
	t.Helper()
	n := &node{
		hooks:  &fakeWebhooks{webhooks: map[string]*holdfast.Webhook{}, registered: map[string]bool{}},
		sender: &fakeSender{},
		store:  &fakeStore{records: map[DeliveryKey]holdfast.Delivery{}, failures: map[string]int{}},
	}
	deps := DeliveryDeps{
		Node: "n1", Webhooks: n.hooks, Registered: n.hooks, Sender: n.sender, Store: n.store, Payloads: payloads{},
		Lanes: NewLanes(LaneLimits{64, 64, 8}, time.Minute), RetryAfterMax: time.Hour, DisconnectThreshold: 10,
		Cutoff: testCutoff, Logger: testkit.Logger(t),
	}
	for _, o := range options {
		o(&deps)
	}
	n.Deliveries = NewDeliveries(deps)
	t.Cleanup(func() { require.NoError(t, n.Stop(context.WithoutCancel(t.Context()))) })
	return n
}

// webhook adds a webhook that is active and has the policy.
func (n *node) webhook(id string, policy holdfast.RetryPolicy) *holdfast.Webhook {
	w := &holdfast.Webhook{ID: id, URL: "https://a.example", Events: []string{"job_failed"}, Active: true, RetryConfig: policy}
	n.hooks.mu.Lock()
	defer n.hooks.mu.Unlock()
	n.hooks.webhooks[id] = w
	return w
}

func environment() *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	return suite.NewTestActivityEnvironment()
}

// first runs AttemptFirst as a local activity for one event and the webhooks.
func (n *node) first(t *testing.T, webhooks ...string) FirstResult {
	t.Helper()
	in := FirstAttempts{Events: []holdfast.Event{event()}, CreatedAt: createdAt}
	for _, w := range webhooks {
		in.Targets = append(in.Targets, Target{WebhookID: w})
	}
	value, err := environment().ExecuteLocalActivity(n.AttemptFirst, in)
	require.NoError(t, err)
	var r FirstResult
	require.NoError(t, value.Get(&r))
	return r
}

// one returns the outcome of the only delivery that is left open.
func (r FirstResult) one(t *testing.T) Outcome {
	t.Helper()
	require.Len(t, r.Open, 1)
	return r.Open[0].Outcome
}

func run(t *testing.T, activity any, in AttemptRequest) (Outcome, error) {
	t.Helper()
	env := environment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: context.WithValue(t.Context(), eventID{}, in.EventID)})
	env.RegisterActivity(activity)
	value, err := env.ExecuteActivity(activity, in)
	if err != nil {
		return Outcome{}, err
	}
	var o Outcome
	require.NoError(t, value.Get(&o))
	return o, nil
}

// here makes the attempt as a local activity.
func (n *node) here(t *testing.T, in AttemptRequest) Outcome {
	t.Helper()
	value, err := environment().ExecuteLocalActivity(n.AttemptHere, in, event())
	require.NoError(t, err)
	var o Outcome
	require.NoError(t, value.Get(&o))
	return o
}

func attemptRequest(webhook string, number int) AttemptRequest {
	return AttemptRequest{WebhookID: webhook, EventID: "evt_1", Number: number, CreatedAt: createdAt}
}

func event() holdfast.Event {
	return holdfast.Event{ID: "evt_1", Type: "job_failed", Timestamp: 1, Data: []byte(`{"a":1}`)}
}

// payloads finds the event that a test's request names.
type payloads struct{}

type eventID struct{}

func (payloads) Event(ctx context.Context, _, _ string) (*holdfast.Event, error) {
	e := event()
	e.ID = ctx.Value(eventID{}).(string)
	return &e, nil
}

type fakeWebhooks struct {
	mu         sync.Mutex
	webhooks   map[string]*holdfast.Webhook
	registered map[string]bool // by the registrations, whatever the snapshot holds
	lookErr    error           // of Webhook
	askErr     error           // of Registered
	currentErr error
}

func (f *fakeWebhooks) Current(context.Context) error { return f.currentErr }

func (f *fakeWebhooks) Webhook(id string) (*holdfast.Webhook, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lookErr != nil {
		return nil, f.lookErr
	}
	if w := f.webhooks[id]; w != nil {
		return w, nil
	}
	return nil, holdfast.Errorf(holdfast.CodeNotFound, "there is no webhook %q", id)
}

func (f *fakeWebhooks) Registered(_ context.Context, id string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.registered[id], f.askErr
}

// fakeSender answers 200 unless told otherwise, and keeps what it was asked to send.
type fakeSender struct {
	mu   sync.Mutex
	sent []string // webhook, event, number
	send func(ctx context.Context, w *holdfast.Webhook, number int) (holdfast.Attempt, error)
}

func (f *fakeSender) Send(ctx context.Context, w *holdfast.Webhook, e *holdfast.Event, number int) (holdfast.Attempt, error) {
	f.mu.Lock()
	f.sent = append(f.sent, fmt.Sprintf("%s/%s#%d", w.ID, e.ID, number))
	send := f.send
	f.mu.Unlock()
	if send == nil {
		return answer(w.ID, number, 200), nil
	}
	return send(ctx, w, number)
}

func (f *fakeSender) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.sent...)
}

// answer is an attempt that got the status.
func answer(webhook string, number, status int) holdfast.Attempt {
	a := holdfast.Attempt{
		ID: fmt.Sprintf("att_%d", number), WebhookID: webhook, EventID: "evt_1", EventType: "job_failed", Number: number,
		Timestamp: createdAt + int64(number), Success: status/100 == 2, ResponseStatus: status, DurationMS: 1,
	}
	if !a.Success {
		a.ErrorClass, a.ErrorMessage = holdfast.ClassStatus, fmt.Sprintf("HTTP %d", status)
	}
	return a
}

// fakeStore keeps records the way the real one does: a repeated one changes nothing.
type fakeStore struct {
	mu         sync.Mutex
	records    map[DeliveryKey]holdfast.Delivery
	failures   map[string]int // exhausted deliveries of a webhook
	writes     []Record
	recordErr  error
	readErr    error
	settledErr error
	onRecord   func() // after each record
}

func (f *fakeStore) set(change func(*fakeStore)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeStore) Record(_ context.Context, r Record) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.recordErr != nil {
		return 0, f.recordErr
	}
	key := DeliveryKey{r.Delivery.WebhookID, r.Delivery.EventID}
	exhausted := r.Delivery.State == holdfast.DeliveryExhausted
	if exhausted && f.records[key].State == holdfast.DeliveryExhausted {
		return f.failures[key.WebhookID], nil
	}
	f.writes = append(f.writes, r)
	f.records[key] = r.Delivery
	if f.onRecord != nil {
		f.onRecord()
	}
	if exhausted {
		f.failures[key.WebhookID]++
		return f.failures[key.WebhookID], nil
	}
	return 0, nil
}

func (f *fakeStore) Settled(_ context.Context, keys []DeliveryKey) ([]holdfast.DeliveryState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settledErr != nil {
		return nil, f.settledErr
	}
	states := make([]holdfast.DeliveryState, len(keys))
	for i, k := range keys {
		states[i] = f.records[k].State
	}
	return states, nil
}

func (f *fakeStore) Delivery(_ context.Context, webhookID, eventID string) (*holdfast.Delivery, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readErr != nil {
		return nil, f.readErr
	}
	d, ok := f.records[DeliveryKey{webhookID, eventID}]
	if !ok {
		return nil, holdfast.Errorf(holdfast.CodeNotFound, "delivery is not known")
	}
	return &d, nil
}

func (f *fakeStore) record(webhookID string) holdfast.Delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.records[DeliveryKey{webhookID, "evt_1"}]
}

var errUnavailable = holdfast.Wrap(holdfast.CodeUnavailable, fmt.Errorf("dial tcp 10.1.2.3:6379: refused"), "storage is unavailable")
