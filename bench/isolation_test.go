//go:build !lean

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRun_isolationCountsTheSameWebhooksInBothRows(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	code := run(t.Context(), []string{
		"--rows", "isolation", "--isolation-rounds", "1", "--isolation-duration", "1s", "--isolation-warm-up", "500ms", "--json",
	}, &out, t.Output())
	require.Equal(t, exitOK, code)
	var report Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &report), out.String())
	require.Len(t, report.Rows, 2)
	require.Equal(t, []string{nameAllGood, nameSomeBad}, []string{report.Rows[0].Name, report.Rows[1].Name})
	for _, row := range report.Rows {
		require.Equal(t, []int{0, 0, 0}, []int{row.Errors, row.Missing, row.Repeated}, "%+v", row)
		require.InDelta(t, 170, float64(row.Published)/row.Seconds, 10, "17 webhooks at 10 events/s: %+v", row)
		require.LessOrEqual(t, row.Arrival.P95, row.Arrival.P99, "%+v", row)
	}
	require.NotNil(t, report.Isolation)
	require.True(t, report.Isolation.Static)
	require.InEpsilon(t, report.Rows[1].Arrival.P95/report.Rows[0].Arrival.P95, report.Isolation.P95Ratio, 1e-9)
}

func TestPlans_isolationRoundsAlternate(t *testing.T) {
	t.Parallel()
	o, err := parseOptions([]string{"--rows", "isolation", "--isolation-rounds", "3"})
	require.NoError(t, err)
	var names []string
	for _, p := range plans(&o) {
		names = append(names, p.name)
		require.Equal(t, 200, p.rate)
	}
	require.Equal(t, []string{nameAllGood, nameSomeBad, nameSomeBad, nameAllGood, nameAllGood, nameSomeBad}, names)
}

func TestPlan_isolationWebhooksWantOneJobTypeEach(t *testing.T) {
	t.Parallel()
	for _, static := range []bool{true, false} {
		o := options{Payload: 1024, IsolationStatic: static}
		good, bad := plan{name: nameAllGood}, plan{name: nameSomeBad}
		hooks := bad.hooks(&o, make([]string, isolationWebhooks))
		require.Len(t, hooks, isolationWebhooks)
		types := map[string]bool{}
		counted := 0
		for n, h := range hooks {
			types[h.jobType] = true
			var data struct {
				JobType string `json:"job_type"`
			}
			require.NoError(t, json.Unmarshal(h.data, &data))
			require.Equal(t, h.jobType, data.JobType)
			require.Len(t, h.data, o.Payload)
			require.Equal(t, good.counts(n), bad.counts(n))
			require.Equal(t, static && !bad.counts(n), h.static)
			if bad.counts(n + isolationWebhooks) {
				counted++
			}
		}
		require.Len(t, types, isolationWebhooks)
		require.Equal(t, 17, counted)
		require.NotContains(t, good.endpoints(), refusing)
		require.Subset(t, bad.endpoints(), []behaviour{slow, refusing, stalling})
	}
}

func TestReport_isolationComparesAllRoundsTogether(t *testing.T) {
	t.Parallel()
	row := func(name string, round int, each time.Duration) Row { // 100 events, the last 6 of them ten times as long
		trips := slices.Concat(slices.Repeat([]time.Duration{each}, 94), slices.Repeat([]time.Duration{10 * each}, 6))
		return Row{Name: name, Round: round, Rate: 200, trips: trips, Arrival: percentiles(trips)}
	}
	const ms = time.Millisecond
	for _, c := range []struct {
		bad1, bad2 time.Duration
		ratio      float64
		holds      bool
	}{{2 * ms, 4 * ms, 1, true}, {3 * ms, 9 * ms, 1.5, false}} {
		report := newReport(options{IsolationStatic: true}, []Row{
			row(nameAllGood, 1, 2*ms), row(nameSomeBad, 1, c.bad1), row(nameSomeBad, 2, c.bad2), row(nameAllGood, 2, 4*ms),
		})
		require.Equal(t, &Isolation{
			Static: true, AllGood: Percentiles{4, 20, 40}, SomeBad: report.Isolation.SomeBad,
			P95Ratio: c.ratio, PerRound: []float64{float64(c.bad1) / float64(2*ms), float64(c.bad2) / float64(4*ms)}, Unchanged: []float64{2},
		}, report.Isolation)
		require.InDelta(t, 20*c.ratio, report.Isolation.SomeBad.P95, 1e-9)
		require.Equal(t, c.holds, report.Targets[0].Holds, "%+v", report.Targets)
		require.Equal(t, c.holds, report.hold())
		var text strings.Builder
		require.NoError(t, report.writeText(&text))
		require.Contains(t, text.String(), "p95 ratio "+map[bool]string{true: "1.000", false: "1.500"}[c.holds])
		require.Contains(t, text.String(), "the bad ones static")
	}
	require.Nil(t, newReport(options{}, []Row{row(nameAllGood, 1, ms)}).Isolation, "one row alone compares with nothing")
}

func TestReceiver_badEndpointsAreBadUntilReleased(t *testing.T) {
	t.Parallel()
	r := &Receiver{}
	t.Cleanup(func() { require.NoError(t, r.stop()) })
	var urls []string
	require.NoError(t, r.Open([]behaviour{answering, aside, refusing, slow, stalling}, &urls))
	post := func(url string) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set(eventIDHeader, "e")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, res.Body.Close())
		return res.StatusCode, err
	}
	for _, url := range urls[:2] {
		status, err := post(url)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
	}
	_, err := post(urls[2])
	require.ErrorContains(t, err, "refused")

	for _, url := range urls[3:] {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.Equal(t, url == urls[4], err == nil, "headers come only from the one that stalls: %v", err)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			require.NoError(t, res.Body.Close())
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	require.NoError(t, r.Release(None{}, nil))
	status, err := post(urls[3])
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	_, err = post(urls[4])
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)

	var noted int
	require.NoError(t, r.Count(None{}, &noted))
	require.Equal(t, 1, noted)
}
