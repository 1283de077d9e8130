//go:build !lean

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The names of rows.
const (
	nameHoldfast  = "holdfast"
	nameFloor     = "floor"
	nameUngrouped = "holdfast, grouping off"
	nameFloorOff  = "floor, ungrouped"
	nameOpen      = "holdfast, open loop"
)

// plan is a row to measure.
type plan struct {
	name     string
	callers  int
	rate     int
	duration time.Duration
	warmUp   time.Duration
	round    int
}

func (p plan) floor() bool   { return p.name == nameFloor || p.name == nameFloorOff }
func (p plan) grouped() bool { return p.name != nameUngrouped && p.name != nameFloorOff }

func (p plan) String() string {
	switch {
	case p.round > 0:
		return fmt.Sprintf("%s, round %d", p.name, p.round)
	case p.rate > 0:
		return fmt.Sprintf("%s, %d events/s", p.name, p.rate)
	}
	return fmt.Sprintf("%s, %d publishers", p.name, p.callers)
}

// plans lists the rows, each next to its floor: what else the machine does changes with time.
func plans(o *options) []plan {
	var all []plan
	both := func(rows, name, floor string) {
		for _, n := range o.Publishers {
			if o.measures(rows) {
				all = append(all, plan{name: name, callers: n, duration: o.Duration, warmUp: o.WarmUp})
			}
			if o.measures(rowsFloor) && (o.measures(rows) || rows == rowsPublish) {
				all = append(all, plan{name: floor, callers: n, duration: o.Duration, warmUp: o.WarmUp})
			}
		}
	}
	both(rowsPublish, nameHoldfast, nameFloor)
	both(rowsOff, nameUngrouped, nameFloorOff)
	if o.measures(rowsOpen) {
		for _, rate := range o.OpenRates {
			all = append(all, plan{name: nameOpen, rate: rate, duration: o.OpenDuration, warmUp: o.WarmUp})
		}
	}
	if o.measures(rowsIsolation) {
		all = append(all, isolationPlans(o)...)
	}
	return all
}

// measure measures every row that the options ask for.
func measure(ctx context.Context, o options, stderr io.Writer) (_ *Report, err error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, stderr: stderr}
	defer func() { err = errors.Join(err, b.close()) }()
	if o.CPUProfile != "" {
		if err := os.MkdirAll(o.CPUProfile, 0o750); err != nil {
			return nil, err
		}
	}
	if b.receiver, err = startChild(roleReceiver, nil, stderr); err != nil {
		return nil, err
	}
	var rows []Row
	for i, p := range plans(&o) {
		_, _ = fmt.Fprintf(stderr, "bench: %s (load %s)\n", p, loadAverage())
		row, err := b.row(ctx, i+1, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		rows = append(rows, row)
	}
	return newReport(o, rows), nil
}

// bench is a measurement under way.
type bench struct {
	options  options
	dir      string
	stderr   io.Writer
	receiver *child
}

