//go:build !lean

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary its own child processes, as the program is.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(run(nil, nil, nil, nil)) //nolint:staticcheck // a child process uses none of them
	}
	m.Run()
}

func TestRun_everyPublishedEventArrivesExactlyOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code := run(t.Context(), []string{
		"--duration", "300ms", "--warm-up", "200ms", "--publishers", "4", "--rows", "publish,floor", "--json",
		"--cpuprofile", t.TempDir(),
	}, &out, t.Output())
	require.Equal(t, exitOK, code)
	var report Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &report), out.String())
	require.Len(t, report.Rows, 2)
	require.Equal(t, []string{nameHoldfast, nameFloor}, []string{report.Rows[0].Name, report.Rows[1].Name})
	for _, row := range report.Rows {
		require.Positive(t, row.Published, "%+v", row)
		require.Positive(t, row.Delivered, "%+v", row)
		require.Equal(t, []int{0, 0, 0}, []int{row.Errors, row.Missing, row.Repeated}, "%+v", row)
		require.InDelta(t, float64(row.Delivered)/row.Seconds, row.PerSecond, 0.001)
		for _, p := range []Percentiles{row.Answer, row.Arrival} {
			require.Positive(t, p.P50, "%+v", row)
			require.LessOrEqual(t, p.P50, p.P99, "%+v", row)
		}
		require.Positive(t, row.CPU.Process, "%+v", row)
		require.Positive(t, row.CPU.Receiver, "%+v", row)
	}
	require.Positive(t, report.Rows[0].Ratio)
	require.Positive(t, report.Rows[0].CPURatio)
	require.Positive(t, report.Rows[0].CPU.Redis)
	require.Positive(t, report.Rows[0].CPU.Publishers)
	require.True(t, report.hold(), "%+v", report.Targets)
	require.NoError(t, report.writeText(t.Output()))
}

// TestRun_interruptedLeavesNothing interrupts under load; that no process is left is what the return of run means.
func TestRun_interruptedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, interrupt := context.WithCancel(t.Context())
	watch := &watcher{out: t.Output(), text: "floor, 2 publishers", found: interrupt}
	require.Equal(t, exitMissed, run(ctx, []string{"--duration", "1h", "--publishers", "2", "--rows", "floor"}, io.Discard, watch))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// watcher calls found when the text is written.
type watcher struct {
	out   io.Writer
	text  string
	found func()
}

func (w *watcher) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.found()
	}
	return w.out.Write(p)
}

func TestRun_refusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"--rows publish,all": `"all" is not publish`, "--publishers 0": "between 1 and", "--payload 10": "between 64 and",
		"--duration 0s": "must be positive", "extra": `unexpected argument "extra"`, "--open-rates 0": "between 1 and",
		"--isolation-rounds 0": "between 1 and", "--isolation-duration 0s": "must be positive",
		"--isolation-warm-up -1s": "must be positive", "--max-events 0": "at least 1", "--nonsense": "unknown flag",
	} {
		var stderr bytes.Buffer
		require.Equal(t, exitUsage, run(t.Context(), strings.Fields(flags), io.Discard, &stderr), flags)
		require.Contains(t, stderr.String(), want)
	}
}

func TestRun_helpExplainsEveryFlagAndFigure(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"--help"}, &out, io.Discard))
	for _, text := range []string{"--publishers", "--open-rates", "--isolation-duration", "--check", legend} {
		require.Contains(t, out.String(), text)
	}
}

