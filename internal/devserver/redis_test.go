//go:build unix

package devserver

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func startTestRedis(t *testing.T, opts RedisOptions) *Redis {
	t.Helper()
	start := time.Now()
	r, err := StartRedis(t.Context(), opts)
	require.NoError(t, err)
	t.Logf("Redis answered %v after its start was asked for", time.Since(start).Round(time.Millisecond))
	t.Cleanup(r.Stop)
	return r
}

func redisClient(t *testing.T, r *Redis) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(r.URL())
	require.NoError(t, err)
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRedisKeepsWritesAcrossKill(t *testing.T) {
	t.Parallel()
	r := startTestRedis(t, RedisOptions{DataDir: t.TempDir()})
	c := redisClient(t, r)
	require.True(t, r.Persistent())
	require.NoError(t, c.Set(t.Context(), "key", "value", 0).Err())
	before := r.Pid()
	require.NotZero(t, before)

	require.NoError(t, r.Kill())
	require.Zero(t, r.Pid())
	require.Error(t, c.Get(t.Context(), "key").Err(), "a killed server stays down")

	require.NoError(t, r.Restart(t.Context()))
	require.NotEqual(t, before, r.Pid())
	require.Equal(t, "value", c.Get(t.Context(), "key").Val())
}

func TestRedisKeepsWritesAcrossStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := startTestRedis(t, RedisOptions{DataDir: dir})
	require.NoError(t, redisClient(t, r).Set(t.Context(), "key", "value", 0).Err())
	r.Stop()
	r.Stop()
	require.Zero(t, r.Pid())

	r = startTestRedis(t, RedisOptions{DataDir: dir})
	require.Equal(t, "value", redisClient(t, r).Get(t.Context(), "key").Val())
}

func TestRedisWithoutDataDirKeepsNothing(t *testing.T) {
	t.Parallel()
	r := startTestRedis(t, RedisOptions{})
	c := redisClient(t, r)
	require.False(t, r.Persistent())
	require.NoError(t, c.Set(t.Context(), "key", "value", 0).Err())
	require.NoError(t, r.Kill())
	require.NoError(t, r.Restart(t.Context()))
	require.ErrorIs(t, c.Get(t.Context(), "key").Err(), redis.Nil)
}

func TestRedisThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	r := startTestRedis(t, RedisOptions{})
	before := r.Pid()
	require.NoError(t, syscall.Kill(before, syscall.SIGKILL))
	require.Eventually(t, func() bool { return r.Pid() != 0 && r.Pid() != before }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return redisClient(t, r).Ping(t.Context()).Err() == nil }, 5*time.Second, 10*time.Millisecond)
}

func TestRedisPauseAnswersNothingUntilResume(t *testing.T) {
	t.Parallel()
	r := startTestRedis(t, RedisOptions{})
	c := redisClient(t, r)
	require.NoError(t, c.Ping(t.Context()).Err())
	require.NoError(t, r.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	o := c.Options()
	impatient := redis.NewClient(&redis.Options{Addr: o.Addr, ContextTimeoutEnabled: true, MaxRetries: -1})
	defer impatient.Close()
	require.Error(t, impatient.Ping(ctx).Err())
	require.NoError(t, r.Resume())
	require.NoError(t, c.Ping(t.Context()).Err())
}

func TestPausedRedisStops(t *testing.T) {
	t.Parallel()
	r := startTestRedis(t, RedisOptions{})
	require.NoError(t, r.Pause())
	start := time.Now()
	r.Stop()
	require.Less(t, time.Since(start), redisStopTimeout, "stopped in its own time, not killed")
}

func TestRedisPortBusy(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", redisIP+":0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = StartRedis(ctx, RedisOptions{Port: port})
	busy, ok := errors.AsType[*PortBusyError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, port, busy.Port)
	require.Equal(t, PortRedis, busy.What)
}

func TestRedisWaitsOutALeftoverOnThePort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", redisIP+":0")
	require.NoError(t, err)
	time.AfterFunc(200*time.Millisecond, func() { l.Close() })
	r := startTestRedis(t, RedisOptions{Port: l.Addr().(*net.TCPAddr).Port})
	require.NotZero(t, r.Pid())
}