func (b *bench) close() error {
	var err error
	if b.receiver != nil {
		err = b.receiver.stop()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// target is what a row puts under load.
type target struct {
	*child
	run   func(ctx context.Context, l Load) (Samples, error)
	redis func(ctx context.Context) (time.Duration, error) // nil: there is none
	close func()
}

// row measures one row on a target of its own.
func (b *bench) row(ctx context.Context, number int, p plan) (_ Row, err error) {
	row := Row{Name: p.name, Publishers: p.callers, Rate: p.rate, Round: p.round, Load: loadAverage()}
	dir := filepath.Join(b.dir, strconv.Itoa(number))
	var urls []string
	if err := b.receiver.call(ctx, "Part.Open", p.endpoints(), &urls); err != nil {
		return row, err
	}
	t, err := b.start(ctx, p, dir, urls)
	if err != nil {
		return row, err
	}
	defer func() {
		err = errors.Join(err, t.stop(), os.RemoveAll(dir))
		t.close()
	}()
	load := Load{
		Prefix: fmt.Sprintf("bench-%d-", number), Callers: p.callers, Rate: p.rate, MaxEvents: b.options.MaxEvents,
		Limit: p.warmUp + p.duration + answerTimeout,
	}
	w, err := b.window(ctx, t, p, load)
	if err != nil {
		return row, err
	}
	if err := b.drain(ctx, p, w.samples); err != nil {
		return row, err
	}
	if err := b.receiver.call(ctx, "Part.Release", None{}, &None{}); err != nil { // or the node's end would take as long
		return row, err
	}
	if err := t.stop(); err != nil { // so that nothing is sent any more, also nothing twice
		return row, err
	}
	var arrivals Arrivals
	if err := b.receiver.call(ctx, "Part.Take", None{}, &arrivals); err != nil {
		return row, err
	}
	return row, row.fill(w, load, arrivals, p.counts)
}

func (b *bench) start(ctx context.Context, p plan, dir string, urls []string) (_ *target, err error) {
	role := roleNode
	if p.floor() {
		role = roleFloor
	}
	c, err := startChild(role, strings.Fields(b.options.NodeEnv), b.stderr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	hooks := p.hooks(&b.options, urls)
	if p.floor() {
		in := FloorStart{DataDir: dir, Receiver: hooks[0].url, Grouped: p.grouped(), Data: hooks[0].data}
		if err := c.call(ctx, "Part.Start", in, &None{}); err != nil {
			return nil, err
		}
		return &target{child: c, close: func() {}, run: func(ctx context.Context, l Load) (out Samples, err error) {
			unwatch := context.AfterFunc(ctx, func() { _ = c.rpc.Call("Part.Halt", None{}, &None{}) })
			defer unwatch()
			err = c.call(context.WithoutCancel(ctx), "Part.Run", l, &out)
			return out, err
		}}, nil
	}
	in := NodeStart{DataDir: dir, Flags: strings.Fields(b.options.NodeFlags)}
	if !p.grouped() {
		in.Flags = append(in.Flags, "--delivery-grouping", "off")
	}
	var at NodeAddresses
	if err := c.call(ctx, "Part.Start", in, &at); err != nil {
		return nil, err
	}
	api, err := newClient(ctx, at, max(p.callers, p.rate), hooks)
	if err != nil {
		return nil, err
	}
	return &target{child: c, close: api.close, redis: api.redisCPU, run: func(ctx context.Context, l Load) (Samples, error) {
		return l.run(ctx, func(ctx context.Context, id string) error {
			n, _ := l.number(id)
			return api.publish(ctx, n, id)
		}), nil
	}}, nil
}

// window is what was seen of a row.
type window struct {
	begin, end int64 // of what is measured, ns since the epoch
	samples    Samples
	used       used // between the two
}

// used is CPU time by who used it.
type used struct{ Target, Redis, Receiver, Publishers time.Duration }

func (u used) minus(v used) used {
	return used{u.Target - v.Target, u.Redis - v.Redis, u.Receiver - v.Receiver, u.Publishers - v.Publishers}
}

func (b *bench) used(ctx context.Context, t *target) (u used, err error) {
	if u.Target, err = t.cpu(ctx); err != nil {
		return u, err
	}
	if u.Receiver, err = b.receiver.cpu(ctx); err != nil {
		return u, err
	}
	if t.redis == nil { // its publishers are in its own process
		return u, nil
	}
	if u.Redis, err = t.redis(ctx); err != nil {
		return u, err
	}
	u.Publishers, err = cpuTime()
	return u, err
}

// window puts the target under load and measures a part of it.
func (b *bench) window(ctx context.Context, t *target, p plan, load Load) (w window, err error) {
	loading, endLoad := context.WithCancel(ctx)
	var samples Samples
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		samples, failed = t.run(loading, load)
	}()
	defer func() {
		endLoad()
		<-ended
		w.samples, err = samples, errors.Join(err, failed)
	}()
	if !pass(ctx, p.warmUp, ended) {
		return w, cmp.Or(ctx.Err(), errors.New("the load ended during the warm-up"))
	}
	if b.options.CPUProfile != "" {
		name := strings.NewReplacer(",", "", " ", "-", "/", "-").Replace(p.String()) + ".pprof"
		if err := t.call(ctx, "Process.StartProfile", filepath.Join(b.options.CPUProfile, name), &None{}); err != nil {
			return w, err
		}
	}
	before, err := b.used(ctx, t)
	if err != nil {
		return w, err
	}
	w.begin = time.Now().UnixNano()
	pass(ctx, p.duration, ended)
	w.end = time.Now().UnixNano()
	after, err := b.used(ctx, t)
	if err != nil {
		return w, err
	}
	w.used = after.minus(before)
	if b.options.CPUProfile != "" {
		return w, t.call(ctx, "Process.StopProfile", None{}, &None{})
	}
	return w, nil
}

// pass lets time pass; false when the load or ctx ended before.
func pass(ctx context.Context, d time.Duration, ended <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ended:
	case <-ctx.Done():
	}
	return false
}

const (
	drainPatience = 60 * time.Second
	drainPoll     = 10 * time.Millisecond
)

// drain waits until every accepted event that counts has arrived. What has not by the end of its patience is missing.
func (b *bench) drain(ctx context.Context, p plan, s Samples) error {
	accepted := 0
	for _, e := range s.Events {
		if !e.Failed && p.counts(e.N) {
			accepted++
		}
	}
	patience, cancel := context.WithTimeout(ctx, drainPatience)
	defer cancel()
	for {
		var n int
		if err := b.receiver.call(ctx, "Part.Count", None{}, &n); err != nil {
			return err
		}
		if n >= accepted || !pass(patience, drainPoll, nil) {
			return ctx.Err()
		}
	}
}

// fill works out the row's figures, from the events that count.
func (r *Row) fill(w window, load Load, arrivals Arrivals, counts func(n int) bool) error {
	first := make(map[int]int64, len(arrivals.IDs))
	for i, id := range arrivals.IDs {
		n, ours := load.number(id)
		if !ours || !counts(n) {
			return fmt.Errorf("the receiver got event %q, which is not of this row", id)
		}
		if _, again := first[n]; again {
			r.Repeated++
			continue
		}
		first[n] = arrivals.At[i]
		if at := arrivals.At[i]; at >= w.begin && at < w.end {
			r.Delivered++
		}
	}
	var answers, trips []time.Duration
	for _, s := range w.samples.Events {
		if s.Failed || !counts(s.N) {
			continue
		}
		at, arrived := first[s.N]
		if !arrived {
			r.Missing++
		}
		if s.Start < w.begin || s.Start >= w.end {
			continue
		}
		r.Published++
		answers = append(answers, time.Duration(s.Answer-s.Start))
		if arrived {
			trips = append(trips, time.Duration(at-s.Start))
		}
	}
	r.ErrorTexts = w.samples.Errors
	for n := range maps.Values(w.samples.Errors) {
		r.Errors += n
	}
	r.Seconds = time.Duration(w.end - w.begin).Seconds()
	r.PerSecond = float64(r.Delivered) / r.Seconds
	r.Answer, r.Arrival = percentiles(answers), percentiles(trips)
	r.trips = trips
	if last := slices.Max(append(slices.Collect(maps.Values(first)), w.end)); last > w.end {
		r.DrainMS = milliseconds(time.Duration(last - w.end))
	}
	if r.Delivered > 0 {
		per := func(d time.Duration) float64 { return milliseconds(d) / float64(r.Delivered) }
		r.CPU = CPU{per(w.used.Target), per(w.used.Redis), per(w.used.Receiver), per(w.used.Publishers)}
	}
	return nil
}

// percentiles sorts the samples; each percentile is the least sample that this share of them does not exceed.
func percentiles(samples []time.Duration) Percentiles {
	if len(samples) == 0 {
		return Percentiles{}
	}
	slices.Sort(samples)
	at := func(percent int) float64 {
		return milliseconds(samples[max(0, (len(samples)*percent+99)/100-1)])
	}
	return Percentiles{at(50), at(95), at(99)}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// loadAverage is how many wanted to run in the last 1, 5 and 15 minutes, where the system tells.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) > 2 {
		return strings.Join(fields[:3], " ")
	}
	return "unknown"
}
