package server

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"

	holdfast "github.com/emprops/holdfast"
)

// readyTimeout bounds a readiness check; a component that does not answer within it is not ready.
const readyTimeout = 3 * time.Second

// mountHealth adds gRPC health, /livez (the process serves) and /readyz (it can do its work: 200 or 503).
func mountHealth(mux *http.ServeMux, c Checker, services []string, opts ...connect.HandlerOption) {
	mux.Handle(grpchealth.NewHandler(grpcHealth{c, services}, opts...))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		components, ready := c.Ready(ctx)
		answer := readiness{Status: "ok", Components: components}
		status := http.StatusOK
		if !ready {
			answer.Status, status = "unavailable", http.StatusServiceUnavailable
		}
		writeJSON(w, status, answer)
	})
}

type readiness struct {
	Status     string            `json:"status"`
	Components map[string]string `json:"components"`
}

// grpcHealth answers gRPC health checks with the state of what the node depends on, the same for every service.
type grpcHealth struct {
	checker  Checker
	services []string
}

// Check implements grpchealth.Checker.
func (h grpcHealth) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if req.Service != "" && !slices.Contains(h.services, req.Service) {
		return nil, connect.NewError(connect.CodeNotFound, holdfast.Errorf(holdfast.CodeNotFound, "unknown service"))
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if _, ready := h.checker.Ready(ctx); !ready {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error here is the caller's broken connection
}

// mountMetrics adds GET /metrics, which Prometheus scrapes.
func mountMetrics(mux *http.ServeMux, metrics http.Handler) {
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
}

// NewHealth returns a handler of health and metrics alone, for processes without an API. health answers GET /health.
func NewHealth(c Checker, metrics, health http.Handler) http.Handler {
	mux := http.NewServeMux()
	mountHealth(mux, c, serviceNames())
	mountMetrics(mux, metrics)
	mux.Handle("GET /health", health)
	return mux
}
