//go:build !lean

package testkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/emprops/holdfast/internal/devserver"
)

// What tells a test binary to be a Temporal server, and where.
const (
	temporalDirVariable  = "HOLDFAST_TEMPORAL_PROCESS_DIR"
	temporalPortVariable = "HOLDFAST_TEMPORAL_PROCESS_PORT"
)

// TemporalProcess is a Temporal server in a process of its own, which a test can kill. It keeps its data and its port
// across Kill and Restart.
type TemporalProcess struct {
	*TemporalEnv

	tb      testing.TB
	command Command
	process *Process
}

// StartTemporalProcess starts a Temporal server in a process of its own and returns when it answers. The process is the
// test binary again: its TestMain must call ServeTemporalProcess first.
func StartTemporalProcess(tb testing.TB) *TemporalProcess {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatalf("start Temporal: %v", err)
	}
	return startTemporalProcess(tb, self)
}

// TemporalWithClock is StartTemporalProcess for a server that goes by a Clock. The process is a program of its own: the
// test binary would need another standard library, and with it everything it is made of.
func TemporalWithClock(tb testing.TB, c *Clock) *TemporalProcess {
	tb.Helper()
	return startTemporalProcess(tb, BuildWithClock(tb, "./internal/testkit/testdata/temporal"), c.Env()...)
}

func startTemporalProcess(tb testing.TB, bin string, env ...string) *TemporalProcess {
	tb.Helper()
	port, err := devserver.FreePort("127.0.0.1")
	if err != nil {
		tb.Fatalf("start Temporal: %v", err)
	}
	p := &TemporalProcess{tb: tb, command: Command{Path: bin, Env: append(env,
		temporalDirVariable+"="+tb.TempDir(), temporalPortVariable+"="+strconv.Itoa(port),
	)}}
	p.Restart()
	const namespace = "default"
	hostPort := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p.TemporalEnv = &TemporalEnv{Client: dialTemporal(tb, hostPort, namespace), Namespace: namespace, hostPort: hostPort}
	return p
}

var temporalAnswers = regexp.MustCompile(`^Temporal answers$`)

// Kill ends the server as kill -9 does. It stays down until Restart.
func (p *TemporalProcess) Kill() {
	p.tb.Helper()
	p.process.Kill()
}

// Restart starts the server again after Kill, on the same port and data, and returns when it answers.
func (p *TemporalProcess) Restart() {
	p.tb.Helper()
	p.process = p.command.Start(p.tb)
	p.process.WaitLine(temporalAnswers)
}

// Pid returns the id of the process that runs, or ran last.
func (p *TemporalProcess) Pid() int { return p.process.Pid() }

// ServeTemporalProcess tells whether this process was started to be a Temporal server, after it has been one. TestMain
// then returns without running tests.
func ServeTemporalProcess() bool {
	dir := os.Getenv(temporalDirVariable)
	if dir == "" {
		return false
	}
	port, err := strconv.Atoi(os.Getenv(temporalPortVariable))
	if err == nil {
		_, err = devserver.StartTemporal(context.Background(), devserver.TemporalOptions{DataDir: dir, Port: port})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true
	}
	fmt.Println("Temporal answers")
	select {} // until it is killed
}
