//go:build !lean

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	sdkclient "go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast/internal/batch"
	"github.com/emprops/holdfast/internal/devserver"
)

// Floor is the process that does the least a durable delivery needs: a workflow is started that holds the payloads, and
// its one local activity posts them. No API, no Redis, no signatures, no records. What a node needs beyond that is its own.
type Floor struct {
	temporal *devserver.Temporal
	client   sdkclient.Client
	worker   sdkworker.Worker
	poster   poster
	groups   *batch.Batcher[Parcel, struct{}] // nil: ungrouped
	data     []byte
	halt     context.Context //nolint:containedctx // of the load under way
	end      context.CancelFunc
}

// FloorStart says how the floor is set up.
type FloorStart struct {
	DataDir  string
	Receiver string
	Grouped  bool
	Data     []byte
}

// Parcel is one payload.
type Parcel struct {
	ID   string
	Data []byte
}

const (
	floorQueue = "floor"
	floorGroup = 256 // payloads in one start
)

// Start starts Temporal and the worker.
func (f *Floor) Start(in FloorStart, _ *None) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	f.halt, f.end = context.WithCancel(context.Background())
	f.data = in.Data
	if f.temporal, err = devserver.StartTemporal(ctx, devserver.TemporalOptions{DataDir: in.DataDir}); err != nil {
		return err
	}
	f.client, err = sdkclient.Dial(sdkclient.Options{
		HostPort: f.temporal.HostPort(), Namespace: f.temporal.Namespace(),
		Logger:            sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
		ConnectionOptions: sdkclient.ConnectionOptions{GrpcCompression: &sdkclient.GrpcCompressionNone{}},
	})
	if err != nil {
		return err
	}
	f.poster = poster{url: in.Receiver, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floorGroup}}}
	f.worker = sdkworker.New(f.client, floorQueue, sdkworker.Options{})
	f.worker.RegisterWorkflow(floorDelivery)
	f.worker.RegisterActivity(&f.poster)
	if err := f.worker.Start(); err != nil {
		return err
	}
	if in.Grouped {
		f.groups = batch.New(floorGroup, 1, answerTimeout, func(ctx context.Context, parcels []Parcel) ([]struct{}, error) {
			return make([]struct{}, len(parcels)), f.begin(ctx, parcels)
		})
	}
	return nil
}

// Run publishes under the load in this process and answers when Halt was called or the load has reached its bounds.
func (f *Floor) Run(load Load, out *Samples) error {
	*out = load.run(f.halt, func(ctx context.Context, id string) error {
		parcel := Parcel{id, f.data}
		if f.groups == nil {
			return f.begin(ctx, []Parcel{parcel})
		}
		_, err := f.groups.Do(ctx, parcel)
		return err
	})
	return nil
}

// Halt ends Run.
func (f *Floor) Halt(None, *None) error {
	f.end()
	return nil
}

// begin starts the workflow that holds the parcels.
func (f *Floor) begin(ctx context.Context, parcels []Parcel) error {
	_, err := f.client.ExecuteWorkflow(ctx, sdkclient.StartWorkflowOptions{TaskQueue: floorQueue, EnableEagerStart: true},
		floorDelivery, parcels)
	return err
}

func (f *Floor) stop() error {
	if f.end != nil {
		f.end()
	}
	if f.worker != nil {
		f.worker.Stop()
	}
	if f.client != nil {
		f.client.Close()
	}
	if f.temporal != nil {
		f.temporal.Stop()
	}
	return nil
}

// floorDelivery is the bare workflow.
func floorDelivery(ctx workflow.Context, parcels []Parcel) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var p *poster
	return workflow.ExecuteLocalActivity(ctx, p.Post, parcels).Get(ctx, nil)
}

// poster sends parcels.
type poster struct {
	url    string
	client *http.Client
}

// Post sends every parcel at once.
func (p *poster) Post(ctx context.Context, parcels []Parcel) error {
	errs := make([]error, len(parcels))
	var sending sync.WaitGroup
	for i, parcel := range parcels {
		sending.Go(func() { errs[i] = p.send(ctx, parcel) })
	}
	sending.Wait()
	return errors.Join(errs...)
}

func (p *poster) send(ctx context.Context, parcel Parcel) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(parcel.Data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(eventIDHeader, parcel.ID)
	res, err := p.client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s", res.Status)
	}
	return errors.Join(err, res.Body.Close())
}