func TestRow_countsWhatIsMissingAndRepeated(t *testing.T) {
	t.Parallel()
	ms := int64(time.Millisecond)
	w := window{begin: 100 * ms, end: 1100 * ms, used: used{Target: 6 * time.Millisecond, Redis: 3 * time.Millisecond}}
	w.samples.Events = []Sample{
		{N: 1, Start: 50 * ms, Answer: 60 * ms},                   // in the warm-up
		{N: 2, Start: 100 * ms, Answer: 110 * ms},                 // arrives twice
		{N: 3, Start: 200 * ms, Answer: 230 * ms},                 // never arrives
		{N: 4, Start: 300 * ms, Answer: 350 * ms, Failed: true},   // refused, so it is not missing
		{N: 5, Start: 1000 * ms, Answer: 1020 * ms},               // arrives after the time measured
		{N: 6, Start: 1090 * ms, Answer: 1200 * ms, Failed: true}, // refused, and arrives all the same
	}
	w.samples.Errors = map[string]int{"full": 2}
	got := Row{Name: nameHoldfast}
	require.NoError(t, got.fill(w, Load{Prefix: "e-"}, Arrivals{
		IDs: []string{"e-2", "e-1", "e-2", "e-6", "e-5"},
		At:  []int64{105 * ms, 120 * ms, 400 * ms, 1095 * ms, 1150 * ms},
	}, plan{}.counts))
	require.Equal(t, []time.Duration{5 * time.Millisecond, 150 * time.Millisecond}, got.trips)
	got.trips = nil
	require.Equal(t, Row{
		Name: nameHoldfast, Seconds: 1, Published: 3, Delivered: 3, PerSecond: 3, Errors: 2, Missing: 1, Repeated: 1, DrainMS: 50,
		Answer: Percentiles{20, 30, 30}, Arrival: Percentiles{5, 150, 150}, CPU: CPU{Process: 2, Redis: 1},
		ErrorTexts: map[string]int{"full": 2},
	}, got)
	require.Error(t, new(Row).fill(w, Load{Prefix: "e-"}, Arrivals{IDs: []string{"f-1"}, At: []int64{1}}, plan{}.counts))

	report := newReport(options{}, []Row{got})
	require.False(t, report.hold(), "what is refused, missing or repeated misses a target")
}

func TestReport_comparesEachRowWithItsFloor(t *testing.T) {
	t.Parallel()
	report := newReport(options{}, []Row{
		{Name: nameHoldfast, Publishers: 64, PerSecond: 499, CPU: CPU{0.5, 0.25, 0.125, 0.125}},
		{Name: nameFloor, Publishers: 64, PerSecond: 1000, CPU: CPU{Process: 0.25, Receiver: 0.25}},
		{Name: nameHoldfast, Publishers: 256, PerSecond: 500}, {Name: nameFloor, Publishers: 256, PerSecond: 1000},
		{Name: nameUngrouped, Publishers: 64, PerSecond: 10}, {Name: nameFloorOff, Publishers: 64, PerSecond: 100},
		{Name: nameOpen, Rate: 50, Delivered: 1, Arrival: Percentiles{P50: 9}}, {Name: nameOpen, Rate: 200},
	})
	require.InDelta(t, 0.1, report.Rows[4].Ratio, 1e-9)
	require.InDelta(t, 2, report.Rows[0].CPURatio, 1e-9)
	var holds []bool
	for _, target := range report.Targets {
		holds = append(holds, target.Holds)
	}
	require.Equal(t, []bool{false, true, true, true}, holds)
}

func TestLoad_openLoopCountsFromWhenAnEventWasDue(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	load := Load{Prefix: "x", Rate: 1000, MaxEvents: 20, Limit: time.Minute}
	published := make(chan struct{}, load.MaxEvents)
	go func() {
		for range load.MaxEvents {
			<-published // all are under way although none is answered
		}
		close(release)
	}()
	got := load.run(t.Context(), func(context.Context, string) error {
		published <- struct{}{}
		<-release
		return nil
	})
	require.Len(t, got.Events, load.MaxEvents)
	starts := map[int]int64{}
	for _, s := range got.Events {
		starts[s.N] = s.Start
		require.GreaterOrEqual(t, s.Answer, s.Start)
	}
	for n := 2; n <= load.MaxEvents; n++ {
		require.Equal(t, time.Millisecond, time.Duration(starts[n]-starts[n-1]))
	}
}

func TestLoad_closedLoopCountsErrors(t *testing.T) {
	t.Parallel()
	got := Load{Prefix: "x", Callers: 3, MaxEvents: 10, Limit: time.Minute}.run(t.Context(), func(_ context.Context, id string) error {
		if id == "x7" {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	require.Len(t, got.Events, 10)
	require.Equal(t, map[string]int{io.ErrUnexpectedEOF.Error(): 1}, got.Errors)
}

func TestPayload_isJSONOfTheSizeAskedFor(t *testing.T) {
	t.Parallel()
	for _, size := range []int{minPayload, 1024, 100_000} {
		require.Len(t, payload(size, `"job_id":"job-1"`), size)
		require.True(t, json.Valid(payload(size, `"job_id":"job-1"`)))
	}
}
