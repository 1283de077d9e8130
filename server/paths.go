package server

import (
	"net/http"
	"slices"
	"strings"
)

// The words of the original's paths, those that begin one and those that come later.
var (
	firstWords = []string{"webhooks", "stats", "deliveries", "health", "test-receivers", "webhook-monitor"}
	laterWords = []string{"test", "stats", "deliveries", "reconnect", "summary", "recent", "webhook", "requests"}
)

// LenientPaths has the original's routes found whatever the case of their words and with a slash at their end (CONTRACT 1).
// Ids keep theirs.
func LenientPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := plainPath(r.URL.Path); path != r.URL.Path {
			same := *r
			plain := *r.URL
			plain.Path, plain.RawPath = path, ""
			same.URL = &plain
			r = &same
		}
		next.ServeHTTP(w, r)
	})
}

func plainPath(path string) string {
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	if len(parts) < 2 || !slices.Contains(firstWords, strings.ToLower(parts[1])) {
		return path
	}
	parts[1] = strings.ToLower(parts[1])
	for i := 2; i < len(parts); i++ {
		if lower := strings.ToLower(parts[i]); slices.Contains(laterWords, lower) {
			parts[i] = lower
		}
	}
	return strings.Join(parts, "/")
}
