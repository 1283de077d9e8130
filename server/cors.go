package server

import (
	"net/http"
	"net/url"
	"slices"

	"connectrpc.com/connect"
	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"

	"github.com/emprops/holdfast/internal/apikey"
)

// withCORS lets scripts of exactly these origins call, of all with "*" among them, and of this server's own pages. No other
// pattern is understood: one that matches too much, as the original's did with any origin containing "localhost", opens the
// API to strangers (CONTRACT 1.1, D64). Scripts of other origins are refused before anything is done (D60).
func withCORS(o Options, next http.Handler) http.Handler {
	allowed := func(origin string) bool {
		return slices.Contains(o.AllowedOrigins, origin) || slices.Contains(o.AllowedOrigins, "*")
	}
	errorWriter := connect.NewErrorWriter()
	known := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && !allowed(origin) && !isOwn(origin, o.PublicURL, r) {
			refuse(w, r, errorWriter, connect.CodePermissionDenied, "Not allowed by CORS: "+origin)
			return
		}
		next.ServeHTTP(w, r)
	})
	if len(o.AllowedOrigins) == 0 {
		return known
	}
	return cors.New(cors.Options{
		AllowOriginFunc: allowed,
		AllowedMethods:  append(connectcors.AllowedMethods(), http.MethodPut, http.MethodDelete), // of the REST API
		AllowedHeaders:  append(connectcors.AllowedHeaders(), "Authorization", apikey.Header, "Idempotency-Key", ActorHeader),
		ExposedHeaders:  append(connectcors.ExposedHeaders(), "Retry-After"),
		MaxAge:          7200, // seconds; the longest a browser honours
	}).Handler(known)
}

// isOwn tells whether an origin is this server, by the name it was called by or by its public one. Browsers name the origin
// of pages that call their own server too.
func isOwn(origin, publicURL string, r *http.Request) bool {
	from, err := url.Parse(origin)
	public, publicErr := url.Parse(publicURL)
	return err == nil && from.Host != "" &&
		(from.Host == r.Host || publicErr == nil && from.Scheme == public.Scheme && from.Host == public.Host)
}
