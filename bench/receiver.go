//go:build !lean

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// eventIDHeader carries the event's id in every delivery (CONTRACT 4.2).
const eventIDHeader = "X-Event-ID"

// behaviour is how an endpoint treats what comes.
type behaviour string

// The behaviours.
const (
	answering behaviour = "answering" // notes when it came and answers 200
	aside     behaviour = "aside"     // answers 200 and notes nothing
	slow      behaviour = "slow"      // answers 200 after slowAnswer
	stalling  behaviour = "stalling"  // answers with headers whose body never comes
	refusing  behaviour = "refusing"  // takes no connection
)

// slowAnswer is also how long a delivery may take unless configured otherwise, so that these attempts are held for longest.
const slowAnswer = 30 * time.Second

// Receiver is the process that deliveries go to.
type Receiver struct {
	servers []*http.Server
	refused []int         // sockets that are bound and do not listen
	over    chan struct{} // closed to let everything held go

	mu   sync.Mutex
	log  Arrivals
	seen map[string]struct{}
}

// Arrivals are the requests received, in order.
type Arrivals struct {
	IDs []string
	At  []int64 // ns since the epoch, when the body was read
}

// Open opens an endpoint on a port of its own for each behaviour and answers their URLs.
func (r *Receiver) Open(all []behaviour, urls *[]string) error {
	if r.over == nil {
		r.over, r.seen = make(chan struct{}), map[string]struct{}{}
	}
	for _, how := range all {
		open := r.listen
		if how == refusing {
			open = r.refuse
		}
		address, err := open(how)
		if err != nil {
			return fmt.Errorf("opening an endpoint that is %s: %w", how, err)
		}
		*urls = append(*urls, "http://"+address+"/hook")
	}
	return nil
}

func (r *Receiver) listen(how behaviour) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	over := r.over
	handler := func(w http.ResponseWriter, req *http.Request) { r.receive(w, req, how, over) }
	server := &http.Server{Handler: http.HandlerFunc(handler), ReadHeaderTimeout: time.Minute}
	r.servers = append(r.servers, server)
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), nil
}

// refuse takes a port and does not listen on it: the system refuses connections, and nobody else can have the port.
func (r *Receiver) refuse(behaviour) (string, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return "", err
	}
	r.refused = append(r.refused, socket)
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", err
	}
	name, err := syscall.Getsockname(socket)
	if err != nil {
		return "", err
	}
	at, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return "", fmt.Errorf("a socket without an IPv4 address: %v", name)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.Port), nil
}

func (r *Receiver) receive(w http.ResponseWriter, req *http.Request, how behaviour, over <-chan struct{}) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	at, id := time.Now().UnixNano(), req.Header.Get(eventIDHeader)
	switch how {
	case answering:
		r.note(id, at)
	case slow:
		hold(req.Context(), slowAnswer, over)
	case stalling:
		w.Header().Set("Content-Length", "2")
		w.WriteHeader(http.StatusOK)
		if http.NewResponseController(w).Flush() == nil {
			hold(req.Context(), time.Hour, over)
		}
	case refusing, aside: // nothing listens for these
	}
}

// hold waits for d, for the client to give up, or for the end.
func hold(ctx context.Context, d time.Duration, over <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-over:
	}
}

func (r *Receiver) note(id string, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.IDs = append(r.log.IDs, id)
	r.log.At = append(r.log.At, at)
	r.seen[id] = struct{}{}
}

// Count answers how many different events have been noted since the last Take.
func (r *Receiver) Count(_ None, n *int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n = len(r.seen)
	return nil
}

// Take answers what has been noted and forgets it.
func (r *Receiver) Take(_ None, out *Arrivals) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	*out, r.log, r.seen = r.log, Arrivals{}, map[string]struct{}{}
	return nil
}

// Release ends the wait of everything that the endpoints opened so far hold, and of what still comes to them.
func (r *Receiver) Release(None, *None) error {
	close(r.over)
	r.over = make(chan struct{})
	return nil
}

func (r *Receiver) stop() error {
	if r.over != nil {
		close(r.over)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var err error
	for _, server := range r.servers {
		if server.Shutdown(ctx) != nil {
			err = errors.Join(err, server.Close())
		}
	}
	for _, socket := range r.refused {
		err = errors.Join(err, syscall.Close(socket))
	}
	return err
}
