package workflows_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// fakes are the activities as the workflows see them. A nil function succeeds with nothing to tell.
type fakes struct {
	env *testsuite.TestWorkflowEnvironment

	first       func(in activities.FirstAttempts) (activities.FirstResult, error)
	handOver    func(in []activities.Successor) error // nil: it cannot be done
	briefly     func(in activities.BriefRetry) (activities.Outcome, error)
	here        func(in activities.AttemptRequest, event holdfast.Event) (activities.Outcome, error)
	attempt     func(in activities.AttemptRequest) (activities.Outcome, error)
	join        func(in activities.AttemptRequest) (activities.Outcome, error)
	recordAll   func(in activities.Records) error
	recorded    func(in activities.Records) activities.Recorded // what RecordOutcomes tells
	recordState func(in activities.StateChange) error
	liveNodes   func() (activities.NodeList, error)
	refresh     func(queue string, in activities.RefreshRequest) (activities.RefreshReport, error)
	check       func(in activities.SealedWebhook) (activities.Attempted, error)
	exists      func(in activities.WebhookID) (activities.Attempted, error)
	write       func(in activities.SealedWebhook) (activities.Written, error)
	remove      func(in activities.WebhookID) (activities.Written, error)
	verify      func(in activities.SealedWebhook) (activities.Attempted, error)
	verifyGone  func(in activities.WebhookID) (activities.Attempted, error)
	confirm     func(in activities.SealedWebhook) (activities.Confirmation, error)
	unconfirm   func(in activities.WebhookID) (activities.Confirmation, error)
	change      func(in activities.ChangePlan) (activities.Prepared, error)
	rotation    func(in activities.RotationPlan) (activities.Prepared, error)
	retirement  func(in activities.RetirePlan) (activities.Prepared, error)
	reconcile   func(in activities.ReconcilePlan) (activities.ReconcileOutcome, error)
	judge       func(in activities.WebhookID) (activities.Judgement, error)
	reset       func(in activities.WebhookID) (activities.Attempted, error)
	sweep       func(in activities.SweepRequest) error
	probe       func(in activities.ProbeRequest) (activities.ProbeResult, error)
	raise       func(in holdfast.Alert) error
	resolve     func(in resolveAlert) error
	onCall      func(call)
	serial      sync.Mutex // activities run side by side; the functions above one at a time
	mu          sync.Mutex
	calls       []call
	timers      []time.Duration
}

// resolveAlert is the input of the activity that resolves an alert.
type resolveAlert struct {
	ID string `json:"id"`
}

// call is one activity run: its name, the queue it ran on and the workflow's time.
type call struct {
	name  string
	queue string
	at    time.Time
	in    any
}

