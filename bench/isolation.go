//go:build !lean

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The rows of isolation: one node, many webhooks that get as many events each, in one row all of them good and in the other
// a few bad. What differs between the good ones in the two is what the bad ones cost them (G7).

// The names of the rows.
const (
	nameAllGood = "isolation, all good"
	nameSomeBad = "isolation, 3 of 20 bad"
)

const (
	isolationWebhooks = 20
	isolationRate     = 10   // events per second of each webhook
	isolationP95      = 1.10 // p95 with bad ones beside, as a multiple of that without: less
)

// badEndpoints are the bad ones by number: apart from each other, since events go round the webhooks in order.
func badEndpoints() map[int]behaviour {
	return map[int]behaviour{3: slow, 9: refusing, 16: stalling}
}

// endpoints are how the endpoints of the row behave. Those that are bad in one row are aside in the other, so that both
// show the same webhooks.
func (p plan) endpoints() []behaviour {
	if !p.isolation() {
		return []behaviour{answering}
	}
	all := slices.Repeat([]behaviour{answering}, isolationWebhooks)
	for i, how := range badEndpoints() {
		all[i] = aside
		if p.name == nameSomeBad {
			all[i] = how
		}
	}
	return all
}

func (p plan) isolation() bool { return p.name == nameAllGood || p.name == nameSomeBad }

// counts tells whether the row's figures count event n.
func (p plan) counts(n int) bool {
	all := p.endpoints()
	return all[n%len(all)] == answering
}

// hooks are the webhooks of the row, in the order of their endpoints.
func (p plan) hooks(o *options, urls []string) []hook {
	if !p.isolation() {
		return []hook{{url: urls[0], data: payload(o.Payload, `"job_id":"job-1"`)}}
	}
	var hooks []hook
	for i, url := range urls {
		jobType := fmt.Sprintf("type-%02d", i)
		_, bad := badEndpoints()[i]
		hooks = append(hooks, hook{url, jobType, bad && o.IsolationStatic, payload(o.Payload, `"job_type":"`+jobType+`"`)})
	}
	return hooks
}

// isolationPlans lists the rows, every other round the other way round, so that a drift of the machine cancels out.
func isolationPlans(o *options) []plan {
	var all []plan
	for round := range o.IsolationRounds {
		pair := []plan{{name: nameAllGood}, {name: nameSomeBad}}
		if round%2 == 1 {
			slices.Reverse(pair)
		}
		for _, p := range pair {
			p.round, p.rate = round+1, isolationWebhooks*isolationRate
			p.duration, p.warmUp = o.IsolationDuration, o.IsolationWarmUp
			all = append(all, p)
		}
	}
	return all
}

// Isolation compares the rows: publish to arrival at the webhooks that are good in both.
type Isolation struct {
	Static    bool        `json:"bad_webhooks_static"`
	AllGood   Percentiles `json:"all_good_arrival_ms"` // all rounds together
	SomeBad   Percentiles `json:"some_bad_arrival_ms"`
	P95Ratio  float64     `json:"p95_ratio"`
	PerRound  []float64   `json:"p95_ratio_per_round"`
	Unchanged []float64   `json:"p95_ratio_all_good_to_first_round"` // what chance and drift alone do
}

// newIsolation returns nil when there is nothing to compare.
func newIsolation(o *options, rows []Row) *Isolation {
	trips := map[string][]time.Duration{}
	p95 := map[string][]float64{} // by round
	for _, row := range rows {
		trips[row.Name] = append(trips[row.Name], row.trips...)
		p95[row.Name] = append(p95[row.Name], row.Arrival.P95)
	}
	i := &Isolation{Static: o.IsolationStatic, AllGood: percentiles(trips[nameAllGood]), SomeBad: percentiles(trips[nameSomeBad])}
	if i.AllGood.P95 == 0 || i.SomeBad.P95 == 0 {
		return nil
	}
	i.P95Ratio = i.SomeBad.P95 / i.AllGood.P95
	for round, good := range p95[nameAllGood] {
		i.PerRound = append(i.PerRound, p95[nameSomeBad][round]/good)
		if round > 0 {
			i.Unchanged = append(i.Unchanged, good/p95[nameAllGood][0])
		}
	}
	return i
}

func (i *Isolation) target() Target {
	return Target{
		fmt.Sprintf("arrival p95 at good webhooks beside bad ones, as a multiple of that without: under %.2f", isolationP95),
		i.P95Ratio, i.P95Ratio < isolationP95,
	}
}

// String tells the figures of all rounds together.
func (i *Isolation) String() string {
	var b strings.Builder
	kind := map[bool]string{true: "static", false: "disconnected after failures"}[i.Static]
	fmt.Fprintf(&b, "isolation, arrival at the %d webhooks good in both, the bad ones %s; p50 / p95 / p99 ms:\n",
		isolationWebhooks-len(badEndpoints()), kind)
	for _, line := range []struct {
		text string
		Percentiles
	}{{"all good", i.AllGood}, {"3 of 20 bad", i.SomeBad}} {
		fmt.Fprintf(&b, "  %-11s  %.2f / %.2f / %.2f\n", line.text, line.P50, line.P95, line.P99)
	}
	fmt.Fprintf(&b, "  p95 ratio %.3f; by round %.3f", i.P95Ratio, i.PerRound)
	if len(i.Unchanged) > 0 {
		fmt.Fprintf(&b, "; of all good in later rounds to the first %.3f", i.Unchanged)
	}
	return b.String() + "\n"
}
