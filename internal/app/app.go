package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/internal/alerting"
	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/dispatch"
	"github.com/emprops/holdfast/internal/emprops"
	"github.com/emprops/holdfast/internal/eventstream"
	"github.com/emprops/holdfast/internal/httpsend"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/jobrecovery"
	"github.com/emprops/holdfast/internal/redisadapter"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/registry"
	"github.com/emprops/holdfast/internal/seal"
	"github.com/emprops/holdfast/internal/telemetry"
	"github.com/emprops/holdfast/internal/temporalclient"
	"github.com/emprops/holdfast/internal/testevents"
	"github.com/emprops/holdfast/server"
	"github.com/emprops/holdfast/server/rest"
	"github.com/emprops/holdfast/worker"
	"github.com/emprops/holdfast/workflows"
)

const (
	redisOperation     = 3 * time.Second // bound of one storage operation of ours
	recordsPerPipeline = 128
	slowFor            = 30 * time.Second // how long a webhook stays out of the fast lane after it was slow or failed
	drainTimeout       = 10 * time.Second // for each part of a stop
	platformSample     = 20               // webhooks that one consistency check asks EMPROPS about
	noticeInterval     = 2 * time.Second  // between looks whether the registry lacks webhooks
	filtersKept        = 10_000           // compiled filter expressions
)

// Roles of a process: serve does both, worker only works.
type Roles struct {
	API    bool
	Worker bool
}

// App is a running node. Make it with New, then Start and Stop.
type App struct {
	cfg     config.Config
	roles   Roles
	version string
	logger  *zap.Logger

	redis       redis.UniversalClient
	temporal    client.Client
	background  client.Client // for calls that are to let others go first
	store       *redisstore.Store
	registry    *registry.Registry
	dispatcher  *dispatch.Dispatcher
	deliveries  *activities.Deliveries
	workers     *worker.Workers
	presence    *presence
	callers     apikey.Ring
	alerts      *activities.Alerts
	consistency *temporalclient.Consistency
	ingress     *jobevents.Subscriber
	stream      *eventstream.Consumer
	recovery    *jobrecovery.Recovery
	health      *health
	operations  *operations
	observed    observed
	listener    net.Listener
	http        *http.Server
	connecting  sync.WaitGroup
	quit        context.CancelFunc
	fatal       chan error
	stop        sync.Once
}

// New wires the services of a node; nothing is connected yet. version is that of the program, which health and metrics show.
// Errors are about the configuration.
func New(cfg config.Config, roles Roles, version string, logger *zap.Logger) (*App, error) {
	a := &App{cfg: cfg, roles: roles, version: version, logger: logger, fatal: make(chan error, 1), quit: func() {}}
	keys, err := keyring(cfg.Security.SecretKeys)
	if err != nil {
		return nil, err
	}
	if keys == nil {
		logger.Warn("no secret key is set: webhook secrets are stored and carried in clear; set --secret-keys")
	}
	redisstore.LogTo(logger)
	if a.redis, err = redisstore.Connect(cfg.Redis.URL); err != nil {
		return nil, err
	}
	policy, err := addressPolicy(cfg)
	if err != nil {
		return nil, err
	}
	a.observed.Metrics = telemetry.NewMetrics(version, a.state)
	if a.observed.traces, err = telemetry.NewTraces(telemetry.TracesConfig{
		Endpoint: cfg.Telemetry.OTLPEndpoint, Environment: cfg.Telemetry.Environment, Version: version,
	}, logger); err != nil {
		return nil, err
	}
	platformClient, err := emprops.New(emprops.Config{
		BaseURL: cfg.EMPROPS.URL, APIKey: cfg.EMPROPS.APIKey, Mode: emprops.Mode(cfg.EMPROPS.Mode),
		HTTPClient: &http.Client{Transport: observedTransport{a.observed}},
	})
	if err != nil {
		return nil, err
	}
	if a.temporal, err = temporalclient.Dial(temporalOptions(cfg), logger); err != nil {
		return nil, err
	}
	background := temporalOptions(cfg)
	background.Background = true
	if a.background, err = temporalclient.Dial(background, logger); err != nil {
		return nil, err
	}
	a.store = redisstore.New(a.redis, redisstore.Options{
		Prefix: cfg.Redis.Prefix, Sealer: storeSealer(keys), NodeTTL: cfg.Node.TTL, MarkTTL: cfg.Delivery.EventTTL,
	})
	a.registry = registry.New(redisadapter.Registry{Store: a.store}, registry.Options{
		DigestOf: redisstore.DigestOf, ParseDigest: redisstore.ParseDigest, Compile: compileFilters(), Timeout: redisOperation,
	}, logger)
	a.presence = newPresence(a.store, a.registry, cfg.Node.ID, cfg.HTTP.Listen, min(cfg.Node.HeartbeatInterval, cfg.Registry.RefreshInterval), logger)
	a.alerts = &activities.Alerts{Store: observedAlerts{a.store, a.observed}, Logger: logger}
	if cfg.Alerts.URL != "" {
		poster, err := alerting.New(alerting.Config{URL: cfg.Alerts.URL, Token: cfg.Alerts.Token})
		if err != nil {
			return nil, err
		}
		a.alerts.Notifier, a.alerts.Poster = &temporalclient.Alerts{Client: a.temporal}, poster
	}
	if a.callers, err = callers(cfg, roles, logger); err != nil {
		return nil, err
	}
	a.wire(credentials{keys}, policy, platform{platformClient})
	return a, nil
}