// newEnv returns an environment with time skipping in which the workflows are registered and every activity is a fake.
func newEnv(t *testing.T) (*testsuite.TestWorkflowEnvironment, *fakes) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.RegisterWorkflowWithOptions(workflows.Delivery, workflow.RegisterOptions{Name: workflows.TypeDelivery})
	env.RegisterWorkflowWithOptions(workflows.DeliveryGroup, workflow.RegisterOptions{Name: workflows.TypeDeliveryGroup})
	env.RegisterWorkflowWithOptions(workflows.OrderedDeliveries, workflow.RegisterOptions{Name: workflows.TypeOrderedDeliveries})
	env.RegisterWorkflowWithOptions(workflows.Registration, workflow.RegisterOptions{Name: workflows.TypeRegistration})
	env.SetTestTimeout(20 * time.Second)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: 20 * time.Second}) // a busy machine is no deadlock
	f := &fakes{env: env}
	env.SetOnTimerScheduledListener(func(_ string, d time.Duration) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.timers = append(f.timers, d)
	})
	register(f, "AttemptFirst", func(in activities.FirstAttempts) (activities.FirstResult, error) { return f.first(in) })
	register(f, "HandOver", func(in []activities.Successor) (struct{}, error) {
		if f.handOver == nil {
			return struct{}{}, temporal.NewNonRetryableApplicationError("no starts", "unavailable", nil)
		}
		return struct{}{}, f.handOver(in)
	})
	register(f, "RetryBriefly", func(in activities.BriefRetry) (activities.Outcome, error) { return f.briefly(in) })
	env.RegisterActivityWithOptions(func(ctx context.Context, in activities.AttemptRequest, event holdfast.Event) (activities.Outcome, error) {
		f.note(ctx, "AttemptHere", in)
		f.serial.Lock()
		defer f.serial.Unlock()
		return f.here(in, event)
	}, activity.RegisterOptions{Name: "AttemptHere"})
	register(f, "Attempt", func(in activities.AttemptRequest) (activities.Outcome, error) { return f.attempt(in) })
	register(f, "JoinAttempt", func(in activities.AttemptRequest) (activities.Outcome, error) { return f.join(in) })
	register(f, "RecordOutcomes", func(in activities.Records) (activities.Recorded, error) {
		if f.recordAll != nil {
			if err := f.recordAll(in); err != nil {
				return activities.Recorded{}, err
			}
		}
		if f.recorded != nil {
			return f.recorded(in), nil
		}
		return activities.Recorded{}, nil
	})
	registerVoid(f, "RecordState", &f.recordState)
	registerOr(f, "CheckWebhook", &f.check, activities.Attempted{})
	registerOr(f, "CheckExists", &f.exists, activities.Attempted{})
	registerOr(f, "VerifyWebhook", &f.verify, activities.Attempted{})
	registerOr(f, "VerifyRemoved", &f.verifyGone, activities.Attempted{})
	register(f, "PrepareChange", func(in activities.ChangePlan) (activities.Prepared, error) { return f.change(in) })
	register(f, "PrepareRotation", func(in activities.RotationPlan) (activities.Prepared, error) { return f.rotation(in) })
	register(f, "PrepareRetirement", func(in activities.RetirePlan) (activities.Prepared, error) { return f.retirement(in) })
	register(f, "ReconcileWebhook", func(in activities.ReconcilePlan) (activities.ReconcileOutcome, error) { return f.reconcile(in) })
	registerOr(f, "JudgeFailures", &f.judge, activities.Judgement{})
	registerOr(f, "ResetFailures", &f.reset, activities.Attempted{})
	registerVoid(f, "SweepDeliveries", &f.sweep)
	registerOr(f, "ProbeWebhook", &f.probe, activities.ProbeResult{})
	registerVoid(f, "RaiseAlert", &f.raise)
	registerVoid(f, "ResolveAlert", &f.resolve)
	registerOr(f, "WriteWebhook", &f.write, activities.Written{Revision: 1})
	registerOr(f, "RemoveWebhook", &f.remove, activities.Written{Revision: 2, Existed: true})
	registerOr(f, "ConfirmWebhook", &f.confirm, activities.Confirmation{})
	registerOr(f, "UnconfirmWebhook", &f.unconfirm, activities.Confirmation{})
	env.RegisterActivityWithOptions(func(ctx context.Context) (activities.NodeList, error) {
		f.note(ctx, "ListLiveNodes", nil)
		f.serial.Lock()
		defer f.serial.Unlock()
		if f.liveNodes == nil {
			return activities.NodeList{IDs: []string{"n1"}}, nil
		}
		return f.liveNodes()
	}, activity.RegisterOptions{Name: "ListLiveNodes"})
	env.RegisterActivityWithOptions(func(ctx context.Context, in activities.RefreshRequest) (activities.RefreshReport, error) {
		queue := f.note(ctx, "RefreshCache", in)
		f.serial.Lock()
		defer f.serial.Unlock()
		if f.refresh == nil {
			return activities.RefreshReport{Revision: in.Revision}, nil
		}
		return f.refresh(queue, in)
	}, activity.RegisterOptions{Name: "RefreshCache"})
	return env, f
}

func register[In, Out any](f *fakes, name string, run func(In) (Out, error)) {
	f.env.RegisterActivityWithOptions(func(ctx context.Context, in In) (Out, error) {
		f.note(ctx, name, in)
		f.serial.Lock()
		defer f.serial.Unlock()
		return run(in)
	}, activity.RegisterOptions{Name: name})
}

func registerOr[In, Out any](f *fakes, name string, run *func(In) (Out, error), or Out) {
	register(f, name, func(in In) (Out, error) {
		if *run == nil {
			return or, nil
		}
		return (*run)(in)
	})
}

func registerVoid[In any](f *fakes, name string, run *func(In) error) {
	f.env.RegisterActivityWithOptions(func(ctx context.Context, in In) error {
		f.note(ctx, name, in)
		f.serial.Lock()
		defer f.serial.Unlock()
		if *run == nil {
			return nil
		}
		return (*run)(in)
	}, activity.RegisterOptions{Name: name})
}

func (f *fakes) note(ctx context.Context, name string, in any) string {
	c := call{name: name, queue: activity.GetInfo(ctx).TaskQueue, at: f.env.Now(), in: in}
	f.mu.Lock()
	f.calls = append(f.calls, c)
	f.mu.Unlock()
	if f.onCall != nil {
		f.onCall(c)
	}
	return c.queue
}

// named returns the runs of an activity.
func (f *fakes) named(name string) []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []call
	for _, c := range f.calls {
		if c.name == name {
			found = append(found, c)
		}
	}
	return found
}

// names returns the names of all runs in order.
func (f *fakes) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for _, c := range f.calls {
		names = append(names, c.name)
	}
	return names
}

// waits returns the durations of the workflow's timers.
func (f *fakes) waits() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Duration(nil), f.timers...)
}

// coded is what activities fail with: an application error whose type is the code.
func coded(code holdfast.Code, retryable bool) error {
	return temporal.NewApplicationErrorWithOptions("it failed: "+string(code), string(code),
		temporal.ApplicationErrorOptions{NonRetryable: !retryable})
}
