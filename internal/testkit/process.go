package testkit

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emprops/holdfast/internal/devserver"
)

// processTimeout bounds waiting for a line or the end of a process, which may start servers of its own.
const processTimeout = 60 * time.Second

// Build builds the main package pkg, as the go command knows it from the root of the module ("./cmd/holdfast"), with
// build tags, and returns the path of the binary, which is removed with the test. What it built before, it builds again
// only when the source has changed.
func Build(tb testing.TB, pkg string, tags ...string) string {
	tb.Helper()
	return build(tb, pkg, strings.Join(tags, " "), "-tags", strings.Join(tags, ","))
}

// cacheDir returns a directory for what is kept from run to run, one for each name.
func cacheDir(tb testing.TB, name string) string {
	tb.Helper()
	cache, err := os.UserCacheDir()
	if err == nil {
		cache = filepath.Join(cache, "holdfast-testkit", regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(name, "-"))
		err = os.MkdirAll(cache, 0o755)
	}
	if err != nil {
		tb.Fatalf("find a place for what is built: %v", err)
	}
	return cache
}

// build builds pkg with flags; what another variant of it has built is kept apart.
func build(tb testing.TB, pkg, variant string, flags ...string) string {
	tb.Helper()
	root := moduleRoot(tb)
	kept := filepath.Join(cacheDir(tb, root+" "+pkg+" "+variant), filepath.Base(pkg))

	// Test processes of several packages share what is kept.
	lock, err := os.OpenFile(kept+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		tb.Fatalf("build %s: %v", pkg, err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		tb.Fatalf("build %s: %v", pkg, err)
	}

	cmd := exec.CommandContext(tb.Context(), "go", slices.Concat([]string{"build"}, flags, []string{"-o", kept, pkg})...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	bin := filepath.Join(tb.TempDir(), filepath.Base(pkg))
	if err := copyFile(bin, kept); err != nil {
		tb.Fatalf("build %s: %v", pkg, err)
	}
	return bin
}

// copyFile makes to the same executable as from. A hard link would do, were both sure to be on one file system.
func copyFile(to, from string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func moduleRoot(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatalf("find the module: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("find the module: no go.mod here or above")
		}
		dir = parent
	}
}

// Command is a program to run.
type Command struct {
	Path string
	Args []string
	Env  []string // "NAME=value", added to the environment of the test
	Dir  string   // working directory; default the test's
}

// Process is a running program. It is killed with the test, and on Linux with the test binary, whatever ends that.
type Process struct {
	tb    testing.TB
	name  string
	child *devserver.Child
	drain func() // reads what an ended process has written

	mu      sync.Mutex
	lines   []string
	changed chan struct{} // closed and replaced with every line
	read    int           // lines that WaitLine has passed
}

// Start starts the program bin with args.
func Start(tb testing.TB, bin string, args ...string) *Process {
	tb.Helper()
	return Command{Path: bin, Args: args}.Start(tb)
}

// Start starts the program.
func (c Command) Start(tb testing.TB) *Process {
	tb.Helper()
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	out, in, err := os.Pipe()
	if err != nil {
		tb.Fatalf("start %s: %v", c.Path, err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	child, err := devserver.StartChild(cmd)
	in.Close()
	if err != nil {
		out.Close()
		tb.Fatalf("start %s: %v", c.Path, err)
	}
	p := &Process{tb: tb, name: filepath.Base(c.Path), child: child, changed: make(chan struct{})}
	var reading sync.WaitGroup
	reading.Go(func() { p.capture(out) })
	p.drain = func() {
		// Children of the process that left with it hold the other end of the pipe for some moments more.
		_ = out.SetReadDeadline(time.Now().Add(time.Second))
		reading.Wait()
	}
	tb.Cleanup(func() {
		_ = child.Signal(syscall.SIGKILL)
		<-child.Done()
		p.drain()
		out.Close()
		if tb.Failed() {
			tb.Logf("output of %s:\n%s", p.name, strings.Join(p.Output(), "\n"))
		}
	})
	return p
}

func (p *Process) capture(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			p.mu.Lock()
			p.lines = append(p.lines, strings.TrimRight(line, "\r\n"))
			close(p.changed)
			p.changed = make(chan struct{})
			p.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// Output returns the lines written so far to standard output and standard error.
func (p *Process) Output() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

// WaitLine returns the next line that matches, as the match and its groups, and fails the test when none comes within a
// minute or the process ends without it. Lines before it are passed: the next call looks at those after it.
func (p *Process) WaitLine(re *regexp.Regexp) []string {
	p.tb.Helper()
	timeout := time.After(processTimeout)
	ended := p.child.Done()
	for {
		p.mu.Lock()
		changed := p.changed
		for p.read < len(p.lines) {
			line := p.lines[p.read]
			p.read++
			if match := re.FindStringSubmatch(line); match != nil {
				p.mu.Unlock()
				return match
			}
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ended:
			// Its last lines may still be on their way.
			ended = nil
			timeout = time.After(time.Second)
		case <-timeout:
			p.tb.Fatalf("waited in vain for a line like %q of %s", re, p.name)
		}
	}
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.child.Pid() }

// Signal sends a signal to the process.
func (p *Process) Signal(sig syscall.Signal) {
	p.tb.Helper()
	if err := p.child.Signal(sig); err != nil {
		p.tb.Fatalf("signal %s: %v", p.name, err)
	}
}

// Kill ends the process as kill -9 does and waits for its end. Only the process is killed, not what it has started.
func (p *Process) Kill() {
	p.tb.Helper()
	p.Signal(syscall.SIGKILL)
	p.Wait()
}

// Interrupt asks the process to end, as Ctrl-C does.
func (p *Process) Interrupt() {
	p.tb.Helper()
	p.Signal(syscall.SIGINT)
}

// Wait waits for the end of the process and of its output, and returns its exit code, -1 when a signal ended it. It fails the test when the
// process does not end within a minute.
func (p *Process) Wait() int {
	p.tb.Helper()
	select {
	case <-p.child.Done():
	case <-time.After(processTimeout):
		p.tb.Fatalf("waited %v in vain for the end of %s", processTimeout, p.name)
	}
	p.drain()
	return p.child.ExitCode()
}