// wire builds the parts that need one another.
func (a *App) wire(sealer credentials, policy httpsend.AddressPolicy, platform platform) {
	cfg := a.cfg
	a.consistency = &temporalclient.Consistency{
		Client: a.temporal, Interval: cfg.Registry.CheckInterval, Input: workflows.CheckInput{
			NodePatienceMS: cfg.Registry.ConfirmTimeout.Milliseconds(), PlatformSample: platformSample,
		},
	}
	registrationClient := &temporalclient.Registrations{Client: a.temporal, Sealer: sealer}
	reconcile := reconciler{registrationClient}
	registrationClient.Adopt = reconcile.adopt(a.store)
	control := &temporalclient.Control{Client: a.temporal, AttemptTimeout: cfg.Delivery.Timeout, HoldFor: cfg.Delivery.HoldFor, Reopen: reopen(a.store)}
	held := heldIndex{a.store}
	prober := &temporalclient.Prober{Control: control, Held: held}
	sender := httpsend.New(httpsend.Config{
		Timeout: cfg.Delivery.Timeout, MaxResponseBytes: int(cfg.Delivery.MaxResponseBytes), Policy: policy, Node: cfg.Node.ID,
	})
	successors := &temporalclient.Starter{Client: a.background, Node: cfg.Node.ID, Eager: true, Queue: workflows.QueueSlow}
	a.deliveries = activities.NewDeliveries(activities.DeliveryDeps{
		Node: cfg.Node.ID, Webhooks: a.registry, Registered: registrationClient, Sender: observedSender{sender, a.observed},
		Store: newDeliveryRecords(a.store, a.observed.Metrics), Payloads: &temporalclient.Payloads{Client: a.temporal}, Successors: successors, Pace: a.store,
		Lanes: activities.NewLanes(activities.LaneLimits{
			Fast: cfg.Delivery.MaxConcurrent, Slow: cfg.Delivery.SlowConcurrent(), PerWebhook: cfg.Delivery.PerWebhookConcurrent,
		}, slowFor),
		RetryAfterMax: cfg.Delivery.RetryAfterMax, DisconnectThreshold: cfg.Delivery.DisconnectThreshold,
		Cutoff: cfg.Delivery.FastCutoff, Logger: a.logger,
	})
	starter := observedStarter{&temporalclient.Starter{Client: a.temporal, Node: cfg.Node.ID, Eager: a.roles.Worker}, a.observed}
	a.dispatcher = dispatch.New(a.registry, redisadapter.Marks{Store: a.store}, starter, dispatch.Options{
		Grouping:           cfg.Delivery.Grouping != config.GroupingOff,
		GroupMaxDeliveries: cfg.Delivery.GroupMaxDeliveries, GroupMaxBytes: int(cfg.Delivery.GroupMaxBytes),
		StartsInFlight: cfg.Delivery.StartsInFlight, QueueMaxDeliveries: cfg.Delivery.QueueMaxDeliveries,
		StartSpacing:  cfg.Delivery.StartSpacing,
		QueueMaxBytes: int(cfg.Delivery.QueueMaxBytes), AttemptTimeout: cfg.Delivery.Timeout, HoldFor: cfg.Delivery.HoldFor,
	}, a.logger)
	a.workers = worker.New(a.temporal, a.background, worker.Activities{
		Registrations: &activities.Registrations{
			Store: a.store, Platform: platform, Targets: policy, Sealed: sealer, Filters: filterChecker{}, Consent: sender,
			Sweeper: prober, Prober: prober, DisconnectThreshold: cfg.Delivery.DisconnectThreshold,
			AutoReconnect: cfg.Delivery.AutoReconnect, ReconnectDelay: cfg.Delivery.ReconnectDelay, ReconnectMaxDelay: cfg.Delivery.ReconnectMaxDelay,
		},
		Nodes:          &activities.Nodes{Lister: redisadapter.Nodes{Store: a.store}, Patience: cfg.Registry.ConfirmTimeout},
		NodeCache:      &activities.NodeCache{Node: cfg.Node.ID, Registry: a.registry},
		NodeInspection: &activities.NodeInspection{Node: cfg.Node.ID, Cache: cache{a.registry}},
		Consistency: &activities.Consistency{
			Registry: checkedRegistry{a.store}, Open: &temporalclient.OpenRegistrations{Client: a.temporal}, Reconciler: reconcile,
			Platform: platform, Sample: cache{a.registry},
		},
		Alerts:      a.alerts,
		Deliveries:  a.deliveries,
		Replays:     &activities.Replays{Deliveries: deliveryList{a.store}, Restarter: control},
		Enrichments: &activities.Enrichments{Enricher: platform, Publisher: a.dispatcher, Now: time.Now},
		Sweeps:      &activities.Sweeps{Held: held, Open: control, PageSize: cfg.Delivery.PerWebhookConcurrent},
	}, worker.Options{
		Node: cfg.Node.ID, SlowAttempts: cfg.Delivery.MaxConcurrent, StopTimeout: drainTimeout, OnFatal: a.fail,
	}, a.logger)
	a.health = newHealth(a)
	a.operations = &operations{a.store, a.registry, a.consistency, a.health}
	if !a.roles.API {
		return
	}
	a.wireIngress(platform)
	readable := &webhooks{a.registry, a.store}
	read := deliveries{a.store, &temporalclient.Deliveries{Client: a.temporal}}
	deps := server.Deps{
		Registrations: observedRegistrations{&registrations{registrationClient, policy, time.Now}, a.observed},
		Webhooks:      readable, Tests: webhookTests{&testevents.Tester{Webhooks: readable, Sender: sender}},
		Events: observedEvents{events{a.dispatcher}, a.observed}, Deliveries: read,
		Control:    &deliveryControl{read, a.store, control, &temporalclient.Replays{Client: a.temporal}},
		Operations: a.operations, Metrics: a.observed.Handler(),
		Receivers: testReceivers{a.store}, Sessions: sessions{a.store}, Checker: a.health, Logger: a.logger,
	}
	deps.REST = a.restAPI(&deps)
	a.http = server.NewHTTPServer(server.New(deps, server.Options{
		AllowedOrigins: cfg.Security.CORSOrigins, PublicURL: cfg.BaseURL, TemporalUIBase: cfg.Temporal.UIURL,
		TemporalNamespace: cfg.Temporal.Namespace, APIKeys: a.callers, RetryPolicy: cfg.Delivery.Retry.Policy(),
	}), a.logger)
}

