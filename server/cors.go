package server

import (
	"net/http"
	"slices"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"
)

// withCORS lets scripts of exactly these origins call, of all with "*" among them. No other pattern is understood: one that
// matches too much, as the original's did with any origin containing "localhost", opens the API to strangers (CONTRACT 1.1).
func withCORS(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowOriginFunc: func(origin string) bool { return slices.Contains(origins, origin) || slices.Contains(origins, "*") },
		AllowedMethods:  append(connectcors.AllowedMethods(), http.MethodPut, http.MethodDelete), // of the REST API
		AllowedHeaders:  append(connectcors.AllowedHeaders(), "Authorization", "Idempotency-Key", ActorHeader),
		ExposedHeaders:  append(connectcors.ExposedHeaders(), "Retry-After"),
		MaxAge:          7200, // seconds; the longest a browser honours
	}).Handler(next)
}
