package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// What a port is for: the values of PortBusyError.What. The flag of `holdfast dev` that sets the port is "--" + What + "-port".
const (
	PortTemporal   = "temporal"
	PortTemporalUI = "temporal-ui"
	PortRedis      = "redis"
)

// leftoverGrace is how long a start waits for what a killed predecessor still holds (a port, the lock of the data
// directory) before calling it taken: the system releases both within moments of the kill, but not before it returns.
const leftoverGrace = 5 * time.Second

// PortBusyError says that a wanted port is in use by somebody else.
type PortBusyError struct {
	Port int
	What string // PortTemporal, PortTemporalUI or PortRedis
	Err  error  // what the system said
}

// Error implements error.
func (e *PortBusyError) Error() string {
	return fmt.Sprintf("port %d (%s) is already in use", e.Port, e.What)
}

// Unwrap returns what the system said.
func (e *PortBusyError) Unwrap() error { return e.Err }

// CheckPortFree binds the port for a moment. It returns a *PortBusyError when somebody else has it and another error when
// it cannot be bound for another reason, such as an address that is not ours.
func CheckPortFree(what, ip string, port int) error {
	l, err := listen(what, ip, port)
	if err != nil {
		return err
	}
	return l.Close()
}

// listen binds ip:port; a port in use is a *PortBusyError.
func listen(what, ip string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &PortBusyError{Port: port, What: what, Err: err}
	case err != nil:
		return nil, fmt.Errorf("bind port %d (%s): %w", port, what, err)
	}
	return l, nil
}

// FreePort returns a TCP port of ip that nobody uses, for a server that insists on binding its port itself.
//
// One connection is made over the port and closed from the server's side. That leaves the port in TIME_WAIT, so the system
// gives it to nobody who asks for any port, while a server that asks for exactly this one still gets it.
func FreePort(ip string) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer dialed.Close()
	accepted, err := l.Accept()
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	if err := accepted.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, nil
}

// choosePort returns port when it can be bound, waiting out a leftover of a killed predecessor, or a free port for 0.
func choosePort(ctx context.Context, what, ip string, port int) (int, error) {
	if port == 0 {
		return FreePort(ip)
	}
	err := retryFor(ctx, leftoverGrace, func() error { return CheckPortFree(what, ip, port) })
	return port, err
}

// retryFor calls f until it succeeds or grace has passed or ctx is done, and returns f's last error.
func retryFor(ctx context.Context, grace time.Duration, f func() error) error {
	const period = 20 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(period):
		}
	}
}

// bounded returns ctx with a deadline d from now, unless it has one.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}