// Start opens the listener, so that health can be asked, and connects in the background: Redis and Temporal may come
// later, and until then /readyz says what is missing. An error is about the listener.
func (a *App) Start(context.Context) error {
	handler := a.http
	if handler == nil {
		handler = server.NewHTTPServer(server.NewHealth(a.health, a.observed.Handler(), rest.NewHealth(a.restDeps())), a.logger)
		a.http = handler
	}
	listener, err := net.Listen("tcp", a.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; choose another address with --listen", a.cfg.HTTP.Listen, err)
	}
	a.listener = listener
	go func() {
		if err := handler.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("serving HTTP: %w", err))
		}
	}()
	ctx, quit := context.WithCancel(context.Background())
	a.quit = quit
	a.presence.start()
	a.connecting.Go(func() { a.connect(ctx) })
	return nil
}

// Addr is the address the node listens on.
func (a *App) Addr() string { return a.listener.Addr().String() }

// Fatal delivers an error after which the node cannot go on.
func (a *App) Fatal() <-chan error { return a.fatal }

// WaitReady returns when everything the node depends on works, or with ctx's error and what is missing.
func (a *App) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		components, ready := a.health.Ready(ctx)
		if ready {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready: %v: %w", components, ctx.Err())
		}
	}
}

func (a *App) fail(err error) {
	select {
	case a.fatal <- err:
	default:
	}
}

