//go:build !lean

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/internal/app"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/demo"
)

// dev runs a node with everything around it, and with --demo drives the main job once.
func dev(ctx context.Context, p program, cfg config.Config, logger *zap.Logger) error {
	began := time.Now()
	progress := func(format string, args ...any) { say(p.stdout, "holdfast dev: "+format, args...) }
	key, err := demoKey(&cfg)
	if err != nil {
		return err
	}
	d, err := app.StartDev(ctx, cfg, version, logger, progress)
	if err != nil {
		return err
	}
	progress("ready after %s", time.Since(began).Round(time.Millisecond))
	banner(p, d)
	if cfg.Dev.Demo {
		err = demo.Run(ctx, demo.Options{
			BaseURL: "http://" + d.Addr(), RedisURL: d.Config.Redis.URL, TemporalUI: d.Config.Temporal.UIURL, APIKey: key, Out: p.stdout,
		})
		if err != nil && ctx.Err() == nil {
			return errors.Join(err, stop(ctx, d.Stop))
		}
		if ctx.Err() == nil {
			banner(p, d)
		}
	}
	select {
	case <-ctx.Done():
		err = nil
		say(p.stdout, "holdfast dev: stopping")
	case err = <-d.Fatal():
	}
	return errors.Join(err, stop(ctx, d.Stop))
}

// demoKey adds a key to those of the configuration, where there are any, for the demonstration of this process alone.
func demoKey(cfg *config.Config) (string, error) {
	if !cfg.Dev.Demo || len(cfg.Security.APIKeys) == 0 {
		return "", nil
	}
	key, entry, err := apikey.New("demo-"+strings.ToLower(rand.Text()[:8]), apikey.Write)
	cfg.Security.APIKeys = append(slices.Clone(cfg.Security.APIKeys), entry)
	return key, err
}

// banner shows where everything is.
func banner(p program, d *app.Dev) {
	base := "http://" + d.Addr()
	say(p.stdout, "")
	say(p.stdout, "  API          %s  (Connect, gRPC, JSON by POST; health at /livez and /readyz)", base)
	say(p.stdout, "  Receivers    %s/holdfast.v1.ReceiverService/ListReceivedRequests  (POST {\"receiverId\":\"…\"})", base)
	say(p.stdout, "  Temporal UI  %s", d.Config.Temporal.UIURL)
	say(p.stdout, "  Temporal     %s", d.Config.Temporal.Address)
	say(p.stdout, "  Redis        %s", d.Config.Redis.URL)
	if d.EMPROPS != nil {
		say(p.stdout, "  EMPROPS      %s  (stand-in; faults at %s/_standin/faults)", d.EMPROPS.URL(), d.EMPROPS.URL())
	}
	say(p.stdout, "  Data         %s", d.Config.DataDir)
	say(p.stdout, "")
	say(p.stdout, "Ctrl-C stops.")
}
