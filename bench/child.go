//go:build !lean

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/emprops/holdfast/internal/devserver"
)

// The measured parts run in processes of their own, so that the system tells the CPU time of each. They are this program
// again, called over their standard input and output, and they end when these do.

// roleVariable names the part that a child process is.
const roleVariable = "HOLDFAST_BENCH_ROLE"

// The parts.
const (
	roleNode     = "node"
	roleFloor    = "floor"
	roleReceiver = "receiver"
)

// part is what a child process serves, as a net/rpc receiver named Part.
type part interface {
	stop() error
}

// serveChild is the program in a child process.
func serveChild(role string) int {
	signal.Ignore(syscall.SIGPIPE) // a parent that is gone is no reason to leave a Redis behind
	conn := stdio{os.Stdin, os.Stdout}
	os.Stdout = os.Stderr // nothing else may write between the answers
	parts := map[string]part{roleNode: &Node{}, roleFloor: &Floor{}, roleReceiver: &Receiver{}}
	p, ok := parts[role]
	if !ok {
		_, _ = fmt.Fprintf(os.Stderr, "bench: %s=%q is not a part\n", roleVariable, role)
		return exitUsage
	}
	server := rpc.NewServer()
	err := errors.Join(server.RegisterName("Process", &Process{}), server.RegisterName("Part", p))
	if err == nil {
		server.ServeConn(conn)
		err = p.stop()
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "bench: %s: %s\n", role, err)
		return exitMissed
	}
	return exitOK
}

// stdio is a connection made of two files.
type stdio struct {
	io.ReadCloser
	io.WriteCloser
}

// Close implements io.Closer. What the other side still has to say may be said: its end closes the rest.
func (s stdio) Close() error { return s.WriteCloser.Close() }

// None is an argument or answer without content.
type None struct{}

// Process answers for the process itself, whatever its part.
type Process struct{ profile *os.File }

// CPU answers the CPU time this process has used.
func (*Process) CPU(_ None, used *time.Duration) (err error) {
	*used, err = cpuTime()
	return err
}

// StartProfile begins a CPU profile in the file.
func (p *Process) StartProfile(path string, _ *None) (err error) {
	if p.profile, err = os.Create(path); err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.profile)
}

// StopProfile ends the profile.
func (p *Process) StopProfile(None, *None) error {
	pprof.StopCPUProfile()
	return p.profile.Close()
}

// cpuTime is the CPU time that this process has used, in the system included.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("reading the CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// child is a part in its process, as its parent sees it.
type child struct {
	role    string
	process *devserver.Child
	rpc     *rpc.Client
}

// startChild starts a part. env is added to the environment.
func startChild(role string, env []string, stderr io.Writer) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), env...), roleVariable+"="+role)
	cmd.Stderr = stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	process, err := devserver.StartChild(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting the %s process: %w", role, err)
	}
	return &child{role, process, rpc.NewClient(stdio{out, in})}, nil
}

// call calls a method of the child and gives up waiting when ctx ends.
func (c *child) call(ctx context.Context, method string, in, out any) error {
	done := c.rpc.Go(method, in, out, make(chan *rpc.Call, 1)).Done
	select {
	case call := <-done:
		if call.Error != nil {
			return fmt.Errorf("%s, %s: %w", c.role, strings.ToLower(method[strings.Index(method, ".")+1:]), call.Error)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *child) cpu(ctx context.Context) (used time.Duration, err error) {
	err = c.call(ctx, "Process.CPU", None{}, &used)
	return used, err
}

const stopPatience = 20 * time.Second

// stop ends the child and waits for it. It may be called twice.
func (c *child) stop() error {
	if err := c.rpc.Close(); err != nil && !errors.Is(err, rpc.ErrShutdown) && !errors.Is(err, os.ErrClosed) {
		return err
	}
	select {
	case <-c.process.Done():
		if code := c.process.ExitCode(); code != exitOK {
			return fmt.Errorf("the %s process ended with code %d", c.role, code)
		}
		return nil
	case <-time.After(stopPatience):
		err := c.process.Signal(syscall.SIGKILL)
		<-c.process.Done()
		return errors.Join(fmt.Errorf("the %s process did not stop within %s and was killed", c.role, stopPatience), err)
	}
}
