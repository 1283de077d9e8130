package testkit

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emprops/holdfast/internal/devserver"
)

// Clock is the clock on the wall as chosen processes see it, while the others on the machine go on with theirs: a test lets
// it jump as setting the clock of a machine does. What measures lengths of time, such as timers, does not notice.
type Clock struct {
	tb     testing.TB
	file   *os.File // the offset in seconds, eight bytes; the processes have it mapped
	offset time.Duration
}

// NewClock returns a clock that agrees with the machine's.
func NewClock(tb testing.TB) *Clock {
	tb.Helper()
	file, err := os.Create(filepath.Join(tb.TempDir(), "clock"))
	if err != nil {
		tb.Fatalf("make a clock: %v", err)
	}
	tb.Cleanup(func() { file.Close() })
	c := &Clock{tb: tb, file: file}
	c.Jump(0)
	return c
}

// Jump moves the clock forward, or back, by whole seconds, for all its processes at once.
func (c *Clock) Jump(by time.Duration) {
	c.tb.Helper()
	c.offset += by
	seconds := binary.NativeEndian.AppendUint64(nil, uint64(int64(c.offset/time.Second)))
	if _, err := c.file.WriteAt(seconds, 0); err != nil {
		c.tb.Fatalf("let the clock jump: %v", err)
	}
}

// Env is what a program that BuildWithClock has built needs in its environment to go by the clock.
func (c *Clock) Env() []string { return []string{"TESTKIT_CLOCK=" + c.file.Name()} }

//go:embed testdata/clock/jump.go
var jumpSource []byte

//go:embed testdata/clock/clock.c
var preloadSource []byte

// BuildWithClock is Build for a program that goes by a Clock. Go programs ask the system for the time without the C
// library, so that time.Now itself is another one in it; nothing else is.
func BuildWithClock(tb testing.TB, pkg string, tags ...string) string {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		tb.Fatalf("find the standard library: %v", err)
	}
	library := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	source, err := os.ReadFile(filepath.Join(library, "time.go"))
	if err != nil {
		tb.Fatalf("read the standard library: %v", err)
	}
	const read = "\tsec, nsec, mono := runtimeNow()\n"
	if n := strings.Count(string(source), read); n != 1 {
		tb.Fatalf("this version of Go reads the clock otherwise: %d times as expected", n)
	}
	// The same files each time, or the whole program would be compiled anew.
	dir := cacheDir(tb, "clock")
	replaced := map[string]string{}
	for name, content := range map[string][]byte{
		"time.go": []byte(strings.Replace(string(source), read, read+"\tsec += jumped()\n", 1)), "jump.go": jumpSource,
	} {
		replaced[filepath.Join(library, name)] = writeFile(tb, dir, name, content)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		tb.Fatalf("describe the clock: %v", err)
	}
	return build(tb, pkg, "clock "+strings.Join(tags, ","), "-overlay", writeFile(tb, dir, "overlay.json", overlay), "-tags", strings.Join(tags, ","))
}

// RedisWithClock is PersistentRedisServer for a server that goes by a Clock. It needs a C compiler, as the race detector
// does.
func RedisWithClock(tb testing.TB, c *Clock) *devserver.Redis {
	tb.Helper()
	dir := tb.TempDir()
	library := filepath.Join(dir, "clock.so")
	compile := exec.CommandContext(tb.Context(), "cc", "-shared", "-fPIC", "-O2", "-o", library, writeFile(tb, dir, "clock.c", preloadSource))
	if out, err := compile.CombinedOutput(); err != nil {
		tb.Fatalf("Redis gets a clock of its own by a library that a C compiler makes: %v\n%s", err, out)
	}
	return startRedis(tb, devserver.RedisOptions{DataDir: tb.TempDir(), Env: append(c.Env(), "LD_PRELOAD="+library)})
}

// writeFile writes a file unless it has the content already.
func writeFile(tb testing.TB, dir, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if have, err := os.ReadFile(path); err == nil && string(have) == string(content) {
		return path
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatalf("write %s: %v", name, err)
	}
	return path
}
