package testkit

import (
	"fmt"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// fakeTB is a test that may fail: Fatalf ends its goroutine and keeps the message.
type fakeTB struct {
	testing.TB
	message string
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failureOf runs f as a test of its own and returns what it failed with, or "".
func failureOf(t *testing.T, f func(tb testing.TB)) string {
	tb := &fakeTB{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(tb)
	}()
	<-done
	return tb.message
}

func TestAwait(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	Await(t, "the third look", func() bool { return n.Add(1) == 3 })
	require.EqualValues(t, 3, n.Load())
	require.Equal(t, 7, AwaitValue(t, "a value", func() (int, bool) { return 7, true }))
}

func TestAwaitNamesWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	message := failureOf(t, func(tb testing.TB) {
		awaitFor(tb, 20*time.Millisecond, "the impossible", func() (int, bool) { return 0, false })
	})
	require.Contains(t, message, "the impossible")
}

func TestLoggerOutlivesTheTest(t *testing.T) {
	t.Parallel()
	late := make(chan func(), 1)
	t.Run("inner", func(t *testing.T) {
		log := Logger(t)
		log.Info("during")
		late <- func() { log.Info("after") }
	})
	require.NotPanics(t, <-late)
}

func TestRedisServersAreApart(t *testing.T) {
	t.Parallel()
	one, two := Redis(t), Redis(t)
	require.NoError(t, one.Set(t.Context(), "key", "value", 0).Err())
	require.ErrorIs(t, two.Get(t.Context(), "key").Err(), redis.Nil)
}

func TestPersistentRedisServerKeepsWrites(t *testing.T) {
	t.Parallel()
	server := PersistentRedisServer(t)
	require.NoError(t, RedisClient(t, server).Set(t.Context(), "key", "value", 0).Err())
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(t.Context()))
	require.Equal(t, "value", RedisClient(t, server).Get(t.Context(), "key").Val())
}

func TestProcess(t *testing.T) {
	t.Parallel()
	bin := Build(t, "./internal/testkit/testdata/echo")
	again := Build(t, "./internal/testkit/testdata/echo")
	require.NotEqual(t, bin, again, "each test has a binary of its own")

	p := Command{Path: bin, Args: []string{"a", "b"}, Env: []string{"GREETING=hello"}}.Start(t)
	require.Equal(t, "args [a b] hello", p.WaitLine(regexp.MustCompile(`args.*`))[0])
	require.Equal(t, "12", p.WaitLine(regexp.MustCompile(`on port (\d+)`))[1])
	require.NotZero(t, p.Pid())
	p.Interrupt()
	p.WaitLine(regexp.MustCompile(`no newline`))
	require.Equal(t, 3, p.Wait())
	require.Len(t, p.Output(), 3)

	killed := Start(t, bin)
	killed.WaitLine(regexp.MustCompile(`ready`))
	killed.Kill()
	require.Equal(t, -1, killed.Wait())
}
