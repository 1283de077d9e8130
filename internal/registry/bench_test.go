package registry

import (
	"flag"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

var million = flag.Bool("million", false, "also measure with a million webhooks")

func sizes() []int {
	all := []int{1_000, 10_000, 100_000}
	if *million {
		all = append(all, 1_000_000)
	}
	return all
}

// many returns webhooks of which each wants one job type of its own and most have another filter besides.
func many(n int) []*holdfast.Webhook {
	all := make([]*holdfast.Webhook, n)
	for i := range all {
		w := webhook(fmt.Sprintf("wh_%013d", i), "complete_job", "job_failed")
		w.CreatedAt, w.Revision = 1_700_000_000_000+int64(i*7%n), int64(i+1)
		w.Filters.JobTypes = []string{fmt.Sprintf("type-%d", i)}
		switch i % 3 {
		case 1:
			w.Filters.WorkerIDs = []string{fmt.Sprintf("worker-%d", i)}
		case 2:
			w.Filters.Priorities = []float64{1, 2}
		}
		all[i] = w
	}
	return all
}

// measure also reports the time of the processors, which does not depend on what else the machine does.
func measure(b *testing.B, do func()) {
	b.Helper()
	used := func() time.Duration {
		var usage syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
		return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	runtime.GC()
	b.ReportAllocs()
	before := used()
	n := 0
	for b.Loop() {
		do()
		n++
	}
	b.ReportMetric(float64((used()-before).Nanoseconds())/1e3/float64(n), "cpu-µs/op")
}

func loaded(b *testing.B, n int) *Snapshot {
	b.Helper()
	opts := testOptions
	at := Position{Revision: int64(n), Incarnation: "one", Complete: true}
	return opts.load(nil, Feed{Position: at, Full: true, Webhooks: many(n)}, false)
}

// BenchmarkMatch finds one webhook of many; those that do not match must not cost anything.
func BenchmarkMatch(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("webhooks=%d", n), func(b *testing.B) {
			s := loaded(b, n)
			data := fmt.Appendf(nil, `{"job_id":"j","job_type":"type-%d","priority":1,"worker_id":"worker-x"}`, n/3*3-1)
			e := &holdfast.Event{ID: "1", Type: "job_failed", Data: data}
			require.Len(b, s.Match(e), 1)
			measure(b, func() { s.Match(e) })
		})
	}
}

// BenchmarkRefresh applies one change.
func BenchmarkRefresh(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("webhooks=%d", n), func(b *testing.B) {
			s, opts, i := loaded(b, n), testOptions, 0
			measure(b, func() {
				i++
				w := *s.Webhook(fmt.Sprintf("wh_%013d", i*7919%n))
				w.Revision = s.position.Revision + 1
				at := s.position
				at.Revision = w.Revision
				s = opts.follow(s, Feed{Position: at, Webhooks: []*holdfast.Webhook{&w}})
			})
			require.Equal(b, n, s.Len())
		})
	}
}

// BenchmarkBuild makes a snapshot of everything, without reading it.
func BenchmarkBuild(b *testing.B) {
	for _, n := range sizes() {
		b.Run(fmt.Sprintf("webhooks=%d", n), func(b *testing.B) {
			opts, feed := testOptions, Feed{Position: Position{Revision: 1, Complete: true}, Full: true, Webhooks: many(n)}
			measure(b, func() { opts.load(nil, feed, false) })
		})
	}
}
