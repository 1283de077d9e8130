//go:build !lean

package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/devserver"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/seal"
)

// Dev is a node with everything it depends on, on this machine: Temporal with its UI, Redis, and a stand-in for EMPROPS.
type Dev struct {
	*App
	Config   config.Config // with the addresses of what was started
	Temporal *devserver.Temporal
	Redis    *devserver.Redis // nil when an external one is used
	EMPROPS  *standin.Server  // nil when an external one is used, or none
}

// DevProgress is told about each step of the start, since the first can take a while.
type DevProgress func(format string, args ...any)

// StartDev starts the embedded services in the data directory, then a node that uses them, and returns when it is ready.
// What was started is stopped again when a later part fails.
func StartDev(ctx context.Context, cfg config.Config, version string, logger *zap.Logger, say DevProgress) (_ *Dev, err error) {
	d := &Dev{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Stop(context.WithoutCancel(ctx)))
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w; choose another directory with --data-dir", err)
	}
	if err := d.startServices(ctx, &cfg, logger, say); err != nil {
		return nil, err
	}
	d.Config = cfg
	if d.App, err = New(cfg, Roles{API: true, Worker: true}, version, logger); err != nil {
		return nil, err
	}
	if err := d.App.Start(ctx); err != nil {
		return nil, err
	}
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return d, d.WaitReady(ready)
}

// anyPort asks the Temporal UI for a free port, since 0 is none to it.
const anyPort = -1

func (d *Dev) startServices(ctx context.Context, cfg *config.Config, logger *zap.Logger, say DevProgress) (err error) {
	if len(cfg.Security.SecretKeys) == 0 {
		if cfg.Security.SecretKeys, err = devKeys(cfg.DataDir); err != nil {
			return err
		}
	}
	if cfg.Redis.URL == "" {
		say("starting Redis on port %d", cfg.Dev.RedisPort)
		d.Redis, err = devserver.StartRedis(ctx, devserver.RedisOptions{
			Port: cfg.Dev.RedisPort, DataDir: filepath.Join(cfg.DataDir, "redis"), AllowInProcess: true, Logger: logger,
		})
		if err != nil {
			return hint(err)
		}
		if notice := d.Redis.Notice(); notice != "" {
			say("notice: %s", notice)
		}
		cfg.Redis.URL = d.Redis.URL()
	}
	if cfg.EMPROPS.URL == "" && cfg.EMPROPS.Mode != config.EMPROPSOff {
		d.EMPROPS, err = standin.New(standin.Options{
			Path: filepath.Join(cfg.DataDir, "emprops.json"), APIKey: cfg.EMPROPS.APIKey, Logger: logger,
		})
		if err != nil {
			return err
		}
		if err := d.EMPROPS.Start(ctx, "127.0.0.1:0"); err != nil {
			return err
		}
		cfg.EMPROPS.URL = d.EMPROPS.URL()
	}
	say("starting Temporal on port %d", cfg.Dev.TemporalPort)
	d.Temporal, err = devserver.StartTemporal(ctx, devserver.TemporalOptions{
		Port: cfg.Dev.TemporalPort, UIPort: cmp.Or(cfg.Dev.TemporalUIPort, anyPort), DataDir: filepath.Join(cfg.DataDir, "temporal"),
		Namespace: cfg.Temporal.Namespace, Logger: logger,
	})
	if err != nil {
		return hint(err)
	}
	cfg.Temporal.Address = d.Temporal.HostPort()
	if cfg.Temporal.UIURL == "" {
		cfg.Temporal.UIURL = d.Temporal.UIURL()
	}
	return nil
}

// Stop stops the node first, then what it depends on.
func (d *Dev) Stop(ctx context.Context) error {
	var errs []error
	if d.App != nil {
		errs = append(errs, d.App.Stop(ctx))
	}
	if d.EMPROPS != nil {
		errs = append(errs, d.EMPROPS.Stop(ctx))
	}
	if d.Temporal != nil {
		d.Temporal.Stop()
	}
	if d.Redis != nil {
		d.Redis.Stop()
	}
	return errors.Join(errs...)
}

// devKeys makes a sealing key once and keeps it in the data directory, so that secrets stay readable across restarts.
func devKeys(dir string) ([]string, error) {
	path := filepath.Join(dir, "secret.key")
	if _, err := seal.LoadOrCreate(path); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the sealing key: %w", err)
	}
	return []string{string(text)}, nil
}

// hint names the flag that chooses another port or directory.
func hint(err error) error {
	var busy *devserver.PortBusyError
	if errors.As(err, &busy) {
		return fmt.Errorf("%w; choose another with --%s-port", err, busy.What)
	}
	if errors.Is(err, devserver.ErrDataDirBusy) {
		return fmt.Errorf("%w; choose another with --data-dir", err)
	}
	return err
}
