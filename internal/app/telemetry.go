package app

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/httpsend"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/telemetry"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/server"
	"github.com/emprops/holdfast/workflows"
)

// The types in this file stand between two parts and tell metrics and traces what passes. None of them changes it.

// observed is where they tell it.
type observed struct {
	*telemetry.Metrics
	traces *telemetry.Traces
}

// observedSender tells of requests to receivers.
type observedSender struct {
	*httpsend.Sender
	observed observed
}

func (s observedSender) Send(ctx context.Context, w *holdfast.Webhook, e *holdfast.Event, number int) (holdfast.Attempt, error) {
	attempt, err := s.Sender.Send(ctx, w, e, number)
	if err == nil {
		s.observed.Attempt(&attempt)
		s.observed.traces.Attempt(e, &attempt)
	}
	return attempt, err
}

// observedStarter tells how many deliveries go together.
type observedStarter struct {
	*temporalclient.Starter
	observed observed
}

func (s observedStarter) StartDelivery(ctx context.Context, in workflows.DeliveryInput) (workflowID, runID string, err error) {
	workflowID, runID, err = s.Starter.StartDelivery(ctx, in)
	s.count("delivery", 1, err)
	return workflowID, runID, err
}

func (s observedStarter) StartGroup(ctx context.Context, id string, in workflows.GroupInput) (workflowID, runID string, err error) {
	workflowID, runID, err = s.Starter.StartGroup(ctx, id, in)
	s.count("group", len(in.Targets), err)
	return workflowID, runID, err
}

func (s observedStarter) Enqueue(ctx context.Context, key string, in workflows.DeliveryInput) (workflowID, runID string, err error) {
	workflowID, runID, err = s.Starter.Enqueue(ctx, key, in)
	s.count("ordered", 1, err)
	return workflowID, runID, err
}

func (s observedStarter) count(kind string, deliveries int, err error) {
	if err == nil {
		s.observed.Started(kind, deliveries)
	}
}

// observedEvents tells of events from the API.
type observedEvents struct {
	server.Events
	observed observed
}

func (e observedEvents) Publish(ctx context.Context, event *holdfast.Event) (server.PublishResult, error) {
	began := time.Now()
	got, err := e.Events.Publish(ctx, event)
	result := outcome(err, "accepted")
	if err == nil && got.Duplicate {
		result = "duplicate"
	}
	e.observed.Published("api", result, time.Since(began))
	return got, err
}

// observedPublisher tells of events from elsewhere.
type observedPublisher struct {
	jobevents.Publisher
	source   string
	observed observed
}

func (p observedPublisher) PublishMessage(ctx context.Context, e *holdfast.Event) error {
	began := time.Now()
	err := p.Publisher.PublishMessage(ctx, e)
	p.observed.Published(p.source, outcome(err, "accepted"), time.Since(began))
	return err
}

// outcome is the error's code, or what it is called when there is none.
func outcome(err error, otherwise string) string {
	if err != nil {
		return string(holdfast.ErrorCode(err))
	}
	return otherwise
}

// observedRegistrations tells of operations on webhooks.
type observedRegistrations struct {
	server.Registrations
	observed observed
}

func (r observedRegistrations) told(operation, id string, began time.Time, status holdfast.RegistrationStatus, err error) {
	how := outcome(err, string(status))
	r.observed.Operation(operation, how, time.Since(began))
	r.observed.traces.Operation(id, operation, how)
}

func (r observedRegistrations) Register(ctx context.Context, in server.RegisterRequest) (server.RegisterResult, error) {
	began := time.Now()
	got, err := r.Registrations.Register(ctx, in)
	r.told("register", got.Webhook.ID, began, got.Registration.Status, err)
	return got, err
}

func (r observedRegistrations) Change(ctx context.Context, in server.ChangeRequest) (server.RegisterResult, error) {
	began := time.Now()
	got, err := r.Registrations.Change(ctx, in)
	r.told("change", in.ID, began, got.Registration.Status, err)
	return got, err
}

func (r observedRegistrations) RotateSecret(ctx context.Context, in server.RotateRequest) (server.RegisterResult, error) {
	began := time.Now()
	got, err := r.Registrations.RotateSecret(ctx, in)
	r.told("rotate-secret", in.ID, began, got.Registration.Status, err)
	return got, err
}

func (r observedRegistrations) Disconnect(ctx context.Context, in server.SwitchRequest) (server.RegisterResult, error) {
	began := time.Now()
	got, err := r.Registrations.Disconnect(ctx, in)
	r.told("disconnect", in.ID, began, got.Registration.Status, err)
	return got, err
}

func (r observedRegistrations) Reconnect(ctx context.Context, in server.SwitchRequest) (server.RegisterResult, error) {
	began := time.Now()
	got, err := r.Registrations.Reconnect(ctx, in)
	r.told("reconnect", in.ID, began, got.Registration.Status, err)
	return got, err
}

func (r observedRegistrations) Delete(ctx context.Context, in server.Requested) (holdfast.Registration, error) {
	began := time.Now()
	got, err := r.Registrations.Delete(ctx, in)
	r.told("delete", in.ID, began, got.Status, err)
	return got, err
}

// observedAlerts tells of alerts that begin and end.
type observedAlerts struct {
	activities.AlertStore
	observed observed
}

func (s observedAlerts) RaiseAlert(ctx context.Context, a holdfast.Alert) (first bool, err error) {
	first, err = s.AlertStore.RaiseAlert(ctx, a)
	if first {
		s.observed.AlertRaised(a.Kind)
		s.observed.traces.Alert(a.Kind, a.Subject, false)
	}
	return first, err
}

func (s observedAlerts) ResolveAlert(ctx context.Context, id string) (was bool, err error) {
	was, err = s.AlertStore.ResolveAlert(ctx, id)
	if was {
		kind, subject, _ := strings.Cut(id, ":")
		s.observed.traces.Alert(holdfast.AlertKind(kind), subject, true)
	}
	return was, err
}

// observedTransport tells of calls of EMPROPS.
type observedTransport struct{ observed observed }

func (t observedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	res, err := http.DefaultTransport.RoundTrip(r)
	status := 0
	if err == nil {
		status = res.StatusCode
	}
	t.observed.Platform(r.Method, status, time.Since(began))
	return res, err
}

// state is what a scrape shows of the moment.
func (a *App) state(ctx context.Context) telemetry.State {
	s := telemetry.State{Components: map[string]bool{}, Degraded: a.registry.Degraded() != ""}
	components, ready := a.health.Ready(ctx)
	s.Ready = ready
	for name, is := range components {
		if name != "consistency" {
			s.Components[name] = is == "ok"
		}
	}
	if snapshot, err := a.registry.Snapshot(); err == nil {
		s.Revision = snapshot.Position().Revision
	}
	s.Messages = map[string]map[string]int64{}
	heard := func(source string, n jobevents.Stats) {
		s.Messages[source] = map[string]int64{"processed": n.Processed, "skipped": n.Skipped, "failed": n.Failed}
	}
	if a.ingress != nil {
		heard("broker", a.ingress.Stats())
	}
	if a.stream != nil {
		heard("stream", a.stream.Stats())
	}
	o, err := a.operations.Overview(ctx)
	if err != nil {
		return s
	}
	s.Webhooks, s.Deliveries, s.Nodes, s.Report = o.Webhooks, o.Deliveries, o.Nodes, o.Report
	if alerts, err := a.operations.Alerts(ctx, false); err == nil {
		s.Alerts = map[holdfast.AlertKind]int{}
		for _, alert := range alerts {
			s.Alerts[alert.Kind]++
		}
	}
	return s
}
