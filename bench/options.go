//go:build !lean

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/pflag"
)

// The parts of a measurement, values of --rows.
const (
	rowsPublish   = "publish"
	rowsFloor     = "floor"
	rowsOff       = "off"
	rowsOpen      = "open"
	rowsIsolation = "isolation"
)

func allRows() []string { return []string{rowsPublish, rowsFloor, rowsOff, rowsOpen, rowsIsolation} }

// options are the settings of a measurement.
type options struct {
	Duration   time.Duration
	WarmUp     time.Duration
	Publishers []int
	Payload    int // bytes of an event's data
	MaxEvents  int // in one row
	Rows       []string
	JSON       bool
	Check      bool
	CPUProfile string // directory
	NodeFlags  string
	NodeEnv    string

	OpenRates    []int // events per second
	OpenDuration time.Duration

	IsolationDuration time.Duration
	IsolationWarmUp   time.Duration
	IsolationRounds   int
	IsolationStatic   bool
}

const minPayload = 64 // the JSON around the filling

func flagSet(o *options) *pflag.FlagSet {
	fs := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.SortFlags = false
	fs.StringSliceVar(&o.Rows, "rows", allRows(), "what to measure: publish (grouping as configured), "+
		"off (the same with --delivery-grouping off), floor (beside either), open (fixed rates), isolation (good webhooks beside bad ones)")
	fs.IntSliceVar(&o.Publishers, "publishers", []int{1, 64, 256}, "concurrent publishers, one row each; each publishes again when it is answered")
	fs.DurationVar(&o.Duration, "duration", 5*time.Second, "time measured for each row")
	fs.DurationVar(&o.WarmUp, "warm-up", time.Second, "load before it, not counted")
	fs.IntVar(&o.MaxEvents, "max-events", 500_000, "events in one row, past which it ends early")
	fs.IntVar(&o.Payload, "payload", 1024, "bytes of an event's data")
	fs.IntSliceVar(&o.OpenRates, "open-rates", []int{50, 200}, "events per second of the open rows")
	fs.DurationVar(&o.OpenDuration, "open-duration", 10*time.Second, "time measured for each open row")
	fs.DurationVar(&o.IsolationDuration, "isolation-duration", 20*time.Second, "time measured for each isolation row")
	fs.DurationVar(&o.IsolationWarmUp, "isolation-warm-up", 5*time.Second, "load before it, not counted; in it the bad webhooks become known as bad")
	fs.IntVar(&o.IsolationRounds, "isolation-rounds", 2, "how often the two isolation rows are measured, every other time the other way round")
	fs.BoolVar(&o.IsolationStatic, "isolation-static", true, "the bad webhooks are never disconnected, which is harder on the good ones")
	fs.StringVar(&o.NodeFlags, "node-flags", "", "flags added to the node's, as holdfast dev takes them")
	fs.StringVar(&o.NodeEnv, "node-env", "", "NAME=value pairs added to the environment of node and floor alike, such as GOGC=400")
	fs.StringVar(&o.CPUProfile, "cpuprofile", "", "directory for a CPU profile of the node, or the floor, of each row")
	fs.BoolVar(&o.JSON, "json", false, "print JSON instead of a table")
	fs.BoolVar(&o.Check, "check", false, "exit with 1 when a target is missed")
	return fs
}

func parseOptions(args []string) (options, error) {
	var o options
	fs := flagSet(&o)
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case min(o.Duration, o.OpenDuration, o.IsolationDuration) <= 0 || min(o.WarmUp, o.IsolationWarmUp) < 0:
		return o, errors.New("durations must be positive")
	case o.Payload < minPayload || o.Payload > 1<<20:
		return o, fmt.Errorf("--payload must be between %d and %d", minPayload, 1<<20)
	case o.MaxEvents < 1:
		return o, errors.New("--max-events must be at least 1")
	case o.IsolationRounds < 1 || o.IsolationRounds > 100:
		return o, errors.New("--isolation-rounds must be between 1 and 100")
	case slices.ContainsFunc(o.Publishers, func(n int) bool { return n < 1 || n > 4096 }):
		return o, errors.New("--publishers must be between 1 and 4096")
	case slices.ContainsFunc(o.OpenRates, func(n int) bool { return n < 1 || n > 100_000 }):
		return o, errors.New("--open-rates must be between 1 and 100000")
	}
	for _, row := range o.Rows {
		if !slices.Contains(allRows(), row) {
			return o, fmt.Errorf("--rows: %q is not publish, floor, off, open or isolation", row)
		}
	}
	return o, nil
}

// measures tells whether a part is asked for.
func (o *options) measures(rows string) bool { return slices.Contains(o.Rows, rows) }

func usage() string {
	return `bench measures what a delivery costs, on this machine alone and on loopback.

Usage: bench [flags]

Every row has a node of its own: one process with an embedded Temporal (SQLite on disk, in a new directory below
TMPDIR), its API and its worker, with a redis-server beside it. Publishers are in this process, the receiver, which
answers 200 at once, in another. One webhook is registered through the API, for isolation 20 of them.

Flags:
` + flagSet(&options{}).FlagUsages() + `
` + legend + `
The exit code is 0 when everything was measured, 1 when something could not be or, with --check, a target was missed,
and 2 when a flag is wrong. Other work on the machine makes every figure worse: compare rows of one run.
`
}
