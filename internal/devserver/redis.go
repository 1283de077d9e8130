//go:build unix

package devserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	redisIP           = "127.0.0.1"
	redisStartTimeout = 30 * time.Second // of a start whose context has no deadline; loading a long append-only file takes time
	redisStopTimeout  = 5 * time.Second  // from the request to stop to the kill
)

// ErrNoRedis is in the chain of StartRedis's error when no server program is installed.
var ErrNoRedis = errors.New("no redis-server or valkey-server on PATH")

// RedisOptions says how the Redis server runs.
type RedisOptions struct {
	Port           int         // on 127.0.0.1; 0 picks a free one
	DataDir        string      // directory that keeps the data, created when absent; empty keeps nothing across restarts
	AllowInProcess bool        // without a server program on PATH, run a substitute in this process; see Notice
	Env            []string    // "NAME=value", added to the environment of the server program
	Logger         *zap.Logger // default: logs nothing
}

// Redis is a running Redis server that belongs to this process.
type Redis struct {
	port    int
	dataDir string
	notice  string
	server  redisServer
	stop    sync.Once
	cleanup []func()
}

// redisServer is how a Redis runs: a supervised program or a substitute in this process.
type redisServer interface {
	start(ctx context.Context) error
	pid() int
	kill() error
	restart(ctx context.Context) error
	pause() error
	resume() error
	stop()
}

// StartRedis starts redis-server or valkey-server, whichever PATH has, and returns when it answers. A busy port is a
// *PortBusyError, a data directory in use has ErrDataDirBusy in its chain, no program and no AllowInProcess has ErrNoRedis.
// A server that dies is started again. ctx bounds the start only; without a deadline it is 30 seconds.
func StartRedis(ctx context.Context, opts RedisOptions) (*Redis, error) {
	return startRedis(ctx, opts, exec.LookPath)
}

func startRedis(ctx context.Context, opts RedisOptions, lookPath func(string) (string, error)) (_ *Redis, err error) {
	if opts.Logger == nil {
		opts.Logger = zap.NewNop()
	}
	ctx, cancel := bounded(ctx, redisStartTimeout)
	defer cancel()
	r := &Redis{dataDir: opts.DataDir}
	defer func() {
		if err != nil {
			r.Stop()
		}
	}()

	program := ""
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := lookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" && !opts.AllowInProcess {
		return nil, fmt.Errorf("start Redis: %w (%s)", ErrNoRedis, installHint)
	}
	if program == "" {
		if r.port, err = choosePort(ctx, PortRedis, redisIP, opts.Port); err != nil {
			return nil, err
		}
		r.dataDir = ""
		r.notice = "no redis-server or valkey-server on PATH: using an in-process substitute that keeps nothing across restarts (" + installHint + ")"
		r.server = newInProcess(r.addr())
		if err := r.server.start(ctx); err != nil {
			return nil, err
		}
		return r, nil
	}

	var lock *os.File
	dir := opts.DataDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "holdfast-redis-"); err != nil {
			return nil, fmt.Errorf("start Redis: %w", err)
		}
		r.cleanup = append(r.cleanup, func() { os.RemoveAll(dir) })
	} else {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("create data directory: %w", err)
		}
		if lock, err = lockFile(ctx, filepath.Join(dir, "redis.lock")); err != nil {
			return nil, err
		}
		r.cleanup = append(r.cleanup, func() { lock.Close() })
	}
	// After the lock: a predecessor that is still about holds both.
	if r.port, err = choosePort(ctx, PortRedis, redisIP, opts.Port); err != nil {
		return nil, err
	}
	server := newSupervised(program, redisArgs(r.port, dir, r.Persistent()), r.addr(), lock, opts.Logger)
	server.env = opts.Env
	r.server = server
	if err := r.server.start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

const installHint = "install one, for example: apt install redis-server, dnf install valkey, brew install redis"

// redisArgs returns the command line. The append-only file is written before a command is answered, so it survives a kill
// of the server; it is synced once a second, which is what a crash of the machine may lose. That is right for an index
// that is rebuilt from Temporal. There are no snapshots: they would only repeat it.
func redisArgs(port int, dir string, persistent bool) []string {
	appendOnly := "no"
	if persistent {
		appendOnly = "yes"
	}
	return []string{
		"--bind", redisIP, "--port", strconv.Itoa(port), "--dir", dir,
		"--appendonly", appendOnly, "--appendfsync", "everysec", "--save", "",
		"--daemonize", "no", "--loglevel", "warning",
	}
}

func (r *Redis) addr() string { return redisIP + ":" + strconv.Itoa(r.port) }

// URL returns the address in the form that Redis clients parse.
func (r *Redis) URL() string { return "redis://" + r.addr() + "/0" }

// Pid returns the server's process id: 0 while it is down, our own for the substitute in this process.
func (r *Redis) Pid() int { return r.server.pid() }

// Persistent reports whether the data survives a restart.
func (r *Redis) Persistent() bool { return r.dataDir != "" }

// Notice returns what a person should know about this server, or "".
func (r *Redis) Notice() string { return r.notice }

// Kill ends the server as kill -9 does. It stays down until Restart.
func (r *Redis) Kill() error { return r.server.kill() }

// Restart starts the server again after Kill, on the same port and data, and returns when it answers. Without a deadline of
// ctx it waits for 30 seconds.
func (r *Redis) Restart(ctx context.Context) error {
	ctx, cancel := bounded(ctx, redisStartTimeout)
	defer cancel()
	return r.server.restart(ctx)
}

// Pause freezes the server: connections stay open and nothing is answered until Resume. The substitute in this process
// cannot be paused.
func (r *Redis) Pause() error { return r.server.pause() }

// Resume ends Pause.
func (r *Redis) Resume() error { return r.server.resume() }

// Stop shuts the server down with its data saved and waits for it, for at most five seconds before killing it. It may be
// called twice.
func (r *Redis) Stop() {
	r.stop.Do(func() {
		if r.server != nil {
			r.server.stop()
		}
		for _, f := range r.cleanup {
			f()
		}
	})
}
