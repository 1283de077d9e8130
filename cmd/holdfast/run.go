package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/app"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/telemetry"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// stopTimeout bounds a graceful stop; past it the process ends, and what was under way goes on after the next start.
const stopTimeout = 45 * time.Second

const overview = `holdfast delivers webhooks that do not get lost.

Usage: holdfast COMMAND [flags]

Commands of a node:
  dev      everything on this machine: Temporal with its UI, Redis, an EMPROPS stand-in, API and worker
  serve    API and worker in one process; needs a Temporal and a Redis
  worker   worker only
  config   print the effective configuration of a command, without secrets: holdfast config [dev|serve|worker] [flags]
  key      make an API key and its entry for security.api_keys
  version  print the version

Commands that ask a running one:
%s
holdfast COMMAND --help lists the settings of a command.`

// command runs with its configuration loaded.
type command func(ctx context.Context, p program, cfg config.Config, logger *zap.Logger) error

var commands = map[string]command{
	config.CommandDev:    dev,
	config.CommandServe:  node(app.Roles{API: true, Worker: true}),
	config.CommandWorker: node(app.Roles{Worker: true}),
}

// run runs the command that args name and returns the exit code.
func run(ctx context.Context, args []string, p program) int {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "version", "--version":
		say(p.stdout, "holdfast %s %s", version, runtime.Version())
		return exitOK
	case "help", "-h", "--help":
		say(p.stdout, overview, listOf(""))
		return exitOK
	case "config":
		return printConfig(args, p)
	case "key":
		return makeKey(args, p)
	}
	if code, found := ask(ctx, append([]string{name}, args...), p); found {
		return code
	}
	command := commands[name]
	if command == nil {
		say(p.stderr, "holdfast: %q is not a command\n\n"+overview, name, listOf(""))
		return exitUsage
	}
	cfg, code, done := load(args, p, name)
	if done {
		return code
	}
	logger, err := telemetry.NewLogger(cfg.Log.Level, cfg.Log.Format, p.stderr)
	if err == nil {
		err = command(ctx, p, cfg, logger)
		_ = logger.Sync() // standard error cannot be synced everywhere
	}
	if err != nil {
		say(p.stderr, "holdfast %s: %s", name, err)
		return exitError
	}
	return exitOK
}

// load reads the configuration; done is true when there is nothing left to do but exit with the code.
func load(args []string, p program, name string) (cfg config.Config, code int, done bool) {
	cfg, err := config.Load(args, p.environ, name)
	switch {
	case errors.Is(err, config.ErrHelp):
		say(p.stdout, "%s", config.Usage(name))
		return cfg, exitOK, true
	case err != nil:
		say(p.stderr, "holdfast %s: %s\nholdfast %s --help lists the settings.", name, err, name)
		return cfg, exitUsage, true
	}
	return cfg, exitOK, false
}

func printConfig(args []string, p program) int {
	name := config.CommandServe
	if len(args) > 0 && slices.Contains([]string{config.CommandDev, config.CommandServe, config.CommandWorker}, args[0]) {
		name, args = args[0], args[1:]
	}
	cfg, code, done := load(args, p, name)
	if !done {
		say(p.stdout, "%s", cfg.Redacted())
	}
	return code
}

// node runs a node until ctx ends or it cannot go on.
func node(roles app.Roles) command {
	return func(ctx context.Context, p program, cfg config.Config, logger *zap.Logger) error {
		a, err := app.New(cfg, roles, version, logger)
		if err != nil {
			return err
		}
		if err := a.Start(ctx); err != nil {
			return errors.Join(err, stop(ctx, a.Stop))
		}
		say(p.stdout, "holdfast %s listens on %s as node %s; /readyz tells when everything it needs is there", version, a.Addr(), cfg.Node.ID)
		select {
		case <-ctx.Done():
			logger.Info("stopping: what is under way ends or goes on after the next start")
		case err = <-a.Fatal():
		}
		return errors.Join(err, stop(ctx, a.Stop))
	}
}

// stop bounds a graceful stop. ctx has ended already: it is what asked for the stop.
func stop(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return f(ctx)
}

func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format+"\n", args...)
}
