//go:build unix

package devserver

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Child is a child process that does not outlive this one, however this one ends (on Linux; elsewhere only a stop by the
// owner ends it). It is the leader of its own process group, so that Ctrl-C in the terminal reaches this process alone,
// which then stops the child in its own time.
type Child struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; valid when done is closed
}

// StartChild starts cmd as a Child.
func StartChild(cmd *exec.Cmd) (*Child, error) {
	c := &Child{cmd: cmd, done: make(chan struct{})}
	cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	go func() {
		// The system's signal "your parent died" comes when the thread that forked the child ends, which with goroutines
		// moving between threads may be long before the process does. So the forking goroutine keeps its thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			c.err = cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}

// Pid returns the process id.
func (c *Child) Pid() int { return c.cmd.Process.Pid }

// Done is closed when the process has ended and its output is read.
func (c *Child) Done() <-chan struct{} { return c.done }

// ExitCode waits for the end and returns the exit code, or -1 when a signal ended the process.
func (c *Child) ExitCode() int {
	<-c.done
	return c.cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the process; nothing happens when it has ended.
func (c *Child) Signal(sig syscall.Signal) error {
	if err := c.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