// connect brings up what needs Redis, then what needs Temporal, trying until it works.
func (a *App) connect(ctx context.Context) {
	if !a.until(ctx, "Redis", func(ctx context.Context) error { return a.store.Ping(ctx) }) {
		return
	}
	select {
	case <-a.presence.loaded:
	case <-ctx.Done():
		return
	}
	if a.roles.Worker && !a.until(ctx, "Temporal", a.startWorkers) {
		return
	}
	if !a.roles.Worker && !a.until(ctx, "Temporal", a.askTemporal) {
		return
	}
	if a.roles.Worker && !a.until(ctx, "the consistency schedule", a.consistency.EnsureSchedule) {
		return
	}
	a.connecting.Go(func() { a.seeToCompleteness(ctx) })
	if a.ingress != nil {
		if err := a.ingress.Start(ctx); err != nil {
			a.fail(fmt.Errorf("listening to the job broker: %w", err))
			return
		}
	}
	if a.stream != nil {
		a.stream.Start(ctx)
	}
	if a.recovery != nil {
		a.recovery.Start(ctx)
	}
	a.health.connected.Store(true)
}

// seeToCompleteness asks for a consistency check as soon as the node notices that the registry in Redis lacks webhooks, as
// after a wipe, instead of waiting for the next one on schedule (G5).
func (a *App) seeToCompleteness(ctx context.Context) {
	tick := time.NewTicker(min(a.cfg.Registry.CheckInterval, noticeInterval))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if !a.registry.Incomplete() {
			continue
		}
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		if err := a.consistency.Trigger(once); err != nil {
			a.logger.Debug("no consistency check could be asked for", zap.Error(err))
		}
		cancel()
	}
}

func (a *App) askTemporal(ctx context.Context) error {
	_, err := a.temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}

func (a *App) startWorkers(ctx context.Context) error {
	if err := a.askTemporal(ctx); err != nil {
		return err
	}
	return a.workers.Start(ctx)
}

// until repeats what needs another service until it works; false when the node is stopped first. It says so once, and
// again now and then.
func (a *App) until(ctx context.Context, what string, try func(context.Context) error) bool {
	const sayEvery = 30
	for n := 0; ctx.Err() == nil; n++ {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := try(once)
		cancel()
		if err == nil {
			if n > 0 {
				a.logger.Info("connected", zap.String("to", what))
			}
			return true
		}
		if n%sayEvery == 0 && ctx.Err() == nil {
			a.logger.Warn("cannot reach a service, trying on", zap.String("service", what), zap.Error(err))
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
	return false
}

// Stop takes the node down without losing what it has accepted: nothing new comes in, what is on its way becomes
// durable, attempts under way end, and what is left goes on elsewhere or after the next start. It is safe to call twice.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	a.stop.Do(func() {
		a.quit()
		a.connecting.Wait()
		part := func(stop func(context.Context) error) {
			ctx, cancel := context.WithTimeout(ctx, drainTimeout)
			defer cancel()
			errs = append(errs, stop(ctx))
		}
		if a.ingress != nil {
			part(a.ingress.Stop)
		}
		if a.stream != nil {
			part(a.stream.Stop)
		}
		if a.recovery != nil {
			part(a.recovery.Stop)
		}
		if a.http != nil {
			part(a.http.Shutdown)
		}
		if a.dispatcher != nil {
			part(a.dispatcher.Stop)
		}
		part(a.deliveries.Stop)
		part(a.workers.Stop)
		part(func(ctx context.Context) error { a.presence.stop(ctx); return nil })
		part(func(ctx context.Context) error { a.observed.traces.Stop(ctx); return nil })
		a.background.Close()
		a.temporal.Close()
		errs = append(errs, a.redis.Close())
	})
	return errors.Join(errs...)
}

func keyring(texts []string) (*seal.Keyring, error) {
	if len(texts) == 0 {
		return nil, nil //nolint:nilnil // a nil keyring seals nothing, which its methods allow
	}
	keys, err := seal.ParseKeys(strings.Join(texts, ","))
	if err != nil {
		return nil, fmt.Errorf("security.secret_keys: %w (flag --secret-keys)", err)
	}
	return seal.New(keys...)
}

// storeSealer keeps a missing keyring a nil interface.
func storeSealer(keys *seal.Keyring) redisstore.Sealer {
	if keys == nil {
		return nil
	}
	return storedSecrets{keys}
}

// storedSecrets seals what the storage keeps.
type storedSecrets struct{ *seal.Keyring }

// IsSealed implements redisstore.Sealer.
func (storedSecrets) IsSealed(s string) bool { return seal.IsSealed(s) }
