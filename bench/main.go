//go:build !lean

// Command bench measures what a delivery costs: it drives a node with everything it depends on on this machine, and
// beside it the least that durable deliveries can cost on the same embedded Temporal. Run it with --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/emprops/holdfast/internal/app"
)

// Exit codes.
const (
	exitOK     = 0
	exitMissed = 1 // a target was missed under --check, or nothing could be measured
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program, in a child process as well: what to be there is in the environment.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if role := os.Getenv(roleVariable); role != "" {
		app.TuneGC() // node and floor alike
		return serveChild(role)
	}
	opts, err := parseOptions(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		_, _ = fmt.Fprint(stdout, usage())
		return exitOK
	case err != nil:
		_, _ = fmt.Fprintf(stderr, "bench: %s\nbench --help lists the settings.\n", err)
		return exitUsage
	}
	report, err := measure(ctx, opts, stderr)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "bench: %s\n", err)
		return exitMissed
	}
	if opts.JSON {
		err = report.writeJSON(stdout)
	} else {
		err = report.writeText(stdout)
	}
	if err != nil || opts.Check && !report.hold() {
		return exitMissed
	}
	return exitOK
}
