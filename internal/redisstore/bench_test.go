package redisstore

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

// cpu is the seconds of CPU that Redis has used.
func (s *server) cpu(b *testing.B) float64 {
	b.Helper()
	info, err := s.client.Info(b.Context(), "cpu").Result()
	require.NoError(b, err)
	var sum float64
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_sys" || name == "used_cpu_user" {
			n, err := strconv.ParseFloat(value, 64)
			require.NoError(b, err)
			sum += n
		}
	}
	return sum
}

// script is the mean time in µs that Redis has spent in a script.
func (s *server) script(b *testing.B) float64 {
	b.Helper()
	info, err := s.client.Info(b.Context(), "commandstats").Result()
	require.NoError(b, err)
	_, after, found := strings.Cut(info, "cmdstat_evalsha:")
	require.True(b, found)
	_, after, _ = strings.Cut(after, "usec_per_call=")
	value, _, _ := strings.Cut(after, ",")
	mean, err := strconv.ParseFloat(value, 64)
	require.NoError(b, err)
	return mean
}

// BenchmarkRecord records first and successful attempts, 64 in a pipeline, at all caps.
func BenchmarkRecord(b *testing.B) {
	for _, webhooks := range []int{1, 100} {
		b.Run(fmt.Sprintf("webhooks=%d", webhooks), func(b *testing.B) {
			store, srv := setup(b, Options{})
			for i := range webhooks {
				write(b, store, testWebhook(fmt.Sprintf("wh_1700000000000_abcdef%03d", i)))
			}
			var n atomic.Int64
			batch := func(size int) []Record {
				records := make([]Record, size)
				for i := range records {
					k := n.Add(1)
					records[i] = delivered(fmt.Sprintf("wh_1700000000000_abcdef%03d", k%int64(webhooks)), fmt.Sprintf("evt_%d_abcdefghi", 1700000000000+k), 1700000000000+k/4)
					records[i].Delivery.Attempts[0].ResponseBody = `{"ok":true}`
				}
				return records
			}
			for range 200 {
				require.NoError(b, store.Record(b.Context(), batch(64)))
			}
			require.NoError(b, srv.client.ConfigResetStat(b.Context()).Err())
			before := srv.cpu(b)
			b.ReportAllocs()
			b.ResetTimer()
			done := 0
			for b.Loop() {
				require.NoError(b, store.Record(b.Context(), batch(64)))
				done += 64
			}
			b.StopTimer()
			b.ReportMetric((srv.cpu(b)-before)*1e6/float64(done), "redis-µs/record")
			b.ReportMetric(srv.script(b), "script-µs/record")
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkRecordEncoding is the part of it that runs here, without Redis.
func BenchmarkRecordEncoding(b *testing.B) {
	store := New(nil, Options{})
	r := delivered("wh_1700000000000_abcdefghi", "evt_1700000000000_abcdefghi", 1700000000000)
	b.ReportAllocs()
	for b.Loop() {
		p, err := store.newStep(&r)
		require.NoError(b, err)
		_, err = store.callOf(p)
		require.NoError(b, err)
	}
}

func BenchmarkBeginEvents(b *testing.B) {
	store, _ := setup(b, Options{})
	write(b, store, testWebhook("wh_1"))
	n := 0
	for b.Loop() {
		ids := make([]string, 16)
		for i := range ids {
			n++
			ids[i] = "evt_" + strconv.Itoa(n)
		}
		_, _, err := store.BeginEvents(b.Context(), ids)
		require.NoError(b, err)
	}
}

func fill(b *testing.B, store *Store, n int) (first int64) {
	for i := range n {
		w := testWebhook(fmt.Sprintf("wh_%06d", i))
		w.Secret, w.Filters = "0123456789abcdef0123456789abcdef", holdfast.Filters{JobTypes: []string{"image", "video"}}
		if r := write(b, store, w); first == 0 {
			first = r
		}
	}
	return first
}

func BenchmarkFullLoad10k(b *testing.B) {
	store, srv := setup(b, Options{})
	fill(b, store, 10_000)
	require.NoError(b, srv.client.ConfigResetStat(b.Context()).Err())
	before, loads := srv.cpu(b), 0
	for b.Loop() {
		f, err := store.Changes(b.Context(), 0)
		require.NoError(b, err)
		require.Len(b, f.Webhooks, 10_000)
		loads++
	}
	b.ReportMetric((srv.cpu(b)-before)*1e3/float64(loads), "redis-ms/load")
}

func BenchmarkChangesIn10k(b *testing.B) {
	store, srv := setup(b, Options{Limits: Limits{Changes: 20_000}})
	first := fill(b, store, 10_000)
	at, err := store.Position(b.Context())
	require.NoError(b, err)
	last10 := write(b, store, testWebhook("wh_000001"))
	for i := range 10 {
		write(b, store, testWebhook(fmt.Sprintf("wh_%06d", i)))
	}
	for _, c := range []struct {
		name  string
		since int64
		want  int
	}{{"none", 0, 0}, {"10", last10, 10}, {"10000", first, 10_000}} {
		b.Run(c.name, func(b *testing.B) {
			since := c.since
			if since == 0 {
				at, err = store.Position(b.Context())
				require.NoError(b, err)
				since = at.Revision
			}
			before, loads := srv.cpu(b), 0
			for b.Loop() {
				f, err := store.Changes(b.Context(), since)
				require.NoError(b, err)
				require.False(b, f.Full)
				require.Len(b, f.Webhooks, c.want)
				loads++
			}
			b.ReportMetric((srv.cpu(b)-before)*1e3/float64(loads), "redis-ms/read")
		})
	}
}
