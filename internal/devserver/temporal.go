//go:build !lean

package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// temporalStartTimeout bounds a start whose context has no deadline.
const temporalStartTimeout = 60 * time.Second

// TemporalOptions says how the embedded Temporal server runs. The zero value is an in-memory server on a free loopback port.
type TemporalOptions struct {
	Address   string // IP that the frontend and the UI bind; default 127.0.0.1
	Port      int    // port of the frontend; 0 picks a free one
	DataDir   string // directory that keeps the databases, created when absent; empty keeps everything in memory
	Namespace string // created before the start, with SearchAttributes; default "default"
	UIPort    int    // port of the web UI; 0 means no UI, -1 picks a free port

	Logger   *zap.Logger          // default: logs nothing
	LogLevel zapcore.LevelEnabler // lowest level of the server's own entries; default warn, as it is talkative
}

// Temporal is a running embedded Temporal server.
type Temporal struct {
	opts     TemporalOptions
	hostPort string
	stores   stores
	lock     *os.File
	log      *serverLog
	server   temporal.Server
	ui       *uiServer
	stop     sync.Once
}

// StartTemporal starts a Temporal server in this process and returns when it answers. It needs everything it is told to
// have: a busy port is a *PortBusyError, a data directory in use by another server has ErrDataDirBusy in its chain. ctx
// bounds the start only; without a deadline it is one minute.
func StartTemporal(ctx context.Context, opts TemporalOptions) (_ *Temporal, err error) {
	if opts.Address == "" {
		opts.Address = "127.0.0.1"
	}
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	if opts.LogLevel == nil {
		opts.LogLevel = zapcore.WarnLevel
	}
	ctx, cancel := bounded(ctx, temporalStartTimeout)
	defer cancel()

	t := &Temporal{opts: opts, log: newServerLog(opts.Logger, opts.LogLevel)}
	defer func() {
		if err != nil {
			t.Stop()
		}
	}()
	if opts.DataDir != "" {
		if err := os.MkdirAll(opts.DataDir, 0o700); err != nil {
			return nil, fmt.Errorf("create data directory: %w", err)
		}
		if t.lock, err = lockFile(ctx, filepath.Join(opts.DataDir, "temporal.lock")); err != nil {
			return nil, err
		}
	}
	ports, err := choosePorts(ctx, opts)
	if err != nil {
		return nil, err
	}
	t.hostPort = net.JoinHostPort(dialIP(opts.Address), strconv.Itoa(ports.frontend))
	if opts.UIPort != 0 {
		if t.ui, err = newUIServer(ctx, opts); err != nil {
			return nil, err
		}
	}
	if t.stores, err = openStores(ctx, opts.DataDir); err != nil {
		return nil, err
	}
	if err := t.CreateNamespace(opts.Namespace); err != nil {
		return nil, err
	}
	if err := t.startServer(ports); err != nil {
		return nil, fmt.Errorf("start Temporal: %w", err)
	}
	if err := t.waitReady(ctx); err != nil {
		return nil, err
	}
	if t.ui != nil {
		if err := t.ui.serve(t.hostPort, opts.Namespace); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// startServer builds and starts the server in a goroutine of its own, because a fatal log entry of the server ends the
// goroutine that writes it (see serverLog). It takes no context: the library bounds its own start.
func (t *Temporal) startServer(ports temporalPorts) error {
	done := make(chan error, 1)
	go func() {
		var err error
		ended := false
		defer func() {
			p := recover()
			if fatal := t.log.lastFatal(); !ended && fatal != "" {
				err = errors.New(fatal)
			} else if !ended {
				err = fmt.Errorf("panic: %v", p)
			}
			done <- err
		}()
		cfg := temporalConfig(t.opts, ports, t.stores)
		t.server, err = temporal.NewServer(
			temporal.WithConfig(cfg),
			temporal.ForServices(temporal.DefaultServices),
			temporal.WithStaticHosts(ports.hosts(dialIP(t.opts.Address))),
			temporal.WithLogger(log.NewZapLogger(t.log.zap)),
			temporal.WithAuthorizer(authorization.NewNoopAuthorizer()),
			temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return authorization.NewNoopClaimMapper() }),
			temporal.WithDynamicConfigClient(dynamicConfig()),
		)
		if err == nil {
			err = t.server.Start()
		}
		ended = true
	}()
	return <-done
}

// waitReady returns when the frontend knows the namespace and the namespace has its search attributes: a data directory of
// an older version may lack some.
func (t *Temporal) waitReady(ctx context.Context) error {
	c, err := client.NewLazyClient(client.Options{
		HostPort: t.hostPort, Namespace: t.opts.Namespace, Logger: sdklog.NewStructuredLogger(discardSlog),
	})
	if err != nil {
		return fmt.Errorf("dial the embedded Temporal: %w", err)
	}
	defer c.Close()
	err = retryFor(ctx, temporalStartTimeout, func() error {
		_, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: t.opts.Namespace})
		return err
	})
	if err != nil {
		return fmt.Errorf("wait for the embedded Temporal to answer: %w", err)
	}
	return RegisterSearchAttributes(ctx, c, t.opts.Namespace)
}

// HostPort returns where clients dial the frontend.
func (t *Temporal) HostPort() string { return t.hostPort }

// Namespace returns the namespace that was created at the start.
func (t *Temporal) Namespace() string { return t.opts.Namespace }

// UIURL returns the address of the web UI, or "" when there is none.
func (t *Temporal) UIURL() string {
	if t.ui == nil {
		return ""
	}
	return t.ui.url()
}

// CreateNamespace creates a namespace with SearchAttributes, usable at once; nothing happens when it exists already. It
// goes to the database directly: through the API a new namespace and its search attributes take seconds to reach every cache.
func (t *Temporal) CreateNamespace(name string) error { return t.stores.createNamespace(name) }

// Stop stops the server and waits for it. It may be called twice.
func (t *Temporal) Stop() {
	t.stop.Do(func() {
		t.log.quiet()
		if t.ui != nil {
			t.ui.stop()
		}
		if t.server != nil {
			if err := t.server.Stop(); err != nil {
				t.opts.Logger.Warn("Embedded Temporal did not stop cleanly", zap.Error(err))
			}
		}
		if t.lock != nil {
			t.lock.Close()
		}
	})
}

// dialIP returns the address to dial a server that binds ip.
func dialIP(ip string) string {
	if parsed := net.ParseIP(ip); parsed != nil && parsed.IsUnspecified() {
		return "127.0.0.1"
	}
	return ip
}
