package app

import (
	"context"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/jobrecovery"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/temporalclient"
)

// Enrich completes events with what EMPROPS knows.
func (p platform) Enrich(ctx context.Context, e *holdfast.Event) error {
	id, ok := jobevents.OutputsOf(e)
	if !ok {
		return nil
	}
	job, err := p.client.Job(ctx, id)
	switch {
	case err != nil:
		return err
	case job.Outputs == nil:
		return holdfast.Errorf(holdfast.CodeUnavailable, "EMPROPS has no outputs of the workflow yet")
	}
	return jobevents.AddOutputs(e, job.Outputs)
}

// Without marks those that EMPROPS did not complete.
func (platform) Without(e *holdfast.Event, because error) error {
	return jobevents.AddOutputsMissing(e, holdfast.ErrorCode(because))
}

// enriching publishes what the job broker says: what is to be completed by a workflow, which holds it meanwhile, all else
// at once.
type enriching struct {
	*dispatch.Dispatcher
	enrichments *temporalclient.Enrichments
	patience    time.Duration
	store       *redisstore.Store
}

// PublishMessage implements jobevents.Publisher. It leaves word of completions, so that the recovery need not ask EMPROPS
// about each of them; word that cannot be left costs a question.
func (p enriching) PublishMessage(ctx context.Context, e *holdfast.Event) error {
	told := jobrecovery.ToldBy(e)
	err := p.publish(ctx, e)
	if err == nil && told != "" {
		mark := redisstore.EventMark{EventID: told, CreatedAt: time.Now().UnixMilli()}
		_ = p.store.SettleEvents(ctx, []redisstore.EventMark{mark})
	}
	return err
}

func (p enriching) publish(ctx context.Context, e *holdfast.Event) error {
	if _, lacks := jobevents.OutputsOf(e); !lacks {
		return p.Dispatcher.PublishMessage(ctx, e)
	}
	return p.enrichments.Start(ctx, activities.Enrichment{Event: *e, GiveUpAt: time.Now().Add(p.patience).UnixMilli()})
}

// publisher is where the events of the job broker go.
func (a *App) publisher(p platform) jobevents.Publisher {
	if !p.Enabled() {
		return a.dispatcher
	}
	return enriching{a.dispatcher, &temporalclient.Enrichments{Client: a.temporal}, a.cfg.Ingress.OutputsPatience, a.store}
}
