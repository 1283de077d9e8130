//go:build unix

package devserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapio"
)

// Pauses before a server that died is started again: doubled from the first to the last, and back to the first once a
// server has run for redisStable.
const (
	redisFirstPause = 50 * time.Millisecond
	redisLastPause  = 5 * time.Second
	redisStable     = 30 * time.Second
)

// supervised runs a Redis server program and keeps it running.
type supervised struct {
	program string
	args    []string
	addr    string
	env     []string // beside the environment of this process
	lock    *os.File // inherited by the child, so that the data directory stays locked while the child uses it
	log     *zap.Logger

	mu      sync.Mutex
	child   *Child        // nil while none runs
	killed  bool          // by kill: stay down
	changed chan struct{} // closed and replaced when killed or stopped changes
	stopped bool
	tail    *tail
	ended   chan struct{} // closed when supervise returns
}

func newSupervised(program string, args []string, addr string, lock *os.File, logger *zap.Logger) *supervised {
	return &supervised{program: program, args: args, addr: addr, lock: lock, log: logger.Named("redis"), changed: make(chan struct{})}
}

// start starts the program and its supervision. The first start is not retried: what is wrong with it will stay wrong.
func (s *supervised) start(ctx context.Context) error {
	child, err := s.spawn()
	if err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	if err := s.waitReady(ctx, child); err != nil {
		_ = child.Signal(syscall.SIGKILL)
		<-child.Done()
		return fmt.Errorf("start Redis: %w", err)
	}
	s.ended = make(chan struct{})
	go s.supervise(child)
	return nil
}

// spawn starts the program and makes it the current child, unless it is not wanted any more: then the child is nil.
func (s *supervised) spawn() (*Child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed || s.stopped {
		return nil, nil
	}
	cmd := exec.Command(s.program, s.args...)
	cmd.Env = append(os.Environ(), s.env...)
	s.tail = &tail{}
	out := io.MultiWriter(s.tail, &zapio.Writer{Log: s.log, Level: zap.DebugLevel})
	cmd.Stdout, cmd.Stderr = out, out
	if s.lock != nil {
		cmd.ExtraFiles = []*os.File{s.lock}
	}
	child, err := StartChild(cmd)
	if err == nil {
		s.child = child
	}
	return child, err
}

// supervise waits for the end of child, starts another and so on until stop.
func (s *supervised) supervise(child *Child) {
	defer close(s.ended)
	pause := redisFirstPause
	for child != nil {
		started := time.Now()
		<-child.Done()
		if time.Since(started) > redisStable {
			pause = redisFirstPause
		}
		child, pause = s.replace(child, pause)
	}
}

// replace starts the successor of a child that ended: after the pause, or after a kill when restart is called. It returns
// it with the pause for the next time, or nil when stopped.
func (s *supervised) replace(ended *Child, pause time.Duration) (*Child, time.Duration) {
	next := min(2*pause, redisLastPause)
	for {
		s.mu.Lock()
		s.child = nil
		killed, stopped, changed, output := s.killed, s.stopped, s.changed, s.tail.String()
		s.mu.Unlock()
		switch {
		case stopped:
			return nil, 0
		case killed:
			<-changed
			pause, next = 0, redisFirstPause
			continue
		case pause > 0:
			s.log.Warn("Redis server is down, starting it again", zap.Int("exit_code", ended.ExitCode()),
				zap.String("output", output), zap.Duration("after", pause))
		}
		select {
		case <-changed:
			continue
		case <-time.After(pause):
		}
		child, err := s.spawn()
		if child != nil {
			return child, next
		}
		if err != nil {
			s.log.Warn("Redis server could not be started", zap.Error(err))
			pause, next = next, min(2*next, redisLastPause)
		}
	}
}

// waitReady returns when the current child, or only the given one unless nil, answers.
func (s *supervised) waitReady(ctx context.Context, only *Child) error {
	for {
		err := ping(ctx, s.addr, s.pid())
		if err == nil {
			return nil
		}
		var ended <-chan struct{}
		if only != nil {
			ended = only.Done()
		}
		select {
		case <-ended:
			return fmt.Errorf("server ended with exit code %d: %s", only.ExitCode(), s.output())
		case <-ctx.Done():
			return fmt.Errorf("wait for the server to answer: %w (last answer: %w)", ctx.Err(), err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// ping succeeds when the server with the process id answers and has its data loaded. The id matters: the port may for a
// moment still be answered by the leftover of a killed predecessor.
func ping(ctx context.Context, addr string, pid int) error {
	// The client logs a refused connection and then waits a second, so it is asked only when there is a connection to have.
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	conn.Close()
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1, ReadTimeout: time.Second})
	defer c.Close()
	if err := c.Ping(ctx).Err(); err != nil {
		return err
	}
	info, err := c.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "\nprocess_id:"+strconv.Itoa(pid)+"\r") {
		return errors.New("another server answers on the port")
	}
	return nil
}

func (s *supervised) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == nil {
		return 0
	}
	return s.child.Pid()
}

func (s *supervised) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tail.String()
}

// set changes killed or stopped, wakes the supervision and returns the current child.
func (s *supervised) set(change func()) *Child {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
	return s.child
}

func (s *supervised) kill() error {
	child := s.set(func() { s.killed = true })
	if child == nil {
		return nil
	}
	if err := child.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill Redis: %w", err)
	}
	<-child.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child == child {
		s.child = nil
	}
	return nil
}

func (s *supervised) restart(ctx context.Context) error {
	s.set(func() { s.killed = false })
	if err := s.waitReady(ctx, nil); err != nil {
		return fmt.Errorf("restart Redis: %w", err)
	}
	return nil
}

func (s *supervised) pause() error  { return s.signal(syscall.SIGSTOP) }
func (s *supervised) resume() error { return s.signal(syscall.SIGCONT) }

func (s *supervised) signal(sig syscall.Signal) error {
	s.mu.Lock()
	child := s.child
	s.mu.Unlock()
	if child == nil {
		return errors.New("signal Redis: it is not running")
	}
	return child.Signal(sig)
}

// stop asks the server to save and end: SIGTERM does what the command SHUTDOWN does, and a paused server gets it too.
func (s *supervised) stop() {
	child := s.set(func() { s.stopped = true })
	if child != nil {
		_ = child.Signal(syscall.SIGTERM)
		_ = child.Signal(syscall.SIGCONT)
		select {
		case <-child.Done():
		case <-time.After(redisStopTimeout):
			s.log.Warn("Redis server did not stop in time, killing it", zap.Duration("waited", redisStopTimeout))
			_ = child.Signal(syscall.SIGKILL)
		}
	}
	if s.ended != nil {
		<-s.ended
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	const keep = 2 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > keep {
		t.buf = append([]byte(nil), t.buf[len(t.buf)-keep:]...)
	}
	return len(p), nil
}

// String returns the end of the output in one line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(t.buf)), " ")
}
