package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"
	"go.uber.org/zap"

	"github.com/emprops/holdfast/workflows"
)

// Options are the settings of a node's workers.
type Options struct {
	Node string
	// SlowAttempts bounds the attempts of the slow lane under way on this node.
	SlowAttempts int
	// StopTimeout is how long Stop lets running activities finish.
	StopTimeout time.Duration
	// FailOnNonDeterminism fails a workflow whose code no longer matches its history at once, instead of blocking it
	// until a fixed version is deployed. For tests and dev.
	FailOnNonDeterminism bool
	// OnFatal is called once when a worker cannot go on.
	OnFatal func(error)
}

// Workers are the SDK workers of a node. Make them with New.
type Workers struct {
	workers []sdkworker.Worker
	logger  *zap.Logger

	mu      sync.Mutex
	started []sdkworker.Worker
	stopped bool
}

// New builds the workers; Start starts them. What is done for deliveries that did not succeed at once goes through
// background, a client that lets the calls of others go first: it must not delay what publishers wait for (G7).
func New(c, background client.Client, a Activities, opts Options, logger *zap.Logger) *Workers {
	w := &Workers{logger: logger}
	panicPolicy := sdkworker.BlockWorkflow
	if opts.FailOnNonDeterminism {
		panicPolicy = sdkworker.FailWorkflow
	}
	onFatal := func(err error) {
		logger.Error("a worker cannot go on", zap.Error(err))
		if opts.OnFatal != nil {
			opts.OnFatal(err)
		}
	}
	main := sdkworker.New(c, workflows.QueueMain, sdkworker.Options{
		Identity: opts.Node, WorkerStopTimeout: opts.StopTimeout, WorkflowPanicPolicy: panicPolicy, OnFatalError: onFatal,
		WorkflowTaskPollerBehavior: pollers(),
	})
	RegisterWorkflows(main)
	registerMain(main, a)
	slow := sdkworker.New(background, workflows.QueueSlow, sdkworker.Options{
		Identity: opts.Node, WorkerStopTimeout: opts.StopTimeout, WorkflowPanicPolicy: panicPolicy, OnFatalError: onFatal,
		WorkflowTaskPollerBehavior: pollers(),
	})
	registerDelivery(slow)
	registerSlow(slow, a)
	node := sdkworker.New(c, workflows.QueueNode(opts.Node), sdkworker.Options{
		Identity: opts.Node, WorkerStopTimeout: opts.StopTimeout, DisableWorkflowWorker: true, OnFatalError: onFatal,
	})
	registerNode(node, a)
	w.workers = []sdkworker.Worker{node, slow, main}
	return w
}

// pollers gives the tasks of workflows that are cached here and those of all others pollers of their own. A fixed number of
// pollers, the SDK's default, asks for the former alone while any wait: under load, workflows that begin or go on in a new
// run would get no turn.
func pollers() sdkworker.PollerBehavior {
	return sdkworker.NewPollerBehaviorAutoscaling(sdkworker.PollerBehaviorAutoscalingOptions{
		InitialNumberOfPollers: 2, MinimumNumberOfPollers: 2, MaximumNumberOfPollers: 16,
	})
}

// Start starts polling; an error names what Temporal refused. ctx is not needed: starting does not wait for a task.
func (w *Workers) Start(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return errors.New("worker: start after stop")
	}
	for _, sdk := range w.workers {
		if err := sdk.Start(); err != nil {
			return err
		}
		w.started = append(w.started, sdk)
	}
	return nil
}

// Stop stops polling and waits for running activities up to the stop timeout. It is safe to call twice and unstarted.
func (w *Workers) Stop(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	var wait sync.WaitGroup
	for _, sdk := range w.started {
		wait.Go(sdk.Stop)
	}
	wait.Wait()
	w.started = nil
	return nil
}
