package telemetry_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/telemetry"
)

// Whoever can scrape must not be able to have Redis asked without bound.
func TestScrapesAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	const bound = 4
	asked, release := make(chan struct{}, bound+1), make(chan struct{})
	handler := telemetry.NewMetrics("test", func(context.Context) telemetry.State {
		asked <- struct{}{}
		<-release
		return telemetry.State{}
	}).Handler()
	scrape := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		return w.Code
	}
	var under sync.WaitGroup
	codes := make([]int, bound)
	for i := range codes {
		under.Go(func() { codes[i] = scrape() })
	}
	for range bound {
		<-asked
	}
	require.Equal(t, http.StatusServiceUnavailable, scrape())
	close(release)
	under.Wait()
	require.Equal(t, []int{200, 200, 200, 200}, codes)
	require.Equal(t, http.StatusOK, scrape())
}
