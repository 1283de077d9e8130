package registry_test

import (
	"flag"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/testkit"
)

// BenchmarkFullLoad reads everything from Redis and makes a snapshot of it, refreshes a node after one change, and audits.
func BenchmarkFullLoad(b *testing.B) {
	sizes := []int{1_000, 10_000, 100_000}
	if f := flag.Lookup("million"); f != nil && f.Value.String() == "true" {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("webhooks=%d", n), func(b *testing.B) {
			store := redisstore.New(testkit.Redis(b), redisstore.Options{})
			var all sync.WaitGroup
			for part := range 8 {
				all.Go(func() {
					for i := part; i < n; i += 8 {
						w := hook(fmt.Sprintf("wh_%013d", i))
						w.Filters.JobTypes, w.Secret = []string{fmt.Sprint("type-", i)}, "0123456789abcdef0123456789abcdef"
						if _, err := store.WriteWebhook(b.Context(), w); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			complete(b, b.Context(), store)
			b.Run("full", func(b *testing.B) {
				for b.Loop() {
					node := newNode(store)
					require.NoError(b, node.Current(b.Context()))
					s, err := node.Snapshot()
					require.NoError(b, err)
					require.Equal(b, n, s.Len())
				}
			})
			b.Run("change", func(b *testing.B) {
				node := newNode(store)
				require.NoError(b, node.Current(b.Context()))
				for b.Loop() {
					b.StopTimer()
					revision := write(b, b.Context(), store, "wh_0000000000007")
					b.StartTimer()
					_, _, _, err := node.Refresh(b.Context(), revision)
					require.NoError(b, err)
				}
			})
			b.Run("audit", func(b *testing.B) {
				for b.Loop() {
					a, err := store.Audit(b.Context())
					require.NoError(b, err)
					require.Equal(b, n, a.Webhooks)
				}
			})
		})
	}
}
