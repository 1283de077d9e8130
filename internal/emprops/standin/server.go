// Package standin is a server that behaves as CONTRACT 7.5 describes the EMPROPS platform, for development and tests. It
// keeps real state, and it can be told over HTTP to fail in the ways a platform fails.
//
// Besides the platform's routes (POST /webhooks, GET /webhooks, GET|PUT|DELETE /webhooks/{id}, GET|PUT /jobs/{id},
// GET /health) it has its own, which are plain JSON without the {data,error} envelope, need no key and are never faulted:
// GET|PUT|DELETE /_standin/faults, GET /_standin/log (the last 200 requests, oldest first) and GET /_standin/writes (per
// webhook id, how many writes changed something).
package standin

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// Options configure a Server.
type Options struct {
	Path   string      // the JSON file the data lives in; "" keeps it in memory
	APIKey string      // required as a bearer token when set
	Logger *zap.Logger // nil logs nothing
}

// Server is the stand-in. Use it as an http.Handler, or listen with Start.
type Server struct {
	options Options
	log     *zap.Logger
	mux     *http.ServeMux // the platform's routes
	control *http.ServeMux // our own

	store   *store
	faults  *faults
	journal *journal

	mu       sync.Mutex // guards the listener's fields
	listener net.Listener
	server   *http.Server
	release  context.CancelFunc // ends requests that hang
	served   chan struct{}
}

// New makes a server with the data found at Options.Path. The error is CodeInvalid when that file holds something else
// and CodeUnavailable when it cannot be read.
func New(options Options) (*Server, error) {
	data, err := openStore(options.Path)
	if err != nil {
		return nil, err
	}
	s := &Server{options: options, log: options.Logger, store: data, faults: newFaults(), journal: &journal{}}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.mux = s.routes()
	s.control = s.controlRoutes()
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if handler, pattern := s.control.Handler(r); pattern != "" {
		handler.ServeHTTP(w, r)
		return
	}
	s.platform(w, r)
}

// Start listens on addr; port 0 picks a free one. ctx bounds the start only. The error is CodeUnavailable when the
// address cannot be had and CodePrecondition when the server runs already.
func (s *Server) Start(ctx context.Context, addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return holdfast.Errorf(holdfast.CodePrecondition, "the EMPROPS stand-in is already running")
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the EMPROPS stand-in cannot listen on %s", addr)
	}
	base, release := context.WithCancel(context.WithoutCancel(ctx))
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          zap.NewStdLog(s.log),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("EMPROPS stand-in stopped serving", zap.Error(err))
		}
	}()
	s.listener, s.server, s.release, s.served = listener, server, release, served
	s.log.Info("EMPROPS stand-in listens", zap.String("address", listener.Addr().String()))
	return nil
}

// Stop ends hanging requests, finishes the others and closes the listener; past ctx it cuts connections. Stopping a
// server that does not run does nothing. The error is CodeUnavailable when connections had to be cut.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	s.release()
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	<-s.served
	s.listener, s.server, s.release, s.served = nil, nil, nil, nil
	if err != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "the EMPROPS stand-in did not stop in time; its connections were cut")
	}
	return nil
}

// URL is the base URL while the server listens, "" otherwise. A listener on every address is named by loopback.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	addr := s.listener.Addr()
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
	}
	return "http://" + addr.String()
}

// reply is an answer before it is written, so that a fault can delay or lose it after the request took effect.
type reply struct {
	status  int
	header  http.Header
	data    any
	problem string // the envelope's error; "" for success
}

func failed(status int, problem string) reply { return reply{status: status, problem: problem} }

func (r reply) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	if r.status == http.StatusNoContent {
		w.WriteHeader(r.status)
		return
	}
	var envelope struct {
		Data  any     `json:"data"`
		Error *string `json:"error"`
	}
	envelope.Data = r.data
	if r.problem != "" {
		envelope.Error = &r.problem
	}
	writeJSON(w, r.status, envelope)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is no problem of ours
}