func TestRedisDataDirBusy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startTestRedis(t, RedisOptions{DataDir: dir})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := StartRedis(ctx, RedisOptions{DataDir: dir})
	require.ErrorIs(t, err, ErrDataDirBusy)
}

func noProgram(string) (string, error) { return "", exec.ErrNotFound }

func TestRedisWithoutProgramSaysHowToGetOne(t *testing.T) {
	t.Parallel()
	_, err := startRedis(t.Context(), RedisOptions{}, noProgram)
	require.ErrorIs(t, err, ErrNoRedis)
	require.ErrorContains(t, err, "install")
}

func TestRedisInProcess(t *testing.T) {
	t.Parallel()
	r, err := startRedis(t.Context(), RedisOptions{AllowInProcess: true, DataDir: t.TempDir()}, noProgram)
	require.NoError(t, err)
	t.Cleanup(r.Stop)
	require.False(t, r.Persistent())
	require.Contains(t, r.Notice(), "keeps nothing")
	require.Equal(t, os.Getpid(), r.Pid())
	c := redisClient(t, r)
	require.NoError(t, c.Set(t.Context(), "short", "value", 100*time.Millisecond).Err())
	require.NoError(t, c.Set(t.Context(), "long", "value", time.Hour).Err())
	require.Eventually(t, func() bool { return errors.Is(c.Get(t.Context(), "short").Err(), redis.Nil) }, 5*time.Second, 10*time.Millisecond)
	require.Equal(t, "value", c.Get(t.Context(), "long").Val())
	require.Error(t, r.Pause())
	require.NoError(t, r.Kill())
	require.Zero(t, r.Pid())
	require.NoError(t, r.Restart(t.Context()))
	require.ErrorIs(t, c.Get(t.Context(), "long").Err(), redis.Nil)
}

func TestRedisThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	s := newSupervised("redis-server", []string{"--no-such-setting", "1"}, redisIP+":1", nil, nopLogger)
	err := s.start(t.Context())
	require.ErrorContains(t, err, "no-such-setting")
	s.stop()
}

func init() { helpers["redis"] = helperRedis }

// helperRedis is a process of its own that starts a persistent Redis, says so and waits to be killed.
func helperRedis() {
	r, err := StartRedis(context.TODO(), RedisOptions{DataDir: os.Getenv("DEVSERVER_DIR")})
	helperSay(err, func() string { return strconv.Itoa(r.Pid()) + " " + r.URL() })
}

func TestRedisDiesWithUsAndItsDataDirIsFreeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	helper, line := startHelper(t, "redis", dir)
	pidText, url, _ := strings.Cut(line, " ")
	pid, err := strconv.Atoi(pidText)
	require.NoError(t, err)
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	c := redis.NewClient(o)
	defer c.Close()
	require.NoError(t, c.Set(t.Context(), "key", "value", 0).Err())

	require.NoError(t, helper.Signal(syscall.SIGKILL))
	<-helper.Done()
	_, portText, err := net.SplitHostPort(o.Addr)
	require.NoError(t, err)
	port, err := strconv.Atoi(portText)
	require.NoError(t, err)
	r := startTestRedis(t, RedisOptions{DataDir: dir, Port: port})
	require.Equal(t, "value", redisClient(t, r).Get(t.Context(), "key").Val())
	require.Eventually(t, func() bool { return !running(pid) }, 5*time.Second, 10*time.Millisecond)
}

// running reports whether the process exists and is no zombie that waits for whoever inherited it.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// startHelper runs this test binary as the named helper and returns it with the line it says when it is ready.
func startHelper(t *testing.T, name, dir string) (*Child, string) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "DEVSERVER_HELPER="+name, "DEVSERVER_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	helper, err := StartChild(cmd)
	require.NoError(t, err)
	t.Cleanup(func() { _ = helper.Signal(syscall.SIGKILL) })
	scan := bufio.NewScanner(out)
	require.True(t, scan.Scan(), "helper %s ended before it was ready", name)
	return helper, scan.Text()
}
