//go:build !lean

package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// eventIDHeader carries the event's id in every delivery (CONTRACT 4.2).
const eventIDHeader = "X-Event-ID"

// Receiver is the process that deliveries go to: it reads them, notes when each came and answers 200.
type Receiver struct {
	server *http.Server
	mu     sync.Mutex
	log    Arrivals
	seen   map[string]struct{}
}

// Arrivals are the requests received, in order.
type Arrivals struct {
	IDs []string
	At  []int64 // ns since the epoch, when the body was read
}

// Start answers the URL to deliver to.
func (r *Receiver) Start(_ None, url *string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.seen = map[string]struct{}{}
	r.server = &http.Server{Handler: http.HandlerFunc(r.receive), ReadHeaderTimeout: time.Minute}
	go func() { _ = r.server.Serve(listener) }()
	*url = "http://" + listener.Addr().String() + "/hook"
	return nil
}

func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	at, id := time.Now().UnixNano(), req.Header.Get(eventIDHeader)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.IDs = append(r.log.IDs, id)
	r.log.At = append(r.log.At, at)
	r.seen[id] = struct{}{}
}

// Count answers how many different events have come since the last Take.
func (r *Receiver) Count(_ None, n *int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n = len(r.seen)
	return nil
}

// Take answers what has come and forgets it.
func (r *Receiver) Take(_ None, out *Arrivals) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	*out, r.log, r.seen = r.log, Arrivals{}, map[string]struct{}{}
	return nil
}

func (r *Receiver) stop() error {
	if r.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if r.server.Shutdown(ctx) != nil {
		return r.server.Close()
	}
	return nil
}
