// Command holdfast delivers webhooks that do not get lost. Run it without arguments for its commands.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/emprops/holdfast/internal/app"
)

// version is set at build time.
var version = "dev"

func main() {
	app.TuneGC()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], program{os.Stdout, os.Stderr, os.Environ()})
	stop()
	os.Exit(code)
}

// program is what a command may touch of the process around it.
type program struct {
	stdout, stderr io.Writer
	environ        []string
}
